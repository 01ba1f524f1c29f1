"""Session stores over Redis: one hash a session, ``T:sh:<sid>`` (``docs/contracts/redis_layout.md``)."""

from __future__ import annotations

from typing import Any

from lash_core.errors import CorruptRecordError
from lash_core.model.disposition import DurabilityTier
from lash_core.model.ids import check_id
from lash_core.model.session import SessionStoreCreateRequest, meta_of
from lash_core.redis_store.commands import Command
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.scripts import Call
from lash_core.redis_store.session_deletion import delete_session_state
from lash_core.redis_store.trigger_store import RedisTriggerStore
from lash_core.store.session_store import (
    PARTS,
    HeadRevisionConflictError,
    PersistedSession,
    RuntimeCommit,
    RuntimeCommitResult,
    SessionBindingError,
    decode_session,
    encode_part,
    encode_parts,
)

_CREATED_AT = '"created_at_ms":'


class RedisSessionStoreFactory:
    """``SessionStoreFactory`` over Redis."""

    def __init__(self, context: RedisContext) -> None:
        self._context = context
        self._triggers = RedisTriggerStore(context)

    def durability_tier(self) -> DurabilityTier:
        """``durable``."""
        return DurabilityTier.DURABLE

    async def create_store(self, request: SessionStoreCreateRequest) -> RedisSessionStore:
        """Open a session's store, and create the session if it is not there. Atomic, safe to repeat.

        Raises:
            InvalidArgumentError: the session id is not legal.
        """
        check_id(request.session_id, field="session_id", subject="session id")
        encode_parts({"policy": request.policy})
        # The script puts the server's time between the two halves: callers never pass now.
        head, _, tail = encode_part("meta", meta_of(request, 0)).partition(f"{_CREATED_AT}0")
        keys = self._context.keyspace.of_session(request.session_id)
        names = (keys.session_head(request.session_id), keys.sessions)
        policy = encode_part("policy", request.policy)
        call = Call("create_session", names, (head + _CREATED_AT, tail, policy, request.session_id))
        await self._context.scripts.run([call], durable=True)
        return RedisSessionStore(self._context, request.session_id)

    async def open_existing(self, session_id: str) -> RedisSessionStore | None:
        """The store of a session that exists, else None."""
        key = self._key(session_id)
        (there,) = await self._context.connection.read([Command(key, ("EXISTS", key))])
        return RedisSessionStore(self._context, session_id) if there else None

    async def delete_session(self, session_id: str) -> None:
        """Forget a session's triggers, then its head, its references of attachments and the wakes that wait for it.

        Each of the two is atomic; safe to repeat. The triggers go first: until the head is gone, somebody repeats it.
        """
        await self._triggers.delete_session_subscriptions(session_id)
        await delete_session_state(self._context, session_id)

    def _key(self, session_id: str) -> str:
        return self._context.keyspace.of_session(session_id).session_head(session_id)


class RedisSessionStore:
    """``RuntimePersistence`` over Redis. Made by its factory."""

    def __init__(self, context: RedisContext, session_id: str) -> None:
        self._context = context
        self._session_id = session_id
        self._key = context.keyspace.of_session(session_id).session_head(session_id)

    @property
    def session_id(self) -> str:
        """The session it is bound to."""
        return self._session_id

    def durability_tier(self) -> DurabilityTier:
        """``durable``."""
        return DurabilityTier.DURABLE

    async def load_session(self) -> PersistedSession | None:
        """The session as stored, or None when it was deleted. Raises: CorruptRecordError, NewerRecordError."""
        names = ("r", *PARTS)
        (values,) = await self._context.connection.read([Command(self._key, ("HMGET", self._key, *names))])
        fields = {name: value for name, value in zip(names, values, strict=True) if value is not None}
        if not fields:
            return None
        revision = fields.pop("r", "")
        if not revision.isdigit():
            raise CorruptRecordError(f"session `{self._session_id}` has no head revision", key=self._key)
        return decode_session(self._session_id, int(revision), fields, key=self._key)

    async def commit_runtime_state(self, commit: RuntimeCommit) -> RuntimeCommitResult:
        """Write the changed parts if the head revision is still the expected one. Atomic.

        Raises:
            SessionBindingError, HeadRevisionConflictError, InvalidArgumentError: nothing was written.
            OutcomeUnknownError: the reply was lost; read the head back.
        """
        if commit.session_id != self._session_id:
            raise SessionBindingError(self._session_id, commit.session_id)
        parts = [text for item in encode_parts(commit.changed_parts()).items() for text in item]
        call = Call("commit_session", (self._key,), (str(commit.expected_head_revision), *parts))
        reply: list[Any] = (await self._context.scripts.run([call], durable=True, repeatable=False))[0]
        if reply[0] == "conflict":
            actual = int(reply[1]) if reply[1] else None
            raise HeadRevisionConflictError(self._session_id, commit.expected_head_revision, actual)
        return RuntimeCommitResult(head_revision=int(reply[1]))
