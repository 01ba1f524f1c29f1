"""Pinned kinds: who runs their rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lash_core.testing.waiting import eventually
from lash_worker import App

if TYPE_CHECKING:
    from lash_core.memory_store import InMemoryStores
    from lash_core.runtime.process.context import ProcessContext
    from lash_worker.testing import RunApps


def reports(version: str) -> App:
    """An app without a version of its own whose kind is pinned."""
    app = App("reports")

    @app.process("report", disposition="rerunnable", version=version, signals={"go": None})
    async def report(ctx: ProcessContext) -> str:
        await ctx.wait_signal("go")
        return version

    return app


async def test_a_pin_is_the_version_of_an_app_that_has_none(lash_app: RunApps, lash_stores: InMemoryStores) -> None:
    """Its rows run on it, and a worker whose kind is pinned to another version leaves them alone."""
    async with lash_app(reports("1"), park_after_ms=0) as lash:
        old = await lash.enqueue("report", process_id="old")
        await eventually(lambda: lash_stores.process_registry.state.rows["old"].record.wait is not None)
    async with lash_app(reports("2"), park_after_ms=0) as lash:
        new = await lash.enqueue("report", process_id="new")
        await new.signal("go")
        await lash.handle("old").signal("go")
        assert "2" == await new.result(timeout=10)
        assert "running" == await lash.handle("old").status()
    async with lash_app(reports("1"), park_after_ms=0):
        assert "1" == await old.result(timeout=10)
