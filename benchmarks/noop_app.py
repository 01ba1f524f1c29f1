"""The app of the benchmarks: a process that does nothing."""

from __future__ import annotations

from typing import Any

from lash_core.runtime.process.context import ProcessContext
from lash_worker.app import App

app = App("bench", version="1")


@app.process("noop", disposition="rerunnable")
async def noop(_ctx: ProcessContext, _params: Any) -> dict[str, bool]:
    return {"ok": True}
