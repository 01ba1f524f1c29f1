"""The conformance suite of ``lash_core.store.attachment_manifest.AttachmentManifest`` and of the facade over it.

``docs/contracts/attachments.md`` 3 and 4.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Protocol

from lash_core.errors import InvalidArgumentError
from lash_core.model.attachment import AttachmentOwner, AttachmentOwnerKind
from lash_core.model.disposition import DurabilityTier
from lash_core.model.session import SessionStoreCreateRequest
from lash_core.runtime.attachments import SessionAttachments
from lash_core.store.attachment_manifest import AttachmentManifest
from lash_core.store.attachment_store import AttachmentNotFoundError, AttachmentStore
from lash_core.store.runtime_persistence import SessionStoreFactory
from lash_core.testing.conformance.content_cases import fresh_bytes
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import unique
from lash_core.testing.conformance.stores import ConformanceStores, elapse
from lash_core.testing.conformance.suite import AnyCase, cases_in

TURN = AttachmentOwner.turn("turn-1")


class ManifestStores(ConformanceStores, Protocol):
    """Stores with attachments, references and sessions."""

    @property
    def attachments(self) -> AttachmentStore:
        """The bytes."""
        ...

    @property
    def attachment_manifest(self) -> AttachmentManifest:
        """The references under test."""
        ...

    @property
    def session_store_factory(self) -> SessionStoreFactory:
        """Sessions."""
        ...


def cases() -> Iterator[tuple[str, AnyCase]]:
    """Every case as ``(attachment_manifest.<function>, function)``. One set of stores serves all of them."""
    return cases_in(sys.modules[__name__])


def _some_id() -> str:
    return f"attachment:sha256:{unique('').removeprefix('-').ljust(64, '0')}"


def _facade(stores: ManifestStores, session_id: str, owner: AttachmentOwner | None = None) -> SessionAttachments:
    return SessionAttachments(session_id, stores.attachments, stores.attachment_manifest, owner=owner)


async def every_manifest_states_its_tier(stores: ManifestStores) -> None:
    """Inline or durable, as the bytes beside it need it."""
    assert stores.attachment_manifest.durability_tier() in (DurabilityTier.INLINE, DurabilityTier.DURABLE)
    assert isinstance(stores.attachment_manifest, AttachmentManifest)


async def an_intent_carries_who_and_when(stores: ManifestStores) -> None:
    """Address, session, owner and time by the store's clock; not committed yet."""
    session_id, attachment_id = unique("session"), _some_id()

    intent = await stores.attachment_manifest.record_intent(session_id, attachment_id, owner=TURN)

    assert (attachment_id, session_id, f"lash:{attachment_id}") == (
        intent.attachment_id,
        intent.session_id,
        intent.canonical_uri,
    )
    assert (AttachmentOwnerKind.TURN, "turn-1", None) == (
        intent.owner_kind,
        intent.owner_id,
        intent.committed_at_epoch_ms,
    )
    assert 1_600_000_000_000 < intent.intent_at_epoch_ms
    assert (intent,) == await stores.attachment_manifest.list_refs(session_id)


async def a_repeated_intent_is_one_reference(stores: ManifestStores) -> None:
    """It takes the new owner and time: the one who needs it now is the one who counts."""
    session_id, attachment_id = unique("session"), _some_id()
    first = await stores.attachment_manifest.record_intent(session_id, attachment_id, owner=TURN)
    await elapse(stores, 5)

    await stores.attachment_manifest.record_intent(session_id, attachment_id, owner=AttachmentOwner.process("p"))

    (intent,) = await stores.attachment_manifest.list_refs(session_id)
    assert AttachmentOwner.process("p") == intent.owner
    assert intent.intent_at_epoch_ms >= first.intent_at_epoch_ms + 5


async def a_repeated_intent_keeps_the_commit_stamp(stores: ManifestStores) -> None:
    """What a commit needs stays needed, whoever brings the same bytes in again."""
    session_id, attachment_id = unique("session"), _some_id()
    await stores.attachment_manifest.record_intent(session_id, attachment_id, owner=TURN)
    await stores.attachment_manifest.commit_refs(session_id, TURN)
    (committed,) = await stores.attachment_manifest.list_refs(session_id)
    await elapse(stores, 5)

    again = await stores.attachment_manifest.record_intent(
        session_id, attachment_id, owner=AttachmentOwner.turn("turn-2")
    )

    assert committed.committed_at_epoch_ms is not None
    assert committed.committed_at_epoch_ms == again.committed_at_epoch_ms
    assert (again,) == await stores.attachment_manifest.list_refs(session_id)


