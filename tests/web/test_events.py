"""Event streams: where they begin, how they go on, what a slow reader, a full house and a stopping process mean."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lash_core.memory_store.live_replay import InMemoryLiveReplayStore
from lash_core.model.session_cursor import SessionCursor
from lash_core.model.session_observation import LiveReplayConfig
from lash_core.testing.waiting import eventually
from lash_core.web import WebConfig, WebLimits, end_streams
from tests.web.kit import Event, Web, address, events_of, say, streaming, take_turn, web_app

CHAT = "/sessions/chat/events"


def shown(events: list[Event]) -> tuple[list[str], str]:
    """What a page makes of events: the texts of the history, and what is provisional behind it."""
    messages: list[Any] = []
    provisional = ""
    for event in events:
        facts = event.data.get("observation", event.data)
        if event.type in ("observation", "gap", "committed"):
            messages[facts["first"] :] = facts["messages"]
            assert facts["message_count"] == len(messages)
            provisional = ""
        elif event.type == "turn_activity":
            provisional += event.data["activity"].get("text", "")
    return ["".join(part.get("text", "") for part in one["parts"]) for one in messages], provisional


def types(events: list[Event]) -> list[str]:
    return [event.type for event in events if event.type not in ("alive", "queue_changed")]


async def test_a_stream_begins_with_the_session_and_goes_on() -> None:
    """Observation, provisional text, commit; each with its cursor as id, and the wait before a reconnect first."""
    async with web_app() as web:
        await take_turn(web, "chat", "one", "first")
        async with streaming(web.app, CHAT) as stream:
            await stream.until(1)
            assert 200 == stream.status
            assert "text/event-stream; charset=utf-8" == stream.answered["content-type"]
            assert "no-store" == stream.answered["cache-control"]
            assert (["one", "first"], "") == shown(stream.events)
            await say(web, "chat", "sec", "ond")
            await eventually(lambda: "second" == shown(stream.events)[1])
            await take_turn(web, "chat", "two", "second")
            await eventually(lambda: "committed" in types(stream.events))
            assert (["one", "first", "two", "second"], "") == shown(stream.events)
            committed = stream.events[-1].data
            assert (2, 4) == (committed["first"], committed["message_count"])
        retry = events_of(stream.text)[0].retry
        assert retry is not None
        assert 500 <= retry <= 1_500
        for event in stream.events:
            assert event.data["cursor"] == event.id
            assert event.data["type"] == event.type
            assert "chat" == event.data["session_id"]


async def test_the_turn_under_way_is_told_from_its_beginning() -> None:
    """Who opens the page in its middle sees the same text as who was there before."""
    async with web_app() as web:
        await take_turn(web, "chat", "one", "first")
        await say(web, "chat", "pro", "visional")
        async with streaming(web.app, CHAT) as stream:
            await stream.until(3)
            assert (["one", "first"], "provisional") == shown(stream.events)


@pytest.mark.parametrize("by", ["header", "parameter", "both"])
async def test_a_reconnect_goes_on_behind_the_last_event(by: str) -> None:
    """Neither hole nor duplicate; the header is newer than the address that the browser keeps."""
    async with web_app() as web:
        await take_turn(web, "chat", "one", "first")
        cursors = await say(web, "chat", "a", "b", "c", "d")
        query = {"header": "", "parameter": f"cursor={cursors[1]}", "both": f"cursor={cursors[0]}"}[by]
        headers = {} if by == "parameter" else {"Last-Event-ID": cursors[1]}
        async with streaming(web.app, CHAT, query, headers) as stream:
            assert cursors[2:] == [event.id for event in await stream.until(2)]
            more = await say(web, "chat", "e")
            assert cursors[2:] + more == [event.id for event in await stream.until(3)]


async def test_an_id_may_be_any_text() -> None:
    """A browser sends its UTF-8 bytes, which a server reads as Latin-1."""
    name = "日本/käse:1"
    async with web_app() as web:
        await web.lash.session(name).create()
        cursors = await say(web, name, "a", "b")
        headers = {"Last-Event-ID": cursors[0]}
        async with streaming(web.app, f"/sessions/{name}/events", "", headers) as stream:
            assert cursors[1:] == [event.id for event in await stream.until(1)]


@pytest.mark.parametrize(
    ("cursor", "code"),
    [
        ("nonsense", "session_cursor_malformed"),
        ("lashsc1:1:x:chat", "session_cursor_malformed"),
        ("lashsc1:1:18446744073709551616:chat", "session_cursor_malformed"),
        ("lashsc1:1:1:", "session_cursor_malformed"),
        ("lashsc1:1:1:other", "session_cursor_wrong_session"),
    ],
)
async def test_a_bad_cursor_is_told_before_the_stream_begins(cursor: str, code: str) -> None:
    """Malformed or another session's: 400 with the error, by header and by parameter; the ring is not asked."""

    class Panic(InMemoryLiveReplayStore):
        async def subscribe_after_cursor(self, cursor: SessionCursor) -> Any:
            raise AssertionError(cursor)

    async with web_app() as web, web.http() as http:
        await web.lash.session("chat").create()
        web.lash.stores.live_replay = Panic()  # pyright: ignore[reportAttributeAccessIssue]
        for options in ({"params": {"cursor": cursor}}, {"headers": {"Last-Event-ID": cursor}}):
            refused = await http.get(CHAT, **options)  # pyright: ignore[reportArgumentType]
            assert (400, code) == (refused.status_code, refused.json()["error"]["code"])
            assert "cursor" == refused.json()["error"]["field"]
        broken = await http.get(CHAT, headers={"Last-Event-ID": b"lashsc1:1:1:\xff"})  # pyright: ignore[reportArgumentType]
        assert 400 == broken.status_code


