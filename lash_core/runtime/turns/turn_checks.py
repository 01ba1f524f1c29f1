"""What is checked before a turn begins (``docs/contracts/sessions.md`` 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lash_core.model.base import JsonValue
from lash_core.model.disposition import DurabilityTier
from lash_core.model.session import SessionPolicy
from lash_core.model.turn_outcome import TurnIssue
from lash_core.protocols.providers.model_provider import ModelProvider
from lash_core.runtime.runtime_errors import DurableStoreFacet, durable_store_required

if TYPE_CHECKING:
    from lash_core.runtime.lash_runtime import LashRuntime

PHYSICAL_TURNS_MAX = 16
"""Of one logical turn: agents that hand over to each other in circles end."""
SWITCH_LIMIT = "agent_frame_switch_limit"

POISON_DEATHS_MAX = 8
"""Deaths in a row without a write after which a turn is given up (DESIGN 4)."""


def check_durability(runtime: LashRuntime) -> None:
    """A host that journals durably must not keep what a turn needs in stores that forget.

    Raises:
        RuntimeFailure: ``durable_store_required:<facet>``.
    """
    core = runtime.host.core
    if core.control.effect_host.durability_tier() is not DurabilityTier.DURABLE:
        return
    facets: tuple[tuple[DurableStoreFacet, Any], ...] = (
        (DurableStoreFacet.ATTACHMENT_STORE, core.durability.attachment_store),
        (DurableStoreFacet.PROCESS_ENV_STORE, core.durability.process_env_store),
        (DurableStoreFacet.SESSION_STORE, runtime.store),
        (DurableStoreFacet.PROCESS_REGISTRY, runtime.host.process_registry),
    )
    for facet, store in facets:
        tier = getattr(store, "durability_tier", None)
        if tier is not None and tier() is not DurabilityTier.DURABLE:
            raise durable_store_required(facet)


def provider_of(runtime: LashRuntime, policy: SessionPolicy) -> ModelProvider:
    """The provider that a policy names.

    Raises:
        RuntimeFailure: ``session_model_required``, ``model_provider_unknown``: this program cannot run the turn.
    """
    policy.require_model()
    return runtime.host.core.providers.get(policy.provider_id)


def model_issue(provider: ModelProvider, policy: SessionPolicy) -> TurnIssue | None:
    """Why the provider cannot run the model as specified, or None."""
    why = provider.check_model(policy.model)
    if why is None:
        return None
    return TurnIssue(
        kind="llm_provider",
        code="model_unsupported",
        message=why,
        retryable=False,
        provider_failure_kind="validation",
    )


def poison_issue(turn_id: str, deaths: int, deaths_max: int = POISON_DEATHS_MAX) -> TurnIssue | None:
    """The issue of a turn whose owners died too often, or None. A ``deaths_max`` of 0: never."""
    if deaths_max == 0 or deaths < deaths_max:
        return None
    text = f"turn `{turn_id}` was given up: {deaths} owners in a row died in it without a write"
    return TurnIssue(kind="runtime", code="turn_poisoned", message=text, retryable=False)


def switch_limit_issue(ordinal: int) -> TurnIssue | None:
    """The issue of a physical turn that is one too many of its logical turn, or None; ``ordinal`` is from 0."""
    if ordinal < PHYSICAL_TURNS_MAX:
        return None
    text = f"logical turn exceeded the limit of {PHYSICAL_TURNS_MAX} agent frame switches"
    return TurnIssue(kind="runtime", code=SWITCH_LIMIT, message=text)


def instructions_of(policy: SessionPolicy, contributions: tuple[str, ...]) -> str:
    """The instructions of a model call: the policy's prompt layer, then what plugins contribute."""
    return "\n\n".join(text for text in (_prompt_text(policy.prompt), *contributions) if text)


def _prompt_text(prompt: JsonValue) -> str:
    """A prompt layer is a text, or an object with ``instructions``; other parts are a plugin's to read."""
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, dict):
        text = prompt.get("instructions")
        return text if isinstance(text, str) else ""
    return ""