async def a_commit_stamps_what_its_turn_brought_in(stores: ManifestStores) -> None:
    """Its own intents and those that it names; intents of other owners wait for theirs."""
    manifest, session_id = stores.attachment_manifest, unique("session")
    own, named, others = _some_id(), _some_id(), _some_id()
    await manifest.record_intent(session_id, own, owner=TURN)
    await manifest.record_intent(session_id, named)
    await manifest.record_intent(session_id, others, owner=AttachmentOwner.process("turn-1"))

    stamped = await manifest.commit_refs(session_id, TURN, [named])

    assert tuple(sorted((own, named))) == stamped
    refs = {intent.attachment_id: intent for intent in await manifest.list_refs(session_id)}
    assert (True, True, False) == (refs[own].is_committed, refs[named].is_committed, refs[others].is_committed)


async def a_commit_is_update_only(stores: ManifestStores) -> None:
    """An id that the session does not refer to is not referred to afterwards."""
    manifest, session_id, attachment_id = stores.attachment_manifest, unique("session"), _some_id()

    assert () == await manifest.commit_refs(session_id, TURN, [attachment_id])

    assert not await manifest.holds_ref(session_id, attachment_id)
    assert () == await manifest.list_refs(session_id)


async def a_second_commit_changes_no_stamp(stores: ManifestStores) -> None:
    """Safe to repeat: nothing is stamped twice."""
    manifest, session_id, attachment_id = stores.attachment_manifest, unique("session"), _some_id()
    await manifest.record_intent(session_id, attachment_id, owner=TURN)
    await manifest.commit_refs(session_id, TURN, [attachment_id])
    (first,) = await manifest.list_refs(session_id)
    await elapse(stores, 5)

    assert () == await manifest.commit_refs(session_id, TURN, [attachment_id])

    assert (first,) == await manifest.list_refs(session_id)


async def references_are_the_sessions_own(stores: ManifestStores) -> None:
    """Neither asked for, nor committed, nor dropped from another session."""
    manifest, session_id, other, attachment_id = (
        stores.attachment_manifest,
        unique("session"),
        unique("other"),
        _some_id(),
    )
    await manifest.record_intent(session_id, attachment_id, owner=TURN)

    assert not await manifest.holds_ref(other, attachment_id)
    assert () == await manifest.commit_refs(other, TURN, [attachment_id])
    await manifest.drop_ref(other, attachment_id)

    assert await manifest.holds_ref(session_id, attachment_id)
    (intent,) = await manifest.list_refs(session_id)
    assert not intent.is_committed


async def a_dropped_reference_is_gone(stores: ManifestStores) -> None:
    """Committed or not; dropping nothing is success."""
    manifest, session_id, attachment_id = stores.attachment_manifest, unique("session"), _some_id()
    await manifest.record_intent(session_id, attachment_id, owner=TURN)
    await manifest.commit_refs(session_id, TURN)

    await manifest.drop_ref(session_id, attachment_id)
    await manifest.drop_ref(session_id, attachment_id)

    assert not await manifest.holds_ref(session_id, attachment_id)
    assert () == await manifest.list_refs(session_id)


async def references_are_listed_by_id(stores: ManifestStores) -> None:
    """All of them, each once."""
    manifest, session_id = stores.attachment_manifest, unique("session")
    ids = [_some_id() for _ in range(30)]
    await asyncio.gather(*(manifest.record_intent(session_id, attachment_id) for attachment_id in ids))

    assert sorted(ids) == [intent.attachment_id for intent in await manifest.list_refs(session_id)]


async def illegal_ids_are_refused(stores: ManifestStores) -> None:
    """Of sessions, attachments and owners; nothing is written."""
    manifest, session_id = stores.attachment_manifest, unique("session")
    for wrong_session, wrong_id, owner in (
        ("", _some_id(), None),
        (session_id, "attachment:sha256:xyz", None),
        (session_id, _some_id(), AttachmentOwner.turn(" ")),
    ):
        with refused(InvalidArgumentError):
            await manifest.record_intent(wrong_session, wrong_id, owner=owner)

    assert () == await manifest.list_refs(session_id)


async def deleting_a_session_drops_its_references(stores: ManifestStores) -> None:
    """A session made again under the id starts without any."""
    manifest, session_id, attachment_id = stores.attachment_manifest, unique("session"), _some_id()
    await stores.session_store_factory.create_store(SessionStoreCreateRequest(session_id))
    await manifest.record_intent(session_id, attachment_id, owner=TURN)
    await manifest.commit_refs(session_id, TURN)

    await stores.session_store_factory.delete_session(session_id)

    assert () == await manifest.list_refs(session_id)
    assert not await manifest.holds_ref(session_id, attachment_id)


