"""``AttachmentManifest`` over Redis: one hash a session, ``T:at:<sid>`` (``docs/contracts/redis_layout.md``)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from lash_core.errors import CorruptRecordError, NewerRecordError
from lash_core.model.attachment import (
    AttachmentIntent,
    AttachmentOwner,
    AttachmentOwnerKind,
    CommittedTurn,
    attachment_uri,
)
from lash_core.model.canonical_json import canonical_json
from lash_core.model.disposition import DurabilityTier
from lash_core.model.ids import check_id
from lash_core.redis_store.commands import Command
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.key_scan import scan_page
from lash_core.redis_store.row_reader import as_mapping
from lash_core.redis_store.scripts import Call
from lash_core.store.attachment_manifest import SESSION_ATTACHMENTS_MAX, SessionRefs, SessionRefsPage, too_many_refs
from lash_core.store.attachment_store import ATTACHMENT_FAMILY
from lash_core.store.content_address import digest_of

RECORD_VERSION = 1
LAST_TURN = "last"
"""Field beside the references: ``<ms>;<id of the last turn that committed>``."""

REFS_A_READ = 20_000
"""References of one read of ``sessions_page``: about 5 MB."""


class RedisAttachmentManifest:
    """References of sessions, each in its session's partition.

    Args:
        context: one namespace.
        refs_max: references of one session.
    """

    def __init__(self, context: RedisContext, *, refs_max: int = SESSION_ATTACHMENTS_MAX) -> None:
        self._context = context
        self._refs_max = refs_max

    def durability_tier(self) -> DurabilityTier:
        """``durable``."""
        return DurabilityTier.DURABLE

    async def record_intent(
        self, session_id: str, attachment_id: str, *, owner: AttachmentOwner | None = None
    ) -> AttachmentIntent:
        """Note an intent, keeping an earlier commit stamp. Atomic, safe to repeat.

        Raises:
            InvalidArgumentError: an id is not legal. LimitExceededError: too many references.
        """
        check_id(session_id, field="session_id", subject="session id")
        digest = digest_of(attachment_id, ATTACHMENT_FAMILY, field="attachment_id")
        if owner is not None:
            owner.validated()
        facts = {"uri": attachment_uri(attachment_id)}
        if owner is not None:
            facts |= {"kind": owner.kind.value, "owner": owner.id}
        keys = self._context.keyspace.of_session(session_id)
        args = (digest, _token(owner), canonical_json(facts), self._refs_max, session_id)
        call = Call("record_attachment_intent", (keys.session_attachments(session_id), keys.sessions), args)
        reply: list[Any] = (await self._context.scripts.run([call], durable=True))[0]
        if reply[0] == "full":
            raise too_many_refs(session_id, self._refs_max)
        return AttachmentIntent(
            attachment_id=attachment_id,
            session_id=session_id,
            canonical_uri=facts["uri"],
            intent_at_epoch_ms=int(reply[1]),
            owner_kind=None if owner is None else owner.kind,
            owner_id=None if owner is None else owner.id,
            committed_at_epoch_ms=int(reply[2]) or None,
        )

    async def commit_refs(
        self, session_id: str, owner: AttachmentOwner | None, attachment_ids: Sequence[str] = ()
    ) -> tuple[str, ...]:
        """Stamp references; returns the ids that got a stamp, sorted. Atomic.

        Raises:
            InvalidArgumentError: an id is not legal.
        """
        check_id(session_id, field="session_id", subject="session id")
        digests = [digest_of(named, ATTACHMENT_FAMILY, field="attachment_id") for named in attachment_ids]
        turn_id = owner.id if owner is not None and owner.kind is AttachmentOwnerKind.TURN else ""
        call = Call("commit_attachments", (self._key(session_id),), (_token(owner), turn_id, *digests))
        reply: list[str] = (await self._context.scripts.run([call], durable=True))[0]
        return tuple(sorted(f"{ATTACHMENT_FAMILY}:sha256:{digest}" for digest in reply[1:]))

    async def holds_ref(self, session_id: str, attachment_id: str) -> bool:
        """True when the session refers to the attachment. Raises: InvalidArgumentError."""
        key = self._key(session_id)
        digest = digest_of(attachment_id, ATTACHMENT_FAMILY, field="attachment_id")
        return bool((await self._context.connection.read([Command(key, ("HEXISTS", key, digest))]))[0])

    async def drop_ref(self, session_id: str, attachment_id: str) -> None:
        """Refer to it no more. Atomic, safe to repeat. Raises: InvalidArgumentError."""
        digest = digest_of(attachment_id, ATTACHMENT_FAMILY, field="attachment_id")
        call = Call("drop_attachment_ref", (self._key(session_id),), (digest,))
        await self._context.scripts.run([call], durable=True)

    async def list_refs(self, session_id: str) -> tuple[AttachmentIntent, ...]:
        """All references of a session by attachment id. Raises: CorruptRecordError, NewerRecordError."""
        key = self._key(session_id)
        fields = as_mapping((await self._context.connection.read([Command(key, ("HGETALL", key))]))[0])
        return tuple(
            decode_ref(session_id, name, text, key=key) for name, text in sorted(fields.items()) if name != LAST_TURN
        )

    async def sessions_page(self, cursor: str | None, limit: int) -> SessionRefsPage:
        """Sessions that refer to something, partition by partition. Raises: InvalidCursorError."""
        partitions = self._context.keyspace.partitions
        page = await scan_page(self._context, [keys.sessions for keys in partitions], cursor, limit)
        names = {session_id: self._key(session_id) for session_id in page.members}
        sizes = await self._context.connection.read([Command(key, ("HLEN", key)) for key in names.values()])
        found: list[SessionRefs] = []
        waiting: dict[str, str] = {}
        rows = 0
        for (session_id, key), size in zip(names.items(), sizes, strict=True):
            if size:
                waiting[session_id] = key
                rows += int(size)
            if rows >= REFS_A_READ:
                found += await self._read(waiting)
                waiting, rows = {}, 0
        found += await self._read(waiting)
        return SessionRefsPage(sessions=tuple(found), next_cursor=page.next_cursor)

    async def _read(self, names: Mapping[str, str]) -> list[SessionRefs]:
        replies = await self._context.connection.read([Command(key, ("HGETALL", key)) for key in names.values()])
        return [
            _session_refs(session_id, as_mapping(reply), key)
            for (session_id, key), reply in zip(names.items(), replies, strict=True)
        ]

    def _key(self, session_id: str) -> str:
        check_id(session_id, field="session_id", subject="session id")
        return self._context.keyspace.of_session(session_id).session_attachments(session_id)


def turn_token(turn_id: str) -> str:
    """The token of a turn as an owner."""
    return _token(AttachmentOwner.turn(turn_id))


def _token(owner: AttachmentOwner | None) -> str:
    """What the script compares: the kind's letter and 16 bytes of SHA-256 of the id; '' for nobody."""
    if owner is None:
        return ""
    return owner.kind.value[0] + hashlib.sha256(owner.id.encode()).hexdigest()[:32]


