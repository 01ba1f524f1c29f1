"""Which attachments references still keep: the roots of their sweep (``docs/contracts/attachments.md`` 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lash_core.model.attachment import AttachmentIntent, AttachmentOwnerKind, is_owner_dead, is_spent
from lash_core.store.attachment_manifest import AttachmentManifest, SessionRefs
from lash_core.store.content_sweep import ContentRefs


class OwnerRows(Protocol):
    """What is asked of a process registry."""

    async def filter_unregistered(self, process_ids: Sequence[str]) -> tuple[str, ...]:
        """The ids without a row."""
        ...

    async def server_time_ms(self) -> int:
        """The store's clock."""
        ...


class AttachmentRoots:
    """``ContentRoots`` of the manifest: committed references, young intents, intents whose owner may still commit."""

    def __init__(self, manifest: AttachmentManifest, rows: OwnerRows) -> None:
        self._manifest = manifest
        self._rows = rows

    async def refs_page(self, cursor: str | None, limit: int, *, grace_ms: int) -> ContentRefs:
        """What about ``limit`` sessions keep. Raises: InvalidCursorError."""
        page = await self._manifest.sessions_page(cursor, limit)
        now_ms = await self._rows.server_time_ms()
        absent = await self._absent_owners(page.sessions, now_ms, grace_ms)
        kept: set[str] = set()
        for session in page.sessions:
            kept.update(session.unreadable)
            for intent in session.refs:
                if not is_spent(intent, now_ms=now_ms, grace_ms=grace_ms) or not is_owner_dead(
                    intent, session.last_turn, process_exists=intent.owner_id not in absent
                ):
                    kept.add(intent.attachment_id)
        return ContentRefs(refs=frozenset(kept), next_cursor=page.next_cursor)

    async def _absent_owners(self, sessions: Sequence[SessionRefs], now_ms: int, grace_ms: int) -> frozenset[str]:
        """Processes that own spent intents and have no row any more."""

        def asks(intent: AttachmentIntent) -> bool:
            owned = intent.owner_kind is AttachmentOwnerKind.PROCESS
            return owned and is_spent(intent, now_ms=now_ms, grace_ms=grace_ms)

        owners = {intent.owner_id for session in sessions for intent in session.refs if asks(intent)}
        named = sorted(owner for owner in owners if owner is not None)
        return frozenset(await self._rows.filter_unregistered(named)) if named else frozenset()
