"""Events of sessions on their way into the rings: in order, bounded, and never in the way of a turn or a commit.

``docs/contracts/observation.md`` 5; decision 8 of ``docs/contracts/sessions.md``.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Awaitable, Callable

from lash_core.errors import LashError
from lash_core.errors.observation import LiveReplayFailedError, LiveReplayStoreError
from lash_core.model.observation_codec import sized_payload
from lash_core.model.session_observation import (
    AgentFrameSwitchedPayload,
    CommittedPayload,
    SessionObservationEvent,
    SessionObservationEventPayload,
)
from lash_core.runtime.observation.activity_lane import QueuedEvent
from lash_core.runtime.observation.lane_flusher import LANES_MAX, LaneFlusher
from lash_core.runtime.observation.recording import Recording
from lash_core.runtime.observation.ring_appends import RingAnswer, append_now_of, failure_of
from lash_core.runtime.observation.writer_counts import FailureLog, WriterCounts
from lash_core.store.live_replay_store import FleetLiveReplayStore, LiveAppend, LiveReplayStore

_log = logging.getLogger(__name__)

QUEUED_BYTES_MAX = 256 * 1024
"""Of one session, while its ring cannot be reached (decision 8): some seconds of fast text, then a gap."""
PUBLISH_WITHIN_MS = 2_000
"""A commit is done whoever watches: its caller waits no longer than this for the ring."""

TakeoverHook = Callable[[LiveAppend, int], Awaitable[None]]
"""Called with the first append after an owner that is gone (``took_over``), and the position of its first event."""


class LiveActivityWriter:
    """Appends events to one store, for all sessions of a program. Get it with ``writer_of``.

    A ring in this process is appended to at once. For another, events wait in the queue of their session: all queues
    go in one pipeline, at most every ``FLUSH_EVERY_MS``. Belongs to the event loop in which it was made, else records
    first; other threads may record, too.

    Args:
        live_replay: where the rings are.
        queued_bytes_max: of one session's queue; over it everything queued is dropped: a gap.

    Attributes:
        counts: what it did.
        on_takeover: told when the ring holds provisional text of an owner that is gone; None = nobody.
    """

    def __init__(self, live_replay: LiveReplayStore, *, queued_bytes_max: int = QUEUED_BYTES_MAX) -> None:
        self.live_replay = live_replay
        self.counts = WriterCounts()
        self.on_takeover: TakeoverHook | None = None
        self._append_now = append_now_of(live_replay)
        self._failure_log = FailureLog()
        self._lanes = LaneFlusher(live_replay, self.counts, queued_bytes_max, self._note_failure, self._settled)
        self._is_closed = False
        # Events of a session that a ring in this process refused: the next one that it takes tells of them.
        self._missing: dict[str, int] = {}

    def record(
        self, session_id: str, revision: int, payload: SessionObservationEventPayload, *, generation: int = 0
    ) -> Recording:
        """Append an event, soon. Never raises and never waits; what fails is logged and counted.

        Args:
            session_id: the session.
            revision: its last published one.
            payload: what happened.
            generation: of the session lease it happened under; 0 = under none.
        """
        return self._put(session_id, revision, generation, (payload,))

    async def publish(
        self,
        session_id: str,
        revision: int,
        payload: CommittedPayload,
        *,
        frame_id: str | None = None,
        generation: int = 0,
    ) -> SessionObservationEvent | None:
        """Append a ``committed`` behind what was recorded, at once, and wait for it: at most ``PUBLISH_WITHIN_MS``.

        Args:
            session_id: the session.
            revision: its new one.
            payload: what it says now.
            frame_id: the current frame, where it changed: an ``agent_frame_switched`` comes right before.
            generation: as for ``record``.

        Returns:
            The event; None when it is not in the ring (yet): logged, never raised.
        """
        switch = () if frame_id is None else (AgentFrameSwitchedPayload(frame_id),)
        recording = self._put(session_id, revision, generation, (*switch, payload))
        await self._wait(session_id, recording)
        return recording.event

    async def publish_once(
        self, session_id: str, revision: int, payload: CommittedPayload, *, frame_id: str | None = None
    ) -> SessionObservationEvent | None:
        """As ``publish``, unless a ``committed`` of this or a newer revision is there (None). Safe to repeat."""
        store = self.live_replay
        if not isinstance(store, FleetLiveReplayStore):
            return await self.publish(session_id, revision, payload, frame_id=frame_id)
        await self.flush(session_id)
        # What is still queued would come behind the commit that it belongs before.
        self._lanes.drop_queued(session_id)
        try:
            async with asyncio.timeout(PUBLISH_WITHIN_MS / 1_000):
                return await store.append_commit_once(session_id, revision, payload, frame_id=frame_id)
        except Exception as error:  # noqa: BLE001 - a commit does not fail for those who watch it
            self._note_failure(session_id, failure_of(error))
            return None

    async def flush(self, session_id: str) -> None:
        """Wait until what was recorded of a session is in its ring, or never will be; ``PUBLISH_WITHIN_MS`` at most."""
        recording = self._lanes.hurry(session_id)
        if recording is not None:
            await self._wait(session_id, recording)

    async def close(self) -> None:
        """Flush what is queued, as ``flush`` does, and take no more. May be called twice."""
        self._is_closed = True
        await asyncio.gather(*(self.flush(session_id) for session_id in self._lanes.session_ids))
        await self._lanes.close()
        if _WRITERS.get(id(self.live_replay)) is self:
            del _WRITERS[id(self.live_replay)]

    # -- inside ----------------------------------------------------------------------------------------

    def _put(
        self, session_id: str, revision: int, generation: int, payloads: tuple[SessionObservationEventPayload, ...]
    ) -> Recording:
        """The recording of the last payload."""
        if self._is_closed:
            return Recording.settled(None)
        if self._append_now is not None:
            dropped = self._missing.pop(session_id, 0)
            append = LiveAppend(session_id, revision, payloads, generation=generation, dropped=dropped)
            try:
                answer = RingAnswer.of(append, self._append_now(append))
            except Exception as error:  # noqa: BLE001 - whoever records goes on
                answer = RingAnswer.of(append, failure_of(error))
            self._settled(append, answer)
            missing = answer.untold if answer.failure is None else dropped + len(payloads)
            if missing and len(self._missing) < LANES_MAX:
                self._missing[session_id] = missing
            return Recording.settled(answer.events[-1])
        try:
            try:
                events: list[QueuedEvent] = []
                for payload in payloads:
                    text, size = sized_payload(payload)
                    events.append(QueuedEvent(revision, generation, payload, size, text))
            except LashError:
                self._lanes.miss(session_id, len(payloads))
                raise
            return self._lanes.put(session_id, events)
        except (LashError, RuntimeError) as error:
            # No JSON, or no event loop to send it.
            self.counts.dropped += len(payloads)
            self._note_failure(session_id, failure_of(error))
            return Recording.settled(None)

    async def _wait(self, session_id: str, recording: Recording) -> None:
        if recording.is_done:
            return
        self._lanes.hurry(session_id)
        try:
            async with asyncio.timeout(PUBLISH_WITHIN_MS / 1_000):
                await recording
        except TimeoutError:
            self._note_failure(session_id, LiveReplayFailedError(f"no answer within {PUBLISH_WITHIN_MS} ms"))

    def _settled(self, append: LiveAppend, answer: RingAnswer) -> None:
        # Without a failure all are there; to ask each of them is dear.
        has_all = answer.failure is None and not answer.is_stale
        missing = 0 if has_all else answer.events.count(None)
        self.counts.appended += len(answer.events) - missing
        if answer.is_stale:
            self.counts.stale += missing
        elif answer.failure is not None:
            self.counts.dropped += missing
            self._note_failure(append.session_id, answer.failure)
        if answer.took_over and self.on_takeover is not None:
            first = next((event.position for event in answer.events if event is not None), 0)
            self._lanes.run(_tell_takeover(self.on_takeover, append, first))

    def _note_failure(self, session_id: str, failure: LiveReplayStoreError) -> None:
        self.counts.failures += 1
        self._failure_log.note(session_id, failure)


async def _tell_takeover(hook: TakeoverHook, append: LiveAppend, first: int) -> None:
    try:
        await hook(append, first)
    except Exception:  # noqa: BLE001 - whoever listens is not the writer's concern
        _log.exception("the takeover of session %s was not heard", append.session_id)


def writer_of(live_replay: LiveReplayStore) -> LiveActivityWriter:
    """The one writer of a store object, for as long as somebody holds it: events of a session have one order."""
    writer = _WRITERS.get(id(live_replay))
    if writer is None:
        writer = _WRITERS[id(live_replay)] = LiveActivityWriter(live_replay)
    return writer


_WRITERS: weakref.WeakValueDictionary[int, LiveActivityWriter] = weakref.WeakValueDictionary()
"""By the id of its store, which lives as long as its writer does."""
