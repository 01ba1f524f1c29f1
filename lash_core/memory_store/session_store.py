"""Session stores in memory. Parts are kept as they would be stored, so a test sees what a codec loses."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

from lash_core.clock import Clock, SystemClock
from lash_core.model.disposition import DurabilityTier
from lash_core.model.ids import check_id
from lash_core.model.session import SessionStoreCreateRequest, meta_of
from lash_core.store.content_sweep import ContentRefs, refs_in
from lash_core.store.session_store import (
    HeadRevisionConflictError,
    PersistedSession,
    RuntimeCommit,
    RuntimeCommitResult,
    SessionBindingError,
    decode_session,
    encode_parts,
)


@dataclass(slots=True)
class _Head:
    revision: int
    parts: dict[str, str]


class MemorySessionStoreFactory:
    """``SessionStoreFactory`` in memory; no operation awaits, so each is one atomic unit on its loop.

    Args:
        clock: the machine's by default.
        durability_tier: what it reports.
        on_delete: called with the id of a session that is deleted, for what other stores keep of it.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        durability_tier: DurabilityTier = DurabilityTier.INLINE,
        on_delete: Callable[[str], None] | None = None,
    ) -> None:
        self._clock: Clock = clock or SystemClock()
        self._tier = durability_tier
        self._on_delete = on_delete
        self._heads: dict[str, _Head] = {}

    def durability_tier(self) -> DurabilityTier:
        """``inline``, unless a test says otherwise."""
        return self._tier

    def with_durability_tier(self, tier: DurabilityTier) -> MemorySessionStoreFactory:
        """A view on the same sessions that claims another tier: for tests of what durable hosts refuse."""
        other = copy.copy(self)
        other._tier = tier  # noqa: SLF001 - its own copy
        return other

    async def create_store(self, request: SessionStoreCreateRequest) -> MemorySessionStore:
        """Open a session's store, and create the session if it is not there. Raises: InvalidArgumentError."""
        check_id(request.session_id, field="session_id", subject="session id")
        if request.session_id not in self._heads:
            meta = meta_of(request, self._clock.now_ms())
            # The clock gives the first revision, so that a session of the same name starts above its predecessor.
            self._heads[request.session_id] = _Head(
                self._clock.now_us(), encode_parts({"meta": meta, "policy": request.policy})
            )
        return MemorySessionStore(request.session_id, self._heads, self._tier)

    async def open_existing(self, session_id: str) -> MemorySessionStore | None:
        """The store of a session that exists, else None."""
        return MemorySessionStore(session_id, self._heads, self._tier) if session_id in self._heads else None

    async def delete_session(self, session_id: str) -> None:
        """Forget a session. Safe to repeat."""
        self._heads.pop(session_id, None)
        if self._on_delete is not None:
            self._on_delete(session_id)

    async def refs_page(self, cursor: str | None, limit: int, *, grace_ms: int) -> ContentRefs:
        """What the heads of sessions name, in the order of the sessions' ids."""
        following = sorted(session_id for session_id in self._heads if session_id > (cursor or ""))
        texts = [text for session_id in following[:limit] for text in self._heads[session_id].parts.values()]
        more = following[limit - 1] if len(following) > limit else None
        return ContentRefs(refs=frozenset[str]().union(*map(refs_in, texts)), next_cursor=more)


class MemorySessionStore:
    """``RuntimePersistence`` in memory. Made by its factory."""

    def __init__(self, session_id: str, heads: dict[str, _Head], tier: DurabilityTier) -> None:
        self._session_id = session_id
        self._heads = heads
        self._tier = tier

    @property
    def session_id(self) -> str:
        """The session it is bound to."""
        return self._session_id

    def durability_tier(self) -> DurabilityTier:
        """The tier of its factory."""
        return self._tier

    async def load_session(self) -> PersistedSession | None:
        """The session as stored, or None when it was deleted."""
        head = self._heads.get(self._session_id)
        if head is None:
            return None
        return decode_session(self._session_id, head.revision, head.parts, key=f"session {self._session_id}")

    async def commit_runtime_state(self, commit: RuntimeCommit) -> RuntimeCommitResult:
        """Write the changed parts.

        Raises:
            SessionBindingError, HeadRevisionConflictError, InvalidArgumentError: nothing was written.
        """
        if commit.session_id != self._session_id:
            raise SessionBindingError(self._session_id, commit.session_id)
        changed = encode_parts(commit.changed_parts())
        head = self._heads.get(self._session_id)
        if head is None or head.revision != commit.expected_head_revision:
            raise HeadRevisionConflictError(
                self._session_id, commit.expected_head_revision, None if head is None else head.revision
            )
        head.parts.update(changed)
        head.revision += 1
        return RuntimeCommitResult(head_revision=head.revision)
