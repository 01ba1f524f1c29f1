"""Handle grants over Redis (contract 2.3, 2.4; DESIGN 3.5).

A grant exists where the process's side (``T:g``) and the session's side (``T:sg``) both have it, so a handle under way
between two sessions is in neither. Each call returns when both sides agree; after a crash the outbox makes them agree.
"""

from __future__ import annotations

from collections.abc import Sequence

from lash_core.errors import (
    CorruptRecordError,
    HandleNotGrantedError,
    LimitExceededError,
    OutcomeUnknownError,
    StoreRefusedError,
    StoreUnreachableError,
    UnknownProcessError,
)
from lash_core.model.facts import ProcessHandleDescriptor, ProcessHandleGrant
from lash_core.model.ids import check_id
from lash_core.model.record import ProcessRecord
from lash_core.model.reports import SessionDeleteReport
from lash_core.model.scope import SessionScope
from lash_core.redis_store.commands import Command
from lash_core.redis_store.grant_delivery import ProcessAfterDeletion
from lash_core.redis_store.outbox import ProcessOutbox
from lash_core.redis_store.outbox_steps import (
    GrantPlace,
    OutboxEntry,
    decode_grant,
    encode_grant,
    forget_step,
    grants_step,
    new_request_id,
    transfer_step,
)
from lash_core.redis_store.row_reader import as_mapping
from lash_core.redis_store.scripts import Call

SCOPES_MAX = 1_000
"""Grants on one process: every prune and deletion names them in one script."""

TRANSFER_MAX = 1_000
"""Handles of one transfer: one script removes them, 1 000 in about 1 ms."""

SESSION_GRANTS_MAX = 10_000
"""Grants of one session: its deletion takes them all in one script, 10 000 in about 10 ms."""


