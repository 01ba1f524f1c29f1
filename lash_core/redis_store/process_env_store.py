"""``ProcessExecutionEnvStore`` over Redis."""

from __future__ import annotations

from lash_core.redis_store.content import RedisContent
from lash_core.store.content_address import digest_of
from lash_core.store.process_env_store import ENVIRONMENT_BYTES_MAX, ENVIRONMENT_FAMILY


class RedisProcessEnvStore(RedisContent):
    """Captured environments."""

    async def put(self, env_ref: str, data: bytes) -> None:
        """Store ``data`` under its address, or refresh its age. Safe to repeat. Raises: InvalidArgumentError."""
        await self._put(env_ref, ENVIRONMENT_FAMILY, data, ENVIRONMENT_BYTES_MAX)

    async def get(self, env_ref: str) -> bytes | None:
        """The bytes, or None. Raises: InvalidArgumentError, CorruptRecordError."""
        return await self._get(digest_of(env_ref, ENVIRONMENT_FAMILY, field="env_ref"))
