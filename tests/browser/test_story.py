"""Real workers, the real web app, a real browser: what the page shows equals the history, whatever happens between."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from lash_core.testing.servers import ValkeyServer
from tests.browser.scenes import Story, story
from tests.browser.seen import SeenPage

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def scene() -> AsyncGenerator[Story]:
    """One server and one worker for all tests; each has a session of its own."""
    with ValkeyServer() as server:
        async with story(server.url) as made:
            await made.fleet.add("teller")
            yield made


async def test_a_conversation_with_a_tool_streams_and_ends_as_history(seen: SeenPage, scene: Story) -> None:
    """From a session that is not there yet; its id has what ids may have."""
    name = "talk/one: ü?&%41"
    await seen.open(scene.url, name)
    await seen.until_connection("missing")
    await seen.send("tool:slow-look say:12 hold:talk")
    await scene.until_held("slow-look")
    await seen.find(".tool.running").wait_for()
    assert ["user: tool:slow-look say:12 hold:talk", "assistant: Let me see. ", "assistant: work="] == (
        await seen.provisional()
    )
    scene.go("slow-look")
    await scene.until_held("talk")
    await seen.until_text("1 2 3 4 5 6 ", ".provisional")
    scene.go("talk")
    await scene.check(seen, name)
    await seen.send("say:3")
    await seen.until_messages(6)
    await scene.check(seen, name)

    assert [
        "user: tool:slow-look say:12 hold:talk",
        "assistant: Let me see.  | work=slow-look is done",
        "assistant: 1 2 3 4 5 6 7 8 9 10 11 12 ",
        "user: say:3",
        "assistant: 1 2 3 ",
    ] == await seen.history()


async def test_who_comes_in_the_middle_of_a_turn_sees_it_from_its_beginning(seen: SeenPage, scene: Story) -> None:
    await scene.session("middle").send("say:8 hold:middle")
    await scene.until_held("middle")
    await seen.open_live(scene.url, "middle")
    await seen.until_text("1 2 3 4 ", ".provisional")
    scene.go("middle")

    await scene.check(seen, "middle")


async def test_a_cut_connection_leaves_no_hole_and_no_duplicate(seen: SeenPage, scene: Story) -> None:
    """Cut in the middle of a text, and again while the rest comes."""
    await seen.open(scene.url, "cut")
    await seen.send("say:300 hold:cut")
    await scene.until_held("cut")
    await seen.until_text("150 ", ".provisional")
    scene.go("cut")
    for _ in range(2):
        scene.proxy.cut()
        await seen.until_connection("connecting")
        await seen.until_connection("live")
    await scene.check(seen, "cut")

    assert ["observation"] == [kind for kind, _ in await seen.heard() if kind in ("observation", "gap")]


async def test_a_text_that_broke_off_is_taken_back(seen: SeenPage, scene: Story) -> None:
    """The model's first attempt fails in the middle; what it said is not in the history, and not on the page."""
    await seen.open(scene.url, "broken")
    await seen.send("say:20 fail")
    await scene.check(seen, "broken")

    kinds = await seen.page.evaluate("window.kinds")
    assert "model_attempt_reset" in kinds


async def test_a_restart_of_the_serving_process_goes_unnoticed(seen: SeenPage, scene: Story) -> None:
    await seen.open(scene.url, "restart")
    await seen.send("say:40 hold:restart")
    await scene.until_held("restart")
    await seen.until_text("20 ", ".provisional")
    await scene.stop_web()
    await seen.until_connection("connecting")
    scene.go("restart")
    await scene.session("restart").park(30)
    await scene.start_web()
    await scene.check(seen, "restart")

    assert ["observation"] == [kind for kind, _ in await seen.heard() if kind in ("observation", "gap")]


async def test_two_tabs_and_a_sender_elsewhere_see_the_same(seen: SeenPage, scene: Story) -> None:
    other = await seen.another_tab()
    await scene.session("tabs").create()
    for tab in (seen, other):
        await tab.open_live(scene.url, "tabs")
    await seen.send("say:6 hold:tabs")
    await scene.until_held("tabs")
    late = await scene.session("tabs").send("from elsewhere")
    await other.until_text("from elsewhere", ".queue")
    scene.go("tabs")
    await late.answer(30)
    for tab in (seen, other):
        await scene.check(tab, "tabs")

    assert await seen.history() == await other.history()


async def test_an_input_is_taken_back_before_a_turn_has_it(seen: SeenPage, scene: Story) -> None:
    await seen.open(scene.url, "back")
    await seen.send("say:6 hold:back")
    await scene.until_held("back")
    await seen.until_text("1 2 3 ", ".provisional")
    await seen.send("never mind")
    await seen.find(".queue button").click()
    await seen.find(".queue .message").wait_for(state="detached")
    scene.go("back")
    await scene.check(seen, "back")

    assert ["user: say:6 hold:back", "assistant: 1 2 3 4 5 6 "] == await seen.history()


async def test_a_turn_is_stopped_from_the_page(seen: SeenPage, scene: Story) -> None:
    """It is never told to go on, and ends all the same."""
    await seen.open(scene.url, "stop")
    await seen.send("say:6 hold:stop")
    await scene.until_held("stop")
    await seen.until_text("1 2 3 ", ".provisional")
    await seen.find("text=Stop this turn").click()
    await seen.find(".session[data-working=false]:not([data-messages='0'])").wait_for()

    await scene.check(seen, "stop")
