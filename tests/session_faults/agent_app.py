"""The agent that the workers of these tests run: a model and tools that leave a line outside for each call.

The folder is in ``AGENT_FOLDER``. A user's text says what happens, one word a step: ``tool:NAME`` asks for the tool
``work`` with that name; ``think:NAME`` lets the model itself take until the file ``NAME.go`` is there; ``say:NAME``:
it names its process first, then waits for that file, then answers; anything else is answered. A tool's work with a name
that begins with ``slow`` ends when ``NAME.go`` is there; one with a name that ends with ``order`` starts a process that
wakes the session.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from lash_core.model.event_type import WAKE_TYPE
from lash_core.model.message import TextPart, ToolCallPart
from lash_core.model.model_call import ModelRequest, ModelResponse, ModelStreamEvent, ModelTextDelta
from lash_core.model.session import ModelLimits, ModelSpec, SessionPolicy
from lash_core.model.usage import TokenUsage
from lash_core.runtime.observation.activity_writer import LiveActivityWriter
from lash_core.runtime.process.context import ProcessContext
from lash_core.runtime.tools import ToolContext
from lash_worker.app import App
from tests.newest_text import newest_text

LOOK_SECONDS = 0.02
POLICY = SessionPolicy(
    model=ModelSpec("scripted", limits=ModelLimits(context_window_tokens=8_000)), provider_id="scripted"
)


def folder() -> Path:
    return Path(os.environ["AGENT_FOLDER"])


def note(name: str) -> None:
    """A line outside: who did it."""
    with (folder() / f"{name}.calls").open("a") as file:
        file.write(f"{os.getpid()}\n")


def calls(at: Path, name: str) -> list[int]:
    """The pids that did it, in order."""
    file = at / f"{name}.calls"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


async def until_told(name: str) -> None:
    """Wait for the file that a test makes."""
    while not (folder() / f"{name}.go").exists():
        await asyncio.sleep(LOOK_SECONDS)


class ScriptedAgent:
    """A model provider that does what the newest user text says, step by step."""

    provider_id = "scripted"

    def check_model(self, model: ModelSpec) -> str | None:
        """Any model will do."""
        del model
        return None

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelStreamEvent]:
        """The next step of the newest text."""
        asked, done = newest_text(request.messages)
        steps = asked.split()
        step = steps[done] if done < len(steps) else "answer"
        name = step.partition(":")[2] or "answer"
        note(f"model-{len(request.messages)}")
        if step.startswith("think:"):
            await until_told(name)
        usage = TokenUsage(input=10, output=5)
        if step.startswith("tool:"):
            call = ToolCallPart(f"call-{len(request.messages)}", "work", {"name": name})
            yield ModelResponse(parts=(call,), usage=usage, finish_reason="tool_calls", model="scripted")
            return
        text = f"done: {asked}"
        if step.startswith("say:"):
            half = f"process {os.getpid()} says: "
            yield ModelTextDelta(half)
            note(f"said-{name}")
            await until_told(name)
            yield ModelTextDelta(text)
            text = half + text
        else:
            yield ModelTextDelta(text)
        yield ModelResponse(parts=(TextPart(text),), usage=usage, model="scripted")

    async def close(self) -> None:
        """Nothing to give back."""


if os.environ.get("AGENT_DIES_UNPUBLISHED"):
    # The commit is stored, and its worker dies before it can tell anybody.
    async def die(*_args: Any, **_kwargs: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    LiveActivityWriter.publish_once = die

app = App("agents", version="1")
app.sessions(policy=POLICY, providers=lambda: [ScriptedAgent()])


@app.tool("work")
async def work(ctx: ToolContext, name: str) -> str:
    """Do something outside; with a name that ends with ``order`` a process is started first."""
    if name.endswith("order"):
        await ctx.start_process("tell", {"text": f"{name} is delivered"}, label=name)
    note(f"tool-{name}")
    if name.startswith("slow"):
        await until_told(name)
    return f"{name} is done"


@app.process("tell", disposition="rerunnable", event_types=[WAKE_TYPE])
async def tell(ctx: ProcessContext, params: dict[str, str]) -> str:
    """Wake the session that the process was started for."""
    await ctx.emit("process.wake", {"text": params["text"]}, key="told")
    return "told"
