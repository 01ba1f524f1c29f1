"""``ProcessExecutionEnvStore`` over Redis."""

from __future__ import annotations

from lash_core.redis_store.commands import Command
from lash_core.redis_store.content import RedisContent
from lash_core.store.content_sweep import ContentRefs, refs_in
from lash_core.store.process_env_store import ENVIRONMENT_BYTES_MAX, ENVIRONMENT_FAMILY

ENVIRONMENTS_A_READ = 32
"""Environments of one read: at most 8 MB."""


class RedisProcessEnvStore(RedisContent):
    """Captured environments."""

    content_family = ENVIRONMENT_FAMILY
    ref_field = "env_ref"

    async def put(self, env_ref: str, data: bytes) -> None:
        """Store ``data`` under its address, or refresh its age. Safe to repeat. Raises: InvalidArgumentError."""
        await self._put(env_ref, data, ENVIRONMENT_BYTES_MAX)

    async def get(self, env_ref: str) -> bytes | None:
        """The bytes, or None. Raises: InvalidArgumentError, CorruptRecordError."""
        return await self._get(env_ref)

    async def refs_page(self, cursor: str | None, limit: int, *, grace_ms: int) -> ContentRefs:
        """What the stored environments name, artifacts above all. Raises: InvalidCursorError."""
        page = await self.list_stored(cursor, min(limit, ENVIRONMENTS_A_READ))
        keys = [self._context.keyspace.environment(self._digest(item.ref)) for item in page.items]
        stored: list[bytes | None] = await self._context.connection.read(
            [Command(key, ("GET", key)) for key in keys], raw=True
        )
        named = [refs_in(data) for data in stored if data is not None]
        return ContentRefs(refs=frozenset[str]().union(*named), next_cursor=page.next_cursor)
