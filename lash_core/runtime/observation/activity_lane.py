"""What of one session waits to be appended: in order, bounded, and counted when it has to be dropped. No I/O."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from lash_core.model.session_observation import SessionObservationEventPayload
from lash_core.runtime.observation.recording import Recording
from lash_core.runtime.observation.ring_appends import RingAnswer
from lash_core.store.live_replay_store import LiveAppend

APPEND_EVENTS_MAX = 512
"""Of one append: a script call stays well below a millisecond or two."""


@dataclass(slots=True)
class QueuedEvent:
    """One event that waits. ``size`` is its JSON in bytes; ``text`` is that JSON, "" = it is not made yet."""

    revision: int
    generation: int
    payload: SessionObservationEventPayload
    size: int
    text: str = ""
    recording: Recording = field(default_factory=Recording)


@dataclass(slots=True)
class LaneAppend:
    """What of a lane is on its way; ``events`` are those of ``append``, in order."""

    append: LiveAppend
    events: tuple[QueuedEvent, ...]


class ActivityLane:
    """The queue of one session.

    Attributes:
        dropped: events that were dropped since the last append that said so.
        under_way: an append of it is on its way; the next one waits for that, so that order holds.
        is_urgent: somebody waits: it is not held back for its turn.
        failures: appends in a row that failed.
        failing_since: when the first of them did; on the loop's clock, in seconds.
        paused_until: likewise; before it nothing is tried again.
    """

    __slots__ = (
        "_bytes",
        "_queued",
        "dropped",
        "failing_since",
        "failures",
        "is_urgent",
        "paused_until",
        "session_id",
        "under_way",
    )

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.dropped = 0
        self.under_way: LaneAppend | None = None
        self.is_urgent = False
        self.failures = 0
        self.failing_since = 0.0
        self.paused_until = 0.0
        self._queued: deque[QueuedEvent] = deque()
        self._bytes = 0

    @property
    def has_queued(self) -> bool:
        """True when something waits."""
        return bool(self._queued)

    @property
    def is_idle(self) -> bool:
        """True when nothing waits and nothing is under way."""
        return not self._queued and self.under_way is None

    @property
    def last_recording(self) -> Recording | None:
        """The newest one that is not settled; None when nothing waits and nothing is under way."""
        if self._queued:
            return self._queued[-1].recording
        return None if self.under_way is None else self.under_way.events[-1].recording

    def put(self, event: QueuedEvent, bytes_max: int) -> int:
        """Queue an event; over ``bytes_max`` everything queued is dropped instead of growing.

        Returns:
            How many events were dropped for it, the event itself included where it alone is over the bound.
        """
        dropped = 0
        if self._bytes + event.size > bytes_max:
            dropped = self.drop_queued()
        if event.size > bytes_max:
            self.dropped += 1
            event.recording.settle(None)
            return dropped + 1
        self._queued.append(event)
        self._bytes += event.size
        return dropped

    def drop_queued(self) -> int:
        """Drop and count everything that waits; whoever waits for it is told."""
        dropped = len(self._queued)
        for event in self._queued:
            event.recording.settle(None)
        self._queued.clear()
        self._bytes = 0
        self.dropped += dropped
        return dropped

    def take(self) -> LaneAppend:
        """The next append: queued events of one revision and generation. It is under way from now on."""
        queued = self._queued
        first = queued.popleft()
        if not queued:  # as a rule: what streams is sent faster than it is said
            self._bytes = 0
            append = LiveAppend(
                self.session_id, first.revision, (first.payload,), first.generation, self.dropped, (first.text,)
            )
            self.under_way = LaneAppend(append, (first,))
            return self.under_way
        taken, size = [first], first.size
        while queued and len(taken) < APPEND_EVENTS_MAX:
            event = queued[0]
            if event.revision != first.revision or event.generation != first.generation:
                break
            taken.append(queued.popleft())
            size += event.size
        self._bytes -= size
        append = LiveAppend(
            self.session_id,
            first.revision,
            tuple([event.payload for event in taken]),
            generation=first.generation,
            dropped=self.dropped,
            texts=tuple([event.text for event in taken]),
        )
        self.under_way = LaneAppend(append, tuple(taken))
        return self.under_way

    def settle(self, taken: LaneAppend, answer: RingAnswer) -> None:
        """What was under way is over: say so to who waits, and count what is missing."""
        if answer.failure is None:
            self.dropped += answer.untold - taken.append.dropped
        else:
            self.dropped += answer.events.count(None)
        self.failures, self.paused_until = 0, 0.0
        for queued, event in zip(taken.events, answer.events, strict=True):
            queued.recording.settle(event)

    def is_worth_another_try(self, now: float, retry_for_ms: int) -> bool:
        """False when it has been failing for ``retry_for_ms``; ``now`` on the loop's clock, in seconds."""
        if not self.failures:
            self.failing_since = now
        return now - self.failing_since < retry_for_ms / 1_000

    def pause(self, now: float, first_ms: int, max_ms: int) -> None:
        """Wait before the next try: twice as long each time."""
        self.paused_until = now + min(max_ms, first_ms * 2 ** min(self.failures, 16)) / 1_000
        self.failures += 1

    def put_back(self, taken: LaneAppend, bytes_max: int) -> int:
        """What was not appended waits again, before the rest; over ``bytes_max`` everything queued is dropped.

        Returns:
            How many events were dropped for it.
        """
        self._queued.extendleft(reversed(taken.events))
        self._bytes += sum(event.size for event in taken.events)
        return self.drop_queued() if self._bytes > bytes_max else 0
