"""What ``benchmarks.live`` runs: an agent whose model streams at a steady pace and says when it said each token."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator

from lash_core.model.message import TextPart
from lash_core.model.model_call import ModelRequest, ModelResponse, ModelStreamEvent, ModelTextDelta
from lash_core.model.session import ModelLimits, ModelSpec, SessionPolicy
from lash_core.model.usage import TokenUsage
from lash_worker.app import App

TOKENS_A_SECOND = int(os.environ.get("BENCH_TOKENS_A_SECOND", "50"))
SECONDS = float(os.environ.get("BENCH_STREAM_SECONDS", "10"))
POLICY = SessionPolicy(
    model=ModelSpec("steady", limits=ModelLimits(context_window_tokens=1_000_000)), provider_id="steady"
)


class SteadyProvider:
    """So many tokens a second for so many seconds; each is the time at which it was said, in µs since boot."""

    provider_id = "steady"

    def check_model(self, model: ModelSpec) -> str | None:
        """Any model will do."""
        del model
        return None

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelStreamEvent]:
        """Tokens on time: a late one does not push the others back."""
        del request
        loop = asyncio.get_running_loop()
        began, said = loop.time(), 0
        while said < TOKENS_A_SECOND * SECONDS:
            await asyncio.sleep(max(0.0, began + said / TOKENS_A_SECOND - loop.time()))
            yield ModelTextDelta(f"{time.monotonic_ns() // 1_000} ")
            said += 1
        yield ModelResponse(parts=(TextPart("done"),), usage=TokenUsage(input=1, output=said), model="steady")

    async def close(self) -> None:
        """Nothing to give back."""


app = App("steady")
app.sessions(policy=POLICY, providers=[SteadyProvider()])
