"""Opens the stores of sessions in memory, and finds sessions with ready work.

``docs/contracts/sessions.md`` 2.6; docs/adr/0162.
"""

from __future__ import annotations

import copy
import secrets
from collections.abc import Mapping, Sequence

from lash_core.errors import InvalidCursorError, LimitExceededError
from lash_core.memory_store.session_notices import MemorySessionNotices
from lash_core.memory_store.session_persistence import MemoryRuntimePersistence
from lash_core.memory_store.session_queue import enqueue_batch
from lash_core.memory_store.session_rows import StoredSession
from lash_core.memory_store.sessions_state import SessionsState
from lash_core.model.disposition import DurabilityTier
from lash_core.model.event import ProcessWakeDelivery
from lash_core.model.ids import check_id, check_lease_ttl
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.queued_work import process_wake_draft
from lash_core.model.session import SessionStoreCreateRequest, meta_of
from lash_core.model.session_commit import PersistedSessionConfig
from lash_core.model.session_lease import SessionExecutionLease
from lash_core.store.attachment_liveness import has_live_attachment_ref, live_attachment_refs
from lash_core.store.content_sweep import ContentRefs, refs_in
from lash_core.store.ready_sessions import SESSION_LEASES_PAGE, ReadySession
from lash_core.store.runtime_persistence import SessionSummary
from lash_core.store.session_bounds import check_delay, check_page_limit, check_ready_limit, encode_meta
from lash_core.store.session_records import decode_record

_PAGE_PREFIX = "sessions:"
"""Before the id of a page's last session: no other listing's cursor, no arbitrary text."""


