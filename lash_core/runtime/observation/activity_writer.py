"""Events of sessions on their way into the rings: in order, bounded, and never in the way of a turn or a commit.

``docs/contracts/observation.md`` 5; decision 8 of ``docs/contracts/sessions.md``.
"""

from __future__ import annotations

import asyncio
import logging
import time
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from lash_core.errors import LashError
from lash_core.errors.observation import LiveReplayFailedError, LiveReplayStoreError
from lash_core.model.observation_codec import payload_bytes
from lash_core.model.session_observation import (
    AgentFrameSwitchedPayload,
    CommittedPayload,
    SessionObservationEvent,
    SessionObservationEventPayload,
)
from lash_core.runtime.observation.activity_lane import ActivityLane, LaneAppend, QueuedEvent
from lash_core.runtime.observation.recording import Recording
from lash_core.runtime.observation.ring_appends import RingAnswer, append_all, append_now_of, failure_of
from lash_core.store.live_replay_store import FleetLiveReplayStore, LiveAppend, LiveReplayStore

_log = logging.getLogger(__name__)

QUEUED_BYTES_MAX = 256 * 1024
"""Of one session, while its ring cannot be reached (decision 8): some seconds of fast text, then a gap."""
FLUSH_EVERY_MS = 5
"""Between two flushes: a watcher cannot see it, and 200 busy sessions share one pipeline."""
PUBLISH_WITHIN_MS = 2_000
"""A commit is done whoever watches: its caller waits no longer than this for the ring."""
APPEND_WITHIN_MS = 5_000
"""Of one flush. What is not answered by then is unknown, and counts as dropped."""
FAILURE_PAUSE_MS_MAX = 1_000
"""Between appends of a session whose ring fails: from 50 ms, doubling."""
LANES_MAX = 10_000
"""Sessions of which a writer remembers that their watchers are to find a gap."""
_FAILURE_PAUSE_MS = 50
_FAILURE_LOG_EVERY_S = 1.0

TakeoverHook = Callable[[LiveAppend, int], Awaitable[None]]
"""Called with the first append after an owner that is gone (``took_over``), and the position of its first event."""


@dataclass(slots=True)
class WriterCounts:
    """What a writer did since it was made.

    Attributes:
        appended: events in the rings.
        dropped: events that are in none: too many queued, a store that failed.
        stale: events of a lease generation that was over.
        failures: appends that failed.
        flushes: pipelines.
    """

    appended: int = 0
    dropped: int = 0
    stale: int = 0
    failures: int = 0
    flushes: int = 0


