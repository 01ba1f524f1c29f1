"""An app whose sessions are answered by a script."""

from __future__ import annotations

from typing import Any

from lash_core.model.model_call import ModelRequest
from lash_core.model.session import ModelLimits, ModelSpec, SessionPolicy
from lash_core.testing.scripted_provider import ScriptedProvider, ScriptedReply, says
from lash_worker.app import App

POLICY = SessionPolicy(
    model=ModelSpec("scripted", limits=ModelLimits(context_window_tokens=8_000)), provider_id="scripted"
)


def echo(request: ModelRequest) -> ScriptedReply:
    """Say back what was said."""
    return says(f"you said: {request.messages[-1].text}")


def session_app(script: Any = echo, *, provider_id: str = "scripted") -> App:
    """An app with one provider that plays ``script``."""
    app = App("agents", version="1")
    provider = ScriptedProvider(script, provider_id=provider_id)
    app.sessions(policy=POLICY.model_copy(update={"provider_id": provider_id}), providers=[provider])
    return app
