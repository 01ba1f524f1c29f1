"""Which attachments sessions refer to, asked of the manifest page by page (``docs/contracts/sessions.md`` 2.6)."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from lash_core.store.attachment_manifest import AttachmentManifest, SessionRefs
from lash_core.store.attachment_store import ATTACHMENT_FAMILY

SESSIONS_A_PAGE = 200


async def live_attachment_refs(manifest: AttachmentManifest, cutoff_ms: int) -> frozenset[str]:
    """Digests (64 hex) of attachments that are committed, or intended after ``cutoff_ms``. O(sessions).

    A reference that this release cannot read counts as committed.
    """
    live: set[str] = set()
    async for session in _sessions(manifest):
        live.update(ref.rpartition(":")[2] for ref in session.unreadable)
        for intent in session.refs:
            if intent.committed_at_epoch_ms is not None or intent.intent_at_epoch_ms > cutoff_ms:
                live.add(intent.attachment_id.rpartition(":")[2])
    return frozenset(live)


async def has_live_attachment_ref(manifest: AttachmentManifest, digest: str) -> bool:
    """True when some session refers to the attachment, committed or not. O(sessions)."""
    ref = f"{ATTACHMENT_FAMILY}:sha256:{digest.rpartition(':')[2]}"
    async for session in _sessions(manifest):
        if ref in session.unreadable or any(intent.attachment_id == ref for intent in session.refs):
            return True
    return False


async def _sessions(manifest: AttachmentManifest) -> AsyncGenerator[SessionRefs]:
    cursor: str | None = None
    while True:
        page = await manifest.sessions_page(cursor, SESSIONS_A_PAGE)
        for session in page.sessions:
            yield session
        cursor = page.next_cursor
        if cursor is None:
            return
