"""Mutations of subscriptions, and their answers (``docs/contracts/triggers.md`` 3). Pure."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, TypeAdapter

from lash_core.errors import InvalidArgumentError
from lash_core.model.base import Model
from lash_core.model.canonical_json import sha256_hex
from lash_core.model.scope import AnyOriginator, SessionScope
from lash_core.model.trigger import (
    TriggerDefinition,
    TriggerOwnerScope,
    TriggerSubscription,
    check_subscription_key,
    definition_hash,
    subscription_id,
)
from lash_core.model.trigger_source import check_source_text

PRUNE_KEYS_MAX = 200
"""Keys of one prune."""


class _Mutation(Model):
    operation_id: str
    owner_scope: TriggerOwnerScope

    @property
    def request_hash(self) -> str:
        """Hex SHA-256 of what is asked, without the operation id."""
        return sha256_hex({name: value for name, value in self.to_plain_value().items() if name != "operation_id"})

    def validated(self) -> Self:
        """Return self when every field is legal. Raises: InvalidArgumentError."""
        check_source_text(self.operation_id, field="operation_id", subject="operation id")
        self.owner_scope.validated()
        return self


class _OneKey(_Mutation):
    subscription_key: str

    @property
    def subscription_id(self) -> str:
        """The id that owner and key have."""
        return subscription_id(self.owner_scope, self.subscription_key)

    def validated(self) -> Self:
        super().validated()
        check_subscription_key(self.subscription_key)
        return self


class _Defining(_OneKey):
    definition: TriggerDefinition
    wake_target: SessionScope | None = None
    originator: AnyOriginator | None = None

    @property
    def definition_hash(self) -> str:
        """The hash that the subscription would have."""
        return definition_hash(self.definition, self.wake_target, self.originator)

    def validated(self) -> Self:
        super().validated()
        self.definition.validated(self.subscription_id)
        if self.wake_target is not None:
            self.wake_target.validated()
        return self


class RegisterTrigger(_Defining):
    """Make a subscription; the same definition again changes nothing, another one is a conflict, never an upsert."""

    type: Literal["register"] = "register"


class UpdateTrigger(_Defining):
    """Replace the definition."""

    type: Literal["update"] = "update"
    expected_revision: int


class EnableTrigger(_OneKey):
    """Deliver to it again. Ticks and occurrences of the time in between are not made up for."""

    type: Literal["enable"] = "enable"
    expected_revision: int


class DisableTrigger(_OneKey):
    """Deliver nothing to it."""

    type: Literal["disable"] = "disable"
    expected_revision: int


class DeleteTrigger(_OneKey):
    """Leave a tombstone: the key stays taken until it is pruned."""

    type: Literal["delete"] = "delete"
    expected_revision: int


class ReviveTrigger(_Defining):
    """Begin a new life of a deleted key with this definition: same id, new incarnation, the revision goes on."""

    type: Literal["revive"] = "revive"
    expected_revision: int


class PruneTriggers(_Mutation):
    """Forget deleted keys; live ones stay and are named in the answer."""

    type: Literal["prune"] = "prune"
    subscription_keys: tuple[str, ...]

    def validated(self) -> Self:
        """Return self when every field is legal. Raises: InvalidArgumentError."""
        super().validated()
        if len(self.subscription_keys) > PRUNE_KEYS_MAX:
            raise InvalidArgumentError(
                f"a prune takes at most {PRUNE_KEYS_MAX} names",
                field="subscription_keys",
                value=len(self.subscription_keys),
                limit=PRUNE_KEYS_MAX,
            )
        for key in self.subscription_keys:
            check_subscription_key(key)
        return self


OneTriggerCommand = RegisterTrigger | UpdateTrigger | EnableTrigger | DisableTrigger | DeleteTrigger | ReviveTrigger
AnyTriggerCommand = Annotated[OneTriggerCommand | PruneTriggers, Field(discriminator="type")]


class TriggerCreated(Model):
    """Registered now."""

    type: Literal["created"] = "created"
    subscription: TriggerSubscription


class TriggerUnchanged(Model):
    """It was like that already; the revision stays."""

    type: Literal["unchanged"] = "unchanged"
    subscription: TriggerSubscription


class TriggerUpdated(Model):
    """Changed now: a new definition, enabled, disabled, deleted or revived."""

    type: Literal["updated"] = "updated"
    subscription: TriggerSubscription


class TriggersPruned(Model):
    """Keys that are forgotten, and keys that were not deleted and stay. Unknown keys are in neither."""

    type: Literal["pruned"] = "pruned"
    pruned_keys: tuple[str, ...] = ()
    kept_keys: tuple[str, ...] = ()


ConflictReason = Literal["definition", "revision", "deleted", "not_deleted", "unknown"]


class TriggerConflict(Model):
    """Refused; nothing changed. What is there now, and what was given.

    ``definition``: registered with another one. ``revision``: it has changed since. ``deleted``: only a revive ends
    that. ``not_deleted``: nothing to revive. ``unknown``: no such key.
    """

    type: Literal["conflict"] = "conflict"
    reason: ConflictReason
    subscription_id: str
    existing_revision: int | None = None
    existing_incarnation: int | None = None
    existing_definition_hash: str | None = None
    given_definition_hash: str | None = None
    expected_revision: int | None = None


AnyTriggerResult = Annotated[
    TriggerCreated | TriggerUnchanged | TriggerUpdated | TriggersPruned | TriggerConflict, Field(discriminator="type")
]

TRIGGER_RESULT: TypeAdapter[AnyTriggerResult] = TypeAdapter(AnyTriggerResult)
"""Reads a receipt."""
