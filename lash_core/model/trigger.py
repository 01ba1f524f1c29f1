"""Trigger subscriptions: who subscribes to which source, and what a delivery starts (``docs/contracts/triggers.md`` 1).

Pure.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field

from lash_core.errors import InvalidArgumentError
from lash_core.model.base import JsonValue, Model
from lash_core.model.canonical_json import canonical_json_bytes, check_json, sha256_hex
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.ids import check_id, check_queue
from lash_core.model.limits import Limits
from lash_core.model.scope import AnyOriginator, HostOriginator, SessionOriginator, SessionScope
from lash_core.model.trigger_params import check_params_template
from lash_core.model.trigger_schedule import SCHEDULE_SOURCE_TYPE, TriggerSchedule
from lash_core.model.trigger_source import check_source

SUBSCRIPTION_ID_PREFIX = "trigger-subscription:v1:sha256:"
RESERVED_KEY_PREFIX = "lash.internal/"
"""Keys that lash keeps for itself."""


class TriggerOwnerScope(Model):
    """Who owns a subscription: a session, the host (people, scripts), or the platform (apps that declare triggers)."""

    type: Literal["session", "host", "platform"] = Field(kw_only=False)
    session_id: str | None = None

    @classmethod
    def session(cls, session_id: str) -> TriggerOwnerScope:
        """Owned by a session; goes with it."""
        return cls("session", session_id=session_id)

    @classmethod
    def host(cls) -> TriggerOwnerScope:
        """Owned by the host."""
        return cls("host")

    @classmethod
    def platform(cls) -> TriggerOwnerScope:
        """Owned by what is deployed."""
        return cls("platform")

    @property
    def namespace(self) -> str:
        """``host``, ``platform`` or ``session:<sid>``: the owner part of the id."""
        return f"session:{self.session_id}" if self.type == "session" else self.type

    @property
    def default_originator(self) -> AnyOriginator:
        """The originator of processes whose subscription names none."""
        if self.type == "session":
            return SessionOriginator(scope=SessionScope(session_id=self.session_id or ""))
        return HostOriginator()

    def validated(self) -> Self:
        """Return self when a session owner names a legal session and the others none. Raises: InvalidArgumentError."""
        if self.type == "session":
            check_id(self.session_id, field="session_id", subject="session id")
        elif self.session_id is not None:
            raise InvalidArgumentError(f"a {self.type} owner has no session", field="session_id", value=self.session_id)
        return self


def subscription_id(owner_scope: TriggerOwnerScope, subscription_key: str) -> str:
    """``trigger-subscription:v1:sha256:<hex>`` of owner and key: the same for ever."""
    return f"{SUBSCRIPTION_ID_PREFIX}{sha256_hex([owner_scope.namespace, subscription_key])}"


def check_subscription_key(key: object) -> str:
    """Return ``key`` when it is a legal id and not reserved. Raises: InvalidArgumentError."""
    checked = check_id(key, field="subscription_key", subject="trigger name")
    if checked.startswith(RESERVED_KEY_PREFIX):
        raise InvalidArgumentError(
            f"trigger name {checked[:80]!r}: names that start with {RESERVED_KEY_PREFIX} are reserved",
            field="subscription_key",
            value=checked,
        )
    return checked


class TriggerTarget(Model):
    """What a delivery starts.

    Attributes:
        kind: process kind; its manifest is looked up at each start, so that a deploy counts for the next one.
        params: JSON in which ``{"$payload": "<JSON pointer>"}`` stands for a part of the occurrence's payload.
        label: of the processes; the subscription's key when None.
        queue: another than the kind's.
        delay_ms: the process is due that long after its start.
        timeout_ms: another than the kind's.
        disposition: for a kind whose manifest nobody has published.
        env_ref: captured environment; None = the empty one.
    """

    kind: str = Field(kw_only=False)
    params: JsonValue = None
    label: str | None = None
    queue: str | None = None
    delay_ms: int | None = None
    timeout_ms: int | None = None
    disposition: RecoveryDisposition | None = None
    env_ref: str | None = None

    def validated(self) -> Self:
        """Return self when every field is legal. Raises: InvalidArgumentError."""
        check_id(self.kind, field="kind", subject="process kind")
        check_json(self.params, field="params")
        check_params_template(self.params)
        if self.queue is not None:
            check_queue(self.queue)
        for name in ("delay_ms", "timeout_ms"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 2**53:
                raise InvalidArgumentError(f"{name} is {value}; it must be 0 to 2^53", field=name, value=value)
        return self


class TriggerDefinition(Model):
    """A source and a target. A definition with a schedule is its own source: its key is the subscription's id."""

    source_type: str = Field(kw_only=False)
    source_key: str = Field(kw_only=False)
    target: TriggerTarget = Field(kw_only=False)
    schedule: TriggerSchedule | None = None

    @classmethod
    def scheduled(
        cls, owner_scope: TriggerOwnerScope, subscription_key: str, schedule: TriggerSchedule, target: TriggerTarget
    ) -> TriggerDefinition:
        """A definition whose occurrences are the ticks of ``schedule``."""
        return cls(SCHEDULE_SOURCE_TYPE, subscription_id(owner_scope, subscription_key), target, schedule=schedule)

    def validated(self, own_id: str) -> Self:
        """Return self when source, schedule and target are legal for the subscription of that id.

        Raises:
            InvalidArgumentError: naming the field.
        """
        check_source(self.source_type, self.source_key)
        self.target.validated()
        if (self.schedule is None) == (self.source_type == SCHEDULE_SOURCE_TYPE):
            raise InvalidArgumentError(
                f"source type `{SCHEDULE_SOURCE_TYPE}` and a schedule belong together",
                field="source_type",
                value=self.source_type,
            )
        if self.schedule is not None:
            self.schedule.validated()
            if self.source_key != own_id:
                raise InvalidArgumentError(
                    "the source key of a schedule is its own subscription's id",
                    field="source_key",
                    value=self.source_key,
                )
        return self

    def check_size(self, limits: Limits) -> Self:
        """Return self when it fits the payload limit. Raises: LimitExceededError."""
        limits.check_payload_size(len(canonical_json_bytes(self.to_plain_value())), field="definition")
        return self


