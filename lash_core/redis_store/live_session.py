"""One watched session in this process: its ring, filled from the channel and, where that has a hole, from Redis.

Whoever watches holds a position in the ring, so one message serves them all (docs/adr/0218).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from lash_core.errors import CorruptRecordError, LashError
from lash_core.memory_store.broadcast_ring import BroadcastRing, KeptEvent
from lash_core.model.session_observation import LiveReplayConfig, LiveReplayGapReason, SessionObservationEvent
from lash_core.redis_store.dispatch import pause_seconds
from lash_core.redis_store.live_reads import LiveReads, decoded_event
from lash_core.redis_store.live_ring import GONE, LiveTail, StoredEvent, decode_message

ATTACH_TRIES: Final = 5
"""Looks at a ring that moves on while it is read; whoever is still not in it by then is behind by more than a ring."""

_log = logging.getLogger(__name__)


class WatchRing(BroadcastRing):
    """A ring to which older events may be added: each process has only what somebody here asked for."""

    def prepend(self, events: Sequence[KeptEvent]) -> None:
        """Put events right before the first kept one; nothing where they do not end there."""
        with self.lock:
            if not events or events[-1].event.position != self.first - 1:
                return
            start = self.first - len(events)
            for place, kept in enumerate(events):
                self._kept[start + place] = kept
                self._bytes += kept.size


class LiveSession:
    """What this process has of one session, for as long as somebody watches it. Belongs to one event loop.

    Args:
        session_id: the session.
        reads: of the rings.
        config: bounds of the ring in this process.
        on_ended: called when the session was deleted.
    """

    def __init__(
        self, session_id: str, reads: LiveReads, config: LiveReplayConfig, on_ended: Callable[[LiveSession], None]
    ) -> None:
        self.session_id = session_id
        self.ring = WatchRing(config)
        self.starting = asyncio.Lock()
        self.has_begun = False
        self.has_ended = False
        self.users = 0
        self.on_unused: Callable[[], None] | None = None
        """Called when the last user has left; on the loop."""
        self._reads = reads
        self._config = config
        self._on_ended = on_ended
        self._views = reads.views(session_id)
        self._reading = asyncio.Lock()
        self._inbox: deque[str] = deque()
        self._behind = False
        self._pump: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Stand at the ring's tail; the channel is heard already. Raises: LashError: the store failed."""
        async with self._reading:
            tail = await self._reads.tail(self.session_id)
            self.ring = WatchRing(self._config, tail=tail.tail)
            self.has_begun = True
            if self.has_ended:  # deleted while it was read
                self.ring.close()
        self._work()

    async def attach(self, position: int) -> int | LiveReplayGapReason:
        """Where in the ring a stream behind a position begins, or why there is none.

        Whoever asks begins it at once. Raises: LashError: the store failed.
        """
        for _ in range(ATTACH_TRIES):
            ring = self.ring
            if self.has_ended:
                break
            if ring.first - 1 <= position <= ring.tail:
                return position
            async with self._reading:
                if position > ring.tail:
                    await self._read_on()
                    reason = LiveReplayGapReason.UNAVAILABLE if self.ring.tail < position else None
                else:
                    reason = await self._read_back(position)
            self._work()
            if reason is not None:
                return reason
            if position == 0 and len(self.ring) == 0 and ring is self.ring:
                # Nothing was ever appended: the ring of a partition that saw a failover does not begin at 0.
                return ring.tail
        return LiveReplayGapReason.TRIMMED

    def hear(self, _channel: str, message: str) -> None:
        """A message of the session's channel."""
        if self.has_ended:
            return
        if message == GONE:
            self.end()
            self._on_ended(self)
            return
        if not self.has_begun or self._inbox or self._behind or self._reading.locked() or not self._take(message):
            self._inbox.append(message)
            if len(self._inbox) > max(1, self._config.max_events_per_session):
                self._inbox.clear()
                self._behind = True
            self._work()

    def look_at(self, tail: LiveTail) -> None:
        """Compare with what the server says; read what is missing."""
        if self.has_begun and tail.tail != self.ring.tail:
            self._behind = True
            self._work()

    def end(self) -> asyncio.Task[None] | None:
        """Nothing comes any more: streams end. May be called twice. Returns what may still be ending, to be awaited."""
        self.has_ended = True
        self.ring.close()
        if self._pump is not None:
            self._pump.cancel()
        return self._pump

    # -- messages ----------------------------------------------------------------------------------------

    def _take(self, message: str) -> bool:
        """Put a message's events into the ring; False when that takes a read, or came too early."""
        try:
            for stored in decode_message(message):
                if stored.position <= self.ring.tail:
                    continue
                if stored.position != self.ring.tail + 1:
                    self._behind = True
                    return False
                event = decoded_event(self.session_id, stored)
                if not isinstance(event, SessionObservationEvent):
                    return False
                self._push(stored, event)
        except CorruptRecordError:
            return False
        return True

    def _work(self) -> None:
        """See to it that somebody works off what waits."""
        if (self._inbox or self._behind) and self._pump is None and self.has_begun and not self.has_ended:
            self._pump = asyncio.get_running_loop().create_task(self._work_off(), name="lash-live-watch")

    async def _work_off(self) -> None:
        turn = 0
        try:
            while (self._inbox or self._behind) and not self.has_ended:
                try:
                    async with self._reading:
                        await self._step()
                except LashError as error:
                    if turn == 0:
                        _log.warning("session %s: its live events cannot be read: %s", self.session_id, error)
                    self._behind = True
                    await asyncio.sleep(pause_seconds(turn))
                    turn += 1
                else:
                    turn = 0
        finally:
            self._pump = None

    async def _step(self) -> None:
        if self._behind:
            self._behind = False
            await self._read_on()
            return
        for stored in decode_message(self._inbox.popleft()):
            if stored.position > self.ring.tail + 1:
                self._behind = True
                return
            if stored.position > self.ring.tail:
                await self._put(stored)

    async def _put(self, stored: StoredEvent) -> None:
        """Put an event into the ring; one that cannot be shown is missing in it. Raises: LashError."""
        event = await self._reads.event(self.session_id, stored, self._views)
        if isinstance(event, LiveReplayGapReason):
            self.ring.skip_to(stored.position)
        else:
            self._push(stored, event)

    def _push(self, stored: StoredEvent, event: SessionObservationEvent) -> None:
        self.ring.push(stored.position, event, size=len(stored.payload), at_ms=stored.at_ms)

    # -- reads, under the lock -------------------------------------------------------------------------------

    async def _read_on(self) -> None:
        """What is behind the ring's tail. Raises: LashError: the store failed."""
        ring = self.ring
        tail, stored = await self._reads.stored_after(self.session_id, ring.tail)
        if tail.tail < ring.tail or (not tail.known and isinstance(stored, LiveReplayGapReason)):
            self._begin_anew(tail.tail)
        elif isinstance(stored, LiveReplayGapReason):
            # What was dropped before it was read. Where nothing was dropped, the ring itself has a hole.
            self._behind = tail.first - 1 > ring.tail
            ring.skip_to(tail.first - 1 if self._behind else tail.tail)
        else:
            for one in stored:
                await self._put(one)

    async def _read_back(self, position: int) -> LiveReplayGapReason | None:
        """What is between a position and the first kept event. Raises: LashError: the store failed."""
        ring = self.ring
        last = ring.first - 1
        tail, stored = await self._reads.stored_after(self.session_id, position, last)
        if isinstance(stored, LiveReplayGapReason):
            return stored
        if tail.known and tail.tail < last:
            await self._read_on()
            return None
        events = await self._reads.events(self.session_id, stored, self._reads.views(self.session_id))
        if isinstance(events, LiveReplayGapReason):
            return events
        ring.prepend([KeptEvent(event, len(one.payload), one.at_ms) for one, event in zip(stored, events, strict=True)])
        return None

    def _begin_anew(self, tail: int) -> None:
        """The server has forgotten events that were seen here; those who watch are told."""
        ring, self.ring = self.ring, WatchRing(self._config, tail=tail)
        self._views = self._reads.views(self.session_id)
        ring.close(forget=True)

    # -- users ---------------------------------------------------------------------------------------------

    def leave(self) -> None:
        """One user less."""
        self.users -= 1
        if self.users == 0 and self.on_unused is not None:
            self.on_unused()
