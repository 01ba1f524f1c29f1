"""The rules of the page: what streams is provisional, what is taken back goes, history is what it was told last."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from tests.browser.scripted_server import ScriptedSession, scripted, text_message
from tests.browser.seen import SeenPage

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

HOSTILE = "<img src=x onerror='window.harmed=1'><script>window.harmed=1</script><b>bold</b>"


@pytest_asyncio.fixture(loop_scope="session")
async def server() -> AsyncGenerator[tuple[str, ScriptedSession]]:
    """A session that says what the test says, and its server's address."""
    async with scripted() as made:
        yield made


Server = tuple[str, ScriptedSession]


async def test_the_list_leads_to_a_session_whose_id_has_a_slash(seen: SeenPage, server: Server) -> None:
    url, session = server
    session.commit(text_message("user", "hello"))
    await seen.open(url)
    await seen.find(".sessions a").click()
    await seen.until_messages(1)

    assert ["user: hello"] == await seen.history()
    assert "scripted/one" == await seen.find("h1").text_content()


async def test_text_streams_and_the_commit_takes_its_place(seen: SeenPage, server: Server) -> None:
    url, session = server
    await seen.open_live(url, session.session_id)
    for piece in ("One ", "two ", "three"):
        session.activity("assistant_prose_delta", text=piece)
    await seen.until_text("One two three", ".provisional")
    session.commit(text_message("user", "count"), text_message("assistant", "One two three."))
    await seen.until_messages(2)

    assert ["user: count", "assistant: One two three."] == await seen.history()
    assert [] == await seen.provisional()


async def test_what_an_attempt_said_is_taken_back_and_nothing_else(seen: SeenPage, server: Server) -> None:
    url, session = server
    await seen.open_live(url, session.session_id)
    session.activity("assistant_prose_delta", "first", text="kept")
    session.activity("reasoning_delta", "second", text="a bad idea")
    session.activity("assistant_prose_delta", "second", text="wrong")
    await seen.until_text("wrong", ".provisional .text")
    session.activity("model_attempt_reset", "second")
    session.activity("assistant_prose_delta", "third", text="right")
    await seen.until_text("right", ".provisional")

    assert ["assistant: kept", "assistant: right"] == await seen.provisional()


async def test_a_tool_is_seen_while_it_runs_and_with_its_result(seen: SeenPage, server: Server) -> None:
    url, session = server
    await seen.open_live(url, session.session_id)
    session.activity("tool_call_started", "k1", call_id="k1", tool_name="price", args={"item": "mug"})
    await seen.find(".tool.running").wait_for()
    done = {"type": "success", "value": 900}
    session.activity("tool_call_completed", "k1", call_id="k1", tool_name="price", output=done)
    await seen.find(".tool.done").wait_for()
    assert ["assistant: price=900"] == await seen.provisional()

    call = {"type": "tool_call", "call_id": "k1", "tool_name": "price", "args": {"item": "mug"}}
    result = {"type": "tool_result", "call_id": "k1", "tool_name": "price", "output": done}
    session.commit(
        {"id": "a", "role": "assistant", "parts": [{"type": "text", "text": "Look:"}, call]},
        {"id": "r", "role": "user", "parts": [result]},
    )
    await seen.until_messages(2)

    assert ["assistant: Look: | price=900"] == await seen.history()


async def test_what_is_waited_for_are_the_tools_that_still_run(seen: SeenPage, server: Server) -> None:
    url, session = server
    await seen.open_live(url, session.session_id)
    for call, name in (("k1", "stock"), ("k2", "price")):
        session.activity("tool_call_started", call, call_id=call, tool_name=name, args={})
    await seen.until_text("using stock, price…", ".doing")
    done = {"type": "success", "value": 1}
    session.activity("tool_call_completed", "k2", call_id="k2", tool_name="price", output=done)
    await seen.until_text("using stock…", ".doing")
    session.activity("tool_call_completed", "k1", call_id="k1", tool_name="stock", output=done)
    await seen.until_text("working…", ".doing")


async def test_a_failed_tool_says_why(seen: SeenPage, server: Server) -> None:
    url, session = server
    await seen.open_live(url, session.session_id)
    output = {"type": "failure", "class": "external", "code": "gone", "message": "the warehouse is closed"}
    session.activity("tool_call_started", "k1", call_id="k1", tool_name="stock", args={})
    session.activity("tool_call_completed", "k1", call_id="k1", tool_name="stock", output=output)
    await seen.find(".tool.failed").wait_for()

    assert ["assistant: stock=the warehouse is closed"] == await seen.provisional()


async def test_a_gap_replaces_everything(seen: SeenPage, server: Server) -> None:
    url, session = server
    await seen.open_live(url, session.session_id)
    session.activity("assistant_prose_delta", text="lost soon")
    await seen.until_text("lost soon")
    session.messages = [text_message("user", "a"), text_message("assistant", "b")]
    session.say("gap", reason="lagged", requested_cursor="c1", observation=session.observation())
    await seen.until_messages(2)

    assert (["user: a", "assistant: b"], []) == (await seen.history(), await seen.provisional())


async def test_a_hole_in_the_history_is_noticed_and_filled(seen: SeenPage, server: Server) -> None:
    """A commit that begins behind what the page has: it asks for the whole session."""
    url, session = server
    await seen.open_live(url, session.session_id)
    session.messages = [text_message("user", f"m{number}") for number in range(5)]
    session.say("committed", message_count=5, first=4, messages=session.messages[4:])
    await seen.until_messages(5)

    assert [f"user: m{number}" for number in range(5)] == await seen.history()
    assert 2 == await seen.connections()


