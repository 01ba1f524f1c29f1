"""Content-addressed stores in memory: environments, artifacts, attachments."""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass
from typing import ClassVar, Self

from lash_core.clock import Clock, SystemClock
from lash_core.model.disposition import DurabilityTier
from lash_core.model.environment import EMPTY_ENV_REF, EMPTY_ENVIRONMENT
from lash_core.store.artifact_store import ARTIFACT_BYTES_MAX, ARTIFACT_FAMILY
from lash_core.store.attachment_bytes import AttachmentVerbs, StagedBytes, collected
from lash_core.store.attachment_store import (
    ATTACHMENT_BYTES_MAX,
    ATTACHMENT_FAMILY,
    AttachmentData,
    AttachmentNotFoundError,
)
from lash_core.store.content_address import check_content, content_ref, digest_after, digest_of
from lash_core.store.content_sweep import LIST_PAGE, ContentPage, ContentRefs, StoredContent, refs_in
from lash_core.store.process_env_store import ENVIRONMENT_BYTES_MAX, ENVIRONMENT_FAMILY


@dataclass(slots=True)
class _Blob:
    put_at_ms: int
    data: bytes
    number: int
    """Of the put: no other one has it."""


class _MemoryContent:
    """Blobs by digest; gone with the program. No operation awaits, so each is one atomic unit on its loop."""

    content_family: ClassVar[str]
    ref_field: ClassVar[str] = "ref"

    def __init__(self, clock: Clock | None = None, *, durability_tier: DurabilityTier = DurabilityTier.INLINE) -> None:
        self._clock: Clock = clock or SystemClock()
        self._tier = durability_tier
        self._blobs: dict[str, _Blob] = {}
        self._numbers = itertools.count()

    @property
    def family(self) -> str:
        """The word before ``:sha256:`` in its addresses."""
        return self.content_family

    def durability_tier(self) -> DurabilityTier:
        """``inline``, unless a test says otherwise."""
        return self._tier

    def with_durability_tier(self, tier: DurabilityTier) -> Self:
        """A view on the same blobs that claims another tier: for tests of what durable hosts refuse."""
        other = copy.copy(self)
        other._tier = tier  # noqa: SLF001 - its own copy
        return other

    async def touch(self, ref: str) -> bool:
        """Refresh the age as a put would; False when there are no bytes. Raises: InvalidArgumentError."""
        return self.refresh(ref)

    def refresh(self, ref: str) -> bool:
        """``touch`` for callers in other threads, such as a registry."""
        blob = self._blobs.get(self._digest(ref))
        if blob is not None:
            blob.put_at_ms, blob.number = self._clock.now_ms(), next(self._numbers)
        return blob is not None

    async def list_stored(
        self, cursor: str | None = None, limit: int = LIST_PAGE, *, min_age_ms: int = 0
    ) -> ContentPage:
        """Addresses in the order of their digests, each once. Raises: InvalidCursorError."""
        after, cutoff_ms = digest_after(cursor), self._clock.now_ms() - min_age_ms
        found = sorted(
            digest for digest, blob in list(self._blobs.items()) if digest > after and blob.put_at_ms <= cutoff_ms
        )
        blobs = [(self._ref(digest), self._blobs[digest]) for digest in found[:limit]]
        items = tuple(StoredContent(ref, blob.put_at_ms, str(blob.number)) for ref, blob in blobs)
        return ContentPage(items=items, next_cursor=found[limit - 1] if len(found) > limit else None)

    async def delete_unchanged(self, stored: StoredContent) -> bool:
        """Delete bytes that nobody put since they were listed. Atomic, safe to repeat."""
        blob = self._blobs.get(self._digest(stored.ref))
        if blob is None or str(blob.number) != stored.stamp:
            return False
        del self._blobs[self._digest(stored.ref)]
        return True

    def _put(self, ref: str, data: bytes, size_max: int) -> None:
        digest = check_content(ref, self.family, data, size_max=size_max)
        self._blobs[digest] = _Blob(self._clock.now_ms(), data, next(self._numbers))

    def _get(self, ref: str) -> bytes | None:
        blob = self._blobs.get(self._digest(ref))
        return None if blob is None else blob.data

    def _digest(self, ref: str) -> str:
        return digest_of(ref, self.family, field=self.ref_field)

    def _ref(self, digest: str) -> str:
        return f"{self.family}:sha256:{digest}"


