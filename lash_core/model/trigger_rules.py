"""What a mutation does to a subscription: the one table that every store decides by. Pure."""

from __future__ import annotations

from collections.abc import Callable

from lash_core.model.trigger import TriggerSubscription
from lash_core.model.trigger_command import (
    AnyTriggerResult,
    ConflictReason,
    DeleteTrigger,
    DisableTrigger,
    EnableTrigger,
    OneTriggerCommand,
    RegisterTrigger,
    ReviveTrigger,
    TriggerConflict,
    TriggerCreated,
    TriggerUnchanged,
    TriggerUpdated,
    UpdateTrigger,
)


def decide_trigger(
    existing: TriggerSubscription | None, command: OneTriggerCommand, *, now_ms: int, incarnation: int
) -> AnyTriggerResult:
    """The answer of a command about one key; ``TriggerCreated`` and ``TriggerUpdated`` carry what is to be stored.

    Args:
        existing: what the store has, tombstones too.
        command: a checked command.
        now_ms: the store's time.
        incarnation: above every earlier one of the key; used for a new life.
    """
    if existing is None:
        if isinstance(command, RegisterTrigger):
            return TriggerCreated(subscription=_born(command, now_ms, incarnation))
        return conflict("unknown", command, existing)
    if isinstance(command, RegisterTrigger):
        return _register_again(existing, command)
    if existing.revision != command.expected_revision:
        return conflict("revision", command, existing)
    if existing.tombstoned != isinstance(command, ReviveTrigger):
        return conflict("deleted" if existing.tombstoned else "not_deleted", command, existing)
    changes = _changes(existing, command, incarnation)
    if changes is None:
        return TriggerUnchanged(subscription=existing)
    revision = existing.revision + 1
    return TriggerUpdated(
        subscription=existing.model_copy(update={**changes, "revision": revision, "updated_at_ms": now_ms})
    )


def _born(command: RegisterTrigger, now_ms: int, incarnation: int) -> TriggerSubscription:
    return TriggerSubscription(
        subscription_id=command.subscription_id,
        owner_scope=command.owner_scope,
        subscription_key=command.subscription_key,
        incarnation=incarnation,
        revision=1,
        enabled=True,
        tombstoned=False,
        definition=command.definition,
        definition_hash=command.definition_hash,
        wake_target=command.wake_target,
        originator=command.originator,
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
    )


def _register_again(existing: TriggerSubscription, command: RegisterTrigger) -> AnyTriggerResult:
    if existing.tombstoned:
        return conflict("deleted", command, existing)
    if existing.definition_hash != command.definition_hash:
        return conflict("definition", command, existing)
    return TriggerUnchanged(subscription=existing)


def _changes(existing: TriggerSubscription, command: OneTriggerCommand, incarnation: int) -> dict[str, object] | None:
    """The fields that change; None when it is like that already."""
    match command:
        case UpdateTrigger():
            return None if existing.definition_hash == command.definition_hash else _defined(command)
        case EnableTrigger():
            return None if existing.enabled else {"enabled": True}
        case DisableTrigger():
            return {"enabled": False} if existing.enabled else None
        case DeleteTrigger():
            return {"enabled": False, "tombstoned": True}
        case ReviveTrigger():
            life = {"enabled": True, "tombstoned": False, "incarnation": max(existing.incarnation + 1, incarnation)}
            return life | _defined(command)
        case RegisterTrigger():
            return None


def _defined(command: UpdateTrigger | ReviveTrigger) -> dict[str, object]:
    return {
        "definition": command.definition,
        "definition_hash": command.definition_hash,
        "wake_target": command.wake_target,
        "originator": command.originator,
    }


def conflict(
    reason: ConflictReason, command: OneTriggerCommand, existing: TriggerSubscription | None
) -> TriggerConflict:
    """The refusal of a command, with what is there and what was given."""
    return TriggerConflict(
        reason=reason,
        subscription_id=command.subscription_id,
        existing_revision=None if existing is None else existing.revision,
        existing_incarnation=None if existing is None else existing.incarnation,
        existing_definition_hash=None if existing is None else existing.definition_hash,
        given_definition_hash=getattr(command, "definition_hash", None),
        expected_revision=getattr(command, "expected_revision", None),
    )


def due_after(
    before: TriggerSubscription | None,
    after: TriggerSubscription,
    due_ms: int | None,
    next_tick: Callable[[], int | None],
) -> int | None:
    """The next tick that a store keeps for a subscription after a change.

    A running schedule that still ticks at the same times keeps its place, so that no tick is lost or made twice by an
    update of the params. Any other one starts from now: ticks of the time in which it was off are not made up for.

    Args:
        before: as it was; None for a new one.
        after: as it is to be stored.
        due_ms: the next tick that is stored now, if any.
        next_tick: computes the first tick after now.
    """
    schedule = after.definition.schedule
    if not after.is_live or schedule is None:
        return None
    was_running = before is not None and before.is_live and before.incarnation == after.incarnation
    if before is None or due_ms is None or not was_running:
        return next_tick()
    return due_ms if schedule.same_ticks(before.definition.schedule) else next_tick()
