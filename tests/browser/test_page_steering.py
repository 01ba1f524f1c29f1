"""Writing, taking back, stopping, logging in: what the page asks of its server, also by keyboard alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from lash_core.testing.waiting import eventually
from tests.browser.scripted_server import ScriptedSession, scripted, text_message
from tests.browser.seen import SeenPage

if TYPE_CHECKING:
    from playwright.async_api import Route

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

Server = tuple[str, ScriptedSession]


@pytest_asyncio.fixture(loop_scope="session")
async def server() -> AsyncGenerator[Server]:
    """A session that says what the test says, and its server's address."""
    async with scripted() as made:
        yield made


async def test_an_input_is_written_waits_and_is_answered(seen: SeenPage, server: Server) -> None:
    url, session = server
    await seen.open_live(url, session.session_id)
    await seen.find("textarea").press_sequentially("one")
    await seen.find("textarea").press("Shift+Enter")
    await seen.find("textarea").press_sequentially("two")
    await seen.find("textarea").press("Enter")
    await seen.find(".queue .message").wait_for()
    assert ["one\ntwo"] == await seen.waiting()
    session.activity("queued_work_started", "turn", batch_ids=["b1"], boundary="idle")
    await seen.until_text("one", ".provisional")
    assert (["user: one\ntwo"], []) == (await seen.provisional(), await seen.waiting())
    session.commit(text_message("user", "one\ntwo", "m_batch_b1"), text_message("assistant", "three"))
    await seen.until_messages(2)

    assert ["one\ntwo"] == [sent["text"] for sent in session.sent]
    assert ["user: one\ntwo", "assistant: three"] == await seen.history()


async def test_an_input_whose_answer_was_lost_is_sent_again_under_the_same_key(seen: SeenPage, server: Server) -> None:
    url, session = server
    await seen.open_live(url, session.session_id)

    async def lose(route: Route) -> None:
        await route.fetch()
        await route.abort()

    await seen.page.route("**/input", lose, times=1)
    await seen.find("textarea").fill("buy a mug")
    await seen.find("textarea").press("Enter")
    await seen.until_text("does not answer", ".notice")
    await seen.find("textarea").press("Enter")
    await seen.find(".queue .message").wait_for()

    assert ["buy a mug", "buy a mug"] == [sent["text"] for sent in session.sent]
    assert 1 == len({sent["source_key"] for sent in session.sent})
    await seen.send("buy a mug")
    assert 2 == len({sent["source_key"] for sent in session.sent})


async def test_an_input_that_waits_can_be_taken_back(seen: SeenPage, server: Server) -> None:
    url, session = server
    session.queued = [{"batch_id": "b7", "text": "never mind", "enqueued_at_ms": 1}]
    await seen.open_live(url, session.session_id)
    await seen.find(".queue button").click()
    await seen.find(".queue .message").wait_for(state="detached")

    assert [{"input_id": "b7"}] == session.cancelled


async def test_what_others_enqueue_and_take_back_is_seen(seen: SeenPage, server: Server) -> None:
    url, session = server
    await seen.open_live(url, session.session_id)
    session.queued = [{"batch_id": "b8", "text": "from elsewhere", "enqueued_at_ms": 1}]
    session.say("queue_changed", kind="enqueued", batch_ids=["b8"])
    await seen.until_text("from elsewhere", ".queue")
    # An older answer that still lists it does not bring it back.
    session.say("queue_changed", kind="cancelled", batch_ids=["b8"])
    await seen.find(".queue .message").wait_for(state="detached")


async def test_an_older_answer_neither_takes_an_input_away_nor_brings_one_back(seen: SeenPage, server: Server) -> None:
    """It was made before: it lists what was cancelled since, and not what was sent since."""
    url, session = server
    await seen.open_live(url, session.session_id)
    asked, late, taken = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def answer_late(route: Route) -> None:
        answer = await route.fetch()
        asked.set()
        await late.wait()
        await route.fulfill(response=answer)
        taken.set()

    await seen.page.route("**/observation*", answer_late, times=1)
    session.queued = [{"batch_id": "b8", "text": "cancelled since", "enqueued_at_ms": 1}]
    session.say("queue_changed", kind="enqueued", batch_ids=["b8"])
    await asked.wait()
    session.queued = []
    session.say("queue_changed", kind="cancelled", batch_ids=["b8"])
    await seen.send("sent since")
    await seen.until_text("sent since", ".queue")
    late.set()
    await taken.wait()
    session.activity("assistant_prose_delta", text="drawn")
    await seen.until_text("drawn", ".provisional")

    assert ["sent since"] == await seen.waiting()


async def test_a_turn_can_be_stopped(seen: SeenPage, server: Server) -> None:
    url, session = server
    await seen.open_live(url, session.session_id)
    assert await seen.find("text=Stop this turn").is_hidden()
    session.activity("assistant_prose_delta", text="on and on")
    await seen.find("text=Stop this turn").click()
    await eventually(lambda: bool(session.cancelled))
    session.commit(text_message("assistant", "on and on"))

    await seen.find("text=Stop this turn").wait_for(state="hidden")


async def test_a_process_is_seen_and_cancelled(seen: SeenPage, server: Server) -> None:
    url, session = server
    await seen.open_live(url, session.session_id)
    session.processes = [{"process_id": "p1", "kind": "deliver", "label": "mug", "status": "running"}]
    session.say("process_changed", kind="started", process_ids=["p1"])
    await seen.find("[data-process-id=p1] button").click()
    await eventually(lambda: bool(session.cancelled))

    assert [{"process_ids": ["p1"]}] == session.cancelled


