"""The server's clock as a client reads it: plain reads, for an observer's role may not run scripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lash_core.redis_store.commands import Command
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.keys import clock_offset_key


async def server_time_ms(context: RedisContext) -> int:
    """The server's clock (on a cluster: of the node of the first partition)."""
    replies = await context.connection.read(time_commands(context, context.keyspace.partitions[0].meta))
    return time_us(replies) // 1_000


def time_commands(context: RedisContext, key: str) -> tuple[Command, ...]:
    """Commands whose replies ``time_us`` takes, for the partition of ``key``; moved as the scripts' test clock is."""
    offset = clock_offset_key(key)
    moved = (Command(offset, ("GET", offset)),) if context.clock_offset else ()
    return (Command(key, ("TIME",)), *moved)


def time_us(replies: Sequence[Any]) -> int:
    """µs since the epoch."""
    offset_us = int(replies[1] or 0) if len(replies) > 1 else 0
    return int(replies[0][0]) * 1_000_000 + int(replies[0][1]) + offset_us
