"""Snapshots of sessions by content: small ones beside their session, large ones once for all (docs/adr/0163).

A large blob is put before the commit that names it; the put makes it young, and the head that names it keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping

from lash_core.errors import CorruptRecordError
from lash_core.redis_store.commands import Command
from lash_core.redis_store.content import RedisContent, decode_content, put_content_call
from lash_core.redis_store.context import RedisContext
from lash_core.store.content_address import digest_of
from lash_core.store.content_sweep import ContentRefs, refs_in
from lash_core.store.runtime_persistence import SESSION_BLOB_INLINE_MAX
from lash_core.store.session_records import SESSION_BLOB_FAMILY

BLOBS_A_READ = 4
"""Of the sweep: at most 16 MB."""

ELSEWHERE = "@"
"""What stands beside the session for a blob that the content store has."""


def blob_digest(ref: str) -> str:
    """The digest in a blob's ref.

    Raises:
        InvalidArgumentError: no ref of a session's blob.
    """
    return digest_of(ref, SESSION_BLOB_FAMILY)


def blob_address(digest: str) -> str:
    """The ref of a blob."""
    return f"{SESSION_BLOB_FAMILY}:sha256:{digest}"


def is_large(text: str) -> bool:
    """True for what goes to the content store."""
    return len(text) > SESSION_BLOB_INLINE_MAX or len(text.encode()) > SESSION_BLOB_INLINE_MAX


class RedisSessionBlobs(RedisContent):
    """Large blobs of all sessions of a namespace: put by commits, swept like other content."""

    content_family = SESSION_BLOB_FAMILY

    async def put_all(self, blobs: Mapping[str, str]) -> None:
        """Store blobs by ref, or refresh their age. In one pipeline; safe to repeat."""
        calls = [
            put_content_call(self._context.keyspace, SESSION_BLOB_FAMILY, blob_digest(ref), text.encode())
            for ref, text in blobs.items()
        ]
        if calls:
            await self._context.scripts.run(calls, durable=True)

    async def refs_page(self, cursor: str | None, limit: int, *, grace_ms: int) -> ContentRefs:
        """What the stored blobs name: a plugin's artifacts, say. Raises: InvalidCursorError."""
        page = await self.list_stored(cursor, min(limit, BLOBS_A_READ))
        keys = [self._context.keyspace.environment(self._digest(item.ref)) for item in page.items]
        stored: list[bytes | None] = await self._context.connection.read(
            [Command(key, ("GET", key)) for key in keys], raw=True
        )
        named = [refs_in(data) for data in stored if data is not None]
        return ContentRefs(refs=frozenset[str]().union(*named), next_cursor=page.next_cursor)


async def read_blobs(context: RedisContext, stored: Mapping[str, str], *, key: str) -> dict[str, str | bytes]:
    """Blobs by ref.

    Args:
        context: one namespace.
        stored: digest → what stands beside the session.
        key: where that is.

    Raises:
        CorruptRecordError: one is not there, or not what its ref says. NewerRecordError.
    """
    found: dict[str, str | bytes] = {blob_address(digest): text for digest, text in stored.items()}
    large = [digest for digest, text in stored.items() if text == ELSEWHERE]
    places = [context.keyspace.environment(digest) for digest in large]
    replies = (
        await context.connection.read([Command(place, ("GET", place)) for place in places], raw=True) if large else []
    )
    for digest, place, data in zip(large, places, replies, strict=True):
        if data is None:
            raise CorruptRecordError(f"the blob {digest} of {key} is gone from the content store", key=place)
        found[blob_address(digest)] = decode_content(data, digest, place)
    return found
