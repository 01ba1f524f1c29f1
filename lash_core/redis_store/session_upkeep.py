"""Tombstones, vacuum, unused blobs and the meta of a session over Redis (``docs/contracts/sessions.md`` 2.2)."""

from __future__ import annotations

from collections.abc import Sequence

from lash_core.errors import UnknownSessionError
from lash_core.model.session import SessionMeta
from lash_core.model.session_commit import GcReport, VacuumReport
from lash_core.redis_store.commands import Command
from lash_core.redis_store.leased_session import LeasedSession
from lash_core.redis_store.scripts import Call
from lash_core.store.session_bounds import encode_meta
from lash_core.store.session_records import SESSION_BLOB_FAMILY, decode_record

ITEMS_A_CALL = 1_000
"""Nodes or rows of one script: about 2 ms."""

VACUUM_CALLS_MAX = 10_000
"""One vacuum ends after so many scripts, whatever others hide meanwhile."""

BLOB_REF_HEAD = f"{SESSION_BLOB_FAMILY}:sha256:"


class SessionUpkeep(LeasedSession):
    """The part of ``RedisRuntimePersistence`` that keeps a session small."""

    async def tombstone_nodes(self, node_ids: Sequence[str]) -> int:
        """Hide nodes; answers how many were hidden now. Atomic for each 1,000 ids, safe to repeat."""
        keys = (self._keys.session_nodes(self._session_id), self._keys.session_tombstones(self._session_id))
        hidden = 0
        for start in range(0, len(node_ids), ITEMS_A_CALL):
            call = Call("tombstone_nodes", keys, tuple(node_ids[start : start + ITEMS_A_CALL]))
            hidden += int((await self._context.scripts.run([call], durable=True))[0])
        return hidden

    async def vacuum(self) -> VacuumReport:
        """Remove what is hidden or over, 1,000 a script, until nothing is left. Works on a full server, safe to repeat.

        After a lost reply the report may miss what is gone.
        """
        keys, session_id = self._keys, self._session_id
        graph = (keys.session_nodes(session_id), keys.session_node_order(session_id))
        names = (*graph, keys.session_tombstones(session_id), *self._script_keys)
        nodes = inputs = 0
        for _ in range(VACUUM_CALLS_MAX):
            call = Call("vacuum_session", names, (session_id, ITEMS_A_CALL))
            _, removed, over, more = (await self._context.scripts.run([call], durable=True))[0]
            nodes += int(removed)
            inputs += int(over)
            if not int(more):
                break
        return VacuumReport(removed_node_count=nodes, removed_pending_turn_input_tombstone_count=inputs)

    async def gc_unreachable(self) -> GcReport:
        """Remove blobs that neither checkpoint nor frames name. Atomic, safe to repeat, works on a full server.

        Commits do the same once a session has too many unused ones; large blobs leave the shared store by its sweep.
        """
        names = (self._keys.session_head(self._session_id), self._keys.session_blobs(self._session_id))
        call = Call("gc_session_blobs", names, (BLOB_REF_HEAD,))
        _, roots, retained, deleted = (await self._context.scripts.run([call], durable=True))[0]
        return GcReport(root_count=int(roots), retained_blob_count=int(retained), deleted_blob_count=int(deleted))

    async def save_session_meta(self, meta: SessionMeta) -> None:
        """Write the meta. Atomic, safe to repeat.

        Raises:
            SessionBindingMismatchError: the meta of another session. UnknownSessionError: the session is gone.
            LimitExceededError: it is over the payload limit.
        """
        self._check_bound(meta.session_id)
        text = encode_meta(meta, self._context.settings.limits)
        call = Call("save_session_meta", (self._keys.session_head(self._session_id),), (text,))
        if (await self._context.scripts.run([call], durable=True))[0] == "absent":
            raise UnknownSessionError(self._session_id)

    async def load_session_meta(self) -> SessionMeta | None:
        """The meta, or None when the session is not there.

        Raises:
            MissingRecordSchemaVersionError, InvalidRecordSchemaVersionError, UnsupportedRecordSchemaVersionError,
            CorruptRecordError.
        """
        key = self._keys.session_head(self._session_id)
        text = (await self._context.connection.read([Command(key, ("HGET", key, "meta"))]))[0]
        return None if text is None else decode_meta(self._session_id, text, key=key)


def decode_meta(session_id: str, text: str, *, key: str) -> SessionMeta:
    """The meta of a session.

    Raises:
        MissingRecordSchemaVersionError, InvalidRecordSchemaVersionError, UnsupportedRecordSchemaVersionError,
        CorruptRecordError.
    """
    return decode_record(SessionMeta, text, subject=f"the meta of session `{session_id}`", key=key)
