"""The pytest plugin: ``lash_stores`` and ``lash_app``."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lash_core import LashClient, ProcessCancelled
from lash_core.memory_store import InMemoryStores
from lash_core.runtime.process.context import ProcessContext
from lash_worker import App

if TYPE_CHECKING:
    from lash_worker.testing import RunApps

app = App("fixture")


@app.process("add", disposition="rerunnable")
def add(ctx: ProcessContext, params: dict[str, int]) -> int:
    return sum(params.values())


@app.process("waits", disposition="rerunnable")
async def waits(ctx: ProcessContext) -> None:
    await asyncio.sleep(60)


async def test_an_app_runs_under_a_worker_in_this_program(lash_app: RunApps) -> None:
    """From enqueue to result, and a cancel."""
    async with lash_app(app, concurrency=2) as lash:
        handle = await lash.enqueue("add", {"a": 1, "b": 2})
        assert 3 == await handle.result(timeout=5)
        waiting = await lash.enqueue("waits")
        await waiting.cancel(reason="enough")
        with pytest.raises(ProcessCancelled, match="enough"):
            await waiting.result(timeout=5)


async def test_what_still_runs_at_the_end_is_handed_over(lash_app: RunApps, lash_stores: InMemoryStores) -> None:
    """The next worker on the stores can take it at once."""
    async with lash_app(app) as lash:
        await lash.enqueue("waits", process_id="w")
        async with asyncio.timeout(5):
            while await lash_stores.process_registry.get_process_lease("w") is None:
                await asyncio.sleep(0.005)

    assert await lash_stores.process_registry.get_process_lease("w") is None
    assert "running" == await LashClient(lash_stores).handle("w").status()


def test_the_plugin_costs_pytest_no_import() -> None:
    """It is loaded into every test run of everybody who has lash installed."""
    code = "import sys, pytest, lash_worker.testing; print(*(m for m in ('pydantic', 'redis') if m in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "\n" == loaded.stdout