async def test_a_cursor_that_cannot_be_replayed_is_a_gap() -> None:
    """From the future or dropped long ago: the reason, and a fresh observation to go on from."""
    async with web_app() as web:
        await take_turn(web, "chat", "one", "first")
        async with streaming(web.app, CHAT, "cursor=lashsc1:1:999:chat") as stream:
            gap = (await stream.until(1))[0]
            assert ("gap", "unavailable") == (gap.type, gap.data["reason"])
            assert "lashsc1:1:999:chat" == gap.data["requested_cursor"]
            assert gap.id == gap.data["latest_cursor"]
            await say(web, "chat", "more")
            await stream.until(2)
            assert (["one", "first"], "more") == shown(stream.events)
        before, _ = await say(web, "chat", "w", "x")
        web.clock.advance_ms(10 * 60_000)
        await say(web, "chat", "y", "z")
        async with streaming(web.app, CHAT, f"cursor={before}") as stream:
            assert "trimmed" == (await stream.until(1))[0].data["reason"]


async def test_a_session_that_is_not_there() -> None:
    """404 before the stream begins; ``ended`` when it is deleted under it, and nothing more."""
    async with web_app() as web, web.http() as http:
        refused = await http.get(address("none", "events"))
        assert (404, "unknown_session") == (refused.status_code, refused.json()["error"]["code"])
        await web.lash.session("chat").create()
        async with streaming(web.app, CHAT) as stream:
            await stream.until(1)
            await web.lash.session("chat").delete()
            await eventually(lambda: stream.ended)
            last = stream.events[-1]
            assert ("ended", "deleted", None) == (last.type, last.data["reason"], last.id)
        assert 0 == len(web.state.watchers)


async def test_who_hears_nothing_is_told_that_all_is_well() -> None:
    """As a comment for proxies and as an event for pages; it moves no cursor."""
    async with web_app(WebConfig(limits=WebLimits(alive_ms=20))) as web:
        await web.lash.session("chat").create()
        async with streaming(web.app, CHAT) as stream:
            await eventually(lambda: [event.type for event in stream.events].count("alive") >= 2)
            assert "\n\n: alive\nevent: alive\n" in stream.text
            alive = next(event for event in stream.events if event.type == "alive")
            assert (None, {"type": "alive"}) == (alive.id, alive.data)
            await say(web, "chat", "hello")
            await eventually(lambda: "hello" == shown(stream.events)[1])


async def test_a_burst_is_one_write() -> None:
    """What is ready goes out together, so that many watchers cost few writes."""
    async with web_app() as web:
        await web.lash.session("chat").create()
        async with streaming(web.app, CHAT) as stream:
            await stream.until(1)
            stream.reading.clear()
            await say(web, "chat", "the first one, at which the reader stops")
            await eventually(lambda: any(one.is_writing for one in web.state.watchers))
            await say(web, "chat", *["x"] * 200)
            before = stream.chunks
            stream.reading.set()
            await stream.until(202)
            assert stream.chunks - before <= 3


