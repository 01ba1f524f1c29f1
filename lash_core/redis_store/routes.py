"""Which node serves a key: one server, the master that sentinels name, or a cluster's map of slots."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from lash_core.redis_store.address import Endpoint
from lash_core.redis_store.commands import pack_commands
from lash_core.redis_store.dialer import Dialer
from lash_core.redis_store.node import Node, Resolve
from lash_core.redis_store.server_checks import ServerReport, inspect_server
from lash_core.redis_store.wire import NotSentError, ReplyLostError, Wire
from lash_core.settings import StoreSettings


class Routes(Protocol):
    """The nodes of one deployment."""

    def node_of(self, key: str) -> Node:
        """The node that serves the key, as far as is known. Raises: NotSentError."""
        ...

    def node_at(self, endpoint: Endpoint) -> Node:
        """The node with this endpoint (ASK, MOVED)."""
        ...

    def nodes(self) -> tuple[Node, ...]:
        """All nodes that serve keys."""
        ...

    async def refresh(self, node: Node | None, reason: str) -> None:
        """Learn anew who serves what, after ``node`` refused or was lost. Raises: NotSentError."""
        ...

    def close(self) -> None:
        """End all connections."""
        ...


class NodeFactory:
    """Makes nodes that are inspected after each connect, and keeps the last report of each.

    Args:
        moved_master: the master may move to another server (sentinel, cluster): a replica is then no error but an
        answer
            to ask again.
    """

    def __init__(self, dialer: Dialer, settings: StoreSettings, where: str, *, moved_master: bool) -> None:
        self.dialer = dialer
        self.settings = settings
        self.where = where
        self.reports: dict[str, ServerReport] = {}
        self._moved_master = moved_master

    def node(self, resolve: Resolve) -> Node:
        """A node that listens where ``resolve`` says."""
        return Node(resolve, self.dialer, self.settings, self._inspect)

    async def _inspect(self, node: Node, wire: Wire) -> None:
        report = await inspect_server(
            asking(wire, self.settings), self.settings, self.where, writable=not self._moved_master
        )
        if self._moved_master and report.role != "master":
            raise NotSentError(f"{node.endpoint} is not a master yet")
        self.reports[str(node.endpoint)] = report


def asking(wire: Wire, settings: StoreSettings) -> Callable[[Any], Awaitable[list[Any]]]:
    """Sends commands over one wire; a lost reply counts as not sent, for these only read."""

    async def ask(commands: Any) -> list[Any]:
        request = pack_commands(commands)
        try:
            return await wire.exchange(request, len(commands), seconds=settings.call_timeout_ms / 1_000)
        except ReplyLostError as error:
            raise NotSentError(error.reason) from None

    return ask


class OneNodeRoutes:
    """Everything is on one node: a single server, or a master found by ``resolve``."""

    def __init__(self, factory: NodeFactory, resolve: Resolve) -> None:
        self._node = factory.node(resolve)

    def node_of(self, key: str) -> Node:
        """The node."""
        return self._node

    def node_at(self, endpoint: Endpoint) -> Node:
        """The node."""
        return self._node

    def nodes(self) -> tuple[Node, ...]:
        """The one node."""
        return (self._node,)

    async def refresh(self, node: Node | None, reason: str) -> None:
        """Connect anew: ``resolve`` is asked again."""
        if node is not None:
            node.drop(reason)

    def close(self) -> None:
        """End all connections."""
        self._node.close()
