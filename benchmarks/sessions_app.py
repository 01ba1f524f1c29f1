"""What ``benchmarks.sessions`` runs: an agent whose model answers at once."""

from __future__ import annotations

from collections.abc import AsyncIterator

from lash_core.model.message import TextPart
from lash_core.model.model_call import ModelRequest, ModelResponse, ModelStreamEvent, ModelTextDelta
from lash_core.model.session import ModelLimits, ModelSpec, SessionPolicy
from lash_core.model.usage import TokenUsage
from lash_worker.app import App

POLICY = SessionPolicy(
    model=ModelSpec("instant", limits=ModelLimits(context_window_tokens=1_000_000)), provider_id="instant"
)


class InstantProvider:
    """A model that has no latency: what is left of a turn's time is the overhead."""

    provider_id = "instant"

    def check_model(self, model: ModelSpec) -> str | None:
        """Any model will do."""
        del model
        return None

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelStreamEvent]:
        """One short answer."""
        del request
        yield ModelTextDelta("yes")
        yield ModelResponse(parts=(TextPart("yes"),), usage=TokenUsage(input=1, output=1), model="instant")

    async def close(self) -> None:
        """Nothing to give back."""


app = App("instant")
app.sessions(policy=POLICY, providers=[InstantProvider()])
