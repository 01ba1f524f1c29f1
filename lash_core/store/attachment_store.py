"""Attachments: content-addressed bytes of sessions and processes (``docs/contracts/attachments.md`` 2).

The store keeps bytes and knows nobody who needs them; who does stands in the manifest
(``lash_core.store.attachment_manifest``), and sessions reach both through ``lash_core.runtime.attachments``.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import Protocol, runtime_checkable

from pydantic import Field

from lash_core.errors import LimitExceededError, NotDoneError
from lash_core.model.base import Model
from lash_core.model.disposition import DurabilityTier
from lash_core.store.content_sweep import LIST_PAGE, ContentPage, StoredContent

ATTACHMENT_FAMILY = "attachment"
ATTACHMENT_BYTES_MAX = 4 * 1024 * 1024
"""One attachment in Redis or memory; a larger one would block the server for the time of its transfer."""

ATTACHMENT_SMALL_BYTES_MAX = 256 * 1024
"""With a folder for attachments, larger ones go there: as large as any payload that Redis holds."""

ATTACHMENT_FILE_BYTES_MAX = 1024 * 1024 * 1024
"""One attachment in a folder; larger data belongs in a store of the user's."""

CHUNK_BYTES = 256 * 1024
"""Bytes that a stream hands on at a time."""

AttachmentData = bytes | AsyncIterable[bytes]
"""Bytes, or a stream of them."""


class AttachmentNotFoundError(NotDoneError):
    """No bytes under this id, or none that this session refers to."""

    code = "attachment_not_found"

    def __init__(self, attachment_id: str) -> None:
        super().__init__(f"attachment `{attachment_id}` not found", field="attachment_id", value=attachment_id)


class AttachmentRef(Model):
    """What a session keeps of an attachment: the bytes' address, and how they were called when they came in."""

    attachment_id: str = Field(kw_only=False)
    media_type: str = "application/octet-stream"
    size_bytes: int = 0
    name: str | None = None


class StagedAttachment(Protocol):
    """Bytes that came in completely and have an address, and are not stored yet. Store or discard them."""

    @property
    def attachment_id(self) -> str:
        """Their address."""
        ...

    @property
    def size_bytes(self) -> int:
        """How many they are."""
        ...

    async def store(self) -> None:
        """Make them readable, or refresh the age of the same bytes. Atomic, safe to repeat."""
        ...

    async def discard(self) -> None:
        """Forget them; after ``store`` it changes nothing. Safe to repeat."""
        ...


@runtime_checkable
class AttachmentStore(Protocol):
    """Bytes by address; equal bytes have one address and are stored once."""

    @property
    def family(self) -> str:
        """``attachment``."""
        ...

    def durability_tier(self) -> DurabilityTier:
        """What survives the loss of this OS process."""
        ...

    async def stage(self, data: AttachmentData) -> StagedAttachment:
        """Take bytes in and compute their address: the reference is recorded between this and ``store``.

        Raises:
            LimitExceededError: over the store's bound; nothing is kept.
        """
        ...

    async def put(
        self, data: AttachmentData, *, media_type: str = "application/octet-stream", name: str | None = None
    ) -> AttachmentRef:
        """Store bytes; the same ones again refresh the age. Atomic, safe to repeat.

        Raises:
            LimitExceededError: over the store's bound; nothing was stored.
        """
        ...

    async def touch(self, ref: str) -> bool:
        """Refresh the age as a put would; False when there are no bytes. Raises: InvalidArgumentError."""
        ...

    async def get(self, attachment_id: str) -> bytes:
        """All bytes at once; ``read`` is for large ones.

        Raises:
            AttachmentNotFoundError: there are none. InvalidArgumentError: not an address.
            CorruptRecordError: the bytes do not hash to the address.
        """
        ...

    def read(self, attachment_id: str, *, chunk_bytes: int = CHUNK_BYTES) -> AsyncIterator[bytes]:
        """The bytes in portions of at most ``chunk_bytes``.

        What came is known to be right when the stream has ended: the address is checked behind the last portion.

        Raises:
            As ``get``, from the iteration.
        """
        ...

    async def delete(self, attachment_id: str) -> None:
        """Delete the bytes whoever refers to them; none there is success. Atomic. Raises: InvalidArgumentError.

        For tools: sessions drop references (``SessionAttachments.delete``), and the sweep deletes.
        """
        ...

    async def list_stored(
        self, cursor: str | None = None, limit: int = LIST_PAGE, *, min_age_ms: int = 0
    ) -> ContentPage:
        """As ``SweptContent.list_stored``: each attachment once."""
        ...

    async def delete_unchanged(self, stored: StoredContent) -> bool:
        """As ``SweptContent.delete_unchanged``."""
        ...


def over_limit(size_bytes: int | None, limit: int) -> LimitExceededError:
    """The error of an attachment that is too large. ``size_bytes`` None: a stream that was cut off at the limit."""
    size = f"over {limit}" if size_bytes is None else str(size_bytes)
    way_out = " (a folder in LASH_ATTACHMENTS_DIR takes larger ones)" if limit <= ATTACHMENT_BYTES_MAX else ""
    return LimitExceededError(
        f"attachment has {size} bytes; the limit is {limit}{way_out}",
        field="data",
        value=limit + 1 if size_bytes is None else size_bytes,
        limit=limit,
    )
