"""Connections that break, hang and are refused: the page goes on where it was, and says how it stands."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from tests.browser.scripted_server import ScriptedSession, scripted, text_message
from tests.browser.seen import SeenPage

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

Server = tuple[str, ScriptedSession]
HIDE = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});"
TELL = "document.dispatchEvent(new Event('visibilitychange'))"


@pytest_asyncio.fixture(loop_scope="session")
async def server() -> AsyncGenerator[Server]:
    """A session that says what the test says, and its server's address."""
    async with scripted() as made:
        yield made


async def test_a_cut_connection_goes_on_behind_the_last_event(seen: SeenPage, server: Server) -> None:
    """By the browser itself, with ``Last-Event-ID``: no hole, no duplicate, no second observation."""
    url, session = server
    await seen.open_live(url, session.session_id)
    for number in range(5):
        session.activity("assistant_prose_delta", text=f"{number} ")
        await seen.until_text(f"{number} ", ".provisional")
        session.cut()
    session.commit(text_message("assistant", "0 1 2 3 4"))
    await seen.until_messages(1)

    heard = await seen.heard()
    assert ["observation", *["turn_activity"] * 5, "committed"] == [kind for kind, _ in heard]
    assert [f"c{number}" for number in range(7)] == [cursor for _, cursor in heard]
    assert 1 == await seen.connections()


async def test_a_server_that_refuses_for_a_while_is_asked_again_from_the_last_cursor(
    seen: SeenPage, server: Server
) -> None:
    """A browser gives an EventSource up that is answered 503."""
    url, session = server
    await seen.open_live(url, session.session_id)
    session.activity("assistant_prose_delta", text="before ")
    await seen.until_text("before", ".provisional")
    session.refuse = (503, "the store is away")
    session.cut()
    await seen.until_connection("waiting")
    session.activity("assistant_prose_delta", text="meanwhile")
    session.refuse = None
    await seen.until_text("before meanwhile", ".provisional")

    assert 1 == [kind for kind, _ in await seen.heard()].count("observation")
    assert {None, "c1"} == set(session.cursors)


async def test_a_cursor_that_is_not_taken_is_dropped(seen: SeenPage, server: Server) -> None:
    """The server answers 400: it is another life of the session. The page begins anew."""
    url, session = server
    await seen.open_live(url, session.session_id)
    session.commit(text_message("user", "old"))
    await seen.until_messages(1)
    session.refuse = (400, "the cursor is another session's")
    session.cut()
    await seen.until_connection("waiting")
    session.refuse = None
    session.messages = [text_message("user", "new"), text_message("assistant", "life")]
    await seen.until_messages(2)

    assert ["user: new", "assistant: life"] == await seen.history()
    assert session.cursors[-1] is None


async def test_events_that_are_trimmed_meanwhile_are_a_gap(seen: SeenPage, server: Server) -> None:
    url, session = server
    await seen.open_live(url, session.session_id)
    session.activity("assistant_prose_delta", text="half")
    await seen.until_text("half", ".provisional")
    session.messages = [text_message("user", "a"), text_message("assistant", "half and half")]
    session.events += session.events * 5
    session.kept_from = 6
    session.cut()
    await seen.until_messages(2)

    assert ["user: a", "assistant: half and half"] == await seen.history()
    assert "1" == await seen.find(".session").get_attribute("data-gaps")


async def test_a_connection_that_died_silently_is_opened_anew(seen: SeenPage, server: Server) -> None:
    """Nothing came for longer than the server ever is silent. The page's clock is wound on; nothing else says so."""
    url, session = server
    await seen.page.clock.install()
    await seen.open_live(url, session.session_id)
    await seen.page.clock.run_for(46_000)
    await seen.until("() => window.opened === 2")
    await seen.until_connection("live")

    assert [None, "c0"] == session.cursors


async def test_a_hidden_tab_gives_its_connection_back_and_catches_up(seen: SeenPage, server: Server) -> None:
    """A browser has six connections to a host, over all tabs."""
    url, session = server
    await seen.page.clock.install()
    await seen.open_live(url, session.session_id)
    await seen.page.evaluate(f"() => {{ {HIDE % 'true'} {TELL} }}")
    await seen.page.clock.run_for(36_000)
    await seen.until_connection("resting")
    session.commit(text_message("user", "a"), text_message("assistant", "b"))
    await seen.page.evaluate(f"() => {{ {HIDE % 'false'} {TELL} }}")
    await seen.page.clock.run_for(1_000)
    await seen.until_messages(2)

    assert ["observation", "committed"] == [kind for kind, _ in await seen.heard()]


async def test_a_session_that_is_deleted_says_so_and_may_begin_anew(seen: SeenPage, server: Server) -> None:
    url, session = server
    session.messages = [text_message("user", "old")]
    await seen.open_live(url, session.session_id)
    await seen.until_messages(1)
    session.say("ended", reason="deleted")
    session.refuse = (404, "no such session")
    session.cut()
    await seen.until_connection("missing")
    await seen.until_text("This session was deleted.", ".notice")
    assert [] == await seen.history()
    session.refuse = None
    session.messages = []
    await seen.send("hello again")
    await seen.until_connection("live")

    assert ["hello again"] == await seen.waiting()


async def test_two_tabs_see_the_same(seen: SeenPage, server: Server) -> None:
    url, session = server
    other = await seen.another_tab()
    await seen.open_live(url, session.session_id)
    await other.open_live(url, session.session_id)
    await seen.send("from the first")
    await seen.find(".queue .message").wait_for()
    session.activity("assistant_prose_delta", text="an answer")
    for tab in (seen, other):
        await tab.until_text("an answer", ".provisional")
    session.commit(text_message("user", "from the first", "m_batch_b1"), text_message("assistant", "an answer"))
    for tab in (seen, other):
        await tab.until_messages(2)

    assert ["user: from the first", "assistant: an answer"] == await seen.history() == await other.history()
    assert [] == await seen.waiting() == await other.waiting() == other.faults
