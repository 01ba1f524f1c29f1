"""The README's app: run it with ``lash dev --app examples.reports:app``."""

import asyncio

from lash_core.runtime.process.context import ProcessContext
from lash_worker import App

app = App("reports", version="1")


@app.process("report.build", disposition="rerunnable")
async def build(ctx: ProcessContext, params: dict[str, str]) -> dict[str, str]:
    """Pretend to build a monthly report."""
    await asyncio.sleep(0.2)
    return {"month": params["month"], "text": f"report of {params['month']}, attempt {ctx.attempt}"}
