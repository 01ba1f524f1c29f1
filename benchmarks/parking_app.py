"""What the parking benchmark runs: processes that sleep, that wake on time, that wait for a signal."""

from __future__ import annotations

import time

from lash_core.runtime.process.context import ProcessContext
from lash_worker.app import App

app = App("parking", version="1")


@app.process("parking.sleep", disposition="rerunnable")
async def sleep(ctx: ProcessContext, params: int) -> float:
    """Sleep so many ms; answer when it woke, in ms of this machine's clock."""
    await ctx.sleep(params)
    return time.time() * 1_000


@app.process("parking.signal", disposition="rerunnable", queue="signals", signals={"go": None})
async def wait(ctx: ProcessContext) -> float:
    """Wait for a signal; answer when it came."""
    await ctx.wait_signal("go")
    return time.time() * 1_000
