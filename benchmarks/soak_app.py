"""The app of the soak: short coroutines, short threads, and work that must never run twice."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from lash_core.runtime.process.context import ProcessContext
from lash_worker.app import App

app = App("soak", version="1")


@app.process("soak.async", disposition="rerunnable")
async def in_loop(ctx: ProcessContext, params: dict[str, Any]) -> dict[str, Any]:
    await asyncio.sleep(float(params["seconds"]))
    return {"fence": ctx.fence}


@app.process("soak.thread", disposition="rerunnable")
def in_thread(ctx: ProcessContext, params: dict[str, Any]) -> dict[str, Any]:
    time.sleep(float(params["seconds"]))
    return {"fence": ctx.fence}


@app.process("soak.once", disposition="owner_bound")
async def once(ctx: ProcessContext, params: dict[str, Any]) -> dict[str, Any]:
    await asyncio.sleep(float(params["seconds"]))
    return {"fence": ctx.fence}
