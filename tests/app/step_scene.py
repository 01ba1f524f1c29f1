"""A process whose body a test gives, run as often as the test likes under one lease."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lash_core.model.await_output import AnyAwaitOutput, FailureOutput, Success
from lash_core.runtime.process.context import ProcessContext
from tests.app.kit import Bench

Body = Callable[[ProcessContext], Any]


@dataclass
class Scene:
    """See above."""

    bench: Bench
    body: list[Body]
    context: Any

    async def run(self, body: Body) -> AnyAwaitOutput:
        """One attempt."""
        self.body[:] = [body]
        return await self.bench.run("p", context=await self.bench.attempt(self.context))

    async def value(self, body: Body) -> Any:
        """One attempt that answers."""
        output = await self.run(body)
        assert isinstance(output, Success), output
        return output.value

    async def failure(self, body: Body) -> FailureOutput:
        """One attempt that fails."""
        output = await self.run(body)
        assert isinstance(output, FailureOutput), output
        return output