async def test_a_slow_reader_gets_a_gap_and_nobody_waits_for_it() -> None:
    """It holds no events; others hear everything meanwhile."""
    async with web_app() as web:
        stores = web.lash.stores
        stores.live_replay = InMemoryLiveReplayStore(LiveReplayConfig(max_events_per_session=50), clock=web.clock)  # pyright: ignore[reportAttributeAccessIssue]
        await take_turn(web, "chat", "one", "first")
        async with streaming(web.app, CHAT) as slow, streaming(web.app, CHAT) as quick:
            await asyncio.gather(slow.until(1), quick.until(1))
            slow.reading.clear()
            heard = len(quick.events)
            for n in range(200):
                heard += len(await say(web, "chat", f"{n},"))
                await quick.until(heard)
            assert 200 == types(quick.events).count("turn_activity")
            assert "gap" not in types(quick.events)

            slow.reading.set()
            await eventually(lambda: "gap" in types(slow.events))
            await take_turn(web, "chat", "two", "second")
            await eventually(lambda: shown(slow.events) == shown(quick.events))
            assert (["one", "first", "two", "second"], "") == shown(slow.events)


async def test_a_reader_that_takes_nothing_is_given_up() -> None:
    """Its place is free again."""
    async with web_app(WebConfig(limits=WebLimits(stall_ms=20))) as web:
        await web.lash.session("chat").create()
        stuck = streaming(web.app, CHAT)
        async with stuck as stream:
            await stream.until(1)
            stream.reading.clear()
            await say(web, "chat", "x")
            await eventually(lambda: 0 == len(web.state.watchers))


async def test_a_full_house_says_so() -> None:
    """429 and when to come back; a place that was left is free."""
    async with web_app(WebConfig(limits=WebLimits(watchers_max=2))) as web, web.http() as http:
        await web.lash.session("chat").create()
        async with streaming(web.app, CHAT) as one:
            async with streaming(web.app, CHAT) as two:
                await asyncio.gather(one.until(1), two.until(1))
                refused = await http.get(CHAT)
                assert (429, "too_many_watchers") == (refused.status_code, refused.json()["error"]["code"])
                assert "5" == refused.headers["retry-after"]
            async with streaming(web.app, CHAT) as three:
                await three.until(1)


async def test_a_process_that_stops_ends_its_streams() -> None:
    """Each is told, and none is taken any more; the cursor is good elsewhere."""
    async with web_app() as web, web.http() as http:
        await web.lash.session("chat").create()
        async with streaming(web.app, CHAT) as stream:
            cursor = (await stream.until(1))[0].id
            end_streams(web.app)
            end_streams(web.app)
            await eventually(lambda: stream.ended)
            assert {"type": "ended", "session_id": "chat", "reason": "shutdown"} == stream.events[-1].data
        refused = await http.get(CHAT)
        assert (503, "stopping") == (refused.status_code, refused.json()["error"]["code"])
        said = await say(web, "chat", "more")
        async with web_app_again(web) as again, streaming(again.app, CHAT, f"cursor={cursor}") as stream:
            assert said == [event.id for event in await stream.until(1)]


def web_app_again(web: Web) -> Any:
    """Another serving process over the same stores."""
    return web_app(stores=web.lash.stores)


async def test_a_reader_that_goes_is_forgotten() -> None:
    """Its subscription too: an unwatched session costs its ring and nothing else."""
    async with web_app() as web:
        await web.lash.session("chat").create()
        async with streaming(web.app, CHAT) as stream:
            await stream.until(1)
            assert 1 == len(web.state.watchers)
        assert 0 == len(web.state.watchers)


async def test_only_the_end_of_a_long_history_may_be_asked_for() -> None:
    """``first`` says where it begins; a commit then brings what is new."""
    async with web_app() as web, web.http() as http:
        for n in range(3):
            await take_turn(web, "chat", f"q{n}", f"a{n}")
        part = (await http.get(address("chat", "observation"), params={"messages": 2})).json()["observation"]
        assert (6, 4, 2) == (part["message_count"], part["first"], len(part["messages"]))
        async with streaming(web.app, CHAT, "messages=0") as stream:
            begin = (await stream.until(1))[0].data["observation"]
            assert (6, 6, []) == (begin["message_count"], begin["first"], begin["messages"])
            await take_turn(web, "chat", "q3", "a3")
            await eventually(lambda: "committed" in types(stream.events))
            assert (6, 2) == (stream.events[-1].data["first"], len(stream.events[-1].data["messages"]))
        for wrong in ("-1", "10001", "x", "1.5"):
            assert 400 == (await http.get(CHAT, params={"messages": wrong})).status_code
