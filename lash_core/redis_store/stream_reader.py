"""Reads streams on connections of its own, so that a read that waits never stands before a renewal."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.exceptions import ResponseError

from lash_core.redis_store.commands import pack_commands
from lash_core.redis_store.node import Node
from lash_core.redis_store.redis_errors import is_transient, refusal, unreachable
from lash_core.redis_store.routes import Routes
from lash_core.redis_store.wire import NotSentError, ReplyLostError, Wire
from lash_core.settings import StoreSettings

BLOCK_MS_MAX = 60_000
"""Longest wait of one read: a server that died without a word is noticed within this time and a call's limit."""

StreamEntries = dict[str, list[tuple[str, dict[str, str]]]]
"""Stream → its new entries, each an id and its fields."""


class StreamReader:
    """Reads what is new in several streams. One read at a time.

    Args:
        blocking: wait for entries on the server. Off on a cluster, where streams of several slots cannot be read in one
            blocking command: there a sharded channel rings, and the read returns at once.
    """

    def __init__(self, routes: Routes, settings: StoreSettings, where: str, *, blocking: bool) -> None:
        self.blocking = blocking
        self._routes = routes
        self._seconds = settings.call_timeout_ms / 1_000
        self._where = where
        self._wires: dict[Node, Wire] = {}

    async def read_streams(self, positions: dict[str, str], block_ms: int, *, count: int = 500) -> StreamEntries:
        """Entries after each position, at most ``count`` a stream; empty when none came.

        Reads only, so a lost reply loses nothing: read again from the same positions. After an error the caller pauses.

        Args:
            count: bound of one reply.
            positions: stream key → last id that was read; ``$`` = only what comes from now on (blocking reads only).
            block_ms: how long to wait for the first entry, up to ``BLOCK_MS_MAX``; 0 does not wait. Without effect on a
                cluster.

        Raises:
            StoreUnreachableError: no answer. StoreRefusedError: the server refused the read.
        """
        if not positions:
            return {}
        wait_ms = min(block_ms, BLOCK_MS_MAX) if self.blocking else 0
        found: StreamEntries = {}
        try:
            groups: dict[Node, list[tuple[str, ...]]] = {}
            for node, keys in self._by_node(positions).items():
                groups[node] = self._commands(keys, positions, wait_ms, count)
            tasks = (self._ask(node, commands, wait_ms) for node, commands in groups.items())
            for replies in await asyncio.gather(*tasks):
                for reply in replies:
                    found.update(self._entries(reply))
        except NotSentError as error:
            await self._relearn(error.reason)
            raise error.refusal or unreachable(self._where, error.reason) from None
        except ReplyLostError as error:
            await self._relearn(error.reason)
            raise unreachable(self._where, error.reason) from None
        return found

    def close(self) -> None:
        """End the connections. May be called twice; a read that waits fails."""
        for wire in self._wires.values():
            wire.close()
        self._wires.clear()

    def _by_node(self, positions: dict[str, str]) -> dict[Node, list[str]]:
        groups: dict[Node, list[str]] = {}
        for key in positions:
            groups.setdefault(self._routes.node_of(key), []).append(key)
        return groups

    def _commands(self, keys: list[str], positions: dict[str, str], wait_ms: int, count: int) -> list[tuple[str, ...]]:
        head = ("XREAD", "COUNT", str(count))
        if self.blocking:
            block = ("BLOCK", str(wait_ms)) if wait_ms else ()
            return [(*head, *block, "STREAMS", *keys, *(positions[key] for key in keys))]
        return [(*head, "STREAMS", key, positions[key]) for key in keys]

    async def _ask(self, node: Node, commands: list[tuple[str, ...]], wait_ms: int) -> list[Any]:
        wire = self._wires.get(node)
        if wire is None or not wire.is_open:
            wire = self._wires[node] = await node.open_wire()
        request = pack_commands(commands)
        try:
            return await wire.exchange(request, len(commands), seconds=wait_ms / 1_000 + self._seconds)
        except asyncio.CancelledError:
            wire.close()  # the server would go on waiting, and its late reply would stand before the next one
            raise

    def _entries(self, reply: Any) -> StreamEntries:
        if isinstance(reply, ResponseError):
            if is_transient(reply):
                raise NotSentError(str(reply))
            raise refusal(reply, self._where)
        streams = reply.items() if isinstance(reply, dict) else (reply or ())
        return {key: [(entry_id, _fields(fields)) for entry_id, fields in entries] for key, entries in streams}

    async def _relearn(self, reason: str) -> None:
        self.close()
        try:
            await self._routes.refresh(None, reason)
        except NotSentError:
            return  # the next read says so


def _fields(flat: list[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
