"""The chat example's page: a customer talks to the clerk, and sees nobody else's conversation."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from examples.chat import model
from examples.chat.page import Customers, shop
from lash_core.client import LashClient
from lash_core.testing.model_server import ModelServer
from lash_core.testing.servers import ValkeyServer
from tests.browser.seen import SeenPage
from tests.browser.serving import serving
from tests.faults.fleet import fleet

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[str]:
    """The shop with its model, a worker and the page."""
    with ValkeyServer() as server:
        async with ModelServer(lambda ask: model.answer(ask, 2), models=("desk-clerk",)) as clerk:
            environ = {
                "CHAT_MODEL_URL": clerk.base_url,
                "CHAT_DESK": str(tmp_path_factory.mktemp("desk") / "desk.sqlite"),
                "CHAT_LOOKUP_SECONDS": "0.01",
            }
            async with fleet(server.url, "--app", "examples.chat.app:app", environ=environ) as made:
                await made.add("clerk")
                async with serving(shop(LashClient(made.stores), Customers(b"a secret of this test"))) as url:
                    yield url


async def test_a_customer_asks_orders_and_hears_of_the_delivery(seen: SeenPage, shop_url: str) -> None:
    await seen.page.goto(shop_url)
    await seen.until("() => document.body.dataset.connection === 'missing'")
    await seen.find("input").fill("What is the price of a mug, and how many lamps are left?")
    await seen.find("button").click()
    await seen.until_text("A mug is 900 cents.", "#talk .assistant")
    await seen.find("input").fill("Order 2 lamps")
    await seen.find("button").click()
    await seen.until_text("Good news! Delivered: 2 x lamp", "#talk .assistant:not(.coming)")

    texts = await seen.find("#talk .user").all_text_contents()
    assert ["What is the price of a mug, and how many lamps are left?", "Order 2 lamps"] == texts


async def test_nobody_sees_or_writes_another_ones_conversation(seen: SeenPage, shop_url: str) -> None:
    await seen.page.goto(shop_url)
    await seen.find("input").fill("Thank you")
    await seen.find("button").click()
    await seen.until_text("You said: Thank you", "#talk .assistant:not(.coming)")
    name = await seen.page.evaluate("fetch('me').then((answer) => answer.json()).then((me) => me.session_id)")
    await seen.context.clear_cookies()
    await seen.page.goto(shop_url)
    asked = """async (name) => {
      const { get, post, sessionUrl } = await import('./lash/api.js');
      const status = (ask) => ask.then(() => 200, (error) => error.status);
      return [
        await status(get(sessionUrl(name, 'observation'))),
        await status(post(sessionUrl(name, 'input'), { text: 'me too' })),
        await status(get(new URL('lash/sessions', document.baseURI))),
      ];
    }"""

    assert [403, 403, 403] == await seen.page.evaluate(asked, name)
