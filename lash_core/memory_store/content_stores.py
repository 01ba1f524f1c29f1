"""Content-addressed stores in memory: environments, artifacts, attachments."""

from __future__ import annotations

import copy
from typing import Self

from lash_core.model.disposition import DurabilityTier
from lash_core.model.environment import EMPTY_ENV_REF, EMPTY_ENVIRONMENT
from lash_core.store.artifact_store import ARTIFACT_BYTES_MAX, ARTIFACT_FAMILY
from lash_core.store.attachment_store import (
    ATTACHMENT_BYTES_MAX,
    ATTACHMENT_FAMILY,
    AttachmentNotFoundError,
    AttachmentRef,
)
from lash_core.store.content_address import check_content, content_ref, digest_of
from lash_core.store.process_env_store import ENVIRONMENT_BYTES_MAX, ENVIRONMENT_FAMILY


class _MemoryContent:
    """Blobs by digest; gone with the program, so nothing is ever swept."""

    def __init__(self, *, durability_tier: DurabilityTier = DurabilityTier.INLINE) -> None:
        self._tier = durability_tier
        self._blobs: dict[str, bytes] = {}

    def durability_tier(self) -> DurabilityTier:
        """``inline``, unless a test says otherwise."""
        return self._tier

    def with_durability_tier(self, tier: DurabilityTier) -> Self:
        """A view on the same blobs that claims another tier: for tests of what durable hosts refuse."""
        other = copy.copy(self)
        other._tier = tier  # noqa: SLF001 - its own copy
        return other

    def _put(self, ref: str, family: str, data: bytes, size_max: int) -> None:
        self._blobs[check_content(ref, family, data, size_max=size_max)] = data


class MemoryProcessEnvStore(_MemoryContent):
    """``ProcessExecutionEnvStore`` in memory. The empty environment of plain processes is there from the start."""

    def __init__(self, *, durability_tier: DurabilityTier = DurabilityTier.INLINE) -> None:
        super().__init__(durability_tier=durability_tier)
        self._put(EMPTY_ENV_REF, ENVIRONMENT_FAMILY, EMPTY_ENVIRONMENT.encode(), ENVIRONMENT_BYTES_MAX)

    async def put(self, env_ref: str, data: bytes) -> None:
        """Store ``data`` under its address. Raises: InvalidArgumentError."""
        self._put(env_ref, ENVIRONMENT_FAMILY, data, ENVIRONMENT_BYTES_MAX)

    async def get(self, env_ref: str) -> bytes | None:
        """The bytes, or None. Raises: InvalidArgumentError."""
        return self._blobs.get(digest_of(env_ref, ENVIRONMENT_FAMILY, field="env_ref"))


class MemoryArtifactStore(_MemoryContent):
    """``ArtifactStore`` in memory."""

    async def put_artifact(self, data: bytes) -> str:
        """Store ``data`` and return its address. Raises: InvalidArgumentError."""
        ref = content_ref(ARTIFACT_FAMILY, data)
        self._put(ref, ARTIFACT_FAMILY, data, ARTIFACT_BYTES_MAX)
        return ref

    async def get_artifact(self, artifact_ref: str) -> bytes | None:
        """The bytes, or None. Raises: InvalidArgumentError."""
        return self._blobs.get(digest_of(artifact_ref, ARTIFACT_FAMILY, field="artifact_ref"))


class MemoryAttachmentStore(_MemoryContent):
    """``AttachmentStore`` in memory."""

    async def put(
        self, data: bytes, *, media_type: str = "application/octet-stream", name: str | None = None
    ) -> AttachmentRef:
        """Store bytes and return what a session keeps of them. Raises: InvalidArgumentError."""
        ref = content_ref(ATTACHMENT_FAMILY, data)
        self._put(ref, ATTACHMENT_FAMILY, data, ATTACHMENT_BYTES_MAX)
        return AttachmentRef(attachment_id=ref, media_type=media_type, size_bytes=len(data), name=name)

    async def get(self, attachment_id: str) -> bytes:
        """The bytes. Raises: AttachmentNotFoundError, InvalidArgumentError."""
        data = self._blobs.get(digest_of(attachment_id, ATTACHMENT_FAMILY, field="attachment_id"))
        if data is None:
            raise AttachmentNotFoundError(attachment_id)
        return data
