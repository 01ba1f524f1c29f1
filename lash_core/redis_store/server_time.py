"""The server's clock as a client reads it."""

from __future__ import annotations

from lash_core.redis_store.commands import Command
from lash_core.redis_store.context import RedisContext


async def server_time_ms(context: RedisContext) -> int:
    """The server's clock (on a cluster: of the node of the first partition).

    Plain reads, not a script: an observer's role may not run scripts.
    """
    keys = context.keyspace.partitions[0]
    commands = [Command(keys.meta, ("TIME",))]
    if context.clock_offset:
        commands.append(Command(keys.clock_offset, ("GET", keys.clock_offset)))
    (seconds, micros), *offset = await context.connection.read(commands)
    offset_us = int(offset[0] or 0) if offset else 0
    return (int(seconds) * 1_000_000 + int(micros) + offset_us) // 1_000
