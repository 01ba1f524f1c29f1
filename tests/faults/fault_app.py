"""What the workers of the fault suite run."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

from lash_core.runtime.process.context import ProcessContext
from lash_worker.app import App

app = App("faults", version="1")


@app.process("nap", disposition="rerunnable", event_types=["started"])
async def nap(ctx: ProcessContext, params: dict[str, float]) -> dict[str, Any]:
    """Say under which fence each attempt starts, sleep, say who it was."""
    await ctx.emit("started", {"fence": ctx.fence, "pid": os.getpid()}, key=str(ctx.attempt))
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
    await ctx.emit("started", {"pid": os.getpid()}, key=str(ctx.attempt))
    time.sleep(params["seconds"])
    return {"pid": os.getpid(), "attempt": ctx.attempt}


@app.process("once", disposition="owner_bound")
async def once(ctx: ProcessContext) -> str:
    """Owner-bound work that ends when it is cancelled."""
    await asyncio.sleep(600)
    return ctx.process_id


def noted(folder: str, name: str) -> str:
    """Leave a line outside, as a payment or a mail would be; answer the name and who did it."""
    with Path(folder, name).open("a") as file:
        file.write(f"{os.getpid()}\n")
    return f"{name} by {os.getpid()}"


@app.process("approved", disposition="rerunnable", signals={"go": None})
async def approved(ctx: ProcessContext, params: dict[str, Any]) -> dict[str, Any]:
    """A step, a sleep, a signal, another step."""
    folder = f"{params['folder']}/{ctx.process_id}"
    first = await ctx.step("first", noted, folder, "first")
    await ctx.sleep(params.get("sleep_ms", 10))
    answer = await ctx.wait_signal("go")
    last = await ctx.step("last", noted, folder, "last")
    return {"steps": [first, last], "answer": answer, "pid": os.getpid()}


@app.process("working", disposition="rerunnable")
async def working(ctx: ProcessContext, params: dict[str, Any]) -> str:
    """One step that does what it does outside and ends when a file says so."""
    folder = f"{params['folder']}/{ctx.process_id}"

    async def work() -> str:
        name = noted(folder, "work")
        while not Path(folder, "go").exists():
            await asyncio.sleep(0.02)
        return name

    return await ctx.step("work", work)


@app.process("killer", disposition="rerunnable")
async def killer(ctx: ProcessContext) -> str:
    """End its worker."""
    os.kill(os.getpid(), signal.SIGKILL)
    return ctx.process_id
