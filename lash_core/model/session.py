"""The small part of a session that processes need: policy, meta, relation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from lash_core.errors import RuntimeFailure
from lash_core.model.base import JsonValue, Model
from lash_core.model.scope import CausalRef

MODEL_REQUIRED = "session_model_required"


class ModelLimits(Model):
    """Sizes of a model, in tokens. A window of 1 means that nothing is configured."""

    context_window_tokens: int = Field(default=1, ge=1)
    output_token_capacity: int | None = Field(default=None, ge=1)


class ModelSpec(Model):
    """A model by name. A blank id means that none is chosen."""

    id: str = Field(default="", kw_only=False)
    variant: str | None = None
    """None leaves the effort to the provider."""
    limits: ModelLimits = Field(default_factory=ModelLimits)
    capability: dict[str, JsonValue] = Field(default_factory=dict)

    @classmethod
    def from_token_limits(
        cls, id: str, variant: str | None, context_window_tokens: int, output_token_capacity: int | None = None
    ) -> ModelSpec:
        """A model with its sizes in tokens, each at least 1.

        Raises:
            pydantic.ValidationError: a size below 1.
        """
        limits = ModelLimits(context_window_tokens=context_window_tokens, output_token_capacity=output_token_capacity)
        return cls(id, variant=variant, limits=limits)


class SessionPolicy(Model):
    """How a session runs. Unknown fields are refused."""

    model: ModelSpec = Field(default_factory=ModelSpec)
    provider_id: str = ""
    session_id: str | None = None
    autonomous: bool = False
    max_turns: int | None = Field(default=None, ge=1)
    prompt: JsonValue = None

    @field_validator("provider_id")
    @classmethod
    def _trim(cls, value: str) -> str:
        return value.strip()

    @property
    def is_configured(self) -> bool:
        """False when neither provider nor model is named."""
        return bool(self.provider_id or self.model.id.strip())

    def require_model(self) -> ModelSpec:
        """The model, for a turn or a model call (decision 15: not needed before).

        Raises:
            RuntimeFailure: ``session_model_required``.
        """
        if not self.model.id.strip():
            raise RuntimeFailure(
                MODEL_REQUIRED, "session policy missing model spec; hosts must supply explicit model metadata"
            )
        return self.model


class RootRelation(Model):
    """A session of its own."""

    type: Literal["root"] = "root"


class ChildRelation(Model):
    """A session that another one opened."""

    type: Literal["child"] = "child"
    parent_session_id: str = Field(kw_only=False)
    caused_by: CausalRef | None = None


SessionRelation = RootRelation | ChildRelation
AnySessionRelation = Annotated[RootRelation | ChildRelation, Field(discriminator="type")]


class SessionStoreCreateRequest(Model):
    """What a session store is opened with."""

    session_id: str = Field(kw_only=False)
    relation: AnySessionRelation = Field(default_factory=RootRelation)
    policy: SessionPolicy = Field(default_factory=SessionPolicy)


class SessionMeta(Model):
    """Written when a session is created and never overwritten. ``created_at_ms`` by the store's clock."""

    session_id: str
    session_name: str
    created_at_ms: int
    model: str = ""
    cwd: str | None = None
    relation: AnySessionRelation = Field(default_factory=RootRelation)


def meta_of(request: SessionStoreCreateRequest, created_at_ms: int) -> SessionMeta:
    """The meta of a fresh session."""
    return SessionMeta(
        session_id=request.session_id,
        session_name=request.session_id,
        created_at_ms=created_at_ms,
        model=request.policy.model.id,
        relation=request.relation,
    )
