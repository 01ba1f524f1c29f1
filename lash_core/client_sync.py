"""``SyncLashClient``: the client's verbs for code without an event loop, on a loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from lash_core.client_enqueue import EnqueueOptions
from lash_core.client_handle import OnGap, ProcessHandle
from lash_core.client_session_sync import SyncSessionHandle
from lash_core.client_triggers_sync import SyncTriggerClient
from lash_core.model.await_event import AwaitEventKey, ResolveOutcome
from lash_core.model.await_output import AnyAwaitOutput
from lash_core.model.event import ProcessEvent
from lash_core.model.process_filter import FilterStatus
from lash_core.model.receipts import CancelReceipt, SignalReceipt
from lash_core.model.record import ProcessRecord
from lash_core.model.reports import ChangeCursor, ProcessChanges, ProcessPage
from lash_core.runtime.observation.process_views import FleetProcessSnapshot
from lash_core.store.runtime_persistence import SessionSummary
from lash_core.why import Why

if TYPE_CHECKING:
    from lash_core.client import EnqueuedItem, LashClient
    from lash_core.client_listing import ListOptions

T = TypeVar("T")

_STOP_SECONDS = 5
"""How long a close waits for the thread; by then only a call that never returns is left in it."""


class LoopThread:
    """An event loop in a daemon thread; calls from any thread but its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lash-client", daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """False once stopped."""
        return not self._loop.is_closed()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` to its end; a KeyboardInterrupt here cancels it there."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """Stop the loop and its thread. May be called twice."""
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()


class SyncProcessHandle:
    """``ProcessHandle`` whose verbs block."""

    def __init__(self, handle: ProcessHandle, thread: LoopThread) -> None:
        self._handle = handle
        self._thread = thread

    def __repr__(self) -> str:
        return f"SyncProcessHandle({self.process_id!r}, created={self.created})"

    @property
    def process_id(self) -> str:
        """The id."""
        return self._handle.process_id

    @property
    def id(self) -> str:
        """The process id, under the name that rows and receipts have it."""
        return self._handle.process_id

    @property
    def created(self) -> bool | None:
        """True when this call started the process, False when it was there, None when it was only named."""
        return self._handle.created

    def record(self) -> ProcessRecord:
        """See ``ProcessHandle.record``."""
        return self._thread.call(self._handle.record())

    def status(self) -> str:
        """See ``ProcessHandle.status``."""
        return self._thread.call(self._handle.status())

    def output(self, timeout: float | None = None) -> AnyAwaitOutput:
        """See ``ProcessHandle.output``."""
        return self._thread.call(self._handle.output(timeout))

    def result(self, timeout: float | None = None) -> Any:
        """See ``ProcessHandle.result``."""
        return self._thread.call(self._handle.result(timeout))

    def cancel(self, reason: str | None = None, *, requested_by: str | None = None) -> CancelReceipt:
        """See ``ProcessHandle.cancel``."""
        return self._thread.call(self._handle.cancel(reason, requested_by=requested_by))

    def signal(self, name: str, payload: Any = None, *, signal_id: str | None = None) -> SignalReceipt:
        """See ``ProcessHandle.signal``."""
        return self._thread.call(self._handle.signal(name, payload, signal_id=signal_id))

    def why(self) -> Why:
        """See ``ProcessHandle.why``."""
        return self._thread.call(self._handle.why())

    def events(self, after: int = 0, *, follow: bool = False, on_gap: OnGap | None = None) -> Generator[ProcessEvent]:
        """See ``ProcessHandle.events``."""
        return _drain(self._handle.events(after, follow=follow, on_gap=on_gap), self._thread)


class SyncLashClient:
    """``LashClient`` whose verbs block; made by ``LashClient.sync(...)``, connected when it is made.

    May be used from several threads. Close it, or use it in ``with``.
    """

    def __init__(self, connect: Callable[[], Coroutine[Any, Any, LashClient]]) -> None:
        self._thread = LoopThread()
        try:
            self._client = self._thread.call(connect())
        except BaseException:
            self._thread.stop()
            raise
        self.triggers = SyncTriggerClient(self._client.triggers, self._thread.call)

    def __enter__(self) -> SyncLashClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back and stop the thread. May be called twice."""
        if self._thread.is_running:
            self._thread.call(self._client.close())
        self._thread.stop()

    def enqueue(
        self, kind: str, params: Any = None, *, process_id: str | None = None, **options: Unpack[EnqueueOptions]
    ) -> SyncProcessHandle:
        """See ``LashClient.enqueue``."""
        work = self._client.enqueue(kind, params, process_id=process_id, **options)
        return SyncProcessHandle(self._thread.call(work), self._thread)

    def enqueue_many(
        self,
        kind: str,
        params_list: Sequence[Any],
        ids: Sequence[str] | None = None,
        **options: Unpack[EnqueueOptions],
    ) -> tuple[EnqueuedItem, ...]:
        """See ``LashClient.enqueue_many``; ``handle(item.process_id)`` gives a handle that blocks."""
        return self._thread.call(self._client.enqueue_many(kind, params_list, ids, **options))

    def retry(self, process_id: str, new_id: str | None = None, *, force: bool = False) -> SyncProcessHandle:
        """See ``LashClient.retry``."""
        return SyncProcessHandle(self._thread.call(self._client.retry(process_id, new_id, force=force)), self._thread)

    def resolve(self, token: str | AwaitEventKey, value: Any = None) -> ResolveOutcome:
        """See ``LashClient.resolve``."""
        return self._thread.call(self._client.resolve(token, value))

    def handle(self, process_id: str) -> SyncProcessHandle:
        """See ``LashClient.handle``."""
        return SyncProcessHandle(self._client.handle(process_id), self._thread)

    def get(self, process_id: str) -> ProcessRecord | None:
        """See ``LashClient.get``."""
        return self._thread.call(self._client.get(process_id))

    def count(self, **facets: Unpack[ListOptions]) -> int:
        """See ``LashClient.count``."""
        return self._thread.call(self._client.count(**facets))

    def why(self, process_id: str) -> Why:
        """See ``LashClient.why``."""
        return self._thread.call(self._client.why(process_id))

    def events(
        self, process_id: str, after: int = 0, *, follow: bool = False, on_gap: OnGap | None = None
    ) -> Generator[ProcessEvent]:
        """See ``LashClient.events``."""
        return _drain(self._client.events(process_id, after, follow=follow, on_gap=on_gap), self._thread)

    def list(self, *, limit: int = 50, cursor: str | None = None, **facets: Unpack[ListOptions]) -> ProcessPage:
        """See ``LashClient.list``."""
        return self._thread.call(self._client.list(limit=limit, cursor=cursor, **facets))

    def session(self, session_id: str) -> SyncSessionHandle:
        """See ``LashClient.session``."""
        return SyncSessionHandle(self._client.session(session_id), self._thread.call)

    def list_sessions(
        self, *, limit: int = 50, cursor: str | None = None
    ) -> tuple[tuple[SessionSummary, ...], str | None]:
        """See ``LashClient.list_sessions``."""
        return self._thread.call(self._client.list_sessions(limit=limit, cursor=cursor))

    def fleet(self, *, limit: int = 50, events: int = 0, status: FilterStatus = "any") -> FleetProcessSnapshot:
        """See ``LashClient.fleet``."""
        return self._thread.call(self._client.fleet(limit=limit, events=events, status=status))

    def changes(
        self,
        cursor: ChangeCursor | str | None = None,
        *,
        name: str | None = None,
        follow: bool = False,
        limit: int | None = None,
    ) -> Generator[ProcessChanges]:
        """See ``LashClient.changes``."""
        return _drain(self._client.changes(cursor, name=name, follow=follow, limit=limit), self._thread)

    def forget_projector(self, name: str) -> bool:
        """See ``LashClient.forget_projector``."""
        return self._thread.call(self._client.forget_projector(name))


def _drain(items: AsyncGenerator[T, None], thread: LoopThread) -> Generator[T]:
    async def take() -> T | None:
        return await anext(items, None)

    try:
        while (item := thread.call(take())) is not None:
            yield item
    finally:
        if thread.is_running:
            thread.call(items.aclose())
