"""A watch and its keeper when stores fail, lose their rings or are closed."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from lash_core.client import LashClient
from lash_core.errors import StoreUnreachableError
from lash_core.errors.observation import LiveReplayClosedError, LiveReplayFailedError
from lash_core.memory_store.live_replay import InMemoryLiveReplayStore
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.session_cursor import SessionCursor
from lash_core.model.session_observation import (
    LiveReplayConfig,
    LiveReplayGapReason,
    SessionGap,
    SessionObservation,
    SessionObservationEvent,
    WatchItem,
)
from lash_core.runtime.observation import commit_repair, session_watch
from lash_core.runtime.observation.commit_repair import CommitKeeper, WatchPlace, watched
from lash_core.runtime.observation.session_observer import SessionObserver
from lash_core.testing.waiting import eventually
from tests.runtime.watching.kit import saying

STEP_SECONDS = 10.0


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_repair, "GRACE_MS", 5)
    monkeypatch.setattr(session_watch, "RETRY_DELAY_MS", 1)
    monkeypatch.setattr(session_watch, "RETRY_DELAY_MAX_MS", 2)


class Failing:
    """Rings of which some verbs fail so often."""

    def __init__(self, live_replay: InMemoryLiveReplayStore) -> None:
        self.inner = live_replay
        self.failures: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self.inner, name)
        if not inspect.iscoroutinefunction(verb):
            return verb

        async def call(*args: Any, **kwargs: Any) -> Any:
            if self.failures.get(name, 0) > 0:
                self.failures[name] -= 1
                raise LiveReplayFailedError(f"{name} fails")
            return await verb(*args, **kwargs)

        return call


async def stores_with(config: LiveReplayConfig | None = None) -> tuple[InMemoryStores, Failing]:
    """Stores with a session ``chat`` and rings that can fail."""
    stores = InMemoryStores()
    await LashClient(stores).session("chat").create()
    failing = Failing(InMemoryLiveReplayStore(config))
    stores.live_replay = failing  # type: ignore[assignment]
    return stores, failing


async def say(rings: Failing, *texts: str) -> None:
    for text in texts:
        await rings.inner.append("chat", 0, saying(text).payload)


@asynccontextmanager
async def watching(stores: InMemoryStores, cursor: str | None = None) -> AsyncGenerator[AsyncGenerator[WatchItem]]:
    items = SessionObserver("chat", stores).watch(cursor)
    try:
        yield items
    finally:
        await items.aclose()


async def step(items: AsyncGenerator[WatchItem]) -> WatchItem:
    async with asyncio.timeout(STEP_SECONDS):
        return await anext(items)


async def test_a_store_that_fails_before_the_first_item_is_an_error() -> None:
    """Whoever asked can still answer with it."""
    stores, rings = await stores_with()
    rings.failures = {"subscribe_after_cursor": 1}
    async with watching(stores) as items:
        with pytest.raises(LiveReplayFailedError):
            await step(items)


async def test_a_store_that_fails_later_is_waited_for() -> None:
    """Its reader notices nothing."""
    stores, rings = await stores_with()
    async with watching(stores) as items:
        await step(items)
        await say(rings, "one")
        assert isinstance(await step(items), SessionObservationEvent)
        rings.failures = {"subscribe_after_cursor": 3}
        await _interrupt(items)
        await say(rings, "two")
        event = await step(items)
        assert isinstance(event, SessionObservationEvent)
        assert (2, 0) == (event.position, rings.failures["subscribe_after_cursor"])


async def test_a_session_store_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it would have to say whether the session is still there."""
    stores, rings = await stores_with()
    factory = stores.session_store_factory
    found, fails = factory.open_existing_store, 3

    async def away(session_id: str) -> Any:
        nonlocal fails
        fails -= 1
        if fails >= 0:
            raise StoreUnreachableError("away")
        return await found(session_id)

    async with watching(stores) as items:
        await step(items)
        monkeypatch.setattr(factory, "open_existing_store", away)
        await _interrupt(items)
        await say(rings, "one")
        assert isinstance(await step(items), SessionObservationEvent)
        assert fails < 0


