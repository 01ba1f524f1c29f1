"""What the workers of the fault suite run."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

from lash_core.runtime.process_context import ProcessContext
from lash_worker.app import App

app = App("faults", version="1")


@app.process("nap", disposition="rerunnable", event_types=["started"])
async def nap(ctx: ProcessContext, params: dict[str, float]) -> dict[str, Any]:
    """Say under which fence it starts, sleep, say who it was."""
    await ctx.emit("started", {"fence": ctx.fence, "pid": os.getpid()})
    await asyncio.sleep(params["seconds"])
    return {"pid": os.getpid(), "fence": ctx.fence, "attempt": ctx.attempt}


@app.process("quiet", disposition="rerunnable")
async def quiet(ctx: ProcessContext, params: dict[str, float]) -> dict[str, Any]:
    """Sleep without writing anything."""
    await asyncio.sleep(params["seconds"])
    return {"pid": os.getpid(), "attempt": ctx.attempt}


@app.process("block", disposition="rerunnable", event_types=["started"])
async def block(ctx: ProcessContext, params: dict[str, float]) -> dict[str, Any]:
    """Block the event loop, as a function that is declared async and is not."""
    await ctx.emit("started", {"pid": os.getpid()})
    time.sleep(params["seconds"])
    return {"pid": os.getpid(), "attempt": ctx.attempt}


@app.process("once", disposition="owner_bound")
async def once(ctx: ProcessContext) -> str:
    """Owner-bound work that ends when it is cancelled."""
    await asyncio.sleep(600)
    return ctx.process_id


@app.process("killer", disposition="rerunnable")
async def killer(ctx: ProcessContext) -> str:
    """End its worker."""
    os.kill(os.getpid(), signal.SIGKILL)
    return ctx.process_id
