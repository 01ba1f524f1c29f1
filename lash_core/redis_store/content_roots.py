"""What rows, heads of sessions and triggers name: the roots of the sweep (``docs/contracts/attachments.md`` 6).

Addresses are found in the stored texts as they are, whatever record version they have; nothing is decoded.
"""

from __future__ import annotations

from typing import Any

from lash_core.redis_store.commands import Command
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.key_scan import scan_page, scan_place
from lash_core.redis_store.keys import TriggerKeys
from lash_core.store.content_sweep import ContentRefs, refs_in

ROWS_A_READ = 100
"""Registrations of one read: a quarter of a MB each at most, 300 bytes as a rule."""

HEADS_A_READ = 8
"""Heads of one read, with their small blobs: 2 MB each at most, a few KB as a rule."""

TRIGGERS_A_READ = 100
"""Subscriptions or deliveries of one read."""


class RedisRowRoots:
    """Content that registrations name: environments above all, and whatever their payload carries."""

    def __init__(self, context: RedisContext) -> None:
        self._context = context

    async def refs_page(self, cursor: str | None, limit: int, *, grace_ms: int) -> ContentRefs:
        """What about ``limit`` rows name, terminal ones too. Raises: InvalidCursorError."""
        keyspace = self._context.keyspace
        page = await scan_page(self._context, [keys.changes for keys in keyspace.partitions], cursor, limit)
        named: set[str] = set()
        for start in range(0, len(page.members), ROWS_A_READ):
            ids = page.members[start : start + ROWS_A_READ]
            texts = [keyspace.of_process(process_id).registration(process_id) for process_id in ids]
            for text in await self._context.connection.read([Command(key, ("GET", key)) for key in texts], raw=True):
                if text is not None:
                    named |= refs_in(text)
        return ContentRefs(refs=frozenset(named), next_cursor=page.next_cursor)


class RedisHeadRoots:
    """Content that the heads of live sessions and the small blobs beside them name."""

    def __init__(self, context: RedisContext) -> None:
        self._context = context

    async def refs_page(self, cursor: str | None, limit: int, *, grace_ms: int) -> ContentRefs:
        """What the heads of about ``limit`` sessions name. Raises: InvalidCursorError."""
        keyspace = self._context.keyspace
        page = await scan_page(self._context, [keys.sessions for keys in keyspace.partitions], cursor, limit)
        named: set[str] = set()
        for start in range(0, len(page.members), HEADS_A_READ):
            ids = page.members[start : start + HEADS_A_READ]
            heads = [
                key
                for session_id in ids
                for keys in (keyspace.of_session(session_id),)
                for key in (keys.session_head(session_id), keys.session_blobs(session_id))
            ]
            replies: list[Any] = await self._context.connection.read(
                [Command(key, ("HVALS", key)) for key in heads], raw=True
            )
            for values in replies:
                named |= frozenset[str]().union(*map(refs_in, values))
        return ContentRefs(refs=frozenset(named), next_cursor=page.next_cursor)


class RedisTriggerRoots:
    """Content that subscriptions name, and deliveries that were reserved with a subscription as it was then."""

    def __init__(self, context: RedisContext) -> None:
        self._context = context
        keys = TriggerKeys.of(context.keyspace.namespace)
        self._hashes = (keys.subscriptions, keys.deliveries)

    async def refs_page(self, cursor: str | None, limit: int, *, grace_ms: int) -> ContentRefs:
        """What about ``limit`` of them name. Raises: InvalidCursorError."""
        at, position = scan_place(cursor, len(self._hashes))
        key = self._hashes[at]
        command = Command(key, ("HSCAN", key, position, "COUNT", min(limit, TRIGGERS_A_READ)))
        following, flat = (await self._context.connection.read([command], raw=True))[0]
        named = frozenset[str]().union(*map(refs_in, flat[1::2]))
        position = following.decode() if isinstance(following, bytes) else str(following)
        if position == "0":
            at += 1
        return ContentRefs(refs=named, next_cursor=f"{at}:{position}" if at < len(self._hashes) else None)
