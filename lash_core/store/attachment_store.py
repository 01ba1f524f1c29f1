"""Attachments: small content-addressed blobs of sessions."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from pydantic import Field

from lash_core.errors import NotDoneError
from lash_core.model.base import Model
from lash_core.model.disposition import DurabilityTier

ATTACHMENT_FAMILY = "attachment"
ATTACHMENT_BYTES_MAX = 4 * 1024 * 1024
"""One attachment; larger files belong in an object store of the user's."""


class AttachmentNotFoundError(NotDoneError):
    """No bytes under this id."""

    code = "attachment_not_found"

    def __init__(self, attachment_id: str) -> None:
        super().__init__(f"attachment `{attachment_id}` not found", field="attachment_id", value=attachment_id)


class AttachmentRef(Model):
    """What a session keeps of an attachment: the bytes' address, and how they were called when they came in."""

    attachment_id: str = Field(kw_only=False)
    media_type: str = "application/octet-stream"
    size_bytes: int = 0
    name: str | None = None


@runtime_checkable
class AttachmentStore(Protocol):
    """Bytes by address; equal bytes are stored once."""

    def durability_tier(self) -> DurabilityTier:
        """What survives the loss of this OS process."""
        ...

    async def put(
        self, data: bytes, *, media_type: str = "application/octet-stream", name: str | None = None
    ) -> AttachmentRef:
        """Store bytes; again refreshes the age. Atomic, safe to repeat.

        Raises:
            InvalidArgumentError: over ``ATTACHMENT_BYTES_MAX`` bytes.
        """
        ...

    async def get(self, attachment_id: str) -> bytes:
        """The bytes.

        Raises:
            AttachmentNotFoundError: there are none. InvalidArgumentError: not an address.
            CorruptRecordError: the bytes do not hash to the address.
        """
        ...
