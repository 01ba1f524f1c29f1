"""``AttachmentManifest`` in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lash_core.clock import Clock, SystemClock
from lash_core.model.attachment import (
    AttachmentIntent,
    AttachmentOwner,
    AttachmentOwnerKind,
    CommittedTurn,
    attachment_uri,
)
from lash_core.model.disposition import DurabilityTier
from lash_core.model.ids import check_id
from lash_core.store.attachment_manifest import SESSION_ATTACHMENTS_MAX, SessionRefs, SessionRefsPage, too_many_refs
from lash_core.store.attachment_store import ATTACHMENT_FAMILY
from lash_core.store.content_address import digest_of


@dataclass(slots=True)
class _Session:
    refs: dict[str, AttachmentIntent] = field(default_factory=dict[str, AttachmentIntent])
    last_turn: CommittedTurn | None = None


class MemoryAttachmentManifest:
    """References in memory; gone with the program. No operation awaits, so each is one atomic unit on its loop.

    Args:
        clock: the machine's by default.
        refs_max: references of one session.
    """

    def __init__(self, clock: Clock | None = None, *, refs_max: int = SESSION_ATTACHMENTS_MAX) -> None:
        self._clock: Clock = clock or SystemClock()
        self._refs_max = refs_max
        self._sessions: dict[str, _Session] = {}

    def durability_tier(self) -> DurabilityTier:
        """``inline``."""
        return DurabilityTier.INLINE

    async def record_intent(
        self, session_id: str, attachment_id: str, *, owner: AttachmentOwner | None = None
    ) -> AttachmentIntent:
        """Note an intent, keeping an earlier commit stamp. Raises: InvalidArgumentError, LimitExceededError."""
        _check(session_id, attachment_id)
        if owner is not None:
            owner.validated()
        session = self._sessions.setdefault(session_id, _Session())
        old = session.refs.get(attachment_id)
        if old is None and len(session.refs) >= self._refs_max:
            raise too_many_refs(session_id, self._refs_max)
        intent = AttachmentIntent(
            attachment_id=attachment_id,
            session_id=session_id,
            canonical_uri=attachment_uri(attachment_id),
            intent_at_epoch_ms=self._clock.now_ms(),
            owner_kind=None if owner is None else owner.kind,
            owner_id=None if owner is None else owner.id,
            committed_at_epoch_ms=None if old is None else old.committed_at_epoch_ms,
        )
        session.refs[attachment_id] = intent
        return intent

    async def commit_refs(
        self, session_id: str, owner: AttachmentOwner | None, attachment_ids: Sequence[str] = ()
    ) -> tuple[str, ...]:
        """Stamp references; returns the ids that got a stamp, sorted. Raises: InvalidArgumentError."""
        _check(session_id, *attachment_ids)
        return self.stamp(session_id, owner, attachment_ids)

    def stamp(
        self, session_id: str, owner: AttachmentOwner | None, attachment_ids: Sequence[str] = ()
    ) -> tuple[str, ...]:
        """``commit_refs`` for ids that are checked: a commit of the session stamps within its own unit."""
        session = self._sessions.get(session_id)
        if session is None or not (session.refs or session.last_turn):
            return ()
        now_ms, stamped = self._clock.now_ms(), list[str]()
        for attachment_id, intent in sorted(session.refs.items()):
            wanted = attachment_id in attachment_ids or (owner is not None and intent.owner == owner)
            if wanted and not intent.is_committed:
                session.refs[attachment_id] = intent.model_copy(update={"committed_at_epoch_ms": now_ms})
                stamped.append(attachment_id)
        if owner is not None and owner.kind is AttachmentOwnerKind.TURN:
            session.last_turn = CommittedTurn(owner.id, now_ms)
        return tuple(stamped)

    async def holds_ref(self, session_id: str, attachment_id: str) -> bool:
        """True when the session refers to the attachment. Raises: InvalidArgumentError."""
        _check(session_id, attachment_id)
        session = self._sessions.get(session_id)
        return session is not None and attachment_id in session.refs

    async def drop_ref(self, session_id: str, attachment_id: str) -> None:
        """Refer to it no more. Raises: InvalidArgumentError."""
        _check(session_id, attachment_id)
        session = self._sessions.get(session_id)
        if session is not None:
            session.refs.pop(attachment_id, None)

    async def list_refs(self, session_id: str) -> tuple[AttachmentIntent, ...]:
        """All references of a session by attachment id."""
        session = self._sessions.get(session_id)
        return () if session is None else tuple(intent for _, intent in sorted(session.refs.items()))

    async def sessions_page(self, cursor: str | None, limit: int) -> SessionRefsPage:
        """Sessions in the order of their ids."""
        following = sorted(session_id for session_id in self._sessions if session_id > (cursor or ""))
        found = [
            SessionRefs(
                session_id=session_id,
                refs=tuple(self._sessions[session_id].refs.values()),
                last_turn=self._sessions[session_id].last_turn,
            )
            for session_id in following[:limit]
        ]
        more = following[limit - 1] if len(following) > limit else None
        return SessionRefsPage(sessions=tuple(found), next_cursor=more)

    def forget_session(self, session_id: str) -> None:
        """Drop all references of a session that is deleted."""
        self._sessions.pop(session_id, None)


def _check(session_id: str, *attachment_ids: str) -> None:
    check_id(session_id, field="session_id", subject="session id")
    for attachment_id in attachment_ids:
        digest_of(attachment_id, ATTACHMENT_FAMILY, field="attachment_id")
