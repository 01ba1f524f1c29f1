"""``AttachmentStore`` over Redis, for small attachments."""

from __future__ import annotations

from typing import Any

from lash_core.redis_store.commands import Command
from lash_core.redis_store.content import FAMILY_LETTERS, RedisContent, decode_content, member_of
from lash_core.redis_store.context import RedisContext
from lash_core.store.attachment_bytes import AttachmentVerbs, StagedBytes, collected
from lash_core.store.attachment_store import (
    ATTACHMENT_BYTES_MAX,
    ATTACHMENT_FAMILY,
    AttachmentData,
    AttachmentNotFoundError,
)


class RedisAttachmentStore(RedisContent, AttachmentVerbs):
    """Small attachments, one value each.

    Args:
        context: one namespace.
        bytes_max: one attachment.
    """

    content_family = ATTACHMENT_FAMILY
    ref_field = "attachment_id"

    def __init__(self, context: RedisContext, *, bytes_max: int = ATTACHMENT_BYTES_MAX) -> None:
        super().__init__(context)
        self._bytes_max = bytes_max

    async def stage(self, data: AttachmentData) -> StagedBytes:
        """Take bytes in and compute their address. Raises: LimitExceededError."""
        return StagedBytes(await collected(data, self._bytes_max), self._store)

    async def get(self, attachment_id: str) -> bytes:
        """The bytes. Raises: AttachmentNotFoundError, InvalidArgumentError, CorruptRecordError."""
        digest = self._digest(attachment_id)
        key, index = self._context.keyspace.content(digest)
        families = [ATTACHMENT_FAMILY, *(family for family in FAMILY_LETTERS if family != ATTACHMENT_FAMILY)]
        members = [member_of(family, digest) for family in families]
        replies: list[Any] = await self._context.connection.read(
            [Command(index, ("ZMSCORE", index, *members)), Command(key, ("GET", key))], raw=True
        )
        (own, *others), stored = replies
        # The same bytes may be there as an artifact only: then no attachment has this id, or it was deleted.
        if stored is None or (own is None and any(other is not None for other in others)):
            raise AttachmentNotFoundError(attachment_id)
        return decode_content(stored, digest, key)

    async def delete(self, attachment_id: str) -> None:
        """Delete the bytes; none there is success. Atomic, safe to repeat. Raises: InvalidArgumentError."""
        await self._delete(attachment_id, "")

    async def _store(self, attachment_id: str, data: bytes) -> None:
        await self._put(attachment_id, data, self._bytes_max)
