"""An agent whose tool begins, lists and ends background tasks; the model is that of ``agent_app``."""

from __future__ import annotations

import asyncio

from lash_core.model.background_task import BackgroundTaskRegistration
from lash_core.runtime.background.capability import BackgroundTaskCapability
from lash_core.runtime.tools import ToolContext
from lash_core.runtime.turns.turn_tools import TurnExecutionContext
from lash_worker.app import App
from tests.session_faults.agent_app import POLICY, ScriptedAgent, note, until_told

app = App("tasks")
app.sessions(policy=POLICY, providers=lambda: [ScriptedAgent()])


def _tasks(ctx: ToolContext) -> BackgroundTaskCapability:
    execution = ctx.execution
    assert isinstance(execution, TurnExecutionContext)
    assert execution.tasks is not None
    return execution.tasks.background


@app.tool("work")
async def work(ctx: ToolContext, name: str) -> str:
    """``begin-NAME`` begins a managed and an external task, ``list`` answers what there is."""
    tasks = _tasks(ctx)
    if name.startswith("begin-"):
        about = name.removeprefix("begin-")

        async def run() -> str:
            note(f"began-{about}")
            try:
                await until_told(about)
            except asyncio.CancelledError:
                note(f"stopped-{about}")
                raise
            return f"{about} is done"

        await tasks.spawn_managed_task(ctx.session_id, BackgroundTaskRegistration(f"managed-{about}"), run)
        await tasks.register_background_task(ctx.session_id, BackgroundTaskRegistration(f"external-{about}"))
    records = await tasks.list_background_tasks(ctx.session_id)
    return ", ".join(f"{record.id} {record.failure.code if record.failure else record.state}" for record in records)
