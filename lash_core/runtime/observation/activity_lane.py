"""What of one session waits to be appended: in order, bounded, and counted when it has to be dropped. No I/O."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from lash_core.model.session_observation import SessionObservationEventPayload
from lash_core.runtime.observation.recording import Recording
from lash_core.store.live_replay_store import LiveAppend

APPEND_EVENTS_MAX = 512
"""Of one append: a script call stays well below a millisecond or two."""


@dataclass(slots=True)
class QueuedEvent:
    """One event that waits. ``size`` is its JSON in bytes."""

    revision: int
    generation: int
    payload: SessionObservationEventPayload
    size: int
    recording: Recording = field(default_factory=Recording)


@dataclass(slots=True)
class LaneAppend:
    """What of a lane is on its way, and the recordings of its events in order."""

    append: LiveAppend
    recordings: tuple[Recording, ...]


class ActivityLane:
    """The queue of one session.

    Attributes:
        dropped: events that were dropped since the last append that said so.
        under_way: an append of it is on its way; the next one waits for that, so that order holds.
        is_urgent: somebody waits: it is not held back for its turn.
        failures: appends in a row that failed.
        paused_until: on the loop's clock, in seconds: its ring failed just now. Who waits is not held back by it.
    """

    __slots__ = ("_bytes", "_queued", "dropped", "failures", "is_urgent", "paused_until", "session_id", "under_way")

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.dropped = 0
        self.under_way: LaneAppend | None = None
        self.is_urgent = False
        self.failures = 0
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
        return None if self.under_way is None else self.under_way.recordings[-1]

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
        first = self._queued[0]
        taken: list[QueuedEvent] = []
        while self._queued and len(taken) < APPEND_EVENTS_MAX:
            event = self._queued[0]
            if (event.revision, event.generation) != (first.revision, first.generation):
                break
            taken.append(self._queued.popleft())
            self._bytes -= event.size
        append = LiveAppend(
            self.session_id,
            first.revision,
            tuple(event.payload for event in taken),
            generation=first.generation,
            dropped=self.dropped,
        )
        self.under_way = LaneAppend(append, tuple(event.recording for event in taken))
        return self.under_way
