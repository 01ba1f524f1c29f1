"""Models of pydantic-ai for an endpoint or a known provider. Imported when the adapter is first used."""

from __future__ import annotations

from collections.abc import Callable

from pydantic_ai.models import Model, infer_model
from pydantic_ai.providers import Provider, infer_provider

from lash_core.model.session import ModelSpec
from lash_core.protocols.providers.pydantic_ai_failures import failure_of
from lash_core.protocols.providers.pydantic_ai_stream import attempt, settings_of

__all__ = ["attempt", "compatible_models", "failure_of", "named_models", "settings_of", "takes_effort"]

NO_KEY = "none"
"""Sent where no key is given: the client library insists on one."""


def compatible_models(provider_id: str, base_url: str, api_key: str | None) -> Callable[[ModelSpec], Model]:
    """Models of one server with OpenAI's chat completions; they share its connections.

    Raises:
        ImportError: the OpenAI library is not there.
    """
    # Only who asks for such a server needs the OpenAI library.
    from pydantic_ai.models.openai import OpenAIChatModel  # noqa: PLC0415
    from pydantic_ai.profiles.openai import OpenAIModelProfile  # noqa: PLC0415
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider  # noqa: PLC0415

    provider = OpenAICompatibleProvider(provider_id, base_url=base_url, api_key=api_key or NO_KEY)

    def make(spec: ModelSpec) -> Model:
        # A stream that ends without a finish reason was cut, and half an answer is none.
        profile = OpenAIModelProfile(openai_chat_streaming_requires_finish_reason=True)
        if spec.capability.get("efforts"):
            profile["supports_thinking"] = True
        return OpenAIChatModel(spec.id, provider=provider, profile=profile)

    return make


def named_models(name: str) -> Callable[[ModelSpec], Model]:
    """Models of a provider that pydantic-ai knows by name; they share its connections.

    Raises:
        ImportError: the provider's library is not there. UserError: its key is not there.
    """
    providers: dict[str, Provider[object]] = {}

    def provider_of(provider_name: str) -> Provider[object]:
        if provider_name not in providers:
            providers[provider_name] = infer_provider(provider_name)
        return providers[provider_name]

    def make(spec: ModelSpec) -> Model:
        return infer_model(f"{name}:{spec.id}", provider_factory=provider_of)

    return make


def takes_effort(model: Model) -> bool:
    """Whether the model's profile knows of reasoning at all; without it an effort would be dropped in silence."""
    profile = model.profile
    return bool(profile.get("supports_thinking") or profile.get("thinking_always_enabled"))
