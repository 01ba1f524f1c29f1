"""What all handles of one runtime have in common: the runtime, who holds it, and what was published of it."""

from __future__ import annotations

import asyncio
import weakref
from types import TracebackType
from typing import TYPE_CHECKING

from lash_core.errors.session import SessionError
from lash_core.model.session_cursor import SessionCursor, SessionRevision
from lash_core.runtime.observation.activity_writer import writer_of
from lash_core.runtime.observation.runtime_observation import RuntimeObservation
from lash_core.store.live_replay_store import LiveReplayStore

if TYPE_CHECKING:
    from lash_core.runtime.lash_runtime import LashRuntime


class SharedRuntime:
    """A runtime and its last publication.

    Attributes:
        runtime: None once it was taken back.
        lock: held by who works with the runtime.
        holders: handles and writers; one that was dropped holds nothing.
        live_replay: serves the watchers.
        writer: appends to it.
        observation: what readers see.
        exported: of the newest publication, also while that is still on its way.
        under_way: publications whose event is appended already, maybe, and that readers do not see yet.
    """

    def __init__(self, runtime: LashRuntime, live_replay: LiveReplayStore) -> None:
        self.runtime: LashRuntime | None = runtime
        self.lock = asyncio.Lock()
        self.holders: weakref.WeakSet[object] = weakref.WeakSet()
        self.live_replay = live_replay
        self.writer = writer_of(live_replay)
        cursor = SessionCursor.new(runtime.session_id, SessionRevision.of_state(runtime.state), 0)
        self.observation = self.exported = RuntimeObservation.from_runtime(runtime, cursor)
        self.under_way: set[asyncio.Future[None]] = set()
        self._begun = 0
        self._shown = 0

    def begin_publication(self, runtime: LashRuntime) -> tuple[int, RuntimeObservation, RuntimeObservation]:
        """The number of a publication, what it shows, and what was shown before it."""
        previous = self.exported
        self._begun += 1
        self.exported = RuntimeObservation.from_runtime(runtime, previous.cursor, previous)
        return self._begun, self.exported, previous

    def show(self, number: int, observation: RuntimeObservation) -> None:
        """Let readers see a publication, unless a later one was faster."""
        if number > self._shown:
            self.observation, self._shown = observation, number

    async def settled(self) -> None:
        """Wait until readers see all that was begun before this call; a publication takes seconds at most."""
        under_way = tuple(self.under_way)
        if under_way:
            await asyncio.wait(under_way)


class RuntimeWriter:
    """The right to work with a shared runtime, for one holder at a time: ``async with writer as runtime``."""

    __slots__ = ("__weakref__", "_shared")

    def __init__(self, shared: SharedRuntime) -> None:
        self._shared = shared
        shared.holders.add(self)

    async def __aenter__(self) -> LashRuntime:
        """The runtime, for this holder alone until the block ends.

        Raises:
            SessionError: the runtime was taken back.
        """
        await self._shared.lock.acquire()
        if self._shared.runtime is None:
            self._shared.lock.release()
            raise SessionError("the runtime was taken back", field="handle")
        return self._shared.runtime

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shared.lock.release()
