"""Attachments in two places by their size: small ones in the store itself, large ones in a folder."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator

from lash_core.errors import InvalidCursorError
from lash_core.model.disposition import DurabilityTier
from lash_core.store.attachment_bytes import AttachmentVerbs
from lash_core.store.attachment_store import (
    ATTACHMENT_FAMILY,
    ATTACHMENT_SMALL_BYTES_MAX,
    CHUNK_BYTES,
    AttachmentData,
    AttachmentNotFoundError,
    AttachmentStore,
    StagedAttachment,
)
from lash_core.store.content_sweep import LIST_PAGE, ContentPage, StoredContent

_SMALL, _LARGE = "small", "large"


class TieredAttachmentStore(AttachmentVerbs):
    """One attachment store made of two.

    Equal bytes have one size, so they are in one place. Only what came in before there was a folder may be in both, and
    is listed for each of them.

    Args:
        small: takes attachments of at most ``small_bytes_max``.
        large: takes the others.
        small_bytes_max: the bound.
    """

    def __init__(
        self, small: AttachmentStore, large: AttachmentStore, *, small_bytes_max: int = ATTACHMENT_SMALL_BYTES_MAX
    ) -> None:
        self._small = small
        self._large = large
        self._small_bytes_max = small_bytes_max

    @property
    def family(self) -> str:
        """``attachment``."""
        return ATTACHMENT_FAMILY

    def durability_tier(self) -> DurabilityTier:
        """``durable`` when both are."""
        tiers = {self._small.durability_tier(), self._large.durability_tier()}
        return DurabilityTier.INLINE if DurabilityTier.INLINE in tiers else DurabilityTier.DURABLE

    async def stage(self, data: AttachmentData) -> StagedAttachment:
        """Take bytes in where their size belongs. Raises: LimitExceededError, StoreRefusedError."""
        if isinstance(data, bytes):
            return await (self._small if len(data) <= self._small_bytes_max else self._large).stage(data)
        # A stream tells its size as it comes: what fits the bound is kept until it ends or is too large.
        head: list[bytes] = []
        size = 0
        stream = aiter(data)
        async for part in stream:
            head.append(part)
            size += len(part)
            if size > self._small_bytes_max:
                return await self._large.stage(_joined(head, stream))
        return await self._small.stage(b"".join(head))

    async def touch(self, ref: str) -> bool:
        """Refresh the age as a put would; False when there are no bytes. Raises: InvalidArgumentError."""
        found = [await self._small.touch(ref), await self._large.touch(ref)]
        return any(found)

    async def get(self, attachment_id: str) -> bytes:
        """The bytes. Raises: AttachmentNotFoundError, InvalidArgumentError, CorruptRecordError."""
        try:
            return await self._small.get(attachment_id)
        except AttachmentNotFoundError:
            return await self._large.get(attachment_id)

    async def read(self, attachment_id: str, *, chunk_bytes: int = CHUNK_BYTES) -> AsyncIterator[bytes]:
        """The bytes in portions. Raises: as ``get``."""
        try:
            data = await self._small.get(attachment_id)
        except AttachmentNotFoundError:
            async for part in self._large.read(attachment_id, chunk_bytes=chunk_bytes):
                yield part
            return
        for start in range(0, len(data), chunk_bytes):
            yield data[start : start + chunk_bytes]

    async def delete(self, attachment_id: str) -> None:
        """Delete the bytes; none there is success. Raises: InvalidArgumentError."""
        await self._small.delete(attachment_id)
        await self._large.delete(attachment_id)

    async def list_stored(
        self, cursor: str | None = None, limit: int = LIST_PAGE, *, min_age_ms: int = 0
    ) -> ContentPage:
        """The small ones, then the large ones, each in the order of their digests. Raises: InvalidCursorError."""
        place, _, inner = (cursor or f"{_SMALL}:").partition(":")
        if place not in {_SMALL, _LARGE}:
            raise InvalidCursorError(f"{place[:80]!r} is no cursor of this listing", field="cursor", value=cursor)
        store = self._small if place == _SMALL else self._large
        page = await store.list_stored(inner or None, limit, min_age_ms=min_age_ms)
        items = [item.model_copy(update={"stamp": f"{place}:{item.stamp}"}) for item in page.items]
        following = None if place == _LARGE else f"{_LARGE}:"
        if page.next_cursor is not None:
            following = f"{place}:{page.next_cursor}"
        return ContentPage(items=tuple(items), next_cursor=following)

    async def delete_unchanged(self, stored: StoredContent) -> bool:
        """Delete bytes that nobody put since they were listed. Raises: InvalidArgumentError."""
        place, _, stamp = stored.stamp.partition(":")
        store = self._small if place == _SMALL else self._large
        return await store.delete_unchanged(stored.model_copy(update={"stamp": stamp}))


async def _joined(head: list[bytes], rest: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    for part in head:
        yield part
    async for part in rest:
        yield part
