"""Bytes of the attachments that a model request refers to, fetched just before the call and recorded nowhere."""

from __future__ import annotations

from typing import Protocol

from lash_core.errors import InvalidArgumentError
from lash_core.model.message import AttachmentPart
from lash_core.model.model_call import ModelAttachment, ModelRequest
from lash_core.store.attachment_store import AttachmentNotFoundError

REQUEST_BYTES_MAX = 32 * 1024 * 1024
"""Attachments of one model call, the newest first: a long conversation refers to more than a worker should hold at
once, and providers refuse larger requests. What is left out is named in the request, not shown."""


class ReadsAttachments(Protocol):
    """Attachments of one session; ``SessionAttachments`` is one."""

    async def get(self, attachment_id: str) -> bytes:
        """All bytes at once. Raises: AttachmentNotFoundError."""
        ...


async def with_attachments(request: ModelRequest, source: ReadsAttachments | None) -> ModelRequest:
    """The request with the bytes that its messages refer to, as far as they are there and fit.

    Raises:
        Store errors: the attachments cannot be read now.
    """
    wanted: dict[str, int] = {}
    for message in reversed(request.messages):
        for part in reversed(message.parts):
            if isinstance(part, AttachmentPart) and isinstance(part.reference, dict):
                size = part.reference.get("size_bytes")
                wanted.setdefault(str(part.reference.get("attachment_id")), size if isinstance(size, int) else 0)
    if not wanted or source is None:
        return request
    found: list[ModelAttachment] = []
    room = REQUEST_BYTES_MAX
    for attachment_id, size in wanted.items():
        if size > room:
            continue
        try:
            data = await source.get(attachment_id)
        except (AttachmentNotFoundError, InvalidArgumentError):
            continue
        if len(data) <= room:
            room -= len(data)
            found.append(ModelAttachment(attachment_id, data))
    return request.model_copy(update={"attachments": tuple(found)})
