"""The agent that the workers of these tests run: it counts aloud, word by word, and can be held in the middle.

A user's text says what happens, one word a step: ``say:30`` counts to thirty, ``hold:NAME`` stops half way until the
file ``NAME.go`` is there (that this point is reached leaves ``NAME.held``), ``tool:NAME`` asks for a tool first, whose
call with a name that begins with ``slow`` is held in the same way, ``fail`` breaks the first attempt in the middle.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

from lash_core.model.message import TextPart, ToolCallPart
from lash_core.model.model_call import (
    ModelFailure,
    ModelReasoningDelta,
    ModelRequest,
    ModelResponse,
    ModelStreamEvent,
    ModelTextDelta,
)
from lash_core.model.session import ModelLimits, ModelSpec, SessionPolicy
from lash_core.model.usage import TokenUsage
from lash_core.protocols.providers.model_provider import ModelCallError
from lash_core.runtime.tools import ToolContext
from lash_worker.app import App
from tests.newest_text import newest_text

LOOK_SECONDS = 0.02
WORD_SECONDS = 0.002
WORDS = 10
POLICY = SessionPolicy(model=ModelSpec("story", limits=ModelLimits(context_window_tokens=100_000)), provider_id="story")


def folder() -> Path:
    return Path(os.environ["STORY_FOLDER"])


async def hold(name: str) -> None:
    """Say that this point is reached, and wait until a test lets it go on."""
    (folder() / f"{name}.held").touch()
    while not (folder() / f"{name}.go").exists():
        await asyncio.sleep(LOOK_SECONDS)


class StoryTeller:
    """A model provider that does what the newest user text says."""

    provider_id = "story"

    def check_model(self, model: ModelSpec) -> str | None:
        """Any model will do."""
        del model
        return None

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelStreamEvent]:
        """The next step of the newest text."""
        asked, done = newest_text(request.messages)
        pairs = [step.partition(":") for step in asked.split()]
        steps = {name: value for name, _, value in pairs}
        tools = [value for name, _, value in pairs if name == "tool"]
        usage = TokenUsage(input=10, output=5)
        if done < len(tools):
            call = ToolCallPart(f"call-{len(request.messages)}", "work", {"name": tools[done]})
            yield ModelTextDelta("Let me see. ")
            yield ModelResponse(
                parts=(TextPart("Let me see. "), call), usage=usage, finish_reason="tool_calls", model="story"
            )
            return
        words = [f"{number} " for number in range(1, int(steps.get("say", WORDS)) + 1)]
        yield ModelReasoningDelta("I count. ")
        for place, word in enumerate(words):
            if place == len(words) // 2:
                if "hold" in steps:
                    await hold(steps["hold"])
                if "fail" in steps and not (folder() / "failed").exists():
                    (folder() / "failed").touch()
                    raise ModelCallError(ModelFailure(kind="server", message="the model broke", retryable=True))
            yield ModelTextDelta(word)
            await asyncio.sleep(WORD_SECONDS)
        text = "".join(words)
        yield ModelResponse(parts=(TextPart(text),), usage=usage, model="story")

    async def close(self) -> None:
        """Nothing to give back."""


app = App("story", version="1")
app.sessions(policy=POLICY, providers=lambda: [StoryTeller()])


@app.tool("work")
async def work(ctx: ToolContext, name: str) -> str:
    """Do something."""
    del ctx
    if name.startswith("slow"):
        await hold(name)
    return f"{name} is done"
