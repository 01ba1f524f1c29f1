"""A private cluster for tests, started in two seconds."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lash_core.testing.valkey_server import ValkeyServer, free_port
from lash_core.testing.waiting import eventually_sync

SLOTS = 16_384
READY_MS_MAX = 20_000
NODE_TIMEOUT_MS = 2_000


class ValkeyCluster:
    """Masters that share the slots in equal ranges, each with ``replicas`` replicas.

    Args:
        nodes: number of masters, at least 3.
        replicas: replicas of each master.
        binary: another server program than the tests' default.
    """

    def __init__(self, nodes: int = 3, *, replicas: int = 0, binary: Path | None = None) -> None:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS))
        self.nodes = [
            ValkeyServer(tcp=True, arguments=(*options, "--cluster-port", str(free_port())), binary=binary)
            for _ in range(nodes * (1 + replicas))
        ]
        self.masters = self.nodes[:nodes]
        self._replicas = replicas

    @property
    def url(self) -> str:
        """``redis+cluster://…`` with all masters."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.masters)

    def start(self) -> Self:
        """Start all nodes and wait until each of them says that the cluster is complete."""
        try:
            with ThreadPoolExecutor(len(self.nodes)) as pool:
                list(pool.map(ValkeyServer.start, self.nodes))
            self._join()
            eventually_sync(self.is_complete, within_ms=READY_MS_MAX, every_ms=20)
            self._attach_replicas()
        except BaseException:
            self.stop()
            raise
        return self

    def is_complete(self) -> bool:
        """True when each node knows all others and all slots are served."""
        return all(
            "cluster_state:ok" in (info := str(ask_node(node, "CLUSTER", "INFO")))
            and f"cluster_known_nodes:{len(self.nodes)}" in info
            for node in self.nodes
        )

    def owner_of(self, slot: int) -> ValkeyServer:
        """The master that serves a slot, by its own word."""
        for first, last, master, *_ in ask_node(self.masters[0], "CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == master[1])
        raise LookupError(f"nobody serves slot {slot}")

    def begin_move(self, slot: int, target: ValkeyServer) -> None:
        """Open a slot for moving: the source answers ASK for keys that it does not have."""
        source = self.owner_of(slot)
        ask_node(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", node_id(source))
        ask_node(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", node_id(target))

    def finish_move(self, slot: int, target: ValkeyServer) -> None:
        """Move the keys of an open slot and give it to the target: the source answers MOVED from now on."""
        source = self.owner_of(slot)
        keys: list[str] = ask_node(source, "CLUSTER", "GETKEYSINSLOT", slot, 10_000)
        if keys:
            ask_node(source, "MIGRATE", "127.0.0.1", target.port, "", 0, 5_000, "KEYS", *keys)
        for node in (target, *(node for node in self.masters if node is not target)):
            ask_node(node, "CLUSTER", "SETSLOT", slot, "NODE", node_id(target))

    def move_slot(self, slot: int, target: ValkeyServer) -> None:
        """Move a slot with its keys to another master."""
        self.begin_move(slot, target)
        self.finish_move(slot, target)

    def stop(self) -> None:
        """Stop all nodes and remove their data. May be called twice."""
        for node in self.nodes:
            node.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _join(self) -> None:
        share = -(-SLOTS // len(self.masters))
        for index, master in enumerate(self.masters):
            ask_node(master, "CLUSTER", "SET-CONFIG-EPOCH", index + 1)
            first = index * share
            ask_node(master, "CLUSTER", "ADDSLOTSRANGE", first, min(first + share, SLOTS) - 1)
        for node in self.nodes[1:]:
            ask_node(self.nodes[0], "CLUSTER", "MEET", "127.0.0.1", node.port, _bus_port(node))

    def _attach_replicas(self) -> None:
        replicas = self.nodes[len(self.masters) :]
        for index, replica in enumerate(replicas):
            ask_node(replica, "CLUSTER", "REPLICATE", node_id(self.masters[index % len(self.masters)]))
        for replica in replicas:
            eventually_sync(
                lambda node=replica: "master_link_status:up" in str(ask_node(node, "INFO", "replication", raw=True)),
                within_ms=READY_MS_MAX,
                every_ms=20,
            )


def ask_node(server: ValkeyServer, *command: Any, raw: bool = False) -> Any:
    """Send one command; ``raw`` keeps the reply's text as it is."""
    with closing(server.client()) as client:
        if raw or command[0] == "CLUSTER":
            client.response_callbacks.clear()
        return client.execute_command(*command)


def node_id(server: ValkeyServer) -> str:
    """The node's name in its cluster."""
    return str(ask_node(server, "CLUSTER", "MYID"))


def _bus_port(server: ValkeyServer) -> int:
    arguments: Sequence[str] = server.arguments
    return int(arguments[arguments.index("--cluster-port") + 1])