async def test_nothing_that_is_said_is_markup(seen: SeenPage, server: Server) -> None:
    """Messages, arguments, results, names, queued texts and errors of the server."""
    url, session = server
    session.session_id = f"x/{HOSTILE}"
    session.queued = [{"batch_id": "b0", "text": HOSTILE, "enqueued_at_ms": 1}]
    session.processes = [{"process_id": "p", "kind": HOSTILE, "label": HOSTILE, "status": HOSTILE}]
    await seen.open(url)
    await seen.find(".sessions a").click()
    await seen.until_connection("live")
    session.activity("assistant_prose_delta", text=HOSTILE)
    session.activity("tool_call_started", "k1", call_id="k1", tool_name=HOSTILE, args={HOSTILE: HOSTILE})
    session.activity("tool_call_completed", "k1", call_id="k1", output={"type": "success", "value": HOSTILE})
    session.activity("error", message=HOSTILE)
    await seen.find(".tool.done").wait_for()
    await seen.until_text("bold", ".notice")
    assert [f"assistant: {HOSTILE}", f"assistant: {HOSTILE}={HOSTILE}"] == await seen.provisional()
    session.commit(text_message("user", HOSTILE), text_message("assistant", HOSTILE))
    await seen.until_messages(2)

    assert [f"user: {HOSTILE}", f"assistant: {HOSTILE}"] == await seen.history()
    assert 0 == await seen.find("#page img, #page script, #page b").count()
    assert await seen.page.evaluate("window.harmed === undefined")


async def test_a_long_history_shows_its_end_and_the_rest_on_demand(seen: SeenPage, server: Server) -> None:
    url, session = server
    session.messages = [text_message("user", f"m{number}") for number in range(450)]
    await seen.open_live(url, session.session_id)
    await seen.until_messages(450)
    assert [f"user: m{number}" for number in range(250, 450)] == await seen.history()
    await seen.find(".earlier").click()
    await seen.until_text("m50")
    await seen.find(".earlier").click()
    await seen.find(".earlier").wait_for(state="hidden")
    assert [f"user: m{number}" for number in range(450)] == await seen.history()
    session.commit(text_message("assistant", "newest"))
    await seen.until_messages(451)
    assert 451 == len(await seen.history())


async def test_who_reads_above_is_not_pulled_down(seen: SeenPage, server: Server) -> None:
    url, session = server
    session.messages = [text_message("user", f"m{number} " * 60) for number in range(40)]
    await seen.open_live(url, session.session_id)
    await seen.until_messages(40)
    end = (
        "() => { const s = document.querySelector('.scroller'); return s.scrollHeight - s.scrollTop - s.clientHeight }"
    )
    await seen.until(f"() => ({end})() < 5")
    await seen.page.evaluate("document.querySelector('.scroller').scrollTop = 0")
    await seen.until(f"() => ({end})() > 500")
    session.activity("assistant_prose_delta", text="new")
    await seen.find(".jump").wait_for()
    assert 0 == await seen.page.evaluate("document.querySelector('.scroller').scrollTop")
    await seen.find(".jump").click()

    assert 5 > await seen.page.evaluate(end)


async def test_one_writes_below_what_is_said(seen: SeenPage, server: Server) -> None:
    """Not below the processes beside it."""
    url, session = server
    await seen.open_live(url, session.session_id)
    middle = (
        "(one) => { const box = document.querySelector(one).getBoundingClientRect(); return box.left + box.width / 2 }"
    )
    assert await seen.find(".side[open]").is_visible()
    assert await seen.page.evaluate(middle, ".scroller") == await seen.page.evaluate(middle, ".composer")


async def test_a_phone_shows_all_of_it_without_scrolling_sideways(seen: SeenPage, server: Server) -> None:
    url, session = server
    await seen.page.set_viewport_size({"width": 320, "height": 560})
    session.commit(text_message("assistant", "w" * 400), text_message("user", "https://example.org/" + "a" * 300))
    session.queued = [{"batch_id": "b1", "text": "q" * 300, "enqueued_at_ms": 1}]
    await seen.open_live(url, session.session_id)
    await seen.until_messages(2)
    session.activity("tool_call_started", "k", call_id="k", tool_name="t" * 60, args={"x": "y" * 300})
    await seen.find(".tool").wait_for()

    assert 320 == await seen.page.evaluate("document.scrollingElement.scrollWidth")
    wide = "[...document.querySelectorAll('.message')].filter((one) => one.getBoundingClientRect().right > 320)"
    assert [] == await seen.page.evaluate(f"{wide}.map((one) => one.outerHTML)")
    assert await seen.find("button[type=submit]").is_visible()
    lines = "document.querySelector('.title .facts').getBoundingClientRect().height < 30"
    assert await seen.page.evaluate(lines), "the facts take one line, also while a turn may be stopped"


async def test_an_answer_is_told_to_a_screen_reader_once_it_is_whole(seen: SeenPage, server: Server) -> None:
    url, session = server
    await seen.open_live(url, session.session_id)
    session.activity("assistant_prose_delta", text="Half an")
    await seen.until_text("Half an")
    assert "" == await seen.find("[aria-live=polite]").text_content()
    session.commit(text_message("assistant", "Half an answer."))

    await seen.until_text("Agent: Half an answer.", "[aria-live=polite]")