class TriggerSubscription(Model):
    """A subscription as it stands.

    Attributes:
        incarnation: rises with each life of the key (register, revive), over prune too; compare it only.
        revision: 1 at registration, one more with each change; a revive goes on counting.
        tombstoned: deleted; nothing matches it, and only a revive or prune ends that.
        definition_hash: hex SHA-256 of definition, wake target and originator.
        wake_target: session that wakes of the started processes go to.
        originator: who starts the processes; the owner when None.
    """

    subscription_id: str
    owner_scope: TriggerOwnerScope
    subscription_key: str
    incarnation: int
    revision: int
    enabled: bool
    tombstoned: bool
    definition: TriggerDefinition
    definition_hash: str
    wake_target: SessionScope | None = None
    originator: AnyOriginator | None = None
    created_at_ms: int = 0
    updated_at_ms: int = 0

    @property
    def is_live(self) -> bool:
        """True when occurrences are delivered to it."""
        return self.enabled and not self.tombstoned

    @property
    def resolved_originator(self) -> AnyOriginator:
        """The originator of its processes."""
        return self.originator or self.owner_scope.default_originator


def definition_hash(
    definition: TriggerDefinition, wake_target: SessionScope | None, originator: AnyOriginator | None
) -> str:
    """Hex SHA-256 over the canonical JSON of what a registration says: by it two are the same."""
    facts: dict[str, Any] = {
        "definition": definition.to_plain_value(),
        "wake_target": None if wake_target is None else wake_target.to_json_value(),
        "originator": None if originator is None else originator.to_json_value(),
    }
    return sha256_hex(facts)