class ProcessGrants(ProcessOutbox):
    """The handle operations of the registry."""

    async def grant_handle(
        self, scope: SessionScope, process_id: str, descriptor: ProcessHandleDescriptor
    ) -> ProcessHandleGrant:
        """Give a scope a handle; a second grant replaces the descriptor. Safe to repeat.

        Raises:
            UnknownProcessError. InvalidArgumentError: the session id is not legal.
            LimitExceededError: too many grants on the process or in the session.
        """
        check_id(scope.session_id, field="session_id", subject="session id")
        await self._check_session_room(scope, process_id)
        keys = self._keys(process_id)
        place, grant = GrantPlace.of(scope), encode_grant(scope, descriptor)
        script_keys = (keys.control(process_id), keys.grant_scopes(process_id), keys.outbox)
        args = (place.scope_id, grant, grants_step(process_id, [place]), SCOPES_MAX)
        reply = (await self._context.scripts.run([Call("grant_handle", script_keys, args)], durable=True))[0]
        match reply[0]:
            case "unknown":
                raise UnknownProcessError(process_id)
            case "full":
                raise _full("grants of a process", SCOPES_MAX, process_id)
            case _:
                await self._follow(process_id, place, reply[1], grant)
        return ProcessHandleGrant(
            session_id=scope.session_id, process_id=process_id, scope_id=place.scope_id, descriptor=descriptor
        )

    async def revoke_handle(self, scope: SessionScope, process_id: str) -> None:
        """Take a handle away; a missing one is success. Safe to repeat."""
        keys = self._keys(process_id)
        place = GrantPlace.of(scope)
        args = (place.scope_id, grants_step(process_id, [place]))
        script_keys = (keys.grant_scopes(process_id), keys.outbox)
        reply = (await self._context.scripts.run([Call("revoke_handle", script_keys, args)], durable=True))[0]
        if reply[0] == "revoked":
            await self._follow(process_id, place, reply[1], "")

    async def transfer_handles(self, source: SessionScope, target: SessionScope, process_ids: Sequence[str]) -> None:
        """Move handles, all or nothing: one script takes them from the source and records their way to the target.

        Raises:
            HandleNotGrantedError: one of the ids is not granted to ``source``; nothing moved.
            LimitExceededError: more than ``TRANSFER_MAX`` ids.
            OutcomeUnknownError: taken from the source, and the store went away; the outbox brings them to the target.
        """
        wanted = list(dict.fromkeys(process_ids))
        if not wanted:
            return
        if len(wanted) > TRANSFER_MAX:
            raise _full("handles of one transfer", TRANSFER_MAX, None)
        check_id(target.session_id, field="session_id", subject="session id")
        for process_id, held in zip(wanted, await self._held_by(source, wanted), strict=True):
            if not held:
                raise HandleNotGrantedError(process_id, source.session_id, source.agent_frame_id)
        entry = await self._take_handles(source, target, wanted)
        if entry is not None:
            await self.carry_out([entry])

    async def _take_handles(
        self, source: SessionScope, target: SessionScope, process_ids: list[str]
    ) -> OutboxEntry | None:
        """The first half of a transfer: out of the source and into the outbox; its entry unless it is done already."""
        keys = self._context.keyspace.of_session(source.session_id)
        request_id = new_request_id()
        args = (request_id, transfer_step(request_id, source, target), source.scope_id, *process_ids)
        call = Call("transfer_handles", (keys.session_grants(source.session_id), keys.outbox), args)
        word, detail = (await self._context.scripts.run([call], durable=True))[0]
        if word == "missing":
            raise HandleNotGrantedError(detail, source.session_id, source.agent_frame_id)
        return await self._entry(keys.index, detail)

    async def list_handles(self, scope: SessionScope) -> tuple[tuple[ProcessHandleGrant, ProcessRecord], ...]:
        """Grants of a scope with their rows, terminal ones too, by process id."""
        key = self._context.keyspace.of_session(scope.session_id).session_grants(scope.session_id)
        stored = as_mapping((await self._context.connection.read([Command(key, ("HGETALL", key))]))[0])
        texts: dict[str, str] = {}
        for name, text in stored.items():
            scope_id, _, process_id = name.rpartition("\n")
            if scope_id == scope.scope_id:
                texts[process_id] = text
        process_ids = sorted(texts)
        if not process_ids:
            return ()
        held = await self._process_side(scope.scope_id, process_ids)
        rows = await self._rows.read_rows(process_ids)
        found: list[tuple[ProcessHandleGrant, ProcessRecord]] = []
        for process_id, row, there in zip(process_ids, rows, held, strict=True):
            if isinstance(row, CorruptRecordError):
                raise row
            if row is not None and there:
                found.append((decode_grant(process_id, scope.scope_id, texts[process_id], key=key), row))
        return tuple(found)

    async def list_live_handles(self, scope: SessionScope) -> tuple[tuple[ProcessHandleGrant, ProcessRecord], ...]:
        """Grants of a scope with their rows, without terminal ones, by process id."""
        return tuple(pair for pair in await self.list_handles(scope) if not pair[1].is_terminal)

    async def has_handle(self, scope: SessionScope, process_id: str) -> bool:
        """True iff a grant and a row exist."""
        return (await self._held_by(scope, [process_id]))[0]

    async def handles_for_process(self, process_id: str) -> tuple[ProcessHandleGrant, ...]:
        """Grants on a process, by session id, then scope id.

        Raises:
            UnknownProcessError.
        """
        keys = self._keys(process_id)
        control, key = keys.control(process_id), keys.grant_scopes(process_id)
        exists, stored = await self._context.connection.read(
            [Command(control, ("EXISTS", control)), Command(key, ("HGETALL", key))]
        )
        if not exists:
            raise UnknownProcessError(process_id)
        texts = {scope_id: text for scope_id, text in as_mapping(stored).items() if scope_id != "\n"}
        grants = [decode_grant(process_id, scope_id, text, key=key) for scope_id, text in texts.items()]
        grants.sort(key=lambda grant: (grant.session_id, grant.scope_id))
        there = await self._context.connection.read([self._session_side(grant) for grant in grants]) if grants else []
        return tuple(grant for grant, found in zip(grants, there, strict=True) if found)

    async def delete_session_process_state(self, session_id: str) -> SessionDeleteReport:
        """Remove a session's grants (all frames) and clear it as wake target. Cancels and deletes no process.

        The removal is one script; the processes' sides follow, and the report is exact when the call returns. Safe to
        repeat.

        Raises:
            OutcomeUnknownError: the grants are gone, and the store went away; the outbox does the rest.
        """
        keys = self._context.keyspace.of_session(session_id)
        session_grants = keys.session_grants(session_id)
        request_id = new_request_id()
        args = (request_id, forget_step(request_id, session_id))
        script_keys = (session_grants, keys.session_wakes(session_id), keys.outbox)
        call = Call("delete_session_process_state", script_keys, args)
        word, *entry_ids = (await self._context.scripts.run([call], durable=True))[0]
        left: dict[str, ProcessAfterDeletion] = {}
        if word == "deleted":
            try:
                for entry_id in entry_ids:
                    await self._forget_part(keys.index, entry_id, left)
            except (StoreUnreachableError, StoreRefusedError) as error:
                raise OutcomeUnknownError(
                    f"the grants of session `{session_id}` are removed; the outbox does the rest ({error.message})"
                ) from error
        running = {process_id: after for process_id, after in left.items() if after.status == "r" and after.revoked}
        return SessionDeleteReport(
            session_id=session_id,
            revoked_handle_count=sum(after.revoked for after in left.values()),
            orphaned_process_ids=tuple(sorted(pid for pid, after in running.items() if not after.remaining)),
            preserved_process_ids=tuple(sorted(pid for pid, after in running.items() if after.remaining)),
        )

    async def _forget_part(self, partition: int, entry_id: str, left: dict[str, ProcessAfterDeletion]) -> None:
        entry = await self._entry(partition, entry_id)
        if entry is not None:
            await self._grants.carry_forget(entry, left)
            await self._drop(entry)

    async def _follow(self, process_id: str, place: GrantPlace, entry_id: str, grant: str) -> None:
        try:
            await self._grants.follow(process_id, [place], entry_id=entry_id, known={place.scope_id: grant})
        except (StoreUnreachableError, StoreRefusedError) as error:
            raise OutcomeUnknownError(
                f"the grant of process `{process_id}` is recorded; the outbox finishes it ({error.message})",
                process_id=process_id,
            ) from error

    async def _check_session_room(self, scope: SessionScope, process_id: str) -> None:
        key = self._context.keyspace.of_session(scope.session_id).session_grants(scope.session_id)
        field = f"{scope.scope_id}\n{process_id}"
        count, there = await self._context.connection.read(
            [Command(key, ("HLEN", key)), Command(key, ("HEXISTS", key, field))]
        )
        if count >= SESSION_GRANTS_MAX and not there:
            raise _full("grants of a session", SESSION_GRANTS_MAX, process_id)

    async def _held_by(self, scope: SessionScope, process_ids: Sequence[str]) -> list[bool]:
        """Whether both sides have the scope's grant on each process."""
        key = self._context.keyspace.of_session(scope.session_id).session_grants(scope.session_id)
        fields = [f"{scope.scope_id}\n{process_id}" for process_id in process_ids]
        values = (await self._context.connection.read([Command(key, ("HMGET", key, *fields))]))[0]
        there = await self._process_side(scope.scope_id, process_ids)
        return [value is not None and found for value, found in zip(values, there, strict=True)]

    async def _process_side(self, scope_id: str, process_ids: Sequence[str]) -> list[bool]:
        commands: list[Command] = []
        for process_id in process_ids:
            key = self._keys(process_id).grant_scopes(process_id)
            commands.append(Command(key, ("HEXISTS", key, scope_id)))
        return [bool(found) for found in await self._context.connection.read(commands)]

    def _session_side(self, grant: ProcessHandleGrant) -> Command:
        key = self._context.keyspace.of_session(grant.session_id).session_grants(grant.session_id)
        return Command(key, ("HEXISTS", key, f"{grant.scope_id}\n{grant.process_id}"))


def _full(what: str, limit: int, process_id: str | None) -> LimitExceededError:
    return LimitExceededError(f"too many {what}; the limit is {limit}", field=what, limit=limit, process_id=process_id)
