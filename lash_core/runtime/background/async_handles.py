"""The async tasks of one session in this program: their table, and what the capability does with it.

``docs/contracts/background_tasks.md`` 5. An entry keeps how it ended until newer ones crowd it out. Which table
holds it plays no part in its end, so a task that was moved ends in its new session.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Collection, Iterable
from typing import Any

from lash_core.errors import LimitExceededError, PluginSessionError
from lash_core.errors.async_handle import AsyncHandleConflictError, UnknownAsyncHandleError
from lash_core.model.async_handle import AsyncHandleMetadata, AsyncHandleNamespace
from lash_core.runtime.background.async_handle import AsyncHandleState, AsyncToolHandle, AsyncToolWork

LIVE_HANDLES_MAX = 256
"""Async tasks of a session that run at once; with the limit of an answer this bounds what their ends hold."""
ENDED_HANDLES_MAX = 1_000
ENDED_BYTES_MAX = 16 * 1024 * 1024
"""Of ended tasks that a session remembers: beyond either the oldest are forgotten when a task is started."""


class AsyncToolHandleMap:
    """One session's async tasks by id, in the order of their start. Belongs to the runtime's event loop."""

    __slots__ = ("_handles",)

    def __init__(self) -> None:
        self._handles: dict[str, AsyncToolHandle] = {}

    def start(
        self,
        work: AsyncToolWork,
        *,
        tool_name: str,
        handle_id: str | None = None,
        namespace: AsyncHandleNamespace = AsyncHandleNamespace.TOOL,
        identifier: str | None = None,
    ) -> AsyncToolHandle:
        """Start ``work`` at once, under a fresh id unless one is given; an ended entry of that id gives way.

        Raises:
            PluginSessionError: a live entry has the id. LimitExceededError: ``LIVE_HANDLES_MAX``. Nothing was started.
        """
        used_id = handle_id or f"task-{uuid.uuid4().hex}"
        known = self._handles.get(used_id)
        if known is not None and known.is_live:
            raise PluginSessionError(f"async handle `{used_id}` is already running", field="handle", value=used_id)
        live = sum(handle.is_live for handle in self._handles.values())
        if live >= LIVE_HANDLES_MAX:
            raise LimitExceededError(
                f"{live} async tasks of this session run; the limit is {LIVE_HANDLES_MAX}",
                field="handle",
                value=used_id,
                limit=LIVE_HANDLES_MAX,
            )
        metadata = AsyncHandleMetadata(tool_name=tool_name, namespace=namespace, identifier=identifier or used_id)
        handle = AsyncToolHandle(used_id, metadata)
        self._handles.pop(used_id, None)
        self._forget_old()
        self._handles[used_id] = handle
        handle.begin(work)
        return handle

    def find(self, handle_id: str) -> AsyncToolHandle | None:
        """The entry of that id, live or ended."""
        return self._handles.get(handle_id)

    def get(self, handle_id: str) -> AsyncToolHandle:
        """The entry of that id. Raises: UnknownAsyncHandleError."""
        handle = self._handles.get(handle_id)
        if handle is None:
            raise UnknownAsyncHandleError(handle_id)
        return handle

    def handles(self) -> tuple[AsyncToolHandle, ...]:
        """All entries, in the order of their start."""
        return tuple(self._handles.values())

    def take(self, handle_id: str) -> AsyncToolHandle | None:
        """Take an entry out; its task goes on."""
        return self._handles.pop(handle_id, None)

    def put(self, handle: AsyncToolHandle) -> None:
        """Take an entry in. Raises: AsyncHandleConflictError: there is one of its id."""
        if handle.id in self._handles:
            raise AsyncHandleConflictError(handle.id)
        self._handles[handle.id] = handle

    def close(self) -> None:
        """The session leaves memory: what runs is told and cancelled, and not waited for. May be called twice."""
        for handle in self._handles.values():
            handle.abort("the session was closed")

    def __len__(self) -> int:
        return len(self._handles)

    def __contains__(self, handle_id: object) -> bool:
        return handle_id in self._handles

    def __repr__(self) -> str:
        states: dict[str, Any] = {handle.id: handle.state.value for handle in self._handles.values()}
        return f"AsyncToolHandleMap({states})"

    def _forget_old(self) -> None:
        ended = [handle for handle in self._handles.values() if not handle.is_live]
        count, size = len(ended), sum(handle.ended_bytes for handle in ended)
        for handle in ended:
            if count <= ENDED_HANDLES_MAX and size <= ENDED_BYTES_MAX:
                return
            del self._handles[handle.id]
            count -= 1
            size -= handle.ended_bytes


def live_session_async_handle_ids(handles: AsyncToolHandleMap) -> frozenset[str]:
    """Ids of tasks that run; monitors are not among them."""
    return frozenset(handle.id for handle in _live(handles))


def check_session_async_handle_transfer(
    source: AsyncToolHandleMap, target: AsyncToolHandleMap, handle_ids: Iterable[str]
) -> None:
    """Refuse a move of which one handle has its id taken in the target: nothing is moved then (decision 15).

    Raises:
        AsyncHandleConflictError: it names the first.
    """
    if source is target:
        return
    for handle_id in dict.fromkeys(handle_ids):
        if handle_id in source and handle_id in target:
            raise AsyncHandleConflictError(handle_id)


def transfer_session_async_handles(
    source: AsyncToolHandleMap, target: AsyncToolHandleMap, handle_ids: Iterable[str]
) -> tuple[str, ...]:
    """Move handles with their running tasks, all or none; ids that the source does not have are left out.

    Nothing waits in here, so nothing comes between check and move. The same table twice changes nothing.

    Returns:
        The ids that were moved.

    Raises:
        AsyncHandleConflictError: the target has one of the ids.
    """
    if source is target:
        return ()
    wanted = tuple(dict.fromkeys(handle_ids))
    check_session_async_handle_transfer(source, target, wanted)
    moved = [handle for handle in map(source.take, wanted) if handle is not None]
    for handle in moved:
        target.put(handle)
    return tuple(handle.id for handle in moved)


async def cancel_unreferenced_session_async_handles(
    handles: AsyncToolHandleMap, keep: Collection[str]
) -> tuple[str, ...]:
    """Cancel every running task that is not in ``keep``, all at once; monitors survive (decision 16).

    Returns:
        The ids of those that were cancelled here.
    """
    kept = frozenset(keep)
    wanted = [handle for handle in _live(handles) if handle.id not in kept]
    ended = await asyncio.gather(*(handle.cancel("not referenced any more") for handle in wanted))
    return tuple(handle.id for handle, was_live in zip(wanted, ended, strict=True) if was_live)


def _live(handles: AsyncToolHandleMap) -> list[AsyncToolHandle]:
    return [
        handle
        for handle in handles.handles()
        if handle.state is AsyncHandleState.RUNNING and handle.metadata.namespace is not AsyncHandleNamespace.MONITOR
    ]
