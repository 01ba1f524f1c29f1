"""The in-memory trigger store: the reference of the contract."""

from __future__ import annotations

from lash_core.clock import Clock, SystemClock
from lash_core.errors import InvalidCursorError, TriggerOperationConflictError
from lash_core.memory_store.detach import detached
from lash_core.memory_store.trigger_occurrences import TriggerOccurrences
from lash_core.memory_store.trigger_state import Receipt, TriggerState
from lash_core.model.canonical_json import canonical_json_bytes
from lash_core.model.disposition import DurabilityTier
from lash_core.model.limits import Limits
from lash_core.model.trigger import TriggerOwnerScope, TriggerSubscription, subscription_id
from lash_core.model.trigger_command import (
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
from lash_core.runtime.schedule import check_schedule, next_tick
from lash_core.store.trigger_bounds import too_many_of_source, too_many_subscriptions
from lash_core.store.trigger_store import TriggerFilter, TriggerPage


class MemoryTriggerStore(TriggerOccurrences):
    """``TriggerStore`` in memory; lost with the OS process. May be called from any event loop and any thread.

    Args:
        clock: the store's clock. The machine's by default.
        limits: what is refused and trimmed.
        payload_limits: bound of payloads and definitions.
    """

    def __init__(
        self, clock: Clock | None = None, limits: TriggerLimits | None = None, payload_limits: Limits | None = None
    ) -> None:
        super().__init__(TriggerState(clock or SystemClock(), payload_limits or Limits()), limits or TriggerLimits())

    def with_limits(self, limits: TriggerLimits) -> MemoryTriggerStore:
        """The same triggers under other bounds."""
        copy = MemoryTriggerStore(limits=limits)
        copy._state = self._state
        return copy

    def durability_tier(self) -> DurabilityTier:
        """``inline``."""
        return DurabilityTier.INLINE

    async def apply_trigger_command(self, command: AnyTriggerCommand) -> AnyTriggerResult:
        """Carry out a mutation, or answer with the receipt of its operation id."""
        checked = detached(command.validated())
        if isinstance(checked, RegisterTrigger | UpdateTrigger | ReviveTrigger):
            checked.definition.check_size(self._state.payload_limits)
            if checked.definition.schedule is not None:
                check_schedule(checked.definition.schedule)
        receipt_key = (checked.owner_scope.namespace, checked.operation_id)
        with self._state.lock:
            receipt = self._state.receipts.get(receipt_key)
            if receipt is not None:
                if receipt.request_hash != checked.request_hash:
                    raise TriggerOperationConflictError(checked.operation_id)
                return detached(receipt.result)
            result = self._prune(checked) if isinstance(checked, PruneTriggers) else self._apply(checked)
            self._keep_receipt(receipt_key, checked.request_hash, result)
            return detached(result)

    def _apply(self, command: OneTriggerCommand) -> AnyTriggerResult:
        state = self._state
        before = state.subscriptions.get(command.subscription_id)
        now_ms = state.clock.now_ms()
        result = decide_trigger(before, command, now_ms=now_ms, incarnation=state.next_incarnation())
        if isinstance(result, TriggerCreated | TriggerUpdated):
            after = result.subscription
            self._check_room(before, after)
            schedule = after.definition.schedule
            due_ms = due_after(
                before,
                after,
                state.due.pop(after.subscription_id, None),
                lambda: None if schedule is None else next_tick(schedule, now_ms),
            )
            if due_ms is not None:
                state.due[after.subscription_id] = due_ms
            state.subscriptions[after.subscription_id] = after
        return result

    def _check_room(self, before: TriggerSubscription | None, after: TriggerSubscription) -> None:
        state = self._state
        if before is None and len(state.subscriptions) >= self.limits.subscriptions_max:
            raise too_many_subscriptions(self.limits.subscriptions_max)
        if after.is_live:
            definition, limit = after.definition, self.limits.source_subscriptions_max
            others = state.matching(definition.source_type, definition.source_key)
            if sum(other.subscription_id != after.subscription_id for other in others) >= limit:
                raise too_many_of_source(definition.source_type, definition.source_key, limit)

    def _prune(self, command: PruneTriggers) -> TriggersPruned:
        pruned: list[str] = []
        kept: list[str] = []
        for key in dict.fromkeys(command.subscription_keys):
            found = self._state.subscriptions.get(subscription_id(command.owner_scope, key))
            if found is not None and found.tombstoned:
                del self._state.subscriptions[found.subscription_id]
                pruned.append(key)
            elif found is not None:
                kept.append(key)
        return TriggersPruned(pruned_keys=tuple(pruned), kept_keys=tuple(kept))

    def _keep_receipt(self, key: tuple[str, str], request_hash: str, result: AnyTriggerResult) -> None:
        state = self._state
        size = len(canonical_json_bytes(result.to_plain_value()))
        state.receipts[key] = Receipt(request_hash, state.clock.now_ms(), result, size)
        state.receipt_bytes += size
        while (
            len(state.receipts) > self.limits.receipts_max or state.receipt_bytes > self.limits.receipt_bytes_max
        ) and len(state.receipts) > 1:
            state.receipt_bytes -= state.receipts.pop(next(iter(state.receipts))).size

    async def get_trigger_subscription(self, subscription_id: str) -> TriggerSubscription | None:
        """One subscription, or None."""
        with self._state.lock:
            found = self._state.subscriptions.get(subscription_id)
            return None if found is None else detached(found)

    async def list_trigger_subscriptions(
        self, filter: TriggerFilter | None = None, cursor: str | None = None, limit: int = 100
    ) -> TriggerPage:
        """A page by id."""
        wanted = filter or TriggerFilter()
        if cursor is not None and not cursor.startswith("m:"):
            raise InvalidCursorError("this store did not issue the cursor", field="cursor", value=cursor)
        after, limit = "" if cursor is None else cursor[2:], max(limit, 1)
        with self._state.lock:
            page = sorted(key for key in self._state.subscriptions if key > after)
            found = [detached(self._state.subscriptions[key]) for key in page[:limit]]
        shown = tuple(
            item
            for item in found
            if (wanted.include_tombstoned or not item.tombstoned)
            and (wanted.owner_scope is None or wanted.owner_scope == item.owner_scope)
        )
        return TriggerPage(shown, f"m:{page[limit - 1]}" if len(page) > limit else None)

    async def delete_session_subscriptions(self, session_id: str) -> int:
        """Remove everything that a session owns; returns how many."""
        return self.forget_session(session_id)

    def forget_session(self, session_id: str) -> int:
        """``delete_session_subscriptions`` for the stores of the same program."""
        owner = TriggerOwnerScope.session(session_id)
        with self._state.lock:
            doomed = [key for key, item in self._state.subscriptions.items() if item.owner_scope == owner]
            for key in doomed:
                del self._state.subscriptions[key]
                self._state.due.pop(key, None)
        return len(doomed)

    async def prune_mutation_receipts(self, cutoff_ms: int) -> int:
        """Forget receipts that are older than the cutoff; returns how many."""
        with self._state.lock:
            doomed = [key for key, receipt in self._state.receipts.items() if receipt.at_ms < cutoff_ms]
            for key in doomed:
                self._state.receipt_bytes -= self._state.receipts.pop(key).size
        return len(doomed)

    def __repr__(self) -> str:
        return f"MemoryTriggerStore(subscriptions={len(self._state.subscriptions)})"
