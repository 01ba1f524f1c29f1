"""Workers and servers that die while the page is open."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from lash_core.testing.servers import ValkeyServer
from tests.browser.scenes import Story, story
from tests.browser.seen import SeenPage

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def server() -> AsyncGenerator[ValkeyServer]:
    """A server that may be restarted."""
    with ValkeyServer() as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def scene(server: ValkeyServer) -> AsyncGenerator[Story]:
    """No worker yet."""
    async with story(server.url) as made:
        yield made


async def test_a_worker_that_is_killed_while_it_streams(seen: SeenPage, scene: Story) -> None:
    """Its half text goes, its peer's whole one comes: the page never shows both at the end."""
    victim = await scene.fleet.add("victim")
    await seen.open(scene.url, "killed")
    await seen.send("say:20 hold:killed")
    await scene.until_held("killed")
    await seen.until_text("10 ", ".provisional")
    victim.kill()
    await scene.fleet.add("peer")
    await scene.until_held("killed")
    await seen.until(
        "() => [...document.querySelectorAll('.provisional .text')]"
        ".filter((one) => one.textContent.startsWith('1 2 3')).length === 1"
    )
    scene.go("killed")

    await scene.check(seen, "killed")


async def test_a_worker_that_is_restarted_in_the_middle_of_a_turn(seen: SeenPage, scene: Story) -> None:
    """It is drained: the turn it runs ends, and the next one is its successor's."""
    first = await scene.fleet.add("first")
    await seen.open(scene.url, "drained")
    await seen.send("say:20 hold:drained")
    await scene.until_held("drained")
    first.process.terminate()
    scene.go("drained")
    assert 0 == first.wait()
    await seen.send("say:4")
    await scene.fleet.add("second")
    await seen.until_messages(4)

    await scene.check(seen, "drained")


async def test_a_server_that_is_restarted_in_the_middle_of_a_turn(
    seen: SeenPage, scene: Story, server: ValkeyServer
) -> None:
    """Workers and web app lose their connections; the page's own stays, and what comes after reaches it."""
    await scene.fleet.add("teller")
    await seen.open(scene.url, "restarted")
    await seen.send("say:200 hold:restarted")
    await scene.until_held("restarted")
    await seen.until_text("100 ", ".provisional")
    server.restart()
    scene.go("restarted")
    await scene.check(seen, "restarted")
    await seen.send("say:5")
    await seen.until_messages(4)

    await scene.check(seen, "restarted")


async def test_what_is_dropped_while_nobody_is_connected_is_a_gap(seen: SeenPage, server: ValkeyServer) -> None:
    """The ring keeps five events; the page misses a hundred, and is given the whole session."""
    async with story(server.url, events_max=5) as scene:
        await scene.fleet.add("teller")
        await seen.open(scene.url, "gap")
        await seen.send("say:200 hold:gap")
        await scene.until_held("gap")
        await seen.until_text("100 ", ".provisional")
        before = await seen.find(".session").get_attribute("data-gaps")
        scene.proxy.refusing = True
        scene.proxy.cut()
        scene.go("gap")
        await scene.session("gap").park(30)
        scene.proxy.refusing = False
        await scene.check(seen, "gap")

        assert int(before or 0) + 1 == int(await seen.find(".session").get_attribute("data-gaps") or 0)
