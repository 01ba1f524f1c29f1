"""The trigger store over Redis: all triggers of a namespace under one tag (``docs/contracts/triggers.md``)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from lash_core.errors import (
    CorruptRecordError,
    InvalidCursorError,
    OutcomeUnknownError,
    TriggerOperationConflictError,
)
from lash_core.model.canonical_json import canonical_json
from lash_core.model.disposition import DurabilityTier
from lash_core.model.trigger import TriggerOwnerScope, TriggerSubscription, subscription_id
from lash_core.model.trigger_command import (
    TRIGGER_RESULT,
    AnyTriggerCommand,
    AnyTriggerResult,
    OneTriggerCommand,
    PruneTriggers,
    RegisterTrigger,
    ReviveTrigger,
    TriggerCreated,
    TriggersPruned,
    TriggerUpdated,
    UpdateTrigger,
)
from lash_core.model.trigger_limits import TriggerLimits
from lash_core.model.trigger_rules import decide_trigger, due_after
from lash_core.redis_store.commands import Command
from lash_core.redis_store.scripts import Call
from lash_core.redis_store.server_time import time_commands, time_us
from lash_core.redis_store.trigger_codec import (
    decode_subscription,
    encode_subscription,
    owner_name,
    receipt_name,
    stamp_of,
    state_of,
    subscription_name,
)
from lash_core.redis_store.trigger_schedules import RedisTriggerSchedules
from lash_core.runtime.schedule import check_schedule, next_tick
from lash_core.store.trigger_bounds import SESSION_PART, too_many_of_source, too_many_subscriptions
from lash_core.store.trigger_store import TriggerFilter, TriggerPage

ROUNDS_MAX = 50
"""Times that a mutation is decided anew because another one came between: far more than people and workers cause."""

RECEIPTS_PART = 1_000
"""Receipts that one script forgets: about 3 ms."""

PAGE_MAX = 1_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Change:
    """One subscription of a decided mutation, as the script takes it. ``action``: put, drop or keep."""

    name: str
    seen: TriggerSubscription | None
    action: str
    after: TriggerSubscription | None = None
    due: str = "keep"

    def args(self, owner: TriggerOwnerScope) -> tuple[str, ...]:
        seen = "" if self.seen is None else f"{state_of(self.seen)};{stamp_of(self.seen)}"
        row = "" if self.after is None else encode_subscription(self.after)
        return (self.name, seen, self.action, row, owner_name(owner), self.due)


class RedisTriggerStore(RedisTriggerSchedules):
    """``TriggerStore`` over Redis: mutations are decided here, and written by a script if nothing has changed since."""

    def with_limits(self, limits: TriggerLimits) -> RedisTriggerStore:
        """The same triggers under other bounds."""
        return RedisTriggerStore(self._context, limits)

    def durability_tier(self) -> DurabilityTier:
        """``durable``."""
        return DurabilityTier.DURABLE

    async def apply_trigger_command(self, command: AnyTriggerCommand) -> AnyTriggerResult:
        """Carry out a mutation, or answer with the receipt of its operation id.

        Raises:
            OutcomeUnknownError: other mutations of the same trigger came between every time.
        """
        checked = command.validated()
        if isinstance(checked, RegisterTrigger | UpdateTrigger | ReviveTrigger):
            checked.definition.check_size(self._context.settings.limits)
            if checked.definition.schedule is not None:
                check_schedule(checked.definition.schedule)
        for _ in range(ROUNDS_MAX):
            result = await self._try(checked)
            if result is not None:
                return result
        raise OutcomeUnknownError(f"triggers of `{checked.owner_scope.namespace}` keep changing; repeat the operation")

    async def _try(self, command: AnyTriggerCommand) -> AnyTriggerResult | None:
        """Decide on what is there now and write it; None when that has changed meanwhile."""
        keys = [command.subscription_keys] if isinstance(command, PruneTriggers) else [(command.subscription_key,)]
        ids = list(dict.fromkeys(subscription_id(command.owner_scope, key) for key in keys[0]))
        receipt, now_us, rows, dues = await self._look(receipt_name(command.owner_scope, command.operation_id), ids)
        if receipt is not None:
            return self._replay(receipt, command)
        result: AnyTriggerResult
        if isinstance(command, PruneTriggers):
            result, changes = _decide_prune(command, rows)
        else:
            result, changes = _decide(command, rows[0], dues[0], now_us)
        return await self._write(command, result, changes)

    async def _look(
        self, receipt: str, ids: list[str]
    ) -> tuple[str | None, int, list[TriggerSubscription | None], list[int | None]]:
        keys = self._keys
        names = [subscription_name(one) or "" for one in ids]
        commands = [*time_commands(self._context, keys.subscriptions)]
        times = len(commands)
        commands.append(Command(keys.receipts, ("HGET", keys.receipts, receipt)))
        if names:
            commands.append(Command(keys.subscriptions, ("HMGET", keys.subscriptions, *names)))
            commands.append(Command(keys.due, ("ZMSCORE", keys.due, *names)))
        replies = await self._context.connection.read(commands)
        rows: list[Any] = replies[times + 1] if names else []
        dues: list[Any] = replies[times + 2] if names else []
        return (
            replies[times],
            time_us(replies[:times]),
            [
                None if row is None else decode_subscription(name, row, key=keys.subscriptions)
                for name, row in zip(names, rows, strict=True)
            ],
            [None if due is None else int(float(due)) for due in dues],
        )

    async def _write(
        self, command: AnyTriggerCommand, result: AnyTriggerResult, changes: list[_Change]
    ) -> AnyTriggerResult | None:
        keys, limits = self._keys, self.limits
        args: list[str | int] = [
            receipt_name(command.owner_scope, command.operation_id),
            f"{command.request_hash};{canonical_json(result.to_plain_value(), field='result')}",
            limits.subscriptions_max,
            limits.source_subscriptions_max,
            limits.receipts_max,
            limits.receipt_bytes_max,
        ]
        for change in changes:
            args += change.args(command.owner_scope)
        call = Call(
            "apply_trigger_command",
            (
                keys.subscriptions,
                keys.sources,
                keys.owners,
                keys.due,
                keys.receipts,
                keys.receipt_times,
                keys.meta,
            ),
            tuple(args),
        )
        reply = (await self._context.scripts.run([call], durable=True))[0]
        match reply[0]:
            case "done":
                return result
            case "receipt":
                return self._replay(reply[1], command)
            case "full":
                raise self._refusal(result, reply[1])
            case _:
                return None

    def _refusal(self, result: AnyTriggerResult, what: str) -> Exception:
        if what == "subscriptions" or not isinstance(result, TriggerCreated | TriggerUpdated):
            return too_many_subscriptions(self.limits.subscriptions_max)
        definition, limit = result.subscription.definition, self.limits.source_subscriptions_max
        return too_many_of_source(definition.source_type, definition.source_key, limit)

    def _replay(self, receipt: str, command: AnyTriggerCommand) -> AnyTriggerResult:
        _, request_hash, text = receipt.split(";", 2)
        if request_hash != command.request_hash:
            raise TriggerOperationConflictError(command.operation_id)
        try:
            return TRIGGER_RESULT.validate_json(text)
        except ValueError as error:
            raise CorruptRecordError(
                f"{self._keys.receipts} holds an unreadable receipt", key=self._keys.receipts
            ) from error

    # -- reads and housekeeping -------------------------------------------------------------------------------------

    async def get_trigger_subscription(self, subscription_id: str) -> TriggerSubscription | None:
        """One subscription, or None. Raises: CorruptRecordError."""
        name, key = subscription_name(subscription_id), self._keys.subscriptions
        if name is None:
            return None
        row = (await self._context.connection.read([Command(key, ("HGET", key, name))]))[0]
        return None if row is None else decode_subscription(name, row, key=key)

    async def list_trigger_subscriptions(
        self, filter: TriggerFilter | None = None, cursor: str | None = None, limit: int = 100
    ) -> TriggerPage:
        """A page, in the order of a hash over owner and name."""
        wanted, keys = filter or TriggerFilter(), self._keys
        start, end = "-", "+"
        if wanted.owner_scope is not None:
            owner = owner_name(wanted.owner_scope)
            start, end = f"[{owner}:", f"({owner};"
        if cursor is not None:
            if not cursor.startswith("r:"):
                raise InvalidCursorError("this store did not issue the cursor", field="cursor", value=cursor)
            start = f"({cursor[2:]}"
        size = max(1, min(limit, PAGE_MAX))
        command = Command(keys.owners, ("ZRANGE", keys.owners, start, end, "BYLEX", "LIMIT", 0, size + 1))
        members: list[str] = (await self._context.connection.read([command]))[0]
        page = members[:size]
        items = await self._rows([member.rpartition(":")[2] for member in page])
        shown = tuple(item for item in items if wanted.include_tombstoned or not item.tombstoned)
        return TriggerPage(shown, f"r:{page[-1]}" if len(members) > size else None)

    async def _rows(self, names: list[str]) -> list[TriggerSubscription]:
        """Subscriptions by name; what is gone or cannot be read is left out."""
        key = self._keys.subscriptions
        if not names:
            return []
        rows: list[str | None] = (await self._context.connection.read([Command(key, ("HMGET", key, *names))]))[0]
        found: list[TriggerSubscription] = []
        for name, row in zip(names, rows, strict=True):
            try:
                if row is not None:
                    found.append(decode_subscription(name, row, key=key))
            except CorruptRecordError as error:
                logger.warning("a trigger cannot be read; it is left out: %s", error.message)
        return found

    async def delete_session_subscriptions(self, session_id: str) -> int:
        """Remove everything that a session owns; returns how many."""
        keys = self._keys
        script_keys = (keys.subscriptions, keys.sources, keys.owners, keys.due)
        args = (owner_name(TriggerOwnerScope.session(session_id)), SESSION_PART)
        removed = 0
        while True:
            part = (await self._context.scripts.run([Call("delete_session_subscriptions", script_keys, args)]))[0]
            removed += part
            if part < SESSION_PART:
                return removed

    async def prune_mutation_receipts(self, cutoff_ms: int) -> int:
        """Forget receipts that are older than the cutoff; returns how many."""
        keys = self._keys
        script_keys = (keys.receipts, keys.receipt_times, keys.meta)
        pruned = 0
        while True:
            call = Call("prune_mutation_receipts", script_keys, (cutoff_ms, RECEIPTS_PART))
            part = (await self._context.scripts.run([call]))[0]
            pruned += part
            if part < RECEIPTS_PART:
                return pruned


def _decide(
    command: OneTriggerCommand, before: TriggerSubscription | None, due_ms: int | None, now_us: int
) -> tuple[AnyTriggerResult, list[_Change]]:
    now_ms = now_us // 1_000
    name = subscription_name(command.subscription_id) or ""
    result = decide_trigger(before, command, now_ms=now_ms, incarnation=now_us)
    if not isinstance(result, TriggerCreated | TriggerUpdated):
        return result, [_Change(name, before, "keep")]
    after = result.subscription
    schedule = after.definition.schedule
    wanted_ms = due_after(before, after, due_ms, lambda: None if schedule is None else next_tick(schedule, now_ms))
    # A worker may move the schedule on between look and write; where its place is kept, the script leaves it alone.
    due = "" if wanted_ms is None else "keep" if wanted_ms == due_ms else str(wanted_ms)
    return result, [_Change(name, before, "put", after, due)]


def _decide_prune(
    command: PruneTriggers, rows: list[TriggerSubscription | None]
) -> tuple[AnyTriggerResult, list[_Change]]:
    pruned: list[str] = []
    kept: list[str] = []
    changes: list[_Change] = []
    for key, row in zip(dict.fromkeys(command.subscription_keys), rows, strict=True):
        name = subscription_name(subscription_id(command.owner_scope, key)) or ""
        drop = row is not None and row.tombstoned
        if row is not None:
            (pruned if drop else kept).append(key)
        changes.append(_Change(name, row, "drop" if drop else "keep"))
    return TriggersPruned(pruned_keys=tuple(pruned), kept_keys=tuple(kept)), changes
