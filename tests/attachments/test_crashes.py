"""A session dies between intent, bytes, commit and release: what a reclaim leaves is right."""

from __future__ import annotations

import pytest

from lash_core.model.attachment import AttachmentOwner
from lash_core.runtime.attachment_roots import AttachmentRoots
from lash_core.runtime.attachments import SessionAttachments
from lash_core.runtime.content_sweep import SweepReport, reclaim_unreferenced_attachments
from lash_core.store.attachment_store import AttachmentNotFoundError
from lash_core.store.content_sweep import GRACE_MS
from tests.attachments.conftest import Stores

FIRST, SECOND = AttachmentOwner.turn("turn-1"), AttachmentOwner.turn("turn-2")


def facade(stores: Stores, owner: AttachmentOwner | None = FIRST, session_id: str = "s") -> SessionAttachments:
    """A session's attachments in a turn."""
    return SessionAttachments(session_id, stores.attachments, stores.attachment_manifest, owner=owner)


async def reclaim(stores: Stores, after_ms: int = GRACE_MS + 1_000) -> SweepReport:
    """Let time pass and reclaim."""
    await stores.advance_clock(after_ms)
    roots = AttachmentRoots(stores.attachment_manifest, stores.process_registry)
    now_ms = stores.process_registry.server_time_ms
    return await reclaim_unreferenced_attachments(roots, stores.attachments, GRACE_MS, now_ms=now_ms)


async def test_between_intent_and_bytes(stores: Stores) -> None:
    """Nothing can be read, nothing is left to sweep, and the turn done again has everything."""
    staged = await stores.attachments.stage(b"picture")
    await stores.attachment_manifest.record_intent("s", staged.attachment_id, owner=FIRST)
    await staged.discard()

    with pytest.raises(AttachmentNotFoundError):
        await facade(stores).get(staged.attachment_id)
    assert 0 == (await reclaim(stores)).candidates
    await facade(stores, SECOND).put(b"picture")
    await stores.attachment_manifest.commit_refs("s", SECOND)
    await reclaim(stores)

    assert b"picture" == await facade(stores).get(staged.attachment_id)


async def test_between_intent_and_bytes_that_another_session_has(stores: Stores) -> None:
    """The bytes stay theirs; the dead intent keeps nothing once a later turn has committed."""
    theirs = facade(stores, None, "other")
    ref = await theirs.put(b"shared")
    await stores.attachment_manifest.commit_refs("other", None, [ref.attachment_id])
    await stores.attachment_manifest.record_intent("s", ref.attachment_id, owner=FIRST)
    await stores.advance_clock(10)
    await stores.attachment_manifest.commit_refs("s", SECOND)

    await reclaim(stores)
    assert b"shared" == await theirs.get(ref.attachment_id)
    await theirs.delete(ref.attachment_id)
    await reclaim(stores)

    with pytest.raises(AttachmentNotFoundError):
        await stores.attachments.get(ref.attachment_id)


async def test_between_bytes_and_commit(stores: Stores) -> None:
    """The turn may still commit, so they stay, however long; once another turn has committed they go."""
    ref = await facade(stores).put(b"draft")

    await reclaim(stores)
    await reclaim(stores, 30 * GRACE_MS)
    assert b"draft" == await facade(stores).get(ref.attachment_id)
    await stores.attachment_manifest.commit_refs("s", SECOND)
    report = await reclaim(stores)

    assert 1 == report.deleted
    with pytest.raises(AttachmentNotFoundError):
        await facade(stores).get(ref.attachment_id)


async def test_the_turn_done_again_after_the_crash_commits_them(stores: Stores) -> None:
    """The same turn under a new owner of the session finds its intents and stamps them."""
    ref = await facade(stores).put(b"draft")

    assert (ref.attachment_id,) == await stores.attachment_manifest.commit_refs("s", FIRST)
    await stores.advance_clock(10)
    await stores.attachment_manifest.commit_refs("s", SECOND)
    await reclaim(stores)

    assert b"draft" == await facade(stores).get(ref.attachment_id)


async def test_between_commit_and_release(stores: Stores) -> None:
    """What is committed needs nobody: neither lease nor owner, however many turns come after."""
    ref = await facade(stores).put(b"final")
    await stores.attachment_manifest.commit_refs("s", FIRST)
    for number in range(3):
        await stores.advance_clock(10)
        await stores.attachment_manifest.commit_refs("s", AttachmentOwner.turn(f"later-{number}"))

    report = await reclaim(stores, 100 * GRACE_MS)

    assert (1, 0) == (report.kept, report.deleted)
    assert b"final" == await facade(stores).get(ref.attachment_id)


async def test_a_later_turn_that_brings_the_bytes_in_again_takes_them_over(stores: Stores) -> None:
    """The dead turn's intent is the living turn's from then on."""
    data = b"both turns made this"
    ref = await facade(stores).put(data)
    await stores.advance_clock(GRACE_MS + 1)
    await facade(stores, SECOND).put(data)
    await stores.advance_clock(10)

    await reclaim(stores)
    assert data == await facade(stores).get(ref.attachment_id)
    await stores.attachment_manifest.commit_refs("s", SECOND)
    await stores.advance_clock(10)
    await stores.attachment_manifest.commit_refs("s", AttachmentOwner.turn("turn-3"))
    await reclaim(stores)

    assert data == await facade(stores).get(ref.attachment_id)