def _session_refs(session_id: str, fields: Mapping[str, str], key: str) -> SessionRefs:
    last: CommittedTurn | None = None
    refs: list[AttachmentIntent] = []
    unreadable: list[str] = []
    for name, text in sorted(fields.items()):
        if name == LAST_TURN:
            at_ms, _, turn_id = text.partition(";")
            last = CommittedTurn(turn_id, int(at_ms)) if at_ms.isdigit() else None
            continue
        try:
            refs.append(decode_ref(session_id, name, text, key=key))
        except CorruptRecordError:
            unreadable.append(f"{ATTACHMENT_FAMILY}:sha256:{name}")
    return SessionRefs(session_id=session_id, refs=tuple(refs), unreadable=tuple(unreadable), last_turn=last)


def decode_ref(session_id: str, digest: str, text: str, *, key: str) -> AttachmentIntent:
    """A reference as stored.

    Raises:
        NewerRecordError: of a newer release. CorruptRecordError: cannot be decoded.
    """
    version, *rest = text.split(";", 4)
    if version.isdigit() and int(version) > RECORD_VERSION:
        raise NewerRecordError(f"{key} has a reference of record version {version}", key=key)
    try:
        intent_ms, committed_ms, _, facts_text = rest
        facts = json.loads(facts_text)
        return AttachmentIntent(
            attachment_id=f"{ATTACHMENT_FAMILY}:sha256:{digest}",
            session_id=session_id,
            canonical_uri=facts["uri"],
            intent_at_epoch_ms=int(intent_ms),
            owner_kind=facts.get("kind"),
            owner_id=facts.get("owner"),
            committed_at_epoch_ms=int(committed_ms) or None,
        )
    except (ValueError, TypeError, KeyError) as error:
        raise CorruptRecordError(f"{key} has a reference that cannot be decoded: {error!r}", key=key) from error
