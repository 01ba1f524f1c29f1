"""Who is told when a row changes: waiters of one process, and the notices of workers. In memory, from any thread."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Collection, Generator
from contextlib import contextmanager

from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.store.process_notices import NoticeKind, ProcessNotice

RESYNC = ProcessNotice(kind="resync")


class Waiter:
    """One task that waits on one loop; it can be woken from any thread."""

    __slots__ = ("_event", "_loop")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    @property
    def event(self) -> asyncio.Event:
        """Set by a wake; whoever waits for it clears it."""
        return self._event

    def wake(self) -> None:
        """Let the task go on. A loop that is closed already has nobody left to wake."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self) -> None:
        """Wait for the next wake; wakes since the last one count."""
        await self._event.wait()
        self._event.clear()


class ChangeHub:
    """Subscribers per process id. A notification says only that something changed; the waiter reads again."""

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._waiters: dict[str, set[Waiter]] = {}

    @contextmanager
    def subscribed(self, process_id: str) -> Generator[Waiter]:
        """A waiter that hears of every change from now on; subscribe first, then read."""
        waiter = Waiter()
        with self._lock:
            self._waiters.setdefault(process_id, set()).add(waiter)
        try:
            yield waiter
        finally:
            with self._lock:
                waiters = self._waiters[process_id]
                waiters.discard(waiter)
                if not waiters:
                    del self._waiters[process_id]

    def changed(self, process_id: str) -> None:
        """Wake the waiters of a process."""
        for waiter in self._waiters.get(process_id, ()):
            waiter.wake()

    def waited_for(self) -> tuple[str, ...]:
        """Process ids that somebody waits for."""
        with self._lock:
            return tuple(sorted(self._waiters))


class NoticeHub:
    """Carries notices to the ears that asked for them."""

    def __init__(self, lock: threading.RLock, buffer_max: int) -> None:
        self.lock = lock
        self.buffer_max = buffer_max
        self._ears: set[MemoryNotices] = set()

    def open(self) -> MemoryNotices:
        """A new ear."""
        ear = MemoryNotices(self)
        with self.lock:
            self._ears.add(ear)
        return ear

    def drop(self, ear: MemoryNotices) -> None:
        """Forget an ear."""
        with self.lock:
            self._ears.discard(ear)

    def ready(self, process_id: str) -> None:
        """A row may be claimed now."""
        for ear in self._ears:
            ear.hear_ready(process_id)

    def due(self, process_id: str, due_at_ms: int) -> None:
        """A row becomes due later, before every other of its queue."""
        for ear in self._ears:
            ear.hear_due(process_id, due_at_ms)

    def queued(self, session_id: str) -> None:
        """Something changed about a session: maybe its work is due now."""
        with self.lock:
            for ear in self._ears:
                ear.hear_queued(session_id)

    def holder(self, kind: NoticeKind, process_id: str, owner: LeaseOwnerIdentity) -> None:
        """Something happened to a row that ``owner`` holds."""
        for ear in self._ears:
            ear.hear_for(kind, process_id, owner)


class MemoryNotices:
    """One ear (``ProcessNotices``). One task at a time may call ``next``.

    The buffer is bounded: an ear that does not listen gets one ``resync`` in place of what it missed.
    """

    def __init__(self, hub: NoticeHub) -> None:
        self._hub = hub
        self._watches_partition = False
        self._owners: list[LeaseOwnerIdentity] = []
        self._heard: deque[ProcessNotice] = deque([RESYNC])
        self._waiter: Waiter | None = None
        self._closed = False

    def watch_partitions(self, partitions: Collection[int]) -> None:
        """Hear ``ready`` when partition 0, the only one, is among them."""
        with self._hub.lock:
            self._watches_partition = 0 in partitions

    def watch_owner(self, owner: LeaseOwnerIdentity) -> None:
        """Hear what concerns leases of this identity and its attempts."""
        with self._hub.lock:
            if owner not in self._owners:
                self._owners.append(owner)

    async def next(self, timeout_ms: int) -> tuple[ProcessNotice, ...]:
        """Notices since the last call, at once or within ``timeout_ms``; empty after it or when closed."""
        with self._hub.lock:
            if self._heard or self._closed or timeout_ms <= 0:
                return self._drain()
            waiter = self._waiter = Waiter()
        try:
            async with asyncio.timeout(timeout_ms / 1_000):
                await waiter.wait()
        except TimeoutError:
            pass
        finally:
            with self._hub.lock:
                self._waiter = None
        with self._hub.lock:
            return self._drain()

    async def close(self) -> None:
        """Stop listening. May be called twice."""
        self._hub.drop(self)
        with self._hub.lock:
            self._closed = True
            self._heard.clear()
            self._wake()

    def hear_ready(self, process_id: str) -> None:
        """Called by the hub under its lock."""
        if self._watches_partition:
            self._put(ProcessNotice(kind="ready", process_id=process_id, partition=0))

    def hear_due(self, process_id: str, due_at_ms: int) -> None:
        """Called by the hub under its lock."""
        if self._watches_partition:
            self._put(ProcessNotice(kind="due", process_id=process_id, partition=0, due_at_ms=due_at_ms))

    def hear_queued(self, session_id: str) -> None:
        """Called by the hub under its lock."""
        if self._watches_partition:
            self._put(ProcessNotice(kind="queued", session_id=session_id, partition=0))

    def hear_for(self, kind: NoticeKind, process_id: str, owner: LeaseOwnerIdentity) -> None:
        """Called by the hub under its lock."""
        if any(owner.is_attempt_of(watched) for watched in self._owners):
            self._put(ProcessNotice(kind=kind, process_id=process_id, partition=0))

    def _put(self, notice: ProcessNotice) -> None:
        if len(self._heard) >= self._hub.buffer_max:
            self._heard.clear()
            self._heard.append(RESYNC)
        else:
            self._heard.append(notice)
        self._wake()

    def _drain(self) -> tuple[ProcessNotice, ...]:
        heard = tuple(self._heard)
        self._heard.clear()
        return heard

    def _wake(self) -> None:
        if self._waiter is not None:
            self._waiter.wake()
