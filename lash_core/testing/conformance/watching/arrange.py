"""Sessions whose turns are followed, and those who watch them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

from lash_core.model.session_observation import SessionGap, SessionObservation, SessionObservationEvent, WatchItem
from lash_core.model.turn_activity import TurnActivity
from lash_core.model.turn_outcome import AssembledTurn
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.observation.observed_stores import ObservedStores
from lash_core.runtime.observation.session_observer import SessionObserver
from lash_core.runtime.observation.turn_publisher import TurnPublisher, publisher_of
from lash_core.runtime.observation.watched_session import WatchedSession
from lash_core.testing.conformance.session_scene import SessionStores
from lash_core.testing.conformance.turns.arrange import Scene, texts_of, words

WITHIN_SECONDS = 10.0
"""No case waits so long for an item unless it fails."""


class WatchedStores(SessionStores, ObservedStores, Protocol):
    """Stores with sessions, their rings and their notices."""


def observer_of(scene: Scene) -> SessionObserver:
    """An observer of a scene's session."""
    return SessionObserver(scene.session_id, scene.stores)


def followed(runtime: LashRuntime) -> TurnPublisher:
    """The publisher of a runtime.

    Raises:
        AssertionError: its host has no rings.
    """
    publisher = publisher_of(runtime)
    assert publisher is not None, "the host has no live replay"
    return publisher


async def take_turn(scene: Scene, text: str) -> AssembledTurn:
    """A whole turn as a worker takes it."""
    runtime = await scene.runtime()
    try:
        return await runtime.stream_turn(words(text), sender=followed(runtime))
    finally:
        runtime.close()


async def unpublished_turn(scene: Scene, text: str) -> AssembledTurn:
    """A turn whose worker died right after its commit: what it did was told, that it is committed was not."""
    runtime = await scene.runtime()
    publisher = followed(runtime)

    async def told(activity: TurnActivity) -> None:
        await publisher(activity)

    try:
        turn = await runtime.stream_turn(words(text), sender=told)
        await publisher.flush()
        return turn
    finally:
        runtime.close()


class Reader:
    """One who watches, and what it knows by now.

    Attributes:
        items: all that came.
        known: what they say together.
    """

    def __init__(self, stream: AsyncGenerator[WatchItem]) -> None:
        self.items: list[WatchItem] = []
        self.known = WatchedSession()
        self._stream = stream

    async def take(self) -> WatchItem:
        """The next item.

        Raises:
            TimeoutError: there is none. StopAsyncIteration: the watch ended. What the watch raises.
        """
        async with asyncio.timeout(WITHIN_SECONDS):
            item = await anext(self._stream)
        self.items.append(item)
        self.known.take(item)
        return item

    async def until(self, holds: Callable[[WatchedSession], Any]) -> WatchedSession:
        """Take items until something holds of what they say.

        Raises:
            AssertionError: they end, or none comes, before it does.
        """
        while not holds(self.known):
            try:
                await self.take()
            except TimeoutError as error:
                raise AssertionError(f"no more items after {self.kinds}; known: {self.known}") from error
        return self.known

    @property
    def kinds(self) -> list[str]:
        """What came, by name; of activities their types."""
        return [kind_of(item) for item in self.items]

    @property
    def said(self) -> list[str]:
        """The history that it knows, as ``texts_of``."""
        return texts_of(self.known.messages)


def kind_of(item: WatchItem) -> str:
    """``observation``, ``gap``, the type of an event, or of its activity."""
    match item:
        case SessionObservation():
            return "observation"
        case SessionGap():
            return "gap"
        case SessionObservationEvent(payload=payload):
            activity = getattr(payload, "activity", None)
            return payload.type if activity is None else activity.event.type


@asynccontextmanager
async def reading(scene: Scene, cursor: str | None = None) -> AsyncGenerator[Reader]:
    """One who watches a scene's session; its first item has come when the body begins, where there is no cursor."""
    stream = observer_of(scene).watch(cursor)
    reader = Reader(stream)
    try:
        if cursor is None:
            await reader.take()
        yield reader
    finally:
        await stream.aclose()
