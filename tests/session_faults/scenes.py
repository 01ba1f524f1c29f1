"""A fleet of real workers that run the agent, and what is seen of its sessions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from lash_core.client import LashClient
from lash_core.client_session import SentInput, SessionHandle
from lash_core.model.message import Message, ToolCallPart, ToolResultPart
from lash_core.testing.waiting import eventually
from tests.faults.fleet import Fleet, Worker, fleet
from tests.session_faults.agent_app import calls

APP = ("--app", "tests.session_faults.agent_app:app")


@dataclass(frozen=True, slots=True)
class Agents:
    """The fleet, its client and the folder of what was done outside."""

    fleet: Fleet
    folder: Path

    @property
    def lash(self) -> LashClient:
        """A client."""
        return LashClient(self.fleet.stores)

    def session(self, name: str = "chat") -> SessionHandle:
        """A session."""
        return self.lash.session(name)

    async def add(self, name: str, *options: str) -> Worker:
        """A worker more."""
        return await self.fleet.add(name, *options)

    def calls(self, name: str) -> list[int]:
        """Who did something outside, in order."""
        return calls(self.folder, name)

    def go(self, name: str) -> None:
        """Let a slow step end."""
        (self.folder / f"{name}.go").touch()

    async def until_called(self, name: str, times: int = 1, within_ms: int = 15_000) -> None:
        """Wait until something was done so often."""
        try:
            await eventually(lambda: len(self.calls(name)) >= times, within_ms=within_ms)
        except AssertionError as error:
            logs = "\n".join(f"--- {one.name}\n{one.log[-3_000:]}" for one in self.fleet.workers.values())
            raise AssertionError(f"{name} was called {len(self.calls(name))} times, not {times}\n{logs}") from error

    async def answer(self, sent: SentInput, within_seconds: float = 30) -> str | None:
        """The answer's text."""
        try:
            return (await sent.answer(within_seconds)).final_text
        except TimeoutError:
            logs = "\n".join(f"--- {one.name}\n{one.log[-3_000:]}" for one in self.fleet.workers.values())
            raise AssertionError(f"no answer within {within_seconds} s\n{logs}") from None

    async def holder(self, name: str = "chat") -> str | None:
        """The worker that has the session."""
        store = await self.fleet.stores.session_store_factory.open_existing_store(name)
        lease = None if store is None else await store.get_session_execution_lease(name)
        return None if lease is None else lease.owner.owner_id

    async def told(self, name: str = "chat") -> list[str]:
        """The history, one line a message: role and text, or the tool."""
        return lines_of(await self.session(name).history())


def lines_of(messages: Sequence[Message]) -> list[str]:
    """One line a message: role and text, or the tool."""
    return [_line(message) for message in messages]


def _line(message: Message) -> str:
    tools = [part.tool_name for part in message.parts if isinstance(part, ToolCallPart | ToolResultPart)]
    return f"{message.role}: {message.text or ', '.join(tools)}"


@asynccontextmanager
async def agents(url: str, *options: str) -> AsyncGenerator[Agents]:
    """A fleet without workers yet."""
    with TemporaryDirectory(prefix="lash-agents-") as folder:
        async with fleet(url, *APP, *options, environ={"AGENT_FOLDER": folder}) as made:
            yield Agents(made, Path(folder))
