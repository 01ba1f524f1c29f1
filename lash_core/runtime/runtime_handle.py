"""A runtime that several parts of a program hold, read and watch, until one of them alone is left.

``docs/contracts/observation.md`` 5, ``docs/contracts/sessions.md`` 2.8 to 2.10.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from lash_core.errors import LiveReplayStoreError
from lash_core.errors.session import SessionError
from lash_core.memory_store.live_replay import InMemoryLiveReplayStore
from lash_core.model.session_cursor import SessionCursor, SessionRevision
from lash_core.model.session_observation import (
    CommittedPayload,
    LiveReplayGap,
    LiveReplayGapReason,
    ProcessChangedPayload,
    QueueChangedPayload,
    SessionGap,
    SessionObservation,
    SessionObservationEventPayload,
    SessionProcessEventKind,
    SessionQueueEventKind,
    SessionReplayed,
    SessionResume,
    TurnActivityPayload,
)
from lash_core.model.turn_activity import TurnActivity
from lash_core.runtime.observation.activity_writer import PUBLISH_WITHIN_MS
from lash_core.runtime.observation.handle_sender import HandleSender
from lash_core.runtime.observation.handle_verbs import HandleVerbs
from lash_core.runtime.observation.observed_stores import view_of_store
from lash_core.runtime.observation.recording import Recording
from lash_core.runtime.observation.ring_appends import failure_of
from lash_core.runtime.observation.runtime_observation import RuntimeObservation
from lash_core.runtime.observation.shared_runtime import RuntimeWriter, SharedRuntime
from lash_core.runtime.turn_activities import TurnEventSender
from lash_core.store.live_replay_store import (
    FleetLiveReplayStore,
    LiveGap,
    LiveReplayStore,
    SessionObservationSubscription,
)

if TYPE_CHECKING:
    from lash_core.runtime.lash_runtime import LashRuntime

_log = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")


class RuntimeHandle(HandleVerbs):
    """One holder's handle. Belongs to the runtime's event loop; a handle that is dropped holds nothing any more.

    Readers see what was published last and never wait for a turn; who works takes ``writer()``. Watchers are told
    of what is recorded and published; ``RuntimeHandle.create`` says over which store::

        async with handle.writer() as runtime:
            await runtime.stream_turn(turn_input, sender=handle.sender())
            await handle.publish_from(runtime)

    Args:
        runtime: what is shared from now on; nobody else works with it.
    """

    def __init__(self, runtime: LashRuntime, *, _beside: SharedRuntime | None = None) -> None:
        self._shared: SharedRuntime = _beside or SharedRuntime(runtime, InMemoryLiveReplayStore())
        self._shared.holders.add(self)

    @classmethod
    async def create(cls, runtime: LashRuntime, live_replay_store: LiveReplayStore | None = None) -> RuntimeHandle:
        """A handle whose watchers are served by a store; by a fresh one in this program when there is none.

        A store that cannot be asked now (logged) makes nothing fail: watchers then begin at its beginning.
        """
        shared = SharedRuntime(runtime, InMemoryLiveReplayStore() if live_replay_store is None else live_replay_store)
        handle = cls(runtime, _beside=shared)
        cursor = await handle._tail(shared.observation, shared.observation.cursor)
        shared.observation = shared.exported = replace(shared.observation, cursor=cursor)
        return handle

    with_live_replay_store = create

    # -- holding ---------------------------------------------------------------------------------------

    def clone(self) -> RuntimeHandle:
        """A handle for another holder.

        Raises:
            SessionError: the runtime was taken back.
        """
        return RuntimeHandle(self._runtime(), _beside=self._shared)

    def release(self) -> None:
        """Hold it no more. Safe to repeat."""
        self._shared.holders.discard(self)

    def writer(self) -> RuntimeWriter:
        """The right to work with the runtime: ``async with handle.writer() as runtime``.

        Raises:
            SessionError: the runtime was taken back.
        """
        self._runtime()
        return RuntimeWriter(self._shared)

    def try_into_runtime(self) -> LashRuntime | RuntimeHandle:
        """The runtime, when nobody else holds it or works with it; else this handle."""
        runtime = self._runtime()
        if self._shared.lock.locked() or set(self._shared.holders) != {self}:
            return self
        self._shared.runtime = None
        self.release()
        return runtime

    def _runtime(self) -> LashRuntime:
        if self._shared.runtime is None or self not in self._shared.holders:
            raise SessionError("this handle holds no runtime any more", field="handle")
        return self._shared.runtime

    # -- publishing ------------------------------------------------------------------------------------

    def observe(self) -> RuntimeObservation:
        """What was published last. Waits for nobody."""
        return self._shared.observation

    async def publish_from(self, runtime: LashRuntime) -> None:
        """Show readers and watchers what the runtime is now; call it after a commit, before the writer is let go.

        Never fails for the live replay store and waits ``PUBLISH_WITHIN_MS`` for it at most. Publications follow each
        other in the order of their calls.
        """
        shared, before = self._shared, self.observe()
        number, observation, previous = shared.begin_publication(runtime)
        frame_id = observation.persisted_state.current_agent_frame_id
        is_switch = bool(frame_id) and frame_id != previous.persisted_state.current_agent_frame_id
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        shared.under_way.add(done)
        # Of use only when this is cut short: a reader would then be shown some events again, and miss none.
        cursor = _standing_at(before, observation)
        try:
            payload = CommittedPayload(observation.read_view)
            event = await shared.writer.publish(
                observation.session_id, observation.revision, payload, frame_id=frame_id if is_switch else None
            )
            cursor = await self._tail(observation, cursor) if event is None else event.cursor
        finally:
            shared.show(number, replace(observation, cursor=cursor))
            shared.under_way.discard(done)
            done.set_result(None)

    def record_turn_activity(self, activity: TurnActivity) -> Recording:
        """Tell watchers what happens in a turn. Never fails; may be awaited until it is in the ring."""
        return self._record(TurnActivityPayload(activity))

    def record_queue_changed(self, kind: SessionQueueEventKind, batch_ids: Sequence[str]) -> Recording:
        """Tell watchers that the queue changed. As ``record_turn_activity``."""
        return self._record(QueueChangedPayload(SessionQueueEventKind(kind), tuple(batch_ids)))

    def record_process_changed(self, kind: SessionProcessEventKind, process_ids: Sequence[str]) -> Recording:
        """Tell watchers that the list of process handles changed. As ``record_turn_activity``."""
        return self._record(ProcessChangedPayload(SessionProcessEventKind(kind), tuple(process_ids)))

    def sender(self) -> TurnEventSender:
        """What a turn streams to: each activity is recorded here; the turn waits for nothing.

        When a turn is run again, what an earlier run told of it is taken back first.
        """
        return HandleSender(self._shared)

    def _record(self, payload: SessionObservationEventPayload) -> Recording:
        observation = self.observe()
        return self._shared.writer.record(observation.session_id, observation.revision, payload)

    # -- watching --------------------------------------------------------------------------------------

    async def current_session_observation(self) -> SessionObservation:
        """The session as last published, with the cursor of what has been recorded since.

        Where another program told a later commit of it, the session as it is stored: nobody would hear of that commit
        behind the cursor (ADR 0273).

        Raises:
            LiveReplayStoreError: the store cannot tell where it stands.
        """
        shared = self._shared
        await shared.writer.flush(self.observe().session_id)
        before = self.observe()
        # The cursor is read first, so that no commit is missed.
        cursor = await _asked(shared.live_replay.current_cursor(before.session_id, before.revision))
        told = await _revision_told(shared.live_replay, before.session_id)
        await shared.settled()
        observation = self.observe()
        view, revision = observation.read_view, observation.revision
        if told > revision and observation.queue_store is not None:
            stored, stored_revision = await _asked(view_of_store(observation.queue_store))
            if stored_revision > revision:
                view, revision = stored, SessionRevision(stored_revision)
        position = cursor.parse_for_session(before.session_id).live_position
        return SessionObservation(view, SessionCursor.new(observation.session_id, revision, position))

    async def resume_session_observation(self, cursor: SessionCursor | str) -> SessionResume:
        """The events behind a cursor; where they are not all there, a gap and the session as it is.

        Raises:
            SessionCursorError: no cursor of this session; the store was not asked. LiveReplayStoreError.
        """
        at = await self._checked(cursor)
        answer = await _asked(self._shared.live_replay.replay_after_cursor(at))
        return await self._gap(at, answer.reason) if isinstance(answer, LiveGap) else SessionReplayed(answer.events)

    async def subscribe_session_observation(self, cursor: SessionCursor | str) -> SessionObservationSubscription:
        """As ``resume_session_observation``, followed by what comes: a stream, or a gap. Raises: as it."""
        at = await self._checked(cursor)
        answer = await _asked(self._shared.live_replay.subscribe_after_cursor(at))
        return await self._gap(at, answer.reason) if isinstance(answer, LiveGap) else answer

    async def _checked(self, cursor: SessionCursor | str) -> SessionCursor:
        """A cursor of this session; what this handle recorded before is in the ring then."""
        session_id, at = self.observe().session_id, SessionCursor(cursor)
        at.parse_for_session(session_id)
        await self._shared.writer.flush(session_id)
        return at

    async def _gap(self, requested: SessionCursor, reason: LiveReplayGapReason) -> SessionGap:
        current = await self.current_session_observation()
        at = current.cursor.parse()
        gap = LiveReplayGap(at.session_id, requested, current.cursor, at.revision, reason)
        return SessionGap(current, gap)

    async def _tail(self, observation: RuntimeObservation, otherwise: SessionCursor) -> SessionCursor:
        """The store's cursor of a publication; another one when the store cannot tell."""
        try:
            async with asyncio.timeout(PUBLISH_WITHIN_MS / 1_000):
                return await self._shared.live_replay.current_cursor(observation.session_id, observation.revision)
        except Exception as error:  # noqa: BLE001 - a store may be the host's code, and nothing fails for it
            _log.warning("the ring of session %s cannot be asked: %s", observation.session_id, failure_of(error))
            return otherwise


def _standing_at(shown: RuntimeObservation, observation: RuntimeObservation) -> SessionCursor:
    """The cursor of a publication whose event is not known: where the one before stands."""
    same_session = shown.session_id == observation.session_id
    position = shown.cursor.parse().live_position if same_session else 0
    return SessionCursor.new(observation.session_id, observation.revision, position)


async def _revision_told(live_replay: LiveReplayStore, session_id: str) -> int:
    """Revision of the last commit in a ring, whoever told it; 0 for a host's own ring, which has no such answer."""
    if not isinstance(live_replay, FleetLiveReplayStore):
        return 0
    return (await _asked(live_replay.last_commit(session_id)))[0]


async def _asked(answer: Awaitable[_Answer]) -> _Answer:
    """What a store answers; what it raises is an error of watching."""
    try:
        return await answer
    except LiveReplayStoreError:
        raise
    except Exception as error:
        raise failure_of(error) from error