async def every_session_with_references_is_found(stores: ManifestStores) -> None:
    """Whoever walks over all of them in pages meets each at least once, with the last turn that committed."""
    manifest, prefix = stores.attachment_manifest, unique("walked")
    wanted = {f"{prefix}/{number}" for number in range(25)}
    for session_id in wanted:
        await manifest.record_intent(session_id, _some_id(), owner=TURN)
    await manifest.commit_refs(f"{prefix}/3", TURN)

    met: dict[str, str | None] = {}
    cursor: str | None = None
    while True:
        page = await manifest.sessions_page(cursor, 4)
        met.update(
            {found.session_id: found.last_turn and found.last_turn.turn_id for found in page.sessions if found.refs}
        )
        cursor = page.next_cursor
        if cursor is None:
            break

    assert wanted == {session_id for session_id in met if session_id.startswith(prefix)}
    assert ("turn-1", None) == (met[f"{prefix}/3"], met[f"{prefix}/4"])


# -- the facade: one session's view --------------------------------------------------------------------------


async def a_session_reads_what_it_put(stores: ManifestStores) -> None:
    """Whole and in portions; the reference is an intent of the owner until a commit."""
    mine, data = _facade(stores, unique("session"), TURN), fresh_bytes()

    ref = await mine.put(data, media_type="text/plain", name="a.txt")

    assert ("text/plain", len(data), "a.txt") == (ref.media_type, ref.size_bytes, ref.name)
    assert data == await mine.get(ref.attachment_id)
    assert data == b"".join([part async for part in mine.read(ref.attachment_id, chunk_bytes=7)])
    (intent,) = await mine.refs()
    assert (TURN, False) == (intent.owner, intent.is_committed)


async def a_session_does_not_see_what_others_put(stores: ManifestStores) -> None:
    """The bytes are there, and the answer is not found."""
    ref = await _facade(stores, unique("session")).put(fresh_bytes())
    stranger = _facade(stores, unique("stranger"))

    with refused(AttachmentNotFoundError):
        await stranger.get(ref.attachment_id)
    with refused(AttachmentNotFoundError):
        async for _ in stranger.read(ref.attachment_id):
            pass
    assert await stores.attachments.get(ref.attachment_id)


async def a_delete_drops_the_reference_only(stores: ManifestStores) -> None:
    """Another session with the same bytes still has them."""
    mine, theirs, data = _facade(stores, unique("session")), _facade(stores, unique("other")), fresh_bytes()
    ref = await mine.put(data)
    await theirs.put(data)

    await mine.delete(ref.attachment_id)
    await mine.delete(ref.attachment_id)

    with refused(AttachmentNotFoundError):
        await mine.get(ref.attachment_id)
    assert data == await theirs.get(ref.attachment_id)
    assert data == await stores.attachments.get(ref.attachment_id)


async def a_reference_without_bytes_is_not_found(stores: ManifestStores) -> None:
    """What a crash between intent and bytes leaves behind; the same put makes it whole."""
    mine, data = _facade(stores, unique("session")), fresh_bytes()
    staged = await stores.attachments.stage(data)
    await stores.attachment_manifest.record_intent(mine.session_id, staged.attachment_id)
    await staged.discard()

    with refused(AttachmentNotFoundError):
        await mine.get(staged.attachment_id)
    ref = await mine.put(data)

    assert staged.attachment_id == ref.attachment_id
    assert data == await mine.get(ref.attachment_id)


async def bytes_that_are_there_can_be_adopted(stores: ManifestStores) -> None:
    """A child session refers to what its parent has; what the parent does not refer to cannot be adopted."""
    parent, child, data = _facade(stores, unique("parent")), _facade(stores, unique("child"), TURN), fresh_bytes()
    ref = await parent.put(data)

    await child.adopt(ref.attachment_id, parent)

    assert data == await child.get(ref.attachment_id)
    with refused(AttachmentNotFoundError):
        await child.adopt("attachment:sha256:" + "f" * 64, parent)
    with refused(AttachmentNotFoundError):
        await _facade(stores, unique("third")).adopt(ref.attachment_id, _facade(stores, unique("stranger")))
    await stores.attachments.delete(ref.attachment_id)
    with refused(AttachmentNotFoundError):
        await _facade(stores, unique("late")).adopt(ref.attachment_id, parent)


async def a_process_refers_in_its_own_session(stores: ManifestStores) -> None:
    """``process-env:<pid>``, owned by the process."""
    process_id = unique("process")
    mine = SessionAttachments.of_process(process_id, stores.attachments, stores.attachment_manifest)

    ref = await mine.put(fresh_bytes())

    assert f"process-env:{process_id}" == mine.session_id
    (intent,) = await stores.attachment_manifest.list_refs(f"process-env:{process_id}")
    assert (ref.attachment_id, AttachmentOwner.process(process_id)) == (intent.attachment_id, intent.owner)
