"""A cluster's map of slots, read from any node and read again when a node says that a slot has moved."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.crc import key_slot
from redis.exceptions import ResponseError

from lash_core.redis_store.address import Endpoint
from lash_core.redis_store.node import Node
from lash_core.redis_store.redis_errors import is_transient, refusal
from lash_core.redis_store.routes import NodeFactory, asking
from lash_core.redis_store.wire import NotSentError, Wire

SLOTS = 16_384
TAGS_REMEMBERED_MAX = 4_096
"""Slots are computed once a hash tag; a namespace has some hundred tags."""


class ClusterRoutes:
    """The masters of a cluster by slot.

    Args:
        seeds: nodes to ask when none of the known ones answers.
    """

    def __init__(self, factory: NodeFactory, seeds: tuple[Endpoint, ...]) -> None:
        self._factory = factory
        self._seeds = seeds
        self._nodes: dict[Endpoint, Node] = {}
        self._slots: list[Node | None] = [None] * SLOTS
        self._slot_of_tag: dict[str, int] = {}
        self._reading = asyncio.Lock()
        self._generation = 0

    def node_of(self, key: str) -> Node:
        """The master of the key's slot. Raises: NotSentError when no node has the slot."""
        node = self._slots[self.slot_of(key)]
        if node is None:
            raise NotSentError(f"no node of the cluster serves slot {self.slot_of(key)}")
        return node

    def slot_of(self, key: str) -> int:
        """The slot of a key; those with a hash tag are remembered by it."""
        end = key.find("}")
        tag = key[: end + 1] if key.startswith("{") and end > 1 else key
        slot = self._slot_of_tag.get(tag)
        if slot is None:
            if len(self._slot_of_tag) >= TAGS_REMEMBERED_MAX:
                self._slot_of_tag.clear()
            slot = self._slot_of_tag[tag] = key_slot(key.encode())
        return slot

    def node_at(self, endpoint: Endpoint) -> Node:
        """The node with this endpoint, made when it is new."""
        node = self._nodes.get(endpoint)
        if node is None:

            async def resolve() -> Endpoint:
                return endpoint

            node = self._nodes[endpoint] = self._factory.node(resolve)
            node.endpoint = endpoint
        return node

    def nodes(self) -> tuple[Node, ...]:
        """The masters that serve slots."""
        return tuple({id(node): node for node in self._slots if node is not None}.values())

    async def refresh(self, node: Node | None, reason: str) -> None:
        """Read the map of slots again. Callers that come together share one reading. Raises: NotSentError."""
        seen = self._generation
        async with self._reading:
            if self._generation != seen:
                return
            if node is not None:
                node.drop(reason)
            ranges = await self._read_slots()
            slots: list[Node | None] = [None] * SLOTS
            for first, last, endpoint in ranges:
                slots[first : last + 1] = [self.node_at(endpoint)] * (last + 1 - first)
            self._slots = slots
            serving = {id(found) for found in self.nodes()}
            for endpoint, known in list(self._nodes.items()):
                if id(known) not in serving:
                    self._nodes.pop(endpoint).close()
            self._generation += 1

    def close(self) -> None:
        """End all connections."""
        for node in self._nodes.values():
            node.close()

    async def _read_slots(self) -> list[tuple[int, int, Endpoint]]:
        reasons: list[str] = []
        for endpoint in dict.fromkeys([*self._nodes, *self._seeds]):
            try:
                return await self._ask(endpoint)
            except NotSentError as error:
                if error.refusal is not None:
                    raise
                reasons.append(error.reason)
        raise NotSentError("no node of the cluster answers: " + "; ".join(reasons))

    async def _ask(self, endpoint: Endpoint) -> list[tuple[int, int, Endpoint]]:
        factory = self._factory
        wire: Wire = await factory.dialer.dial(endpoint)
        try:
            (reply,) = await asking(wire, factory.settings)([("CLUSTER", "SLOTS")])
        finally:
            wire.close()
        if isinstance(reply, ResponseError):
            raise NotSentError(str(reply), None if is_transient(reply) else refusal(reply, factory.where))
        return [_range(entry, endpoint) for entry in reply]


def _range(entry: Any, asked: Endpoint) -> tuple[int, int, Endpoint]:
    """One entry of CLUSTER SLOTS. A node that does not know its own name means the one that was asked."""
    first, last, master = entry[0], entry[1], entry[2]
    host = str(master[0] or "")
    return int(first), int(last), Endpoint(asked.host if host in {"", "?"} else host, int(master[1]))
