"""Making and changing triggers from any program: by compare-and-set, with errors that say what is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, Unpack

from lash_core.client_enqueue import check_params, new_process_id
from lash_core.client_trigger_options import TriggerOptions, make_definition
from lash_core.client_trigger_starts import TriggerStarts
from lash_core.errors import TriggerConflictError, UnknownTriggerError
from lash_core.model.scope import SessionScope
from lash_core.model.trigger import (
    SUBSCRIPTION_ID_PREFIX,
    TriggerDefinition,
    TriggerOwnerScope,
    TriggerSubscription,
    subscription_id,
)
from lash_core.model.trigger_command import (
    AnyTriggerResult,
    DeleteTrigger,
    DisableTrigger,
    EnableTrigger,
    OneTriggerCommand,
    PruneTriggers,
    RegisterTrigger,
    ReviveTrigger,
    TriggerConflict,
    TriggersPruned,
    TriggerUnchanged,
    UpdateTrigger,
)
from lash_core.model.trigger_params import uses_payload
from lash_core.store.trigger_store import TriggerStore

_RACES_MAX = 10
"""Times that a pause, resume or delete is tried anew because somebody else changed the trigger meanwhile."""


@dataclass(frozen=True, slots=True)
class TriggerReceipt:
    """A trigger after a change, and whether the call made it, changed it, or found it like that."""

    status: Literal["created", "updated", "unchanged"]
    subscription: TriggerSubscription


class TriggerChanges:
    """Makes and changes triggers.

    Args:
        store: the triggers.
        starts: plans starts; here it checks targets.
    """

    def __init__(self, store: TriggerStore, starts: TriggerStarts) -> None:
        self._store = store
        self._starts = starts

    async def create(
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
        """Make a trigger; the same again finds it. Safe to repeat.

        Args:
            name: unique for its owner.
            kind: what its processes are.
            params: JSON; ``{"$payload": "<JSON pointer>"}`` in it stands for a part of the occurrence's payload. None
                = the whole payload for a source, no params for a schedule.
            owner: the host by default.
            wake_target: the session that wake events of the processes go to.
            operation_id: repeat a call with the same one to get the same answer; a fresh one by default.
            options: see ``TriggerOptions``; exactly one of cron, interval_ms and source.

        Raises:
            TriggerConflictError: there is one with another definition, or a deleted one.
            UnknownKindError, InvalidArgumentError: nothing was written.
        """
        scope = owner or TriggerOwnerScope.host()
        definition = make_definition(scope, name, kind, params, options)
        await self._check_target(definition)
        command = RegisterTrigger(
            operation_id=operation_id or new_process_id(),
            owner_scope=scope,
            subscription_key=name,
            definition=definition,
            wake_target=wake_target,
        )
        return _receipt(name, await self._store.apply_trigger_command(command))

    async def update(
        self,
        name: str,
        kind: str,
        params: Any = None,
        *,
        expected_revision: int | None = None,
        wake_target: SessionScope | None = None,
        **options: Unpack[TriggerOptions],
    ) -> TriggerReceipt:
        """Replace the whole definition of a trigger; a deleted one begins a new life with it.

        Args:
            name: name or subscription id.
            kind: as for ``create``; so are ``params`` and ``options``.
            params: see ``create``.
            expected_revision: refuse when another one is there; None = whatever is there.
            wake_target: see ``create``.
            options: see ``TriggerOptions``.

        Raises:
            UnknownTriggerError, TriggerConflictError, UnknownKindError, InvalidArgumentError.
        """

        async def command(seen: TriggerSubscription, facts: dict[str, Any]) -> OneTriggerCommand:
            definition = make_definition(seen.owner_scope, seen.subscription_key, kind, params, options)
            await self._check_target(definition)
            made = ReviveTrigger if seen.tombstoned else UpdateTrigger
            return made(**facts, definition=definition, wake_target=wake_target, originator=seen.originator)

        return await self._change(name, expected_revision, command)

    async def pause(self, name: str, *, expected_revision: int | None = None) -> TriggerReceipt:
        """Deliver nothing to it. Raises: UnknownTriggerError, TriggerConflictError."""

        async def command(_: TriggerSubscription, facts: dict[str, Any]) -> OneTriggerCommand:
            return DisableTrigger(**facts)

        return await self._change(name, expected_revision, command)

    async def resume(self, name: str, *, expected_revision: int | None = None) -> TriggerReceipt:
        """Deliver to it again; what was in between is not made up for. Raises: as ``pause``."""

        async def command(_: TriggerSubscription, facts: dict[str, Any]) -> OneTriggerCommand:
            return EnableTrigger(**facts)

        return await self._change(name, expected_revision, command)

    async def delete(self, name: str, *, expected_revision: int | None = None) -> TriggerReceipt:
        """Delete it; the name stays taken until it is pruned. Raises: as ``pause``.

        Safe to repeat: a deleted one is ``unchanged``, unless a revision was asked for.
        """

        async def command(_: TriggerSubscription, facts: dict[str, Any]) -> OneTriggerCommand:
            return DeleteTrigger(**facts)

        try:
            return await self._change(name, expected_revision, command)
        except TriggerConflictError as conflict:
            if expected_revision is not None or conflict.reason != "deleted":
                raise
            # Deleted before, maybe by a first call whose reply was lost.
            return TriggerReceipt("unchanged", await self.find(name))

    async def prune(self, *names: str, owner: TriggerOwnerScope | None = None) -> TriggersPruned:
        """Forget deleted triggers, so that their names are free. Live ones stay and are named in the answer."""
        command = PruneTriggers(
            operation_id=new_process_id(),
            owner_scope=owner or TriggerOwnerScope.host(),
            subscription_keys=names,
        )
        answer = await self._store.apply_trigger_command(command)
        if not isinstance(answer, TriggersPruned):
            raise TypeError(f"a prune was answered with {answer.type}")
        return answer

    # -- inside ---------------------------------------------------------------------------------------------------

    async def find(self, name: str) -> TriggerSubscription:
        """A trigger by its name, the host's before an app's and a live one before a deleted one, or by its id.

        Raises: UnknownTriggerError.
        """
        if name.startswith(SUBSCRIPTION_ID_PREFIX):
            ids = [name]
        else:
            ids = [subscription_id(owner, name) for owner in (TriggerOwnerScope.host(), TriggerOwnerScope.platform())]
        deleted: TriggerSubscription | None = None
        for one in ids:
            found = await self._store.get_trigger_subscription(one)
            if found is not None and not found.tombstoned:
                return found
            deleted = deleted or found
        if deleted is None:
            raise UnknownTriggerError(name)
        return deleted

    async def _change(
        self,
        name: str,
        expected_revision: int | None,
        command: Callable[[TriggerSubscription, dict[str, Any]], Awaitable[OneTriggerCommand]],
    ) -> TriggerReceipt:
        """Change a trigger as it is now, again when somebody else was faster and no revision was asked for."""
        for _ in range(_RACES_MAX):
            seen = await self.find(name)
            facts = {
                "operation_id": new_process_id(),
                "owner_scope": seen.owner_scope,
                "subscription_key": seen.subscription_key,
                "expected_revision": seen.revision if expected_revision is None else expected_revision,
            }
            result = await self._store.apply_trigger_command(await command(seen, facts))
            raced = isinstance(result, TriggerConflict) and result.reason == "revision"
            if not raced or expected_revision is not None:
                return _receipt(name, result)
        raise changed_meanwhile(name, None)

    async def _check_target(self, definition: TriggerDefinition) -> None:
        """Find mistakes now that would make every delivery fail. Raises: UnknownKindError, InvalidArgumentError."""
        manifest = await self._starts.manifest(definition.target)
        if not uses_payload(definition.target.params):
            check_params(manifest, definition.target.params)


_TEXTS = {
    "definition": "exists with another definition (revision {revision}); update it, or take another name",
    "revision": "has revision {revision}, not {expected}",
    "deleted": "was deleted; update it to begin a new life, or prune it to free the name",
    "not_deleted": "is not deleted",
}


def _receipt(name: str, result: AnyTriggerResult) -> TriggerReceipt:
    if isinstance(result, TriggerConflict):
        if result.reason == "unknown":
            raise UnknownTriggerError(name)
        text = _TEXTS[result.reason].format(revision=result.existing_revision, expected=result.expected_revision)
        raise TriggerConflictError(
            f"trigger `{name}` {text}", name=name, reason=result.reason, existing_revision=result.existing_revision
        )
    if isinstance(result, TriggersPruned):
        raise TypeError("one trigger's command was answered with a prune")
    status = "unchanged" if isinstance(result, TriggerUnchanged) else result.type
    return TriggerReceipt(status, result.subscription)


def changed_meanwhile(name: str, revision: int | None) -> TriggerConflictError:
    """Somebody else came between."""
    return TriggerConflictError(
        f"trigger `{name}` was changed meanwhile; look at it and repeat",
        name=name,
        reason="revision",
        existing_revision=revision,
    )
