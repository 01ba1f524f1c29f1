"""Content-addressed blobs over Redis: one string a blob, spread over 256 tags (``docs/contracts/redis_layout.md``).

The stored text is ``<version>;<ms of the last put>;<bytes>``. The age is for the sweep, which keeps what was put within
a day or is still named by a row or a session.
"""

from __future__ import annotations

from lash_core.errors import CorruptRecordError, NewerRecordError
from lash_core.model.disposition import DurabilityTier
from lash_core.redis_store.commands import Command
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.scripts import Call
from lash_core.store.content_address import check_content, corrupt_content, is_content

RECORD_VERSION = b"1"


class RedisContent:
    """Blobs by digest. Base of the stores of environments, artifacts and attachments."""

    def __init__(self, context: RedisContext) -> None:
        self._context = context

    def durability_tier(self) -> DurabilityTier:
        """``durable``."""
        return DurabilityTier.DURABLE

    async def _put(self, ref: str, family: str, data: bytes, size_max: int) -> None:
        key = self._context.keyspace.environment(check_content(ref, family, data, size_max=size_max))
        await self._context.scripts.run([Call("put_content", (key,), (data,))], durable=True)

    async def _get(self, digest: str) -> bytes | None:
        """The bytes, or None.

        Raises:
            NewerRecordError: written by a newer release. CorruptRecordError: not the bytes of this address.
        """
        key = self._context.keyspace.environment(digest)
        stored: bytes | None = (await self._context.connection.read([Command(key, ("GET", key))], raw=True))[0]
        if stored is None:
            return None
        version, _, rest = stored.partition(b";")
        if version.isdigit() and int(version) > int(RECORD_VERSION):
            raise NewerRecordError(f"the blob at {key} has record version {int(version)}", key=key)
        data = rest.partition(b";")[2]
        if version != RECORD_VERSION:
            raise CorruptRecordError(f"the blob at {key} has no record version", key=key)
        if not is_content(data, digest):
            raise corrupt_content(key)
        return data