async def test_a_process_tells_how_it_stands_and_the_end_of_its_log(seen: SeenPage, server: Server) -> None:
    url, session = server
    failure = {"class": "external", "code": "lost", "message": "the parcel is lost"}
    log = [{"sequence": 8, "event_type": "packed", "occurred_at_ms": 1, "payload": {"items": 2}}]
    facts = {"kind": "deliver", "label": "mug", "created_at_ms": 1}
    session.processes = [
        facts | {"process_id": "p1", "status": "running", "waiting": True, "events": log, "events_before": 7},
        facts | {"process_id": "p2", "status": "failed", "failure": failure},
        facts | {"process_id": "p3", "status": "running", "cancelling": True},
    ]
    await seen.open_live(url, session.session_id)
    await seen.find("[data-process-id=p3]").wait_for()

    assert ["waiting", "failed", "cancelling"] == await seen.find(".processes .state").all_text_contents()
    assert "the parcel is lost" == await seen.find("[data-process-id=p2] .failure").text_content()
    assert 1 == await seen.find(".processes button").count()
    await seen.find("[data-process-id=p1] summary").click()
    assert ["7 earlier", "packed items: 2"] == await seen.find("[data-process-id=p1] .log li").all_text_contents()


async def test_what_a_turn_took_in_before_the_page_came_has_its_text(seen: SeenPage, server: Server) -> None:
    url, session = server
    session.activity("queued_work_started", "turn", batch_ids=["b3"], boundary="idle")
    session.queued = [{"batch_id": "b3", "text": "said before", "enqueued_at_ms": 1}]
    await seen.open_live(url, session.session_id)
    session.activity("queued_work_started", "turn", batch_ids=["b3"], boundary="idle")
    await seen.until_text("said before", ".provisional")

    assert ([], ["user: said before"]) == (await seen.waiting(), await seen.provisional())


async def test_everything_is_reached_by_keyboard(seen: SeenPage, server: Server) -> None:
    """From the list into a session, to its queue's button, and back."""
    url, session = server
    session.queued = [{"batch_id": "b7", "text": "never mind", "enqueued_at_ms": 1}]
    await seen.open(url)
    await seen.find(".sessions a").wait_for()
    await seen.find(".sessions a").focus()
    await seen.page.keyboard.press("Enter")
    await seen.find(".queue button").wait_for()
    reached: list[str] = []
    await seen.page.evaluate("document.activeElement.blur()")
    for _ in range(12):
        await seen.page.keyboard.press("Tab")
        reached.append(await seen.page.evaluate("document.activeElement.className || document.activeElement.tagName"))

    assert {"back", "scroller", "quiet", "TEXTAREA"} <= set(reached)


async def test_a_server_that_takes_nothing_offers_nothing(seen: SeenPage, server: Server) -> None:
    url, session = server
    session.writes = False
    session.queued = [{"batch_id": "b7", "text": "waits", "enqueued_at_ms": 1}]
    await seen.open_live(url, session.session_id)
    session.activity("assistant_prose_delta", text="on and on")
    await seen.until_text("on and on")

    assert 0 == await seen.find("textarea").count()
    assert 0 == await seen.find(".queue button").count()
    assert await seen.find("text=Stop this turn").is_hidden()


async def test_a_server_with_a_token_is_logged_in_to(seen: SeenPage, server: Server) -> None:
    url, session = server
    session.token = "correct-horse-battery"
    session.messages = [text_message("user", "secret")]
    await seen.open(url, session.session_id)
    await seen.find("input[type=password]").fill("wrong")
    await seen.page.keyboard.press("Enter")
    await seen.until_text("wrong token", ".notice")
    await seen.find("input[type=password]").fill(session.token)
    await seen.page.keyboard.press("Enter")
    await seen.until_messages(1)

    assert ["user: secret"] == await seen.history()
    assert await seen.page.evaluate("document.cookie === ''"), "the page's own scripts cannot read the cookie"


async def test_a_login_that_ends_is_asked_for_again_and_goes_on(seen: SeenPage, server: Server) -> None:
    url, session = server
    await seen.open_live(url, session.session_id)
    session.token = "correct-horse-battery"
    session.cut()
    await seen.find("input[type=password]").fill(session.token)
    session.commit(text_message("user", "meanwhile"))
    await seen.page.keyboard.press("Enter")
    await seen.until_messages(1)

    assert ["user: meanwhile"] == await seen.history()


async def test_a_logout_that_failed_says_so(seen: SeenPage, server: Server) -> None:
    """Who leaves relies on it."""
    url, session = server
    session.token = "correct-horse-battery"
    await seen.open(url)
    await seen.find("input[type=password]").fill(session.token)
    await seen.page.keyboard.press("Enter")
    await seen.find(".sessions a").wait_for()
    session.refuse = (503, "the store does not answer")
    await seen.find("text=Log out").click()
    await seen.until_text("You are still logged in", ".notice")
    session.refuse = None
    await seen.find(".sessions a").wait_for()

    assert await seen.find("text=Log out").is_visible()


async def test_who_may_not_see_a_session_is_told_so(seen: SeenPage, server: Server) -> None:
    """There is nothing to log in to: the host's own rules said no."""
    url, session = server
    session.refuse = (403, "you may not watch here")
    await seen.open(url, session.session_id)
    await seen.until_connection("refused")
    await seen.until_text("you may not watch here", ".notice")

    assert 0 == await seen.find("input[type=password]").count()
