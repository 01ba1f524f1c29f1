"""The conformance suite of ``lash_core.store.attachment_store.AttachmentStore`` (docs/contracts/attachments.md 2)."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Protocol

from lash_core.errors import InvalidArgumentError
from lash_core.model.disposition import DurabilityTier
from lash_core.store.attachment_store import AttachmentNotFoundError, AttachmentStore
from lash_core.testing.conformance import content_cases
from lash_core.testing.conformance.content_cases import fresh_bytes
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.stores import ConformanceStores
from lash_core.testing.conformance.suite import AnyCase, cases_in

UNKNOWN = "attachment:sha256:" + "0" * 64


class AttachmentStores(ConformanceStores, Protocol):
    """Stores with attachments."""

    @property
    def attachments(self) -> AttachmentStore:
        """The store under test."""
        ...


def cases() -> Iterator[tuple[str, AnyCase]]:
    """Every case as ``(attachment_store.<function>, function)``. One set of stores serves all of them."""
    return cases_in(sys.modules[__name__])


async def _stream(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        await asyncio.sleep(0)
        yield part


async def every_store_states_its_tier_and_family(stores: AttachmentStores) -> None:
    """Inline or durable, the same on every call."""
    tier = stores.attachments.durability_tier()

    assert tier in (DurabilityTier.INLINE, DurabilityTier.DURABLE)
    assert tier is stores.attachments.durability_tier()
    assert "attachment" == stores.attachments.family
    assert isinstance(stores.attachments, AttachmentStore)


async def the_address_is_the_digest_of_the_bytes(stores: AttachmentStores) -> None:
    """Nobody chooses an address, so nobody can put bytes under another's."""
    data = fresh_bytes()

    ref = await stores.attachments.put(data, media_type="image/png", name="a.png")

    assert f"attachment:sha256:{hashlib.sha256(data).hexdigest()}" == ref.attachment_id
    assert ("image/png", len(data), "a.png") == (ref.media_type, ref.size_bytes, ref.name)


async def any_bytes_come_back(stores: AttachmentStores) -> None:
    """Empty ones, all values, and what looks like the record around them."""
    for data in (b"", bytes(range(256)) * 3, b"1;1700000000000;" + fresh_bytes()):
        ref = await stores.attachments.put(data)
        assert data == await stores.attachments.get(ref.attachment_id)


async def equal_bytes_are_stored_once(stores: AttachmentStores) -> None:
    """However they are called, and whoever puts them at the same moment."""
    data = fresh_bytes()

    refs = await asyncio.gather(*(stores.attachments.put(data, name=f"{n}.bin") for n in range(5)))

    assert 1 == len({ref.attachment_id for ref in refs})
    listed = await content_cases.listed(stores.attachments)
    assert 1 == [item.ref for item in listed].count(refs[0].attachment_id)


async def a_stream_is_stored_as_its_bytes(stores: AttachmentStores) -> None:
    """It has the address that the same bytes have in one piece."""
    data = fresh_bytes()

    streamed = await stores.attachments.put(_stream(data[:5], b"", data[5:]))

    assert (await stores.attachments.put(data)).attachment_id == streamed.attachment_id
    assert len(data) == streamed.size_bytes
    assert data == await stores.attachments.get(streamed.attachment_id)


async def a_stream_that_fails_stores_nothing(stores: AttachmentStores) -> None:
    """Its error comes out, and half of it is nowhere."""
    data = fresh_bytes()

    async def broken() -> AsyncIterator[bytes]:
        yield data
        raise ConnectionResetError("the other side went away")

    try:
        await stores.attachments.put(broken())
    except ConnectionResetError:
        pass
    else:
        raise AssertionError("a broken stream was accepted")

    with refused(AttachmentNotFoundError):
        await stores.attachments.get(f"attachment:sha256:{hashlib.sha256(data).hexdigest()}")


async def bytes_are_read_in_portions(stores: AttachmentStores) -> None:
    """None is larger than asked for, and together they are all."""
    data = fresh_bytes() * 10
    ref = await stores.attachments.put(data)

    parts = [part async for part in stores.attachments.read(ref.attachment_id, chunk_bytes=64)]

    assert max(map(len, parts)) <= 64
    assert data == b"".join(parts)


async def an_unknown_attachment_is_not_found(stores: AttachmentStores) -> None:
    """By get and by read; it is not an empty one."""
    with refused(AttachmentNotFoundError, UNKNOWN):
        await stores.attachments.get(UNKNOWN)
    with refused(AttachmentNotFoundError, UNKNOWN):
        async for _ in stores.attachments.read(UNKNOWN):
            pass


