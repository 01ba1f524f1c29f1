"""``AttachmentStore`` over Redis, for small attachments."""

from __future__ import annotations

from lash_core.redis_store.content import RedisContent
from lash_core.store.attachment_store import (
    ATTACHMENT_BYTES_MAX,
    ATTACHMENT_FAMILY,
    AttachmentNotFoundError,
    AttachmentRef,
)
from lash_core.store.content_address import content_ref, digest_of


class RedisAttachmentStore(RedisContent):
    """Small blobs of sessions."""

    async def put(
        self, data: bytes, *, media_type: str = "application/octet-stream", name: str | None = None
    ) -> AttachmentRef:
        """Store bytes and return what a session keeps of them. Safe to repeat. Raises: InvalidArgumentError."""
        ref = content_ref(ATTACHMENT_FAMILY, data)
        await self._put(ref, ATTACHMENT_FAMILY, data, ATTACHMENT_BYTES_MAX)
        return AttachmentRef(attachment_id=ref, media_type=media_type, size_bytes=len(data), name=name)

    async def get(self, attachment_id: str) -> bytes:
        """The bytes. Raises: AttachmentNotFoundError, InvalidArgumentError, CorruptRecordError."""
        data = await self._get(digest_of(attachment_id, ATTACHMENT_FAMILY, field="attachment_id"))
        if data is None:
            raise AttachmentNotFoundError(attachment_id)
        return data
