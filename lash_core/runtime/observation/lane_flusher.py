"""Sends what waits in the queues of sessions to their rings: all queues in one pipeline, a session's events in order.

``docs/contracts/observation.md`` 5.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from threading import get_ident
from typing import Any

from lash_core.errors.observation import LiveReplayFailedError, LiveReplayStoreError
from lash_core.runtime.observation.activity_lane import ActivityLane, LaneAppend, QueuedEvent
from lash_core.runtime.observation.recording import Recording, running_loop
from lash_core.runtime.observation.ring_appends import RingAnswer, append_all, fleet_of, unknown_failure
from lash_core.runtime.observation.writer_counts import WriterCounts
from lash_core.store.live_replay_store import LiveAppend, LiveReplayStore

FLUSH_EVERY_MS = 5
"""Between two flushes: a watcher cannot see it, and 200 busy sessions share one pipeline."""
APPEND_WITHIN_MS = 5_000
"""Of one flush. What is not answered by then is unknown, and counts as dropped."""
RETRY_FOR_MS = 10_000
"""Events that are known not to be in the ring are kept and sent again so long: a server that restarts is no gap."""
FAILURE_PAUSE_MS = 50
FAILURE_PAUSE_MS_MAX = 1_000
"""Between tries of a session whose ring cannot be reached: doubling from the first to the second."""
BUSY_LANES = 32
FLUSH_EVERY_BUSY_MS = 8
"""After a flush of so many sessions: fewer pipelines, and half of the tokens wait for less than 4 ms."""
SWEEP_EVERY_S = 1.0
"""Between two looks for sessions of which nothing waits: one that streams has the same queue for a second."""
LANES_MAX = 10_000
"""Sessions of which a program remembers that their watchers are to find a gap."""

Settled = Callable[[LiveAppend, RingAnswer], None]
"""Told what became of an append."""


class LaneFlusher:
    """The queues of one store. Belongs to the event loop in which it was made, else is first given an event.

    Other threads may give it events, too.

    Args:
        live_replay: where the rings are.
        counts: counts what is dropped and flushed.
        bytes_max: of one session's queue.
        note_failure: told of each failure.
        settled: told of each append that is over.
    """

    def __init__(
        self,
        live_replay: LiveReplayStore,
        counts: WriterCounts,
        bytes_max: int,
        note_failure: Callable[[str, LiveReplayStoreError], None],
        settled: Settled,
    ) -> None:
        self._live_replay = live_replay
        self._fleet = fleet_of(live_replay)
        self._counts = counts
        self._bytes_max = bytes_max
        self._note_failure = note_failure
        self._settled = settled
        self._lanes: dict[str, ActivityLane] = {}
        self._loop = running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_is_soon = False
        self._flushed_at = self._next_flush_at = self._swept_at = float("-inf")
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def session_ids(self) -> tuple[str, ...]:
        """Sessions of which something waits, was dropped, or was sent just now."""
        return tuple(self._lanes)

    def put(self, session_id: str, events: Sequence[QueuedEvent]) -> Recording:
        """Queue events; the recording of the last one.

        Raises:
            RuntimeError: its event loop does not run, and there is none to take its place.
        """
        if self._is_here:
            self._put(session_id, events)
        else:
            self._in_loop(self._put, session_id, events)
        return events[-1].recording

    def hurry(self, session_id: str) -> Recording | None:
        """Do not hold a session back, somebody waits; its newest recording that is not settled."""
        lane = self._lanes.get(session_id)
        recording = None if lane is None else lane.last_recording
        if lane is not None and recording is not None:
            lane.is_urgent = True
            self._in_loop(self._schedule_now)
        return recording

    def miss(self, session_id: str, count: int) -> None:
        """Events that cannot be queued: who watches finds a gap before the next one. Raises: as ``put``."""
        self._in_loop(self._miss, session_id, count)

    def drop_queued(self, session_id: str) -> None:
        """Drop what of a session is not under way."""
        lane = self._lanes.get(session_id)
        if lane is not None:
            self._counts.dropped += lane.drop_queued()

    async def close(self) -> None:
        """Drop what is left. May be called twice."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for session_id in self.session_ids:
            self.drop_queued(session_id)
        self._lanes.clear()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside the flushes, until ``close``; nothing where there is no loop."""
        try:
            task = asyncio.get_running_loop().create_task(work)
        except RuntimeError:
            work.close()
            return
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- inside ----------------------------------------------------------------------------------------

    def _put(self, session_id: str, events: Sequence[QueuedEvent]) -> None:
        lane = self._lanes.get(session_id) or self._new_lane(session_id)
        for event in events:
            dropped = lane.put(event, self._bytes_max)
            if dropped:
                self._dropped(session_id, dropped)
        if self._timer is None or not self._timer_is_soon:
            self._schedule()

    def _miss(self, session_id: str, count: int) -> None:
        # What is queued already comes behind the gap, too: one that is told early is no lie.
        (self._lanes.get(session_id) or self._new_lane(session_id)).dropped += count

    @property
    def _is_here(self) -> bool:
        """True where the loop of the queues is known to run in this thread."""
        # asyncio's own loops say in which thread they run; to ask for the running loop asks the system for the process.
        return getattr(self._loop, "_thread_id", None) == get_ident()

    def _in_loop(self, step: Callable[..., None], *args: object) -> None:
        """Take a step in the loop of the queues: now, or as soon as the thread that runs it gets to it."""
        other = self._loop_elsewhere()
        if other is None:
            step(*args)
        else:
            other.call_soon_threadsafe(step, *args)

    def _loop_elsewhere(self) -> asyncio.AbstractEventLoop | None:
        """The loop of the queues if another thread runs it; one that was closed is replaced by the running one.

        Raises:
            RuntimeError: it does not run, and there is none to take its place.
        """
        if self._is_here:
            return None
        running = running_loop()
        if running is not None and running is self._loop:
            return None
        if self._loop is not None and self._loop.is_running():
            return self._loop
        if running is None or not (self._loop is None or self._loop.is_closed()):
            raise RuntimeError("the writer of live events belongs to an event loop that does not run")
        # What a loop left behind when it was closed, nobody waits for any more.
        self._loop, self._timer = running, None
        self._flushed_at = self._next_flush_at = self._swept_at = float("-inf")
        self._lanes.clear()
        self._tasks.clear()
        return None

    def _new_lane(self, session_id: str) -> ActivityLane:
        if len(self._lanes) >= LANES_MAX:
            self._sweep(self._swept_at)
        if len(self._lanes) >= LANES_MAX:
            # Idle ones only remember that something was dropped; what is queued is never forgotten for it.
            idle = next((lane.session_id for lane in self._lanes.values() if lane.is_idle), None)
            if idle is not None:
                del self._lanes[idle]
        lane = self._lanes[session_id] = ActivityLane(session_id)
        return lane

    def _sweep(self, now: float) -> None:
        """Forget sessions of which nothing waits and nothing was dropped."""
        self._swept_at = now
        unused = [lane.session_id for lane in self._lanes.values() if lane.is_idle and lane.dropped == 0]
        for session_id in unused:
            del self._lanes[session_id]

    def _schedule_now(self) -> None:
        self._schedule(now=True)

    def _schedule(self, *, now: bool = False) -> None:
        """See that the next flush comes: in its time, or at once."""
        if self._loop is not None:
            due = self._loop.time()
            self._schedule_at(due if now else max(due, self._next_flush_at))
            self._timer_is_soon = True

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
        sent = [(lane, lane.take()) for lane in ready if lane.paused_until <= self._flushed_at]
        every_ms = FLUSH_EVERY_MS if len(sent) < BUSY_LANES else FLUSH_EVERY_BUSY_MS
        self._next_flush_at = self._flushed_at + every_ms / 1_000
        if sent:
            self._counts.flushes += 1
            self.run(self._send(sent))
        if self._flushed_at >= self._swept_at + SWEEP_EVERY_S:
            self._sweep(self._flushed_at)
        paused = [lane.paused_until for lane in ready if lane.under_way is None]
        if paused:
            self._timer_is_soon = False
            self._schedule_at(min(paused))

    async def _send(self, sent: Sequence[tuple[ActivityLane, LaneAppend]]) -> None:
        appends = [taken.append for _, taken in sent]
        answers: list[RingAnswer] = []
        try:
            async with asyncio.timeout(APPEND_WITHIN_MS / 1_000):
                answers = await append_all(self._live_replay, self._fleet, appends)
        except TimeoutError:
            late = unknown_failure(f"no answer within {APPEND_WITHIN_MS} ms")
            answers = [RingAnswer.of(append, late) for append in appends]
        finally:
            if not answers:
                # Cancelled: the event loop ends, and what is queued would be sent by a task that nobody lets finish.
                gone = unknown_failure("the event loop ends")
                answers = [RingAnswer.of(append, gone) for append in appends]
                for lane, _ in sent:
                    self.drop_queued(lane.session_id)
            assert self._loop is not None  # noqa: S101 - its task
            now = self._loop.time()
            for (lane, taken), answer in zip(sent, answers, strict=True):
                self._landed(lane, taken, answer, now)

    def _landed(self, lane: ActivityLane, taken: LaneAppend, answer: RingAnswer, now: float) -> None:
        lane.under_way = None
        if answer.may_repeat and answer.failure and lane.is_worth_another_try(now, RETRY_FOR_MS):
            self._note_failure(lane.session_id, answer.failure)
            lane.pause(now, FAILURE_PAUSE_MS, FAILURE_PAUSE_MS_MAX)
            dropped = lane.put_back(taken, self._bytes_max)
            if dropped:
                self._dropped(lane.session_id, dropped)
        else:
            lane.settle(taken, answer)
            self._settled(taken.append, answer)
        if lane.has_queued:
            self._schedule(now=lane.is_urgent)
            return
        lane.is_urgent = False

    def _dropped(self, session_id: str, dropped: int) -> None:
        self._counts.dropped += dropped
        text = f"{dropped} events were dropped: over {self._bytes_max} bytes waited for their ring"
        self._note_failure(session_id, LiveReplayFailedError(text))
