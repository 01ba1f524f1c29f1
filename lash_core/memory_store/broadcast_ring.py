"""One bounded ring of a session's events in this process, and any number of subscriptions that stand at a position.

The ring holds the events, a subscription holds a position: ten thousand of them cost an event nothing but their
wake-ups, and who is too slow learns how much it missed (docs/adr/0210). From any thread.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import NamedTuple

from lash_core.errors import LiveReplayClosedError, SubscriberLaggedError
from lash_core.model.session_observation import LiveReplayConfig, LiveReplayGapReason, SessionObservationEvent
from lash_core.store.live_replay_store import SubscriptionItem


class KeptEvent(NamedTuple):
    """An event in a ring; ``size`` in bytes, ``at_ms`` by the clock of the ring's owner."""

    event: SessionObservationEvent
    size: int
    at_ms: int


class _Bell:
    """The waits of one loop: rung once for all of them, from any thread."""

    __slots__ = ("_loop", "_rung", "waits")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._rung = False
        self.waits: dict[asyncio.Future[None], None] = {}

    def ring(self, running: asyncio.AbstractEventLoop | None) -> None:
        """Under the ring's lock. A loop that is closed already has nobody left to wake."""
        if self._loop is running:
            self._wake()
        elif not self._rung and not self._loop.is_closed():
            self._rung = True
            with suppress(RuntimeError):  # closed since
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._rung = False
        waits, self.waits = self.waits, {}
        for wait in waits:
            if not wait.done():
                wait.set_result(None)


class BroadcastRing:
    """A session's newest events, at consecutive positions.

    Args:
        config: how many, how old, how large.
        tail: position of the last event so far; 0 = there was none.
        lock: guards everything, for an owner that does several steps as one; its own by default.

    Attributes:
        lock: the lock.
    """

    def __init__(
        self,
        config: LiveReplayConfig,
        *,
        tail: int = 0,
        lock: threading.RLock | None = None,
    ) -> None:
        self.lock: threading.RLock = lock or threading.RLock()
        self._config = config
        self._tail = tail
        self._bytes = 0
        self._kept: dict[int, KeptEvent] = {}
        self._closed = False
        self._bells: dict[asyncio.AbstractEventLoop, _Bell] = {}
        self._subscribed = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __repr__(self) -> str:
        state = " closed" if self._closed else ""
        return f"<BroadcastRing {self.first}..{self._tail} {self._bytes} bytes, {self._subscribed} subscribed{state}>"

    @property
    def tail(self) -> int:
        """Position of the last event; 0 = there was none."""
        return self._tail

    @property
    def first(self) -> int:
        """Position of the first kept event; ``tail + 1`` when none is kept."""
        return self._tail - len(self._kept) + 1

    @property
    def kept_bytes(self) -> int:
        """Bytes of what is kept."""
        return self._bytes

    @property
    def subscribed(self) -> int:
        """How many subscriptions are open."""
        return self._subscribed

    @property
    def closed(self) -> bool:
        """Nothing comes any more."""
        return self._closed

    # -- events ------------------------------------------------------------------------------------------

    def push(self, position: int, event: SessionObservationEvent, *, size: int, at_ms: int) -> bool:
        """Put the event at ``position`` behind the others, drop what is over the bounds, wake who waits.

        False: it is there already, or was. A position behind a hole empties the ring first: subscribers that did not
        come that far are told how much they missed.
        """
        with self.lock:
            if position <= self._tail or self._closed:
                return False
            if position != self._tail + 1:
                self._drop_all()
            self._tail = position
            self._kept[position] = KeptEvent(event, size, at_ms)
            self._bytes += size
            self._drop_over_bounds(at_ms)
            self._ring_bells()
            return True

    def skip_to(self, tail: int) -> None:
        """The events up to ``tail``, kept ones included, are gone; the next one is at ``tail + 1``."""
        with self.lock:
            if tail > self._tail:
                self._drop_all()
                self._tail = tail
                self._ring_bells()

    def trim(self, now_ms: int) -> int:
        """Drop events older than the bound; how many."""
        with self.lock:
            before = len(self._kept)
            self._drop_old(now_ms)
            return before - len(self._kept)

    def gap_after(self, position: int) -> LiveReplayGapReason | None:
        """Why the events behind ``position`` cannot all be given; None: they can."""
        with self.lock:
            if position > self._tail:
                return LiveReplayGapReason.UNAVAILABLE
            return LiveReplayGapReason.TRIMMED if position + 1 < self._first_replayed else None

    def events_after(self, position: int) -> tuple[SessionObservationEvent, ...] | LiveReplayGapReason:
        """The events behind ``position``, or why they are not all there."""
        with self.lock:
            reason = self.gap_after(position)
            if reason is not None:
                return reason
            return tuple(self._kept[at].event for at in range(position + 1, self._tail + 1))

    @property
    def _first_replayed(self) -> int:
        """As ``first``; with a bound of no events, the one that is kept is for those who listen already."""
        return self.first if self._config.max_events_per_session else self._tail + 1

    def _drop_over_bounds(self, now_ms: int) -> None:
        while len(self._kept) > max(1, self._config.max_events_per_session):
            self._drop_first()
        self._drop_old(now_ms)
        while self._bytes > self._config.max_bytes_per_session and len(self._kept) > 1:
            self._drop_first()

    def _drop_old(self, now_ms: int) -> None:
        while self._kept and now_ms - self._kept[self.first].at_ms > self._config.max_age_ms:
            self._drop_first()

    def _drop_first(self) -> None:
        self._bytes -= self._kept.pop(self.first).size

    def _drop_all(self) -> None:
        self._kept.clear()
        self._bytes = 0

    # -- subscriptions -----------------------------------------------------------------------------------

    def subscribe(self, position: int) -> RingSubscription:
        """A stream of what is behind ``position``, in the running loop. Whoever asks has checked ``gap_after``."""
        return RingSubscription(self, position, asyncio.get_running_loop())

    def close(self, *, forget: bool = False) -> None:
        """Nothing comes any more: streams end behind what is kept; ``forget`` drops that too. May be called twice."""
        with self.lock:
            self._closed = True
            if forget:
                self._drop_all()
            self._ring_bells()

    def _ring_bells(self) -> None:
        if self._bells:
            running = _running_loop()
            for bell in self._bells.values():
                bell.ring(running)

    # Steps of a subscription; not for others.

    def opened(self) -> None:
        """A subscription came."""
        with self.lock:
            self._subscribed += 1

    def released(self) -> None:
        """A subscription went."""
        with self.lock:
            self._subscribed -= 1

    def kept_at(self, position: int) -> KeptEvent | None:
        """The event at a position, if it is kept. Takes no lock: one look-up of a dict."""
        return self._kept.get(position)

    def wait_after(self, position: int, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None] | None:
        """Something to await until there is more than ``position``; None: there is already."""
        with self.lock:
            if self._tail > position or self._closed:
                return None
            wait: asyncio.Future[None] = loop.create_future()
            self._bells.setdefault(loop, _Bell(loop)).waits[wait] = None
            return wait

    def waited(self, wait: asyncio.Future[None], loop: asyncio.AbstractEventLoop) -> None:
        """A wait is over, whatever ended it."""
        with self.lock:
            bell = self._bells.get(loop)
            if bell is not None:
                bell.waits.pop(wait, None)
                if not bell.waits:
                    del self._bells[loop]


