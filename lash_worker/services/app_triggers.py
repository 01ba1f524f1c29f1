"""Registers the triggers that apps declare (docs/adr/0132)."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence

from lash_core.model.trigger import TriggerOwnerScope, TriggerSubscription, definition_hash, subscription_id
from lash_core.model.trigger_command import RegisterTrigger, TriggerConflict, TriggerUpdated, UpdateTrigger
from lash_core.store.trigger_store import TriggerFilter, TriggerStore
from lash_worker.app import App
from lash_worker.app_trigger import DeclaredTrigger

PLATFORM = TriggerOwnerScope.platform()
RACES_MAX = 5
"""Workers of one deploy that start together: one writes, the others find it written."""
ORPHANS_SHOWN = 10
PAGES_MAX = 100

_log = logging.getLogger(__name__)


class AppTriggers:
    """Makes the store agree with what the apps of one worker declare.

    A missing one is registered. One with another definition is updated by the first look of a worker only, so that
    during a deploy the last worker that started decides, and old workers do not write it back. A paused one stays
    paused, a deleted one deleted: that was somebody's decision.

    Args:
        store: the triggers.
        apps: what declares them.
    """

    def __init__(self, store: TriggerStore, apps: Sequence[App]) -> None:
        self._store = store
        self._apps = tuple(apps)
        self._declared = tuple(trigger for app in apps for trigger in app.triggers())
        self._started = False

    async def publish(self) -> None:
        """Register what is missing, and the first time also update what differs. Safe to repeat. Raises: LashError."""
        for trigger in self._declared:
            await self._publish(trigger)
        if not self._started and self._apps:
            await self._warn_of_orphans()
        self._started = True

    async def _publish(self, trigger: DeclaredTrigger) -> None:
        wanted = definition_hash(trigger.definition, None, None)
        for _ in range(RACES_MAX):
            found = await self._store.get_trigger_subscription(subscription_id(PLATFORM, trigger.key))
            if found is None:
                done = await self._register(trigger)
            elif found.tombstoned or found.definition_hash == wanted or self._started:
                return
            else:
                done = await self._update(trigger, found)
            if done:
                return

    async def _register(self, trigger: DeclaredTrigger) -> bool:
        command = RegisterTrigger(
            operation_id=secrets.token_hex(16),
            owner_scope=PLATFORM,
            subscription_key=trigger.key,
            definition=trigger.definition,
        )
        result = await self._store.apply_trigger_command(command)
        return not isinstance(result, TriggerConflict)

    async def _update(self, trigger: DeclaredTrigger, found: TriggerSubscription) -> bool:
        command = UpdateTrigger(
            operation_id=secrets.token_hex(16),
            owner_scope=PLATFORM,
            subscription_key=trigger.key,
            expected_revision=found.revision,
            definition=trigger.definition,
        )
        result = await self._store.apply_trigger_command(command)
        if isinstance(result, TriggerUpdated):
            _log.info(
                "trigger %s has a new definition, revision %d",
                trigger.key,
                result.subscription.revision,
                extra={"trigger": trigger.key},
            )
        return not isinstance(result, TriggerConflict)

    async def _warn_of_orphans(self) -> None:
        """Say which triggers of these apps no code declares any more. Old workers may still: nothing is deleted."""
        declared = {trigger.key for trigger in self._declared}
        prefixes = tuple(f"{app.name}/" for app in self._apps)
        orphans: list[str] = []
        cursor: str | None = None
        for _ in range(PAGES_MAX):
            page = await self._store.list_trigger_subscriptions(TriggerFilter(owner_scope=PLATFORM), cursor, 200)
            orphans += [
                one.subscription_key
                for one in page.items
                if one.subscription_key.startswith(prefixes) and one.subscription_key not in declared
            ]
            cursor = page.next_cursor
            if cursor is None:
                break
        if orphans:
            _log.warning(
                "%d triggers of this app are declared no more and still tick: %s; `lash trigger delete` ends them",
                len(orphans),
                ", ".join(sorted(orphans)[:ORPHANS_SHOWN]),
            )