class LiveActivityWriter:
    """Appends events to one store, for all sessions of a program. Get it with ``writer_of``.

    A ring in this process is appended to at once. For another, events wait in the queue of their session: all queues
    go in one pipeline, at most every ``FLUSH_EVERY_MS``. Belongs to the event loop that records first.

    Attributes:
        counts: what it did.
        on_takeover: told when the ring holds provisional text of an owner that is gone; None = nobody.
    """

    def __init__(self, live_replay: LiveReplayStore, *, queued_bytes_max: int = QUEUED_BYTES_MAX) -> None:
        self.live_replay = live_replay
        self.counts = WriterCounts()
        self.on_takeover: TakeoverHook | None = None
        self._append_now = append_now_of(live_replay)
        self._queued_bytes_max = queued_bytes_max
        self._lanes: dict[str, ActivityLane] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._flushed_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._logged_at = float("-inf")
        self._is_closed = False

    # -- recording -------------------------------------------------------------------------------------

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
        await self._hurried(session_id, recording)
        return recording.event

    async def publish_once(
        self, session_id: str, revision: int, payload: CommittedPayload, *, frame_id: str | None = None
    ) -> SessionObservationEvent | None:
        """As ``publish``, unless a ``committed`` of this or a newer revision is there (None). Safe to repeat."""
        store = self.live_replay
        if not isinstance(store, FleetLiveReplayStore):
            return await self.publish(session_id, revision, payload, frame_id=frame_id)
        await self.flush(session_id)
        try:
            async with asyncio.timeout(PUBLISH_WITHIN_MS / 1_000):
                return await store.append_commit_once(session_id, revision, payload, frame_id=frame_id)
        except Exception as error:  # noqa: BLE001 - a commit does not fail for those who watch it
            self._note_failure(session_id, failure_of(error))
            return None

    async def flush(self, session_id: str) -> None:
        """Wait until what was recorded of a session is in its ring, or never will be; ``PUBLISH_WITHIN_MS`` at most."""
        lane = self._lanes.get(session_id)
        recording = None if lane is None else lane.last_recording
        if recording is not None:
            await self._hurried(session_id, recording)

    async def close(self) -> None:
        """Flush what is queued, as ``flush`` does, and take no more. May be called twice."""
        self._is_closed = True
        await asyncio.gather(*(self.flush(session_id) for session_id in tuple(self._lanes)))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for lane in self._lanes.values():
            lane.drop_queued()
        self._lanes.clear()
        if _WRITERS.get(id(self.live_replay)) is self:
            del _WRITERS[id(self.live_replay)]

    # -- queueing --------------------------------------------------------------------------------------

    def _put(
        self, session_id: str, revision: int, generation: int, payloads: tuple[SessionObservationEventPayload, ...]
    ) -> Recording:
        """The recording of the last payload."""
        try:
            if self._is_closed:
                return Recording.settled(None)
            if self._append_now is not None:
                append = LiveAppend(session_id, revision, payloads, generation=generation)
                return Recording.settled(self._appended_now(append))
            return self._queue(session_id, revision, generation, payloads)
        except (LashError, RuntimeError) as error:
            # No JSON, or no event loop: whoever records goes on.
            self.counts.dropped += len(payloads)
            self._note_failure(session_id, failure_of(error))
            return Recording.settled(None)

    def _appended_now(self, append: LiveAppend) -> SessionObservationEvent | None:
        assert self._append_now is not None  # noqa: S101 - asked for by the caller
        try:
            answer = RingAnswer.of(append, self._append_now(append))
        except Exception as error:  # noqa: BLE001 - a store may be the host's code
            answer = RingAnswer.of(append, failure_of(error))
        self._count(append, answer)
        return answer.events[-1]

    def _queue(
        self, session_id: str, revision: int, generation: int, payloads: tuple[SessionObservationEventPayload, ...]
    ) -> Recording:
        self._take_loop()
        events = [QueuedEvent(revision, generation, payload, payload_bytes(payload)) for payload in payloads]
        lane = self._lane(session_id)
        for event in events:
            dropped = lane.put(event, self._queued_bytes_max)
            if dropped:
                self.counts.dropped += dropped
                self._note_failure(
                    session_id, LiveReplayFailedError(f"over {self._queued_bytes_max} bytes wait for its ring")
                )
        self._schedule()
        return events[-1].recording

    def _lane(self, session_id: str) -> ActivityLane:
        lane = self._lanes.get(session_id)
        if lane is None:
            if len(self._lanes) >= LANES_MAX:
                # Idle ones only remember that something was dropped; what is queued is never forgotten for it.
                idle = next((one.session_id for one in self._lanes.values() if one.is_idle), None)
                if idle is not None:
                    del self._lanes[idle]
            lane = self._lanes[session_id] = ActivityLane(session_id)
        return lane

    def _take_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if loop is self._loop:
            return
        if self._loop is not None and not self._loop.is_closed():
            raise RuntimeError("the writer of live activity belongs to another event loop")
        # What a loop left behind when it was closed, nobody waits for any more.
        self._loop, self._timer = loop, None
        self._lanes.clear()
        self._tasks.clear()

    async def _hurried(self, session_id: str, recording: Recording) -> None:
        """Wait for a recording of a lane that is not held back for it."""
        if recording.is_done:
            return
        lane = self._lanes.get(session_id)
        if lane is not None:
            lane.is_urgent = True
            self._schedule(now=True)
        try:
            async with asyncio.timeout(PUBLISH_WITHIN_MS / 1_000):
                await recording
        except TimeoutError:
            self._note_failure(session_id, LiveReplayFailedError(f"no answer within {PUBLISH_WITHIN_MS} ms"))

    # -- flushing --------------------------------------------------------------------------------------

    def _schedule(self, *, now: bool = False) -> None:
        """See that the next flush comes: in its time, or at once because somebody waits."""
        if self._loop is None:
            return
        due = self._loop.time() if now else max(self._loop.time(), self._flushed_at + FLUSH_EVERY_MS / 1_000)
        self._schedule_at(due)

    def _schedule_at(self, due: float) -> None:
        if self._loop is None:
            return
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._flush)

    def _flush(self) -> None:
        """Send what waits, of every lane that has nothing under way."""
        assert self._loop is not None  # noqa: S101 - its timer
        self._timer, self._flushed_at = None, self._loop.time()
        ready = [lane for lane in self._lanes.values() if lane.has_queued and lane.under_way is None]
        open_lanes = [lane for lane in ready if lane.is_urgent or lane.paused_until <= self._flushed_at]
        if open_lanes:
            sent = [(lane, lane.take()) for lane in open_lanes]
            self.counts.flushes += 1
            self._run(self._send(sent))
        paused = [lane.paused_until for lane in ready if lane.under_way is None]
        if paused:
            self._schedule_at(min(paused))

    async def _send(self, sent: Sequence[tuple[ActivityLane, LaneAppend]]) -> None:
        appends = [taken.append for _, taken in sent]
        answers: list[RingAnswer] = []
        try:
            async with asyncio.timeout(APPEND_WITHIN_MS / 1_000):
                answers = await append_all(self.live_replay, appends)
        except TimeoutError:
            late = LiveReplayFailedError(f"no answer within {APPEND_WITHIN_MS} ms")
            answers = [RingAnswer.of(append, late) for append in appends]
        finally:
            gone = LiveReplayFailedError("the event loop ends")
            answers = answers or [RingAnswer.of(append, gone) for append in appends]
            for (lane, taken), answer in zip(sent, answers, strict=True):
                self._landed(lane, taken, answer)

    def _landed(self, lane: ActivityLane, taken: LaneAppend, answer: RingAnswer) -> None:
        lane.under_way = None
        self._count(taken.append, answer)
        if answer.failure is None:
            lane.dropped -= taken.append.dropped
            lane.failures = 0
        else:
            lane.dropped += answer.events.count(None)
            lane.failures += 1
            pause = min(FAILURE_PAUSE_MS_MAX, _FAILURE_PAUSE_MS * 2 ** min(lane.failures - 1, 10))
            lane.paused_until = self._flushed_at + pause / 1_000
        for recording, event in zip(taken.recordings, answer.events, strict=True):
            recording.settle(event)
        if lane.has_queued:
            self._schedule(now=lane.is_urgent)
            return
        lane.is_urgent = False
        if lane.dropped == 0:
            self._lanes.pop(lane.session_id, None)

    # -- what came of it -------------------------------------------------------------------------------

    def _count(self, append: LiveAppend, answer: RingAnswer) -> None:
        missing = answer.events.count(None)
        self.counts.appended += len(answer.events) - missing
        if answer.is_stale:
            self.counts.stale += missing
        elif answer.failure is not None:
            self.counts.dropped += missing
            self._note_failure(append.session_id, answer.failure)
        if answer.took_over and self.on_takeover is not None:
            first = next((event.position for event in answer.events if event is not None), 0)
            self._run(self._tell_takeover(self.on_takeover, append, first))

    async def _tell_takeover(self, hook: TakeoverHook, append: LiveAppend, first: int) -> None:
        try:
            await hook(append, first)
        except Exception:  # noqa: BLE001 - whoever listens is not the writer's concern
            _log.exception("the takeover of session %s was not heard", append.session_id)

    def _note_failure(self, session_id: str, failure: LiveReplayStoreError) -> None:
        """Log it, at most once a second: a ring that cannot be reached fails for every session and event."""
        self.counts.failures += 1
        now = time.monotonic()
        if now - self._logged_at >= _FAILURE_LOG_EVERY_S:
            self._logged_at = now
            _log.warning(
                "live events of session %s are not in its ring, watchers may find a gap: %s", session_id, failure
            )

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            task = asyncio.get_running_loop().create_task(work)
        except RuntimeError:
            work.close()
            return
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def writer_of(live_replay: LiveReplayStore) -> LiveActivityWriter:
    """The one writer of a store object, for as long as somebody holds it: events of a session have one order."""
    writer = _WRITERS.get(id(live_replay))
    if writer is None:
        writer = _WRITERS[id(live_replay)] = LiveActivityWriter(live_replay)
    return writer


_WRITERS: weakref.WeakValueDictionary[int, LiveActivityWriter] = weakref.WeakValueDictionary()
"""By the id of its store, which lives as long as its writer does."""
