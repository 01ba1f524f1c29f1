"""``ArtifactStore`` over Redis."""

from __future__ import annotations

from lash_core.redis_store.content import RedisContent
from lash_core.store.artifact_store import ARTIFACT_BYTES_MAX, ARTIFACT_FAMILY
from lash_core.store.content_address import content_ref, digest_of


class RedisArtifactStore(RedisContent):
    """What engines compile and look up again."""

    async def put_artifact(self, data: bytes) -> str:
        """Store ``data`` and return its address. Safe to repeat. Raises: InvalidArgumentError."""
        ref = content_ref(ARTIFACT_FAMILY, data)
        await self._put(ref, ARTIFACT_FAMILY, data, ARTIFACT_BYTES_MAX)
        return ref

    async def get_artifact(self, artifact_ref: str) -> bytes | None:
        """The bytes, or None. Raises: InvalidArgumentError, CorruptRecordError."""
        return await self._get(digest_of(artifact_ref, ARTIFACT_FAMILY, field="artifact_ref"))
