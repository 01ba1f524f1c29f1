"""Handles of real runtimes, and what their watchers hear."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Protocol

from lash_core.model.session_cursor import SessionCursor
from lash_core.model.session_observation import (
    AgentFrameSwitchedPayload,
    CommittedPayload,
    ProcessChangedPayload,
    QueueChangedPayload,
    SessionGap,
    SessionObservationEvent,
    SessionReplayed,
    TurnActivityPayload,
)
from lash_core.model.turn_activity import TurnActivity, TurnEvent
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.runtime_handle import RuntimeHandle
from lash_core.store.live_replay_store import LiveReplaySubscription, LiveSubscribed
from lash_core.testing.conformance.lifecycle.arrange import Scene, said
from lash_core.testing.conformance.live_replay.arrange import HEARD_WITHIN_S, LiveStores, rings_of
from lash_core.testing.conformance.process_registry.arrange import unique
from lash_core.testing.conformance.session_scene import SessionStores


class WatchedStores(SessionStores, LiveStores, Protocol):
    """Stores with sessions and rings."""


@asynccontextmanager
async def watched(scene: Scene, **changes: Any) -> AsyncGenerator[tuple[LashRuntime, RuntimeHandle]]:
    """A runtime of the scene's session and its handle over the scene's rings; the runtime is closed at the end."""
    runtime = await scene.runtime(**changes)
    try:
        yield runtime, await RuntimeHandle.create(runtime, rings_of(scene.stores))
    finally:
        runtime.close()


async def say(handle: RuntimeHandle, runtime: LashRuntime, *texts: str) -> None:
    """Store messages and publish the session."""
    await runtime.append_session_nodes(said(*texts))
    await handle.publish_from(runtime)


def piece(text: str) -> TurnActivity:
    """A piece of an answer."""
    event = TurnEvent("assistant_prose_delta", {"text": text})
    return TurnActivity(id=unique("activity"), correlation_id="call-1", event=event)


def word_of(event: SessionObservationEvent) -> str:
    """One event in a word or two."""
    match event.payload:
        case TurnActivityPayload(activity):
            return str(activity.event.facts.get("text", activity.event.type))
        case CommittedPayload(read_view):
            return f"committed {','.join(message.text for message in read_view.messages)}"
        case AgentFrameSwitchedPayload(frame_id):
            return f"frame {frame_id}"
        case QueueChangedPayload(kind, batch_ids):
            return f"{kind} {','.join(batch_ids)}"
        case ProcessChangedPayload(kind, process_ids):
            return f"{kind} {','.join(process_ids)}"


async def events_after(handle: RuntimeHandle, cursor: SessionCursor) -> tuple[SessionObservationEvent, ...]:
    """What came behind a cursor; it must be there."""
    answer = await handle.resume_session_observation(cursor)
    assert isinstance(answer, SessionReplayed), f"expected events, got {answer!r}"
    return answer.events


async def words_after(handle: RuntimeHandle, cursor: SessionCursor) -> list[str]:
    """The same in words."""
    return [word_of(event) for event in await events_after(handle, cursor)]


async def gap_after(handle: RuntimeHandle, cursor: SessionCursor) -> SessionGap:
    """The gap behind a cursor; there must be one, for who resumes and who subscribes."""
    resumed = await handle.resume_session_observation(cursor)
    subscribed = await handle.subscribe_session_observation(cursor)
    assert isinstance(resumed, SessionGap), f"expected a gap, got {resumed!r}"
    assert isinstance(subscribed, SessionGap), f"expected a gap, got {subscribed!r}"
    assert resumed.gap == subscribed.gap, f"{subscribed.gap!r} to who subscribes, {resumed.gap!r} to who resumes"
    return resumed


async def stream_after(handle: RuntimeHandle, cursor: SessionCursor) -> LiveReplaySubscription:
    """A stream behind a cursor; there must be one."""
    answer = await handle.subscribe_session_observation(cursor)
    assert isinstance(answer, LiveSubscribed), f"expected a stream, got {answer!r}"
    return answer.subscription


async def next_words(stream: LiveReplaySubscription, count: int) -> list[str]:
    """The next so many events of a stream."""
    words: list[str] = []
    async with asyncio.timeout(HEARD_WITHIN_S):
        while len(words) < count:
            item = await anext(stream)
            assert isinstance(item, SessionObservationEvent), f"expected an event, got {item!r}"
            words.append(word_of(item))
    return words