class RingSubscription:
    """A position in a ring (``LiveReplaySubscription``). One task at a time may read it."""

    __slots__ = ("__weakref__", "_ended", "_loop", "_position", "_ring", "_wait")

    def __init__(self, ring: BroadcastRing, position: int, loop: asyncio.AbstractEventLoop) -> None:
        self._ring = ring
        self._position = position
        self._loop = loop
        self._ended = False
        self._wait: asyncio.Future[None] | None = None
        ring.opened()

    @property
    def position(self) -> int:
        """The last position that was read, or told as missed."""
        return self._position

    def __aiter__(self) -> RingSubscription:
        return self

    async def __anext__(self) -> SubscriptionItem:
        """The next item; waits for it.

        Raises:
            RuntimeError: another task reads it.
        """
        if self._wait is not None:
            raise RuntimeError("another task reads this subscription")
        while not self._ended:
            item = self._take()
            if item is not None:
                return item
            wait = self._wait = self._ring.wait_after(self._position, self._loop)
            if wait is None:
                continue
            try:
                await wait
            finally:
                self._wait = None
                self._ring.waited(wait, self._loop)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop. May be called twice; a wait under way ends."""
        self._end()
        if self._wait is not None and not self._wait.done():
            self._wait.set_result(None)

    def __del__(self) -> None:
        # Who breaks out of an ``async for`` leaves it to this.
        self._end()

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._ring.released()

    def _take(self) -> SubscriptionItem | None:
        kept = self._ring.kept_at(self._position + 1)
        if kept is not None:
            self._position += 1
            return kept.event
        with self._ring.lock:
            missed = self._ring.first - 1 - self._position
            if missed > 0 and not (self._ring.closed and len(self._ring) == 0):
                self._position += missed
                return SubscriberLaggedError(missed)
            if self._ring.closed and self._ring.kept_at(self._position + 1) is None:
                self._end()
                return LiveReplayClosedError()
        return None


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