async def test_a_reader_that_does_not_keep_up_gets_a_gap() -> None:
    """And goes on behind it; the ring holds no more than its bound for it."""
    stores, rings = await stores_with(LiveReplayConfig(max_events_per_session=2))
    async with watching(stores) as items:
        await step(items)
        await say(rings, *(str(number) for number in range(9)))
        gap = await step(items)
        assert isinstance(gap, SessionGap)
        assert LiveReplayGapReason.TRIMMED == gap.gap.reason
        assert SessionCursor.new("chat", 0, 9) == gap.observation.cursor
        await say(rings, "next")
        event = await step(items)
        assert isinstance(event, SessionObservationEvent)
        assert 10 == event.position


async def test_closed_rings_end_a_watch_with_an_error() -> None:
    """Never in silence."""
    stores, rings = await stores_with()
    async with watching(stores) as items:
        await step(items)
        await rings.inner.close()
        with pytest.raises(LiveReplayClosedError):
            await step(items)


async def test_stores_that_were_closed_here_end_a_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions cannot be read any more either, and they are not waited for."""
    stores, rings = await stores_with()

    async def closed(_session_id: str) -> Any:
        raise StoreUnreachableError("the connection was closed by this process")

    async with watching(stores) as items:
        await step(items)
        await rings.inner.close()
        monkeypatch.setattr(stores.session_store_factory, "open_existing_store", closed)
        with pytest.raises(LiveReplayClosedError):
            await step(items)


async def test_a_ring_that_lost_its_events_is_noticed() -> None:
    """A server that came back empty says nothing by itself; the keeper compares."""
    stores, rings = await stores_with()
    async with watching(stores) as items:
        await step(items)
        await say(rings, "one", "two")
        await step(items)
        await step(items)
        rings.inner = InMemoryLiveReplayStore()
        [keeper] = _keepers(stores)
        await keeper.check()
        gap = await step(items)
        assert isinstance(gap, SessionGap)
        assert LiveReplayGapReason.UNAVAILABLE == gap.gap.reason
        await say(rings, "three")
        assert isinstance(await step(items), SessionObservationEvent)


async def test_watches_of_one_session_share_a_keeper_while_they_last() -> None:
    """The last one to leave ends it."""
    stores, _ = await stores_with()
    async with watching(stores) as first, watching(stores) as second:
        await step(first)
        await step(second)
        [keeper] = _keepers(stores)
        assert 2 == len(keeper.places)
    assert [] == _keepers(stores)
    await eventually(lambda: not [one for one in asyncio.all_tasks() if one.get_name() == "lash-commit-keeper"])


async def test_a_keeper_outlives_a_store_that_fails() -> None:
    """It looks again."""
    stores, rings = await stores_with()
    rings.failures = {"current_cursor": 2}
    looked = asyncio.Event()
    read = stores.session_store_factory.open_existing_store

    async def noticed(session_id: str) -> Any:
        if not rings.failures["current_cursor"]:
            looked.set()
        return await read(session_id)

    stores.session_store_factory.open_existing_store = noticed
    async with watched("chat", stores):
        async with asyncio.timeout(STEP_SECONDS):
            await looked.wait()


async def test_a_deleted_session_interrupts_its_watches() -> None:
    """Also where their rings were not told."""
    stores, _ = await stores_with()
    await stores.session_store_factory.delete_session("chat")
    keeper, place = CommitKeeper("chat", stores), WatchPlace()
    keeper.places.add(place)
    interrupted = asyncio.Event()

    class Subscription:
        async def aclose(self) -> None:
            interrupted.set()

    place.subscription = Subscription()  # type: ignore[assignment]
    assert not await keeper.check()
    assert interrupted.is_set()
    assert not place.is_behind


async def test_an_observation_is_of_the_stored_session() -> None:
    """Before its first commit it is empty."""
    stores, _ = await stores_with()
    observer = SessionObserver("chat", stores)
    assert "SessionObserver('chat')" == repr(observer)
    async with watching(stores) as items:
        first = await step(items)
        assert isinstance(first, SessionObservation)
        assert first.cursor == (await observer.current_session_observation()).cursor
        assert () == first.read_view.messages


def _keepers(stores: InMemoryStores) -> list[CommitKeeper]:
    return list(commit_repair._KEEPERS.get(stores.live_replay, {}).values())


async def _interrupt(items: AsyncGenerator[WatchItem]) -> None:
    """End what the watch waits at, as a lost connection would."""
    del items
    for keepers in list(commit_repair._KEEPERS.values()):
        for keeper in keepers.values():
            for place in keeper.places:
                await place.interrupt(is_behind=False)
