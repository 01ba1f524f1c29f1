"""Stores of sessions over Redis: created, opened, deleted, listed (``docs/contracts/sessions.md`` 2.6)."""

from __future__ import annotations

from lash_core.model.disposition import DurabilityTier
from lash_core.model.ids import check_id
from lash_core.model.session import SessionStoreCreateRequest, meta_of
from lash_core.redis_store.attachment_manifest import RedisAttachmentManifest
from lash_core.redis_store.commands import Command
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.ready_sessions import RedisReadySessions
from lash_core.redis_store.runtime_persistence import RedisRuntimePersistence
from lash_core.redis_store.scripts import Call
from lash_core.redis_store.session_deletion import delete_session_state
from lash_core.redis_store.session_listing import sessions_page
from lash_core.redis_store.trigger_store import RedisTriggerStore
from lash_core.store.attachment_liveness import has_live_attachment_ref, live_attachment_refs
from lash_core.store.runtime_persistence import SessionSummary
from lash_core.store.session_bounds import encode_meta

_CREATED_AT = '"created_at_ms":'


class RedisSessionStoreFactory(RedisReadySessions):
    """``SessionStoreFactory`` and ``ReadySessions`` over Redis."""

    def __init__(self, context: RedisContext) -> None:
        super().__init__(context)
        self._triggers = RedisTriggerStore(context)
        self._manifest = RedisAttachmentManifest(context)

    def durability_tier(self) -> DurabilityTier:
        """``durable``."""
        return DurabilityTier.DURABLE

    async def create_store(self, request: SessionStoreCreateRequest) -> RedisRuntimePersistence:
        """Open a session's store, and create the session if it is not there. Atomic, safe to repeat.

        Raises:
            InvalidArgumentError: the session id is not legal. LimitExceededError: the meta is over the payload limit.
        """
        session_id = request.session_id
        check_id(session_id, field="session_id", subject="session id")
        text = encode_meta(meta_of(request, 0), self._context.settings.limits)
        # The script puts the server's time between the two halves: callers never pass now.
        head, _, tail = text.partition(f"{_CREATED_AT}0")
        keys = self._context.keyspace.of_session(session_id)
        names = (keys.session_head(session_id), keys.sessions, keys.session_promises(session_id))
        call = Call("create_session_store", names, (head + _CREATED_AT, tail, session_id))
        await self._context.scripts.run([call], durable=True)
        return RedisRuntimePersistence(self._context, session_id)

    async def open_existing_store(self, session_id: str) -> RedisRuntimePersistence | None:
        """The store of a session that exists, else None."""
        key = self._context.keyspace.of_session(session_id).session_head(session_id)
        (there,) = await self._context.connection.read([Command(key, ("HEXISTS", key, "meta"))])
        return RedisRuntimePersistence(self._context, session_id) if there else None

    async def delete_session(self, session_id: str) -> None:
        """Delete a session: its triggers, then all state of its own and the promises. Safe to repeat.

        Each of the two is atomic. The triggers go first: until the head is gone, somebody repeats it. A turn that runs
        meanwhile loses its lease and commits nothing.
        """
        await self._triggers.delete_session_subscriptions(session_id)
        await delete_session_state(self._context, session_id)

    async def list_sessions(
        self, cursor: str | None = None, limit: int = 100
    ) -> tuple[tuple[SessionSummary, ...], str | None]:
        """At most ``limit`` sessions and the cursor of the next page; what is there throughout comes exactly once.

        Raises:
            InvalidCursorError: no cursor of this listing. CorruptRecordError, NewerRecordError: a meta.
        """
        return await sessions_page(self._context, cursor, limit)

    async def live_attachment_refs(self, cutoff_ms: int) -> frozenset[str]:
        """Digests of attachments that are committed, or intended after ``cutoff_ms``. O(sessions)."""
        return await live_attachment_refs(self._manifest, cutoff_ms)

    async def has_live_attachment_ref(self, digest: str) -> bool:
        """True when some session refers to the attachment. O(sessions)."""
        return await has_live_attachment_ref(self._manifest, digest)
