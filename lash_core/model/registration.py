"""What a process is started with, its checks and its hash (contract 1.6, 2.1, decision 17). Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Self

from pydantic import Field

from lash_core.errors import InvalidArgumentError, InvalidRegistrationError
from lash_core.model.base import Model
from lash_core.model.canonical_json import canonical_json, canonical_json_bytes
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.event_type import CORE_BY_NAME, ProcessEventType, accepts_any, with_core_event_types
from lash_core.model.ids import check_id, check_queue
from lash_core.model.limits import Limits
from lash_core.model.payload_schema import check_schema
from lash_core.model.process_input import (
    AnyProcessInput,
    EngineInput,
    ExternalInput,
    ProcessIdentity,
    SessionTurnInput,
    ToolCallInput,
    default_identity,
)
from lash_core.model.scope import ProcessProvenance, SessionOriginator, SessionScope

HASH_VERSION = 1
"""Version of what the registration hash covers."""


class RetryPolicy(Model):
    """Retries of a whole process: how often, and the first and longest wait between attempts, in ms."""

    attempts_max: int = Field(default=1, ge=1, le=1_000)
    backoff_ms: int = Field(default=1_000, ge=0)
    backoff_max_ms: int = Field(default=60_000, ge=0)


class ProcessRegistration(Model):
    """A start request. The first part is hashed; the second (dispatch) is not.

    Raises:
        InvalidRegistrationError: from ``validated()``; building one checks types only.
    """

    id: str = Field(kw_only=False)
    input: AnyProcessInput = Field(kw_only=False)
    disposition: RecoveryDisposition = Field(kw_only=False)
    identity: ProcessIdentity | None = None
    event_types: tuple[ProcessEventType, ...] = ()
    provenance: ProcessProvenance = Field(default_factory=ProcessProvenance)
    env_ref: str | None = None
    wake_target: SessionScope | None = None

    queue: str = "default"
    due_at_ms: int | None = None
    delay_ms: int | None = None
    timeout_ms: int | None = None
    app_version: str | None = None
    version_pin: str | None = None
    retry_policy: RetryPolicy | None = None

    @property
    def resolved_identity(self) -> ProcessIdentity:
        """The given identity, else the input's own."""
        return self.identity or default_identity(self.input)

    @property
    def all_event_types(self) -> tuple[ProcessEventType, ...]:
        """Declared types, then the core ones."""
        return with_core_event_types(self.declared_event_types)

    @property
    def declared_event_types(self) -> tuple[ProcessEventType, ...]:
        """The declared types that are not core types."""
        return tuple(event_type for event_type in self.event_types if event_type.name not in CORE_BY_NAME)

    def event_type(self, name: str) -> ProcessEventType | None:
        """The declared or core type of that name."""
        for event_type in self.event_types:
            if event_type.name == name:
                return event_type
        return CORE_BY_NAME.get(name)

    def hashed_facts(self) -> dict[str, Any]:
        """The facts under the registration hash, as JSON."""
        return {
            "hash_version": HASH_VERSION,
            "id": self.id,
            "input": self.input.model_dump(mode="json", by_alias=True),
            "identity": self.resolved_identity.to_json_value(),
            "disposition": self.disposition.value,
            "event_types": [event_type.to_json_value() for event_type in self.declared_event_types],
            "provenance": self.provenance.to_json_value(),
            "env_ref": self.env_ref,
            "wake_target": self.wake_target.to_json_value() if self.wake_target else None,
        }

    @property
    def registration_hash(self) -> str:
        """Hex SHA-256 over the canonical JSON of ``hashed_facts()``."""
        return hashlib.sha256(canonical_json(self.hashed_facts(), field="registration").encode()).hexdigest()

    def with_disposition(self, disposition: RecoveryDisposition) -> Self:
        """A copy that recovers another way."""
        return self.model_copy(update={"disposition": RecoveryDisposition(disposition)})

    def with_identity(self, identity: ProcessIdentity) -> Self:
        """A copy with an identity of its own."""
        return self.model_copy(update={"identity": identity})

    def with_event_types(self, event_types: Iterable[ProcessEventType]) -> Self:
        """A copy that declares these event types."""
        return self.model_copy(update={"event_types": tuple(event_types)})

    def with_provenance(self, provenance: ProcessProvenance) -> Self:
        """A copy with another origin."""
        return self.model_copy(update={"provenance": provenance})

    def with_env_ref(self, env_ref: str | None) -> Self:
        """A copy with a captured execution environment."""
        return self.model_copy(update={"env_ref": env_ref})

    with_execution_env_ref = with_env_ref

    def with_wake_target(self, scope: SessionScope | None) -> Self:
        """A copy whose wakes go to ``scope``."""
        return self.model_copy(update={"wake_target": scope})

    def with_queue(self, queue: str) -> Self:
        """A copy that waits in another queue."""
        return self.model_copy(update={"queue": queue})

    def with_delay_ms(self, delay_ms: int) -> Self:
        """A copy that is due ``delay_ms`` after its registration."""
        return self.model_copy(update={"delay_ms": delay_ms})

    def with_timeout_ms(self, timeout_ms: int | None) -> Self:
        """A copy whose runs end after ``timeout_ms``."""
        return self.model_copy(update={"timeout_ms": timeout_ms})

    def with_due_at_ms(self, due_at_ms: int) -> Self:
        """A copy that is due at ``due_at_ms``, ms since the epoch by the server's clock."""
        return self.model_copy(update={"due_at_ms": due_at_ms})

    def validated(self) -> Self:
        """Return self when every rule of contract 2.1 holds.

        Raises:
            InvalidRegistrationError: naming the field, the value and the limit.
        """
        try:
            check_id(self.id, field="id")
            check_queue(self.queue)
            canonical_json(self.input.to_plain_value(), field="input")
            if self.identity is not None and self.identity.definition is not None:
                canonical_json(self.identity.definition, field="identity.definition")
            if self.wake_target is not None:
                self.wake_target.validated()
        except InvalidArgumentError as error:
            raise InvalidRegistrationError(
                error.message, field=error.field, value=error.value, limit=error.limit, process_id=_text(self.id)
            ) from error
        _check_event_types(self)
        _check_env_ref(self)
        if isinstance(self.input, EngineInput) and not self.input.kind.strip():
            raise InvalidRegistrationError(
                f"process `{self.id}` engine kind must be a non-empty string", field="input.kind", process_id=self.id
            )
        for name in ("due_at_ms", "delay_ms", "timeout_ms"):
            value = getattr(self, name)
            if value is not None and (value < 0 or value > 2**53):
                raise InvalidRegistrationError(
                    f"process `{self.id}` {name} is {value}; it must be 0 to 2^53", field=name, value=value, limit=2**53
                )
        return self

    def check_size(self, limits: Limits) -> Self:
        """Return self when input and registration fit ``limits``.

        Raises:
            LimitExceededError: naming the field, the size and the limit.
        """
        facts = self.hashed_facts()
        limits.check_payload_size(len(canonical_json_bytes(facts["input"])), field="input", process_id=self.id)
        if self.identity is not None or self.event_types or self.wake_target or self.provenance.caused_by:
            size = len(canonical_json_bytes(facts))
            limits.check_payload_size(size, field="registration", process_id=self.id)
        return self


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _check_event_types(registration: ProcessRegistration) -> None:
    seen: set[str] = set()
    for event_type in registration.event_types:
        name = event_type.name
        if not name.strip():
            raise InvalidRegistrationError(
                f"process `{registration.id}` event type name must be a non-empty string", field="event_types"
            )
        if name in seen:
            raise InvalidRegistrationError(
                f"process `{registration.id}` declares duplicate event type `{name}`", field="event_types", value=name
            )
        seen.add(name)
        core = CORE_BY_NAME.get(name)
        terminal = event_type.semantics.terminal
        if core is not None and (event_type.semantics != core.semantics or not accepts_any(event_type.payload_schema)):
            raise InvalidRegistrationError(
                f"process `{registration.id}` declares core event type `{name}` with other semantics",
                field="event_types",
                value=name,
            )
        check_schema(event_type.payload_schema, field=f"event_types.{name}.payload_schema")
        if not event_type.semantics.is_plain:
            canonical_json(event_type.semantics.to_plain_value(), field=f"event_types.{name}.semantics")
        if terminal is not None and terminal.state != "completed" and terminal.await_output is None:
            raise InvalidRegistrationError(
                f"process `{registration.id}` terminal event type `{name}` must declare await_output",
                field="event_types",
                value=name,
            )


def _check_env_ref(registration: ProcessRegistration) -> None:
    match registration.input:
        case ToolCallInput() | EngineInput():
            # Decision 14: absent only with a session originator, whose runtime is rebuilt instead.
            if registration.env_ref is None and not isinstance(registration.provenance.originator, SessionOriginator):
                raise InvalidRegistrationError(
                    f"process `{registration.id}` input `{registration.input.type}` requires a captured execution env",
                    field="env_ref",
                    process_id=registration.id,
                )
        case SessionTurnInput() | ExternalInput():
            if registration.env_ref is not None:
                raise InvalidRegistrationError(
                    f"process `{registration.id}` must not capture an execution env for this input kind",
                    field="env_ref",
                    value=registration.env_ref,
                    process_id=registration.id,
                )
