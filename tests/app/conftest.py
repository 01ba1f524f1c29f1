"""Fixtures of the app tests."""

from __future__ import annotations

from typing import Any

import pytest

from lash_core.runtime.process.context import ProcessContext
from lash_worker import App
from tests.app.kit import Bench
from tests.app.step_scene import Body, Scene


@pytest.fixture
async def scene() -> Any:
    app, body = App("steps"), list[Body]()

    @app.process("p", disposition="rerunnable", event_types=["note"])
    async def process(ctx: ProcessContext) -> Any:
        return await body[0](ctx)

    with Bench(app) as bench:
        yield Scene(bench, body, await bench.claim("p"))
