"""Processes for people and projectors: what a session and the fleet show, and a feed that a name remembers."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from lash_core.client import LashClient
from lash_core.clock import VirtualClock
from lash_core.errors import InvalidArgumentError, InvalidCursorError, StoreClosedError, StoreUnreachableError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.model.reports import ChangeCursor, ProcessChanges
from lash_core.redis_store.stores import RedisStores
from lash_core.runtime.observation.process_views import PAYLOAD_BYTES_MAX, fleet_snapshot
from lash_core.testing.conformance.process_registry.arrange import OUTPUTS, completed, note, registered, scope
from lash_core.testing.servers import ValkeyServer
from lash_core.testing.waiting import eventually

START = ChangeCursor.initial()


@pytest.fixture
def stores() -> InMemoryStores:
    return InMemoryStores(VirtualClock())


@pytest.fixture
def lash(stores: InMemoryStores) -> LashClient:
    return LashClient(stores)


async def ids(feed: AsyncGenerator[ProcessChanges, None]) -> list[str]:
    return [row.id async for page in feed for row in page.records]


# -- views ---------------------------------------------------------------------------------------------


async def test_a_session_shows_its_processes_with_the_ends_of_their_logs(
    lash: LashClient, stores: InMemoryStores
) -> None:
    """Newest first, a bounded tail each, and how much came before it."""
    mine = scope()
    for texts in ("abc", ""):
        record = await registered(lash.stores)
        await lash.stores.process_registry.grant_handle(mine, record.id, ProcessHandleDescriptor())
        for text in texts:
            await lash.stores.process_registry.append_event(record.id, note(text))
        await stores.advance_clock(1)

    seen = await lash.session(mine.session_id).processes(events=2)

    assert 2 == seen.total
    assert [([], 0), (["b", "c"], 1)] == [
        ([event.payload["text"] for event in view.events], view.events_before) for view in seen.processes
    ]
    items = seen.to_json_value()["items"]
    assert [[], [2, 3]] == [[event["sequence"] for event in item["events"]] for item in items]
    assert [[mine.scope_id]] * 2 == [item["scopes"] for item in items]


async def test_a_large_payload_is_told_by_its_size(lash: LashClient) -> None:
    """A page of them would be megabytes."""
    mine = scope()
    record = await registered(lash.stores)
    await lash.stores.process_registry.grant_handle(mine, record.id, ProcessHandleDescriptor())
    await lash.stores.process_registry.append_event(record.id, note("x" * PAYLOAD_BYTES_MAX))

    (item,) = (await lash.session(mine.session_id).processes()).to_json_value()["items"]

    assert "payload" not in item["events"][0]
    assert PAYLOAD_BYTES_MAX < item["events"][0]["payload_bytes"] < PAYLOAD_BYTES_MAX + 50


async def test_a_failure_is_shown_and_cut(lash: LashClient) -> None:
    """Class, code and the beginning of its message."""
    await completed(lash.stores, output=OUTPUTS["failed"])

    (item,) = (await lash.fleet(status="failed")).to_json_value()["items"]

    assert {"class": "execution", "code": "process_failed", "message": "ValueError: no"} == item["failure"]
    assert "failed" == item["status"]


async def test_the_fleet_goes_on_from_its_snapshot(lash: LashClient) -> None:
    """What the snapshot shows and what the feed tells from its cursor on is everything, once."""
    shown = await registered(lash.stores)
    snapshot = await lash.fleet(limit=10, events=1)
    later = await registered(lash.stores)

    assert [shown.id] == [view.record.id for view in snapshot.processes]
    assert [later.id] == await ids(lash.changes(snapshot.cursor))
    assert 1 == snapshot.facts.processes["running"]
    assert snapshot.cursor.token == snapshot.to_json_value()["cursor"]


@pytest.mark.parametrize(
    ("bounds", "field"), [({"limit": 201}, "limit"), ({"limit": -1}, "limit"), ({"events": 101}, "events")]
)
async def test_bounds_are_checked(lash: LashClient, bounds: dict[str, Any], field: str) -> None:
    """Named with their limit."""
    with pytest.raises(InvalidArgumentError, match=field) as refused:
        await fleet_snapshot(lash.stores.process_registry, lash.stores.directory, **bounds)
    with pytest.raises(InvalidArgumentError):
        await lash.session("s").processes(**bounds)

    assert field == refused.value.field


# -- the feed of projectors ----------------------------------------------------------------------------


async def test_a_name_goes_on_where_it_stopped(lash: LashClient) -> None:
    """Each row once, as long as its reader lives."""
    first = await registered(lash.stores)
    assert [first.id] == await ids(lash.changes(name="n"))
    second = await registered(lash.stores)

    assert [second.id] == await ids(lash.changes(name="n"))
    assert [] == await ids(lash.changes(name="n"))
    assert [first.id, second.id] == await ids(lash.changes(name="other"))


async def test_a_reader_that_dies_sees_its_page_again(lash: LashClient) -> None:
    """The position moves when the next page is asked for: what was not worked on is not lost."""
    record = await registered(lash.stores)
    feed = lash.changes(name="n")
    page = await anext(feed)
    await feed.aclose()

    assert [record.id] == [row.id for row in page.records]
    assert [record.id] == await ids(lash.changes(name="n"))


async def test_retention_waits_for_a_name_before_its_first_page(lash: LashClient) -> None:
    """A projector that begins beside a reaper loses nothing."""
    ended = await completed(lash.stores)
    feed = lash.changes(name="n", follow=True)
    taking = asyncio.ensure_future(anext(feed))
    await taking
    cursors = [cursor for cursor, _ in (await lash.stores.directory.projectors()).values()]
    up_to = lash.stores.process_registry.earliest_cursor(cursors)

    report = await lash.stores.process_registry.prune_terminal_processes(ended.updated_at_ms + 1, up_to_cursor=up_to)
    await feed.aclose()

    assert up_to is not None
    assert await lash.get(ended.id) is not None, report


async def test_a_follower_hears_of_what_comes(lash: LashClient) -> None:
    """And never ends by itself."""
    heard: list[str] = []

    async def follow() -> None:
        async for page in lash.changes(name="n", follow=True):
            heard.extend(row.id for row in page.records)

    following = asyncio.create_task(follow())
    await asyncio.sleep(0)
    record = await registered(lash.stores)
    await eventually(lambda: heard == [record.id])
    await lash.stores.process_registry.append_event(record.id, note("again"))
    await eventually(lambda: heard == [record.id, record.id])
    following.cancel()
    await asyncio.wait([following])

    assert following.cancelled()


async def test_a_limit_ends_at_a_row(lash: LashClient) -> None:
    """The cursor of the last page is behind the last row that came."""
    rows = [await registered(lash.stores) for _ in range(3)]
    pages = [page async for page in lash.changes(limit=2)]

    assert [rows[0].id, rows[1].id] == [row.id for page in pages for row in page.records]
    assert [rows[2].id] == await ids(lash.changes(pages[-1].cursor.token))


async def test_a_feed_with_nothing_answers_its_cursor(lash: LashClient) -> None:
    """One empty page: somebody may keep it and come back."""
    (page,) = [page async for page in lash.changes()]

    assert ((), "") == (page.records, page.cursor.token)


async def test_wrong_positions_are_refused(lash: LashClient) -> None:
    """A cursor that no store issued, a limit of none."""
    with pytest.raises(InvalidCursorError):
        await ids(lash.changes("nonsense"))
    with pytest.raises(InvalidArgumentError, match="limit"):
        lash.changes(limit=0)


@pytest.mark.parametrize("name", ["", " ", "a#b", "a\nb", " a", "n" * 201])
async def test_a_name_is_an_id(lash: LashClient, name: str) -> None:
    """Refused at once, whatever it is for: by the client before anything is read, by the store again."""
    directory = lash.stores.directory
    with pytest.raises(InvalidArgumentError, match="projector name") as refused:
        lash.changes(name=name)
    assert "name" == refused.value.field
    for asked in (lash.forget_projector(name), directory.forget_projector(name), directory.put_projector(name, START)):
        with pytest.raises(InvalidArgumentError, match="projector name"):
            await asked
    assert {} == await directory.projectors()


async def test_a_follower_waits_for_a_store_that_is_away(
    lash: LashClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And says so once; who does not follow, or has not begun, hears of it."""
    registry, directory = lash.stores.process_registry, lash.stores.directory
    first, faults = await registered(lash.stores), itertools.cycle([StoreUnreachableError("gone"), None])
    read, put = registry.processes_changed_since, directory.put_projector

    async def failing_read(*args: Any) -> Any:
        if (fault := next(faults)) is not None:
            raise fault
        return await read(*args)

    async def failing_put(*args: Any) -> Any:
        if (fault := next(faults)) is not None:
            raise fault
        return await put(*args)

    feed = lash.changes(name="n", follow=True)
    assert [first.id] == [row.id for row in (await anext(feed)).records]
    with monkeypatch.context() as patched:
        patched.setattr(registry, "processes_changed_since", failing_read)
        patched.setattr(directory, "put_projector", failing_put)
        second = await registered(lash.stores)
        assert [second.id] == [row.id for row in (await anext(feed)).records]
        with pytest.raises(StoreUnreachableError):
            await ids(lash.changes())
        next(faults)
        with pytest.raises(StoreUnreachableError):
            await anext(lash.changes(follow=True))
    await feed.aclose()

    said = [record.message for record in caplog.records if "feed" in record.message]
    assert ["the feed of changes waits for the store: gone", "the feed of changes goes on"] * 2 == said


async def test_a_follower_does_not_wait_for_stores_that_were_closed_here() -> None:
    """They never come back."""
    with ValkeyServer() as server:
        async with RedisStores.connect(server.url) as stores:
            feed = LashClient(stores).changes(follow=True)
            waiting = asyncio.ensure_future(anext(feed))
            await LashClient(stores).session("chat").create()
        with pytest.raises(StoreClosedError):
            await asyncio.wait_for(waiting, 10)


async def test_a_forgotten_name_begins_anew(lash: LashClient) -> None:
    """Retention no longer waits for it."""
    record = await registered(lash.stores)
    await ids(lash.changes(name="n"))

    assert await lash.forget_projector("n")
    assert not await lash.forget_projector("n")
    assert {} == await lash.stores.directory.projectors()
    assert [record.id] == await ids(lash.changes(name="n"))
