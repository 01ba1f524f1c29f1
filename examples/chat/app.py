"""A chat agent: ``lash dev --app examples.chat.app:app``, with its model in another terminal.

What a person would write anyway is here: a policy, three tools and a process. What makes it durable is not: a worker
may die in any line, the next one redoes the turn, and no model or tool call that was recorded is made again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable

from examples.chat import desk
from lash_core.model.event_type import WAKE_TYPE
from lash_core.model.session import ModelLimits, ModelSpec, SessionPolicy
from lash_core.protocols.providers.model_provider import ModelProvider
from lash_core.runtime.process.context import ProcessContext
from lash_core.runtime.tools import ToolContext
from lash_worker import App

MODEL_URL = "http://127.0.0.1:8011/v1"
"""Where ``python -m examples.chat.model`` listens; ``CHAT_MODEL_URL`` names another server."""
LOOKUP_SECONDS = 0.3
"""How long the warehouse takes; ``CHAT_LOOKUP_SECONDS`` gives you time to kill a worker meanwhile."""

app = App("chat", version="1")


def providers() -> Iterable[ModelProvider]:
    """Made by workers only: who sends a message needs no model library."""
    from lash_core.protocols.providers.pydantic_ai import PydanticAiProvider  # noqa: PLC0415

    return [PydanticAiProvider.openai_compatible("local", os.environ.get("CHAT_MODEL_URL", MODEL_URL))]


app.sessions(
    policy=SessionPolicy(
        model=ModelSpec("desk-clerk", limits=ModelLimits(context_window_tokens=16_000)),
        provider_id="local",
        max_turns=8,
        prompt="You are the clerk of a small shop. Be brief.",
    ),
    providers=providers,
)


@app.tool("price")
async def price(ctx: ToolContext, item: str) -> int:
    """Look the price of an item up, in cents."""
    desk.note("price", ctx.session_id, ctx.call_id, item)
    return desk.price_of(item)


@app.tool("stock")
async def stock(ctx: ToolContext, item: str) -> str:
    """Ask the warehouse how many are left. It takes a while to answer."""
    desk.note("stock", ctx.session_id, ctx.call_id, item)
    await ctx.progress({"asking": "warehouse"})
    await asyncio.sleep(float(os.environ.get("CHAT_LOOKUP_SECONDS", LOOKUP_SECONDS)))
    return f"{desk.stock_of(item)} left"


@app.tool("order")
async def order(ctx: ToolContext, item: str, count: int = 1) -> str:
    """Order something for the customer: work that goes on when the turn is over."""
    desk.note("order", ctx.session_id, ctx.call_id, item)
    desk.price_of(item)
    process_id = await ctx.start_process("chat.deliver", {"item": item, "count": count}, label=item)
    return f"ordered, delivery {process_id}"


@app.process("chat.deliver", disposition="rerunnable", event_types=[WAKE_TYPE])
async def deliver(ctx: ProcessContext, params: dict[str, str | int]) -> str:
    """Deliver, then tell the session that asked for it: the wake starts a turn of its own there."""
    item, count = str(params["item"]), int(params["count"])
    await ctx.sleep(1_000)
    parcel = await ctx.step("pack", desk.pack, ctx.process_id, item, count)
    await ctx.emit("process.wake", {"text": f"Delivered: {count} x {item}, parcel {parcel}."}, key="delivered")
    return parcel
