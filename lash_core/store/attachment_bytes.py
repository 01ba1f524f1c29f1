"""What attachment stores share that hold an attachment in memory while they take it in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from lash_core.store.attachment_store import (
    ATTACHMENT_FAMILY,
    CHUNK_BYTES,
    AttachmentData,
    AttachmentRef,
    StagedAttachment,
    over_limit,
)
from lash_core.store.content_address import content_ref


async def collected(data: AttachmentData, bytes_max: int) -> bytes:
    """The bytes of a stream.

    Raises:
        LimitExceededError: over ``bytes_max``; a stream is not read on behind that.
    """
    if isinstance(data, bytes | bytearray | memoryview):
        if len(data) > bytes_max:
            raise over_limit(len(data), bytes_max)
        return bytes(data)
    parts: list[bytes] = []
    size = 0
    async for part in data:
        size += len(part)
        if size > bytes_max:
            raise over_limit(None, bytes_max)
        parts.append(part)
    return b"".join(parts)


class StagedBytes:
    """A ``StagedAttachment`` in memory."""

    def __init__(self, data: bytes, put: Callable[[str, bytes], Awaitable[None]]) -> None:
        self._data = data
        self._put = put
        self._attachment_id = content_ref(ATTACHMENT_FAMILY, data)

    @property
    def attachment_id(self) -> str:
        """The address."""
        return self._attachment_id

    @property
    def size_bytes(self) -> int:
        """How many bytes."""
        return len(self._data)

    async def store(self) -> None:
        """Store them. Safe to repeat."""
        await self._put(self._attachment_id, self._data)

    async def discard(self) -> None:
        """Nothing to forget."""


class AttachmentVerbs:
    """``put`` and ``read`` made of ``stage`` and ``get``, for stores that hold whole attachments in memory."""

    async def stage(self, data: AttachmentData) -> StagedAttachment:
        """The store's own."""
        raise NotImplementedError

    async def get(self, attachment_id: str) -> bytes:
        """The store's own."""
        raise NotImplementedError

    async def put(
        self, data: AttachmentData, *, media_type: str = "application/octet-stream", name: str | None = None
    ) -> AttachmentRef:
        """Store bytes and return what a session keeps of them. Safe to repeat. Raises: LimitExceededError."""
        staged = await self.stage(data)
        try:
            await staged.store()
        finally:
            await staged.discard()
        return AttachmentRef(
            attachment_id=staged.attachment_id, media_type=media_type, size_bytes=staged.size_bytes, name=name
        )

    async def read(self, attachment_id: str, *, chunk_bytes: int = CHUNK_BYTES) -> AsyncIterator[bytes]:
        """The bytes in portions. Raises: as ``get``."""
        data = await self.get(attachment_id)
        for start in range(0, len(data), chunk_bytes):
            yield data[start : start + chunk_bytes]