class MemorySessionFactory:
    """``SessionStoreFactory`` and ``ReadySessions`` in memory; lost with the OS process.

    Args:
        state: of the sessions; None: one that shares nothing with other stores.
    """

    def __init__(self, state: SessionsState | None = None) -> None:
        self._state = state or SessionsState()
        self._tier = DurabilityTier.INLINE

    @property
    def notices(self) -> MemorySessionNotices:
        """Tells of commits and of changes of queues."""
        return self._state.notices

    def durability_tier(self) -> DurabilityTier:
        """``inline``, unless a test says otherwise."""
        return self._tier

    def with_durability_tier(self, tier: DurabilityTier) -> MemorySessionFactory:
        """A view on the same sessions that claims another tier: for tests of what durable hosts refuse."""
        other = copy.copy(self)
        other._tier = tier  # noqa: SLF001 - its own copy
        return other

    # -- sessions --------------------------------------------------------------------------------------

    async def create_store(self, request: SessionStoreCreateRequest) -> MemoryRuntimePersistence:
        """Open a session's store, and create the session if it is not there.

        Raises:
            InvalidArgumentError: the session id is not legal. LimitExceededError: the meta is over the payload limit.
        """
        session_id = check_id(request.session_id, field="session_id", subject="session id")
        state = self._state
        meta = meta_of(request, state.clock.now_ms())
        encode_meta(meta, state.limits)
        with state.lock:
            if session_id not in state.sessions:
                state.sessions[session_id] = StoredSession(meta)
                # A session that is created again has promises of its own (docs/adr/0166).
                state.scopes.revoked.discard(session_id)
        return MemoryRuntimePersistence(state, session_id, self._tier)

    async def open_existing_store(self, session_id: str) -> MemoryRuntimePersistence | None:
        """The store of a session that exists, else None."""
        with self._state.lock:
            if session_id not in self._state.sessions:
                return None
        return MemoryRuntimePersistence(self._state, session_id, self._tier)

    async def delete_session(self, session_id: str) -> None:
        """Forget a session and all that is its own; its promises are refused from now on. Safe to repeat."""
        state = self._state
        with state.lock:
            existed = state.sessions.pop(session_id, None) is not None
            state.forget_lease(session_id)
            scopes = state.scopes
            for scope in [scope for scope in scopes.journals if scope.session_id == session_id]:
                del scopes.journals[scope]
                scopes.touched_ms.pop(scope, None)
            for scope in [scope for scope in scopes.promises if scope.session_id == session_id]:
                del scopes.promises[scope]
            if existed:
                scopes.revoked.add(session_id)
            if state.on_delete is not None:
                state.on_delete(session_id)
        state.notices.tell(session_id)

    async def list_sessions(
        self, cursor: str | None = None, limit: int = 100
    ) -> tuple[tuple[SessionSummary, ...], str | None]:
        """A page of sessions by id, and the next one's cursor. Raises: InvalidArgumentError, InvalidCursorError."""
        check_page_limit(limit, self._state.limits)
        if cursor is not None and not cursor.startswith(_PAGE_PREFIX):
            raise InvalidCursorError(f"{cursor[:80]!r} is no cursor of this listing", field="cursor", value=cursor)
        after = "" if cursor is None else cursor.removeprefix(_PAGE_PREFIX)
        with self._state.lock:
            following = sorted(session_id for session_id in self._state.sessions if session_id > after)
            page = tuple(self._summary(session_id) for session_id in following[:limit])
            return page, _PAGE_PREFIX + following[limit - 1] if limit < len(following) else None

    def _summary(self, session_id: str) -> SessionSummary:
        session, lease = self._state.sessions[session_id], self._state.live_lease(session_id)
        facts = dict(session.meta)
        if session.head is not None:
            subject = f"the config of session `{session_id}`"
            config = decode_record(PersistedSessionConfig, session.head.config, subject=subject, key=session_id)
            facts["model"] = config.model.id
        return SessionSummary(
            **facts,
            head_revision=session.revision,
            queued=len(session.rows),
            lease_owner_id=None if lease is None else lease.owner.owner_id,
        )

    def deliver_wake(self, delivery: ProcessWakeDelivery) -> str | None:
        """Queue a process's wake, once for its event; why it was dropped, or None. Takes the lock of the stores."""
        state, session_id = self._state, delivery.target_session_id
        draft = process_wake_draft(session_id, delivery.process_id, delivery.sequence, delivery.to_json_value())
        with state.lock:
            session = state.sessions.get(session_id)
            if session is None:
                return "absent"
            try:
                _, added = enqueue_batch(session, draft, state.clock.now_ms())
            except LimitExceededError:
                return "full"
        if added:
            state.notices.tell(session_id)
        return None

    # -- what sessions refer to ------------------------------------------------------------------------

    async def live_attachment_refs(self, cutoff_ms: int) -> frozenset[str]:
        """Digests of attachments that sessions refer to: committed, or intended after ``cutoff_ms``."""
        manifest = self._state.manifest
        return frozenset() if manifest is None else await live_attachment_refs(manifest, cutoff_ms)

    async def has_live_attachment_ref(self, digest: str) -> bool:
        """True when some session refers to the attachment."""
        manifest = self._state.manifest
        return manifest is not None and await has_live_attachment_ref(manifest, digest)

    async def refs_page(self, cursor: str | None, limit: int, *, grace_ms: int) -> ContentRefs:
        """What the heads of sessions name, in the order of the sessions' ids."""
        with self._state.lock:
            following = sorted(session_id for session_id in self._state.sessions if session_id > (cursor or ""))
            texts = [text for session_id in following[:limit] for text in _texts(self._state.sessions[session_id])]
            more = following[limit - 1] if len(following) > limit else None
            return ContentRefs(refs=frozenset[str]().union(*map(refs_in, texts)), next_cursor=more)

    # -- ready sessions --------------------------------------------------------------------------------

    async def claim_ready_sessions(
        self,
        owner: LeaseOwnerIdentity,
        limit: int,
        lease_ttl_ms: int,
        partitions: Sequence[int] | None = None,
    ) -> tuple[ReadySession, ...]:
        """Claim up to ``limit`` sessions with work that is due, the longest waiting first.

        Raises:
            InvalidArgumentError: ``limit`` or the TTL.
        """
        check_ready_limit(limit)
        check_lease_ttl(lease_ttl_ms)
        state = self._state
        if partitions is not None and 0 not in partitions:
            return ()
        with state.lock:
            now_ms = state.clock.now_ms()
            for session_id, due_ms in self._due():
                if due_ms <= now_ms:
                    state.end_lost_lease(session_id)
            # A loss that was counted just now may hold a session back.
            ready = sorted((due_ms, session_id) for session_id, due_ms in self._due() if due_ms <= now_ms)
            claimed: list[ReadySession] = []
            for _, session_id in ready[:limit]:
                attempt = owner.with_incarnation(f"{owner.incarnation_id}:{secrets.token_hex(8)}")
                lease = state.give_lease(session_id, attempt, lease_ttl_ms)
                claimed.append(ReadySession(lease, deaths=state.sessions[session_id].deaths))
            return tuple(claimed)

    async def defer_session(self, lease: SessionExecutionLease, delay_ms: int) -> None:
        """Release a session that this worker cannot serve; a stale lease defers nothing."""
        check_delay(delay_ms)
        state = self._state
        with state.lock:
            if state.release_lease(lease.session_id, lease):
                session = state.require(lease.session_id)
                session.not_before_ms = max(session.not_before_ms, state.clock.now_ms() + delay_ms)

    async def live_session_leases(
        self, cursor: str | None = None, limit: int = SESSION_LEASES_PAGE
    ) -> tuple[tuple[SessionExecutionLease, ...], str | None]:
        """A page of the live leases by session id, and the cursor of the next one."""
        state = self._state
        with state.lock:
            live = [lease for session_id in sorted(state.sessions) if (lease := state.live_lease(session_id))]
            following = [lease for lease in live if lease.session_id > (cursor or "")]
            more = following[limit - 1].session_id if 0 < limit < len(following) else None
            return tuple(following[: max(limit, 0)]), more

    async def expire_session_leases(self, observed: Sequence[SessionExecutionLease]) -> tuple[bool, ...]:
        """End leases whose owners the caller proved dead, each if it is still the observed one."""
        with self._state.lock:
            return tuple(self._expire(lease) for lease in observed)

    def next_session_due_ms(self) -> Mapping[int, int]:
        """When the next session that nobody writes is due; in memory there is partition 0 only."""
        with self._state.lock:
            due = [due_ms for _, due_ms in self._due()]
            return {0: min(due)} if due else {}

    # -- under the lock --------------------------------------------------------------------------------

    def _expire(self, observed: SessionExecutionLease) -> bool:
        held = self._state.lease_of(observed.session_id)
        if held is None or not held.same_acquisition(observed):
            return False
        self._state.end_lost_lease(observed.session_id)
        return True

    def _due(self) -> list[tuple[str, int]]:
        """Sessions that nobody writes, and when each is due."""
        state = self._state
        due = [(session_id, session.due_ms()) for session_id, session in state.sessions.items()]
        return [(id_, due_ms) for id_, due_ms in due if due_ms is not None and state.live_lease(id_) is None]


def _texts(session: StoredSession) -> tuple[str, ...]:
    head = session.head
    return () if head is None else (head.config, head.frames, *session.blobs.values())