async def what_is_no_address_is_refused(stores: AttachmentStores) -> None:
    """Also addresses of other families, and texts that a file system would take for another place."""
    for text in ("", "attachment:sha256:", "artifact:sha256:" + "0" * 64, "attachment:sha256:" + "../" * 21 + "a"):
        for verb in (stores.attachments.get, stores.attachments.delete, stores.attachments.touch):
            with refused(InvalidArgumentError):
                await verb(text)


async def staged_bytes_are_not_there_yet(stores: AttachmentStores) -> None:
    """The address is known before the bytes can be read: time to record a reference."""
    data = fresh_bytes()

    staged = await stores.attachments.stage(data)

    assert (f"attachment:sha256:{hashlib.sha256(data).hexdigest()}", len(data)) == (
        staged.attachment_id,
        staged.size_bytes,
    )
    with refused(AttachmentNotFoundError):
        await stores.attachments.get(staged.attachment_id)
    await staged.store()
    await staged.store()
    await staged.discard()
    assert data == await stores.attachments.get(staged.attachment_id)


async def discarded_bytes_are_nowhere(stores: AttachmentStores) -> None:
    """Discarding twice is discarding once."""
    staged = await stores.attachments.stage(fresh_bytes())

    await staged.discard()
    await staged.discard()

    with refused(AttachmentNotFoundError):
        await stores.attachments.get(staged.attachment_id)


async def a_delete_is_idempotent(stores: AttachmentStores) -> None:
    """Of bytes that are there, of the same again, of bytes that never were; others stay."""
    ref = await stores.attachments.put(fresh_bytes())
    other = await stores.attachments.put(fresh_bytes())

    await stores.attachments.delete(ref.attachment_id)
    await stores.attachments.delete(ref.attachment_id)
    await stores.attachments.delete(UNKNOWN)

    with refused(AttachmentNotFoundError):
        await stores.attachments.get(ref.attachment_id)
    assert ref.attachment_id not in {item.ref for item in await content_cases.listed(stores.attachments)}
    assert await stores.attachments.get(other.attachment_id)


async def deleted_bytes_can_be_put_again(stores: AttachmentStores) -> None:
    """A delete leaves no trace that would hide them."""
    data = fresh_bytes()
    ref = await stores.attachments.put(data)
    await stores.attachments.delete(ref.attachment_id)

    await stores.attachments.put(data)

    assert data == await stores.attachments.get(ref.attachment_id)


async def each_is_listed_once(stores: AttachmentStores) -> None:
    """Whatever the size of the pages."""
    await content_cases.check_listed_once(stores.attachments, _put(stores))


async def a_put_refreshes_the_age(stores: AttachmentStores) -> None:
    """A listing by age leaves out what was put lately."""
    await content_cases.check_ages(stores, stores.attachments, _put(stores))


async def a_touch_refreshes_as_a_put_does(stores: AttachmentStores) -> None:
    """Of bytes that are there; else it says so and makes nothing."""
    ref = await stores.attachments.put(fresh_bytes())
    before = await content_cases.one(stores.attachments, ref.attachment_id)

    assert await stores.attachments.touch(ref.attachment_id)
    assert not await stores.attachments.touch(UNKNOWN)

    after = await content_cases.one(stores.attachments, ref.attachment_id)
    assert (after.put_at_ms, after.stamp) != (before.put_at_ms, before.stamp)
    assert not await stores.attachments.delete_unchanged(before)
    assert await stores.attachments.get(ref.attachment_id)


async def only_what_nobody_put_again_is_swept(stores: AttachmentStores) -> None:
    """The condition of a sweep is checked where the bytes are."""
    await content_cases.check_delete_unchanged(stores.attachments, _put(stores), _get(stores))


async def puts_and_sweeps_at_the_same_moment_lose_nothing(stores: AttachmentStores) -> None:
    """Whoever was told that the bytes are stored can read them, as long as nobody listed them afterwards."""
    data = fresh_bytes()
    ref = await stores.attachments.put(data)
    for _ in range(20):
        stored = await content_cases.one(stores.attachments, ref.attachment_id)
        await asyncio.gather(
            stores.attachments.delete_unchanged(stored),
            stores.attachments.put(data),
            stores.attachments.delete_unchanged(stored),
        )
        assert data == await stores.attachments.get(ref.attachment_id)


async def a_cursor_of_something_else_is_refused(stores: AttachmentStores) -> None:
    """It is bad input and not the beginning."""
    with refused(InvalidArgumentError):
        await stores.attachments.list_stored("nonsense")


def _put(stores: AttachmentStores) -> content_cases.Put:
    async def put(data: bytes) -> str:
        return (await stores.attachments.put(data)).attachment_id

    return put


def _get(stores: AttachmentStores) -> content_cases.Get:
    async def get(attachment_id: str) -> bytes | None:
        try:
            return await stores.attachments.get(attachment_id)
        except AttachmentNotFoundError:
            return None

    return get
