"""Rings that are elsewhere: what a writer sends is held up, refused or lost as a test wants it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from lash_core.errors.observation import LiveReplayFailedError, LiveReplayStoreError
from lash_core.memory_store.live_replay import InMemoryLiveReplayStore
from lash_core.model.session_cursor import SessionCursor
from lash_core.model.session_observation import CommittedPayload, SessionObservationEvent, TurnActivityPayload
from lash_core.model.session_observation import SessionObservationEventPayload as Payload
from lash_core.model.session_state import RuntimeSessionState, SessionReadView
from lash_core.model.turn_activity import TurnActivity, TurnEvent
from lash_core.store.live_replay_store import (
    LiveAppend,
    LiveAppendOutcome,
    LiveReplayed,
    LiveReplayResult,
    LiveReplaySubscribeResult,
)


class FarRing:
    """A ``FleetLiveReplayStore`` behind a connection.

    Attributes:
        ring: where the events are.
        calls: the appends of each ``append_many``.
        gate: cleared, appends wait.
        fault: asked before each ``append_many``; what it answers is the outcome, what it raises is raised.
    """

    def __init__(self) -> None:
        self.ring = InMemoryLiveReplayStore()
        self.calls: list[tuple[LiveAppend, ...]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.fault: Callable[[LiveAppend], LiveReplayStoreError | None] = lambda _: None

    async def append_many(self, appends: Sequence[LiveAppend]) -> tuple[LiveAppendOutcome, ...]:
        self.calls.append(tuple(appends))
        await self.gate.wait()
        return tuple([self.fault(append) or (await self.ring.append_many([append]))[0] for append in appends])

    async def append(self, session_id: str, revision: int, payload: Payload) -> SessionObservationEvent:
        return await self.ring.append(session_id, revision, payload)

    async def append_commit_once(
        self, session_id: str, revision: int, payload: CommittedPayload, *, frame_id: str | None = None
    ) -> SessionObservationEvent | None:
        failure = self.fault(LiveAppend(session_id, revision, (payload,)))
        if failure is not None:
            raise failure
        return await self.ring.append_commit_once(session_id, revision, payload, frame_id=frame_id)

    async def replay_after_cursor(self, cursor: SessionCursor) -> LiveReplayResult:
        return await self.ring.replay_after_cursor(cursor)

    async def subscribe_after_cursor(self, cursor: SessionCursor) -> LiveReplaySubscribeResult:
        return await self.ring.subscribe_after_cursor(cursor)

    async def current_cursor(self, session_id: str, revision: int) -> SessionCursor:
        return await self.ring.current_cursor(session_id, revision)

    async def last_commit(self, session_id: str) -> tuple[int, int]:
        return await self.ring.last_commit(session_id)

    async def trim_session(self, session_id: str) -> None:
        await self.ring.trim_session(session_id)

    async def trim_idle(self, limit: int) -> int:
        return await self.ring.trim_idle(limit)

    async def forget_session(self, session_id: str) -> None:
        await self.ring.forget_session(session_id)

    async def close(self) -> None:
        await self.ring.close()


class PlainRing:
    """A host's own ``LiveReplayStore``: the five verbs and nothing else. ``fault`` as for ``FarRing``, for payloads."""

    def __init__(self) -> None:
        self.ring = InMemoryLiveReplayStore()
        self.fault: Callable[[Payload], None] = lambda _: None

    async def append(self, session_id: str, revision: int, payload: Payload) -> SessionObservationEvent:
        self.fault(payload)
        return await self.ring.append(session_id, revision, payload)

    async def replay_after_cursor(self, cursor: SessionCursor) -> LiveReplayResult:
        return await self.ring.replay_after_cursor(cursor)

    async def subscribe_after_cursor(self, cursor: SessionCursor) -> LiveReplaySubscribeResult:
        return await self.ring.subscribe_after_cursor(cursor)

    async def current_cursor(self, session_id: str, revision: int) -> SessionCursor:
        return await self.ring.current_cursor(session_id, revision)

    async def trim_session(self, session_id: str) -> None:
        await self.ring.trim_session(session_id)


def away(_: LiveAppend) -> LiveReplayStoreError:
    """The server cannot be reached: nothing was appended."""
    return LiveReplayFailedError("the store is away")


def lost(_: LiveAppend) -> LiveReplayStoreError:
    """The reply was lost: nobody knows."""
    failure = LiveReplayFailedError("the reply was lost")
    failure.outcome = "unknown"
    return failure


def said(text: str) -> TurnActivityPayload:
    """A piece of an answer."""
    event = TurnEvent("assistant_prose_delta", {"text": text})
    return TurnActivityPayload(TurnActivity(id=f"a-{text[:20]}", correlation_id="call-1", event=event))


def committed(session_id: str, turn_index: int = 1) -> CommittedPayload:
    """A commit of an empty session."""
    state = RuntimeSessionState(session_id, turn_index=turn_index)
    return CommittedPayload(SessionReadView.from_persisted_state(state))


async def texts_in(
    ring: FarRing | PlainRing | InMemoryLiveReplayStore, session_id: str, position: int = 0
) -> list[str]:
    """What is in a ring behind a position: texts of activities, types of the rest; ``gap`` where some are gone."""
    store = ring if isinstance(ring, InMemoryLiveReplayStore) else ring.ring
    answer = await store.replay_after_cursor(SessionCursor.new(session_id, 0, position))
    if not isinstance(answer, LiveReplayed):
        return ["gap"]
    return [word_of(event) for event in answer.events]


def word_of(event: SessionObservationEvent) -> str:
    """The text of an activity, the type of anything else."""
    if isinstance(event.payload, TurnActivityPayload):
        return str(event.payload.activity.event.facts.get("text"))
    return event.payload.type
