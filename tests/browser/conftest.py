"""One Chromium for all tests of a test process, a fresh profile for each test."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.browser.chromium import FLAGS, find_chromium, why_skipped
from tests.browser.seen import RECORDER, SeenPage

if TYPE_CHECKING:
    from playwright.async_api import Browser

WAIT_MS_MAX = 30_000
"""A busy machine starts workers slowly; nothing that works waits as long."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A skip of all these tests is not to be overlooked."""
    why = why_skipped()
    if why is not None:
        terminalreporter.section("THE BROWSER TESTS WERE SKIPPED", sep="!", red=True, bold=True)
        terminalreporter.line(why)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncGenerator[Browser]:
    """The browser."""
    why = why_skipped()
    if why is not None:
        pytest.skip(why)
    from playwright.async_api import async_playwright  # noqa: PLC0415 - not installed everywhere

    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def seen(chromium: Browser) -> AsyncGenerator[SeenPage]:
    """A tab of a new profile. A script error or a break of the content policy fails the test."""
    context = await chromium.new_context(viewport={"width": 1200, "height": 800}, reduced_motion="reduce")
    context.set_default_timeout(WAIT_MS_MAX)
    await context.add_init_script(RECORDER)
    page = SeenPage(await context.new_page())
    yield page
    await context.close()

    assert [] == page.faults
