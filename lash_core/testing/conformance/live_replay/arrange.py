"""Events, cursors and streams for the cases of live replay."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from lash_core.errors import LiveReplayClosedError, SubscriberLaggedError
from lash_core.model.message import Message
from lash_core.model.session import ModelSpec, SessionPolicy
from lash_core.model.session_cursor import SessionCursor
from lash_core.model.session_observation import (
    CommittedPayload,
    LiveReplayConfig,
    LiveReplayGapReason,
    QueueChangedPayload,
    SessionObservationEvent,
    SessionObservationEventPayload,
    SessionQueueEventKind,
    TurnActivityPayload,
)
from lash_core.model.session_state import RuntimeSessionState, SessionReadView
from lash_core.model.turn_activity import TurnActivity, TurnEvent
from lash_core.store.live_replay_store import (
    FleetLiveReplayStore,
    LiveAppend,
    LiveAppended,
    LiveGap,
    LiveReplayed,
    LiveReplaySubscription,
    LiveSubscribed,
    SubscriptionItem,
)
from lash_core.testing.conformance.process_registry.arrange import unique
from lash_core.testing.conformance.stores import ConformanceStores

HEARD_WITHIN_S = 20
"""How long an event may take to a stream before a case fails; a bound for hanging, not a measure."""


class LiveStores(ConformanceStores, Protocol):
    """Stores with rings."""

    @property
    def live_replay(self) -> Any:
        """The rings under test."""
        ...


def rings_of(stores: LiveStores) -> FleetLiveReplayStore:
    """The rings under test.

    Raises:
        AssertionError: the stores have none that keep the contract.
    """
    rings = stores.live_replay
    assert isinstance(rings, FleetLiveReplayStore), f"{type(rings).__name__} is no FleetLiveReplayStore"
    return rings


def bounds_of(stores: LiveStores) -> LiveReplayConfig:
    """The bounds of the rings under test: what they say, else the defaults."""
    return getattr(stores.live_replay, "config", None) or LiveReplayConfig()


def session() -> str:
    """The id of a session that no other case uses."""
    return unique("session")


# -- events --------------------------------------------------------------------------------------------


def said(text: str, correlation_id: str = "c") -> TurnActivityPayload:
    """A piece of a model's answer."""
    event = TurnEvent("assistant_prose_delta", {"text": text})
    return TurnActivityPayload(TurnActivity(id=unique("activity"), correlation_id=correlation_id, event=event))


def queued(*batch_ids: str) -> QueueChangedPayload:
    """Batches came into the queue."""
    return QueueChangedPayload(SessionQueueEventKind.ENQUEUED, batch_ids)


def stored(session_id: str, *texts: str, turn_index: int = 1) -> CommittedPayload:
    """The session was stored with these messages."""
    state = RuntimeSessionState(
        session_id=session_id,
        policy=SessionPolicy(model=ModelSpec("model-1"), provider_id="provider-1"),
        turn_index=turn_index,
    )
    for text in texts:
        state.session_graph.append_message(Message.assistant(text, message_id=text))
    return CommittedPayload(SessionReadView.from_persisted_state(state))


def texts_of(items: Sequence[SubscriptionItem]) -> list[str]:
    """What the events said; the names of other items."""
    return [_text_of(item) for item in items]


def _text_of(item: SubscriptionItem) -> str:
    if isinstance(item, SubscriberLaggedError):
        return f"missed {item.missed}"
    if isinstance(item, LiveReplayClosedError):
        return "closed"
    payload = item.payload
    if isinstance(payload, TurnActivityPayload):
        return str(payload.activity.event.facts["text"])
    return payload.type


# -- appends and reads ---------------------------------------------------------------------------------


async def tell(stores: LiveStores, session_id: str, *texts: str) -> list[SessionObservationEvent]:
    """Append pieces of an answer, one after another."""
    return [await rings_of(stores).append(session_id, 1, said(text)) for text in texts]


async def tell_at_once(
    stores: LiveStores,
    session_id: str,
    payloads: Sequence[SessionObservationEventPayload],
    *,
    generation: int = 0,
    dropped: int = 0,
) -> LiveAppended:
    """Append events in one step; it must be accepted."""
    append = LiveAppend(session_id, 1, tuple(payloads), generation=generation, dropped=dropped)
    (outcome,) = await rings_of(stores).append_many([append])
    assert isinstance(outcome, LiveAppended), f"expected LiveAppended, got {outcome!r}"
    return outcome


async def fill(stores: LiveStores, session_id: str, events: int) -> None:
    """Append so many small events."""
    for first in range(0, events, 1_000):
        await tell_at_once(stores, session_id, [queued(str(n)) for n in range(first, min(events, first + 1_000))])


def after(session_id: str, position: int, revision: int = 1) -> SessionCursor:
    """The cursor behind a position."""
    return SessionCursor.new(session_id, revision, position)


async def replayed(stores: LiveStores, session_id: str, position: int) -> tuple[SessionObservationEvent, ...]:
    """The events behind a position; they must be there."""
    result = await rings_of(stores).replay_after_cursor(after(session_id, position))
    assert isinstance(result, LiveReplayed), f"expected events, got {result!r}"
    return result.events


async def gap(stores: LiveStores, session_id: str, position: int) -> LiveReplayGapReason:
    """Why the events behind a position are not there: the same for who resumes and who subscribes."""
    cursor = after(session_id, position)
    result = await rings_of(stores).replay_after_cursor(cursor)
    assert isinstance(result, LiveGap), f"expected a gap, got {result!r}"
    subscribed = await rings_of(stores).subscribe_after_cursor(cursor)
    assert subscribed == result, f"{subscribed!r} to who subscribes, {result!r} to who resumes"
    return result.reason


async def subscribed(stores: LiveStores, session_id: str, position: int = 0) -> LiveReplaySubscription:
    """A stream behind a position; there must be one."""
    result = await rings_of(stores).subscribe_after_cursor(after(session_id, position))
    assert isinstance(result, LiveSubscribed), f"expected a stream, got {result!r}"
    return result.subscription


async def heard(stream: LiveReplaySubscription, items: int) -> list[SubscriptionItem]:
    """The next so many items."""
    async with asyncio.timeout(HEARD_WITHIN_S):
        return [await anext(stream) for _ in range(items)]


async def heard_texts(stream: LiveReplaySubscription, items: int) -> list[str]:
    """What the next so many items say."""
    return texts_of(await heard(stream, items))


async def skim(stream: LiveReplaySubscription, position: int) -> None:
    """Read a stream until the event at a position came."""
    async with asyncio.timeout(HEARD_WITHIN_S):
        while getattr(await anext(stream), "position", 0) < position:
            pass


async def ends(stream: LiveReplaySubscription) -> bool:
    """True when nothing more comes."""
    async with asyncio.timeout(HEARD_WITHIN_S):
        try:
            await anext(stream)
        except StopAsyncIteration:
            return True
    return False


async def tail(stores: LiveStores, session_id: str) -> int:
    """The position of the last event."""
    return (await rings_of(stores).current_cursor(session_id, 1)).parse().live_position
