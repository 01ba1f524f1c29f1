"""``ArtifactStore`` over Redis."""

from __future__ import annotations

from lash_core.redis_store.content import RedisContent
from lash_core.store.artifact_store import ARTIFACT_BYTES_MAX, ARTIFACT_FAMILY
from lash_core.store.content_address import content_ref


class RedisArtifactStore(RedisContent):
    """What engines compile and look up again."""

    content_family = ARTIFACT_FAMILY
    ref_field = "artifact_ref"

    async def put_artifact(self, data: bytes) -> str:
        """Store ``data`` and return its address. Safe to repeat. Raises: InvalidArgumentError."""
        ref = content_ref(ARTIFACT_FAMILY, data)
        await self._put(ref, data, ARTIFACT_BYTES_MAX)
        return ref

    async def get_artifact(self, artifact_ref: str) -> bytes | None:
        """The bytes, or None. Raises: InvalidArgumentError, CorruptRecordError."""
        return await self._get(artifact_ref)
