"""What a person sees on the page, and what its EventSource was told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, ConsoleMessage, Locator, Page

RECORDER = """
  window.heard = [];
  window.kinds = [];
  window.opened = 0;
  window.EventSource = class extends EventSource {
    constructor(url, options) {
      super(url, options);
      window.opened += 1;
      window.source = this;
      const kinds = ["observation", "committed", "turn_activity", "agent_frame_switched", "queue_changed",
                     "process_changed", "gap", "ended"];
      this.addEventListener("turn_activity", (event) => window.kinds.push(JSON.parse(event.data).activity.type));
      for (const kind of kinds) {
        this.addEventListener(kind, (event) => window.heard.push([kind, event.lastEventId]));
      }
    }
  };
"""
"""Keeps the type and the cursor of everything that an EventSource of the page was told, and what turns did."""

LINES = """(items) => items.map((item) => {
  const role = [...item.classList].find((name) => ["user", "assistant", "system"].includes(name));
  const texts = [...item.querySelectorAll(":scope > .text")].map((text) => text.textContent);
  const tools = [...item.querySelectorAll(":scope > .tool")].map(
    (tool) => `${tool.querySelector("code").textContent}=${tool.querySelector(".result").textContent}`);
  return `${role}: ${[...texts, ...tools].join(" | ")}`;
})"""


class SeenPage:
    """One tab."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.faults: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._listen)

    def _listen(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            self.faults.append(message.text)

    @property
    def context(self) -> BrowserContext:
        """Its profile."""
        return self.page.context

    async def another_tab(self) -> SeenPage:
        """Another tab of the same profile."""
        return SeenPage(await self.context.new_page())

    # -- going places ------------------------------------------------------------------------------------

    async def open(self, url: str, session_id: str | None = None) -> None:
        """The list, or a session."""
        await self.page.goto(url if session_id is None else f"{url}#/session/{quote(session_id, safe='')}")

    async def open_live(self, url: str, session_id: str) -> None:
        """A session, and its stream is open."""
        await self.open(url, session_id)
        await self.until_connection("live")

    # -- what there is -----------------------------------------------------------------------------------

    def find(self, selector: str) -> Locator:
        """Elements."""
        return self.page.locator(selector)

    async def history(self) -> list[str]:
        """Messages that are history, one line each: role, texts, tools with their results."""
        return await self.find(".messages:not(.provisional) > .message").evaluate_all(LINES)

    async def provisional(self) -> list[str]:
        """What is shown of the turn under way."""
        return await self.find(".messages.provisional > .message").evaluate_all(LINES)

    async def waiting(self) -> list[str]:
        """Inputs that no turn has taken in."""
        return await self.find(".queue > .message .text").all_text_contents()

    async def heard(self) -> list[tuple[str, str]]:
        """Types and cursors of all events."""
        return [(kind, cursor) for kind, cursor in await self.page.evaluate("window.heard")]

    async def connections(self) -> int:
        """How many event sources were made; a reconnect of the browser itself is none."""
        return await self.page.evaluate("window.opened")

    # -- waiting -----------------------------------------------------------------------------------------

    async def until_connection(self, name: str) -> None:
        """Until the page says so of its connection."""
        await self.page.wait_for_selector(f"[data-connection='{name}']")

    async def until_messages(self, count: int) -> None:
        """Until the history has so many messages, and nothing is provisional."""
        await self.page.wait_for_selector(f"[data-messages='{count}'][data-working='false']")

    async def until_text(self, text: str, where: str = ".scroller") -> None:
        """Until a text is to be seen."""
        await self.find(where).filter(has_text=text).first.wait_for()

    async def until(self, condition: str, argument: Any = None) -> None:
        """Until a condition in the page holds."""
        await self.page.wait_for_function(condition, arg=argument)

    # -- doing -------------------------------------------------------------------------------------------

    async def send(self, text: str) -> None:
        """Write a line, press Enter, and wait until the server has it."""
        await self.find("textarea").fill(text)
        await self.find("textarea").press("Enter")
        await self.until("() => document.querySelector('textarea').value === ''")
