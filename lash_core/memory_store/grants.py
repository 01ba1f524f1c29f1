"""Handle grants, and what deleting a session removes (contract 2.3, 2.4). No grant operation touches a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lash_core.errors import HandleNotGrantedError
from lash_core.memory_store.detach import detached_record
from lash_core.memory_store.part import RegistryPart
from lash_core.memory_store.state import RegistryState
from lash_core.model.facts import ProcessHandleDescriptor, ProcessHandleGrant
from lash_core.model.record import ProcessRecord
from lash_core.model.reports import SessionDeleteReport
from lash_core.model.scope import SessionScope


class GrantOperations(RegistryPart):
    """Grant, revoke, transfer, list, and session deletion."""

    async def grant_handle(
        self, scope: SessionScope, process_id: str, descriptor: ProcessHandleDescriptor
    ) -> ProcessHandleGrant:
        """Give a scope a handle; a second grant replaces the descriptor."""
        scope = scope.validated()
        with self._state.lock:
            self._state.require(process_id)
            return store_grant(self._state, scope, process_id, descriptor)

    async def revoke_handle(self, scope: SessionScope, process_id: str) -> None:
        """Take a handle away; a missing one is success."""
        with self._state.lock:
            self._state.grants.pop(_key(scope, process_id), None)

    async def transfer_handles(self, source: SessionScope, target: SessionScope, process_ids: Sequence[str]) -> None:
        """Move handles, all or nothing."""
        target = target.validated()
        with self._state.lock:
            grants = self._state.grants
            for process_id in process_ids:
                if _key(source, process_id) not in grants or process_id not in self._state.rows:
                    raise HandleNotGrantedError(process_id, source.session_id, source.agent_frame_id)
            for process_id in dict.fromkeys(process_ids):
                grant = grants.pop(_key(source, process_id))
                store_grant(self._state, target, process_id, grant.descriptor)

    async def list_handles(self, scope: SessionScope) -> tuple[tuple[ProcessHandleGrant, ProcessRecord], ...]:
        """Grants of a scope with their rows, by process id."""
        with self._state.lock:
            return tuple(
                (grant, detached_record(self._state.rows[grant.process_id].record)) for grant in self._grants_of(scope)
            )

    async def list_live_handles(self, scope: SessionScope) -> tuple[tuple[ProcessHandleGrant, ProcessRecord], ...]:
        """Grants of a scope with their rows, without terminal ones."""
        return tuple((grant, record) for grant, record in await self.list_handles(scope) if not record.is_terminal)

    async def has_handle(self, scope: SessionScope, process_id: str) -> bool:
        """True iff a grant and a row exist."""
        with self._state.lock:
            return _key(scope, process_id) in self._state.grants and process_id in self._state.rows

    async def handles_for_process(self, process_id: str) -> tuple[ProcessHandleGrant, ...]:
        """Grants on a process, by session id, then scope id."""
        with self._state.lock:
            self._state.require(process_id)
            return tuple(grant for key, grant in sorted(self._state.grants.items()) if key[2] == process_id)

    async def delete_session_process_state(self, session_id: str) -> SessionDeleteReport:
        """Remove a session's grants (all frames) and clear it as wake target."""
        with self._state.lock:
            revoked = [key for key in self._state.grants if key[0] == session_id]
            for key in revoked:
                del self._state.grants[key]
            granted = {key[2] for key in self._state.grants}
            affected = {key[2] for key in revoked}
            live = sorted(pid for pid in affected if not self._state.rows[pid].record.is_terminal)
            self._clear_wake_target(session_id)
            return SessionDeleteReport(
                session_id=session_id,
                revoked_handle_count=len(revoked),
                orphaned_process_ids=tuple(pid for pid in live if pid not in granted),
                preserved_process_ids=tuple(pid for pid in live if pid in granted),
            )

    def _clear_wake_target(self, session_id: str) -> None:
        for row in self._state.rows.values():
            target = row.record.wake_target
            if target is not None and target.session_id == session_id:
                self._state.touch(row, wake_target=None, updated_at_ms=self._state.clock.now_ms())

    def _grants_of(self, scope: SessionScope) -> Iterator[ProcessHandleGrant]:
        for key in sorted(self._state.grants):
            if key[:2] == (scope.session_id, scope.scope_id) and key[2] in self._state.rows:
                yield self._state.grants[key]


def store_grant(
    state: RegistryState, scope: SessionScope, process_id: str, descriptor: ProcessHandleDescriptor
) -> ProcessHandleGrant:
    """Write one grant; the caller holds the lock and has checked the row."""
    grant = ProcessHandleGrant(
        session_id=scope.session_id, process_id=process_id, scope_id=scope.scope_id, descriptor=descriptor
    )
    state.grants[_key(scope, process_id)] = grant
    return grant


def _key(scope: SessionScope, process_id: str) -> tuple[str, str, str]:
    # The session id is part of the key: a frame of one session and a session of that very name differ.
    return (scope.session_id, scope.scope_id, process_id)