class MemoryProcessEnvStore(_MemoryContent):
    """``ProcessExecutionEnvStore`` in memory. The empty environment of plain processes is there from the start."""

    content_family = ENVIRONMENT_FAMILY
    ref_field = "env_ref"

    def __init__(self, clock: Clock | None = None, *, durability_tier: DurabilityTier = DurabilityTier.INLINE) -> None:
        super().__init__(clock, durability_tier=durability_tier)
        self._put(EMPTY_ENV_REF, EMPTY_ENVIRONMENT.encode(), ENVIRONMENT_BYTES_MAX)

    async def put(self, env_ref: str, data: bytes) -> None:
        """Store ``data`` under its address. Raises: InvalidArgumentError."""
        self._put(env_ref, data, ENVIRONMENT_BYTES_MAX)

    async def get(self, env_ref: str) -> bytes | None:
        """The bytes, or None. Raises: InvalidArgumentError."""
        return self._get(env_ref)

    async def refs_page(self, cursor: str | None, limit: int, *, grace_ms: int) -> ContentRefs:
        """What the stored environments name, artifacts above all."""
        page = await self.list_stored(cursor, limit)
        blobs = [self._blobs[self._digest(item.ref)] for item in page.items]
        named = [refs_in(blob.data) for blob in blobs]
        return ContentRefs(refs=frozenset[str]().union(*named), next_cursor=page.next_cursor)


class MemoryArtifactStore(_MemoryContent):
    """``ArtifactStore`` in memory."""

    content_family = ARTIFACT_FAMILY
    ref_field = "artifact_ref"

    async def put_artifact(self, data: bytes) -> str:
        """Store ``data`` and return its address. Raises: InvalidArgumentError."""
        ref = content_ref(ARTIFACT_FAMILY, data)
        self._put(ref, data, ARTIFACT_BYTES_MAX)
        return ref

    async def get_artifact(self, artifact_ref: str) -> bytes | None:
        """The bytes, or None. Raises: InvalidArgumentError."""
        return self._get(artifact_ref)


class MemoryAttachmentStore(_MemoryContent, AttachmentVerbs):
    """``AttachmentStore`` in memory.

    Args:
        clock: decides ages; the machine's by default.
        bytes_max: one attachment.
        durability_tier: what it reports.
    """

    content_family = ATTACHMENT_FAMILY
    ref_field = "attachment_id"

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        bytes_max: int = ATTACHMENT_BYTES_MAX,
        durability_tier: DurabilityTier = DurabilityTier.INLINE,
    ) -> None:
        super().__init__(clock, durability_tier=durability_tier)
        self._bytes_max = bytes_max

    async def stage(self, data: AttachmentData) -> StagedBytes:
        """Take bytes in and compute their address. Raises: LimitExceededError."""
        return StagedBytes(await collected(data, self._bytes_max), self._store)

    async def get(self, attachment_id: str) -> bytes:
        """The bytes. Raises: AttachmentNotFoundError, InvalidArgumentError."""
        data = self._get(attachment_id)
        if data is None:
            raise AttachmentNotFoundError(attachment_id)
        return data

    async def delete(self, attachment_id: str) -> None:
        """Delete the bytes; none there is success. Raises: InvalidArgumentError."""
        self._blobs.pop(self._digest(attachment_id), None)

    async def _store(self, attachment_id: str, data: bytes) -> None:
        self._put(attachment_id, data, self._bytes_max)
