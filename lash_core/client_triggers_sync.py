"""``TriggerClient`` whose verbs block."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Unpack

from lash_core.client_trigger_changes import TriggerReceipt
from lash_core.client_trigger_options import TriggerOptions
from lash_core.client_triggers import BACKFILL_MAX, BackfilledTick, TriggerClient, TriggerView
from lash_core.model.scope import SessionScope
from lash_core.model.trigger import TriggerOwnerScope
from lash_core.model.trigger_command import TriggersPruned
from lash_core.runtime.trigger_router import EmitReport
from lash_core.store.trigger_store import TriggerPage

RunHere = Callable[[Coroutine[Any, Any, Any]], Any]
"""Runs a call on the client's loop and waits for it."""


class SyncTriggerClient:
    """See ``TriggerClient``."""

    def __init__(self, triggers: TriggerClient, run: RunHere) -> None:
        self._triggers = triggers
        self._run = run

    def create(
        self,
        name: str,
        kind: str,
        params: Any = None,
        *,
        owner: TriggerOwnerScope | None = None,
        wake_target: SessionScope | None = None,
        operation_id: str | None = None,
        **options: Unpack[TriggerOptions],
    ) -> TriggerReceipt:
        """See ``TriggerClient.create``."""
        return self._run(
            self._triggers.create(
                name, kind, params, owner=owner, wake_target=wake_target, operation_id=operation_id, **options
            )
        )

    def update(
        self,
        name: str,
        kind: str,
        params: Any = None,
        *,
        expected_revision: int | None = None,
        wake_target: SessionScope | None = None,
        **options: Unpack[TriggerOptions],
    ) -> TriggerReceipt:
        """See ``TriggerClient.update``."""
        return self._run(
            self._triggers.update(
                name, kind, params, expected_revision=expected_revision, wake_target=wake_target, **options
            )
        )

    def pause(self, name: str, *, expected_revision: int | None = None) -> TriggerReceipt:
        """See ``TriggerClient.pause``."""
        return self._run(self._triggers.pause(name, expected_revision=expected_revision))

    def resume(self, name: str, *, expected_revision: int | None = None) -> TriggerReceipt:
        """See ``TriggerClient.resume``."""
        return self._run(self._triggers.resume(name, expected_revision=expected_revision))

    def delete(self, name: str, *, expected_revision: int | None = None) -> TriggerReceipt:
        """See ``TriggerClient.delete``."""
        return self._run(self._triggers.delete(name, expected_revision=expected_revision))

    def prune(self, *names: str, owner: TriggerOwnerScope | None = None) -> TriggersPruned:
        """See ``TriggerClient.prune``."""
        return self._run(self._triggers.prune(*names, owner=owner))

    def get(self, name: str) -> TriggerView:
        """See ``TriggerClient.get``."""
        return self._run(self._triggers.get(name))

    def list(
        self,
        *,
        owner: TriggerOwnerScope | None = None,
        include_deleted: bool = False,
        limit: int = 100,
        cursor: str | None = None,
    ) -> TriggerPage:
        """See ``TriggerClient.list``."""
        return self._run(self._triggers.list(owner=owner, include_deleted=include_deleted, limit=limit, cursor=cursor))

    def emit(self, source: str, payload: Any = None, *, idempotency_key: str | None = None) -> EmitReport:
        """See ``TriggerClient.emit``."""
        return self._run(self._triggers.emit(source, payload, idempotency_key=idempotency_key))

    def backfill(
        self, name: str, from_ms: int, until_ms: int, *, dry_run: bool = False, limit: int = BACKFILL_MAX
    ) -> tuple[BackfilledTick, ...]:
        """See ``TriggerClient.backfill``."""
        return self._run(self._triggers.backfill(name, from_ms, until_ms, dry_run=dry_run, limit=limit))
