"""What sessions cost: ``python -m benchmarks.sessions --nodes 10000 --parked 10000``.

One worker process, one server (appendfsync everysec). Prints four things, and what was promised of each:

- rebuild: a session of so many nodes, some of them on its active path, under ``ActivePathOnly`` and ``KeepAll``:
  nodes read, bytes sent by the server, time;
- commit: round trips of a settled commit;
- turns: the time of a turn whose model answers at once, in this process and by a worker, from ``send`` to the answer;
- parked: memory and CPU of a worker beside so many sessions that nobody talks to.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import redis
from rich.console import Console
from rich.table import Table

from benchmarks.bench_quick import cpu_seconds, memory, server_cpu_seconds
from benchmarks.parking import spread
from benchmarks.sessions_app import POLICY, InstantProvider
from benchmarks.worker_process import Worker
from lash_core.client import LashClient
from lash_core.model.message import Message
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.session import SessionStoreCreateRequest
from lash_core.model.session_commit import ActivePath, FullGraph, GraphAppend, PersistedSessionConfig, RuntimeCommit
from lash_core.model.session_graph import SessionGraph
from lash_core.model.session_lease import SessionLeaseAcquired
from lash_core.model.turn_input import TurnInput
from lash_core.protocols.providers.model_providers import ModelProviders
from lash_core.redis_store.connection import RedisConnection
from lash_core.redis_store.stores import RedisStores
from lash_core.runtime.host_config import RuntimeHostConfig
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.plugin.host import PluginHost
from lash_core.runtime.residency import Residency
from lash_core.runtime.runtime_builder import EmbeddedRuntimeBuilder
from lash_core.settings import StoreSettings
from lash_core.store.runtime_persistence import RuntimePersistence
from lash_core.testing.servers import ValkeyServer
from lash_core.testing.waiting import eventually

OWNER = LeaseOwnerIdentity.opaque("bench", "bench-1")
ACTIVE_PART = 20
"""Of so many nodes one is on the active path."""
CHUNK = 500
AT_ONCE = 50
IDLE_SECONDS = 10
TURN_OVERHEAD_MS_MAX = 10
TEXT = "x" * 200


@dataclass
class RoundTrips:
    """Counts what goes to the server while it is in use."""

    connection: RedisConnection
    count: int = 0
    kept: dict[str, Any] = field(default_factory=dict[str, Any])

    def __enter__(self) -> RoundTrips:
        original = self.connection.dispatch

        async def counted(*args: Any, **options: Any) -> Any:
            self.count += 1
            return await original(*args, **options)

        self.connection.dispatch = counted
        return self

    def __exit__(self, *_: object) -> None:
        del self.connection.dispatch


@dataclass
class Rebuild:
    """One way to rebuild."""

    residency: str
    nodes_read: int
    kilobytes: float
    load_ms: float
    build_ms: float


@dataclass
class Figures:
    """All that was measured."""

    nodes: int
    active: int
    rebuilds: list[Rebuild] = field(default_factory=list[Rebuild])
    commit_round_trips: int = 0
    commit_ms: list[float] = field(default_factory=list[float])
    turn_ms: list[float] = field(default_factory=list[float])
    turn_cpu_ms: float = 0.0
    turn_round_trips: float = 0.0
    answer_ms: list[float] = field(default_factory=list[float])
    parked: int = 0
    bytes_a_session: float = 0.0
    worker_mb: tuple[float, float] = (0.0, 0.0)
    worker_cpu: tuple[float, float] = (0.0, 0.0)
    server_cpu: tuple[float, float] = (0.0, 0.0)


def sent_bytes(url: str) -> int:
    """Bytes that the server sent so far."""
    with redis.Redis.from_url(url) as client:
        return int(client.info("stats")["total_net_output_bytes"])


async def commit(store: RuntimePersistence, graph: SessionGraph, stored: int, revision: int) -> None:
    """Store what a graph has more, under a lease of its own."""
    taken = await store.try_claim_session_execution_lease(store.session_id, OWNER, 30_000)
    assert isinstance(taken, SessionLeaseAcquired)
    await store.commit_runtime_state(
        RuntimeCommit(
            session_id=store.session_id,
            expected_head_revision=revision,
            session_execution_lease=taken.lease.fence,
            release_session_execution_lease=taken.lease.completion,
            config=PersistedSessionConfig.of_policy(POLICY),
            graph=GraphAppend(tuple(graph.nodes[stored:]), graph.leaf_node_id),
        )
    )


async def large_session(stores: RedisStores, nodes: int, active: int) -> RuntimePersistence:
    """A session whose active path has ``active`` nodes; the others are branches that were left."""
    store = await stores.session_store_factory.create_store(SessionStoreCreateRequest("large", policy=POLICY))
    graph, stored, revision, trunk = SessionGraph(), 0, 0, None
    every = nodes // active
    for number in range(nodes):
        on_trunk = number % every == 0
        graph.leaf_node_id = trunk
        message = Message.user(TEXT) if number % 2 else Message.assistant(TEXT)
        node = graph.append_message(message)
        if on_trunk:
            trunk = node.node_id
        if len(graph.nodes) - stored == CHUNK or number == nodes - 1:
            graph.leaf_node_id = trunk
            await commit(store, graph, stored, revision)
            stored, revision = len(graph.nodes), revision + 1
    return store


def builder(stores: RedisStores, store: RuntimePersistence, residency: Residency) -> EmbeddedRuntimeBuilder:
    """How a worker builds a session."""
    host = RuntimeHostConfig.from_stores(stores)
    host.providers = ModelProviders([InstantProvider()])
    return (
        EmbeddedRuntimeBuilder()
        .with_session_id(store.session_id)
        .with_plugin_host(PluginHost())
        .with_runtime_host(host)
        .with_policy(POLICY)
        .with_session_store_factory(stores.session_store_factory)
        .with_process_registry(stores.process_registry)
        .with_residency(residency)
        .with_store(store)
        .beside_others()
    )


async def rebuild(stores: RedisStores, url: str, store: RuntimePersistence, residency: Residency) -> Rebuild:
    """Read and build once."""
    scope = ActivePath() if residency is Residency.ACTIVE_PATH_ONLY else FullGraph()
    before = sent_bytes(url)
    started = time.perf_counter()
    read = await store.load_session(scope)
    load_ms = (time.perf_counter() - started) * 1_000
    assert read is not None
    sent = sent_bytes(url) - before
    started = time.perf_counter()
    runtime = await builder(stores, store, residency).build()
    build_ms = (time.perf_counter() - started) * 1_000
    runtime.close()
    return Rebuild(residency.value, len(read.nodes), round(sent / 1_000, 1), round(load_ms, 1), round(build_ms, 1))


async def settled_commits(stores: RedisStores, figures: Figures) -> None:
    """Commits of one node each."""
    store = await stores.session_store_factory.create_store(SessionStoreCreateRequest("settled", policy=POLICY))
    graph = SessionGraph()
    for revision in range(200):
        graph.append_message(Message.user(TEXT))
        taken = await store.try_claim_session_execution_lease("settled", OWNER, 30_000)
        assert isinstance(taken, SessionLeaseAcquired)
        started = time.perf_counter()
        with RoundTrips(stores.context.connection) as trips:
            await store.commit_runtime_state(
                RuntimeCommit(
                    session_id="settled",
                    expected_head_revision=revision,
                    session_execution_lease=taken.lease.fence,
                    release_session_execution_lease=taken.lease.completion,
                    config=PersistedSessionConfig.of_policy(POLICY),
                    graph=GraphAppend(tuple(graph.nodes[revision:]), graph.leaf_node_id),
                ).stamped(f"t{revision}")
            )
        figures.commit_ms.append((time.perf_counter() - started) * 1_000)
        figures.commit_round_trips = max(figures.commit_round_trips, trips.count)


async def turns_here(stores: RedisStores, figures: Figures, turns: int) -> None:
    """Turns of one runtime in this process."""
    store = await stores.session_store_factory.create_store(SessionStoreCreateRequest("here", policy=POLICY))
    runtime: LashRuntime = await builder(stores, store, Residency.ACTIVE_PATH_ONLY).build()
    trips_all, cpu = 0, time.process_time()
    for _ in range(turns):
        started = time.perf_counter()
        with RoundTrips(stores.context.connection) as trips:
            await runtime.stream_turn(TurnInput.text("hello"))
        figures.turn_ms.append((time.perf_counter() - started) * 1_000)
        trips_all += trips.count
    figures.turn_cpu_ms = round((time.process_time() - cpu) * 1_000 / turns, 1)
    figures.turn_round_trips = round(trips_all / turns, 1)
    runtime.close()


async def answers(lash: LashClient, figures: Figures, turns: int) -> None:
    """From ``send`` to the answer, by a worker, each in an idle session of its own."""
    for number in range(turns):
        session = lash.session(f"asked-{number}")
        started = time.perf_counter()
        await (await session.send("hello")).answer(30)
        if number >= 5:
            figures.answer_ms.append((time.perf_counter() - started) * 1_000)


async def up(stores: RedisStores) -> None:
    """Wait until a worker serves."""

    async def listed() -> bool:
        return bool(await stores.directory.list_workers())

    await eventually(listed, within_ms=30_000, every_ms=50)


async def park(stores: RedisStores, sessions: int) -> None:
    """Make sessions with a history and nothing to do."""

    async def one(number: int) -> None:
        name = f"parked-{number}"
        store = await stores.session_store_factory.create_store(SessionStoreCreateRequest(name, policy=POLICY))
        graph = SessionGraph()
        graph.append_message(Message.user(TEXT))
        graph.append_message(Message.assistant(TEXT))
        await commit(store, graph, 0, 0)

    for at in range(0, sessions, AT_ONCE):
        await asyncio.gather(*(one(number) for number in range(at, min(at + AT_ONCE, sessions))))


async def idle(url: str, worker: Worker) -> tuple[float, float, float]:
    """Percent of a core of server and worker while nothing happens, and the worker's memory."""
    await asyncio.sleep(3)
    server, own = server_cpu_seconds(url), cpu_seconds(worker.process.pid)
    await asyncio.sleep(IDLE_SECONDS)
    later, own_later = server_cpu_seconds(url), cpu_seconds(worker.process.pid)
    percent = 100 / IDLE_SECONDS
    return round((later - server) * percent, 2), round((own_later - own) * percent, 2), worker.memory_mb


async def measure(nodes: int, parked: int, turns: int) -> Figures:
    """Everything, on a server of its own."""
    figures = Figures(nodes, nodes // ACTIVE_PART, parked=parked)
    with ValkeyServer(arguments=("--appendonly", "yes", "--appendfsync", "everysec")) as server:
        async with RedisStores.connect(server.url, settings=StoreSettings(failover_grace_ms=0)) as stores:
            store = await large_session(stores, nodes, figures.active)
            for residency in (Residency.ACTIVE_PATH_ONLY, Residency.KEEP_ALL):
                figures.rebuilds.append(await rebuild(stores, server.url, store, residency))
            await settled_commits(stores, figures)
            await turns_here(stores, figures, turns)
            worker = Worker("benchmarks.sessions_app:app", server.url)
            try:
                await up(stores)
                await answers(LashClient(stores), figures, turns)
                before = await idle(server.url, worker)
                bytes_before = memory(server.url)
                await park(stores, parked)
                figures.bytes_a_session = round((memory(server.url) - bytes_before) / max(1, parked))
                after = await idle(server.url, worker)
            finally:
                await asyncio.to_thread(worker.stop)
            figures.server_cpu, figures.worker_cpu = (before[0], after[0]), (before[1], after[1])
            figures.worker_mb = (round(before[2], 1), round(after[2], 1))
    return figures


def print_figures(title: str, rows: Sequence[tuple[str, object, str]]) -> None:
    """Print what was measured beside what was promised."""
    table = Table(title=title)
    for column in ("what", "measured", "promised"):
        table.add_column(column)
    for name, measured, promised in rows:
        table.add_row(name, str(measured), promised)
    Console(width=120).print(table)


def show(figures: Figures) -> None:
    """Print a table."""
    rebuilds: list[tuple[str, object, str]] = []
    for one in figures.rebuilds:
        measured = f"{one.nodes_read} nodes, {one.kilobytes} kB, read {one.load_ms} ms, built {one.build_ms} ms"
        promised = f"{figures.active} nodes: the active path" if one.residency == "active_path_only" else ""
        rebuilds.append((f"rebuild, {one.residency}", measured, promised))
    rows: Sequence[tuple[str, object, str]] = (
        ("settled commit, round trips", figures.commit_round_trips, "1"),
        ("settled commit, ms (p50, p99, max)", spread(figures.commit_ms), ""),
        ("turn overhead, ms", spread(figures.turn_ms), "p50 under 10"),
        ("turn, CPU of its process, ms", figures.turn_cpu_ms, "what is left of it on a busy machine"),
        ("turn, round trips", figures.turn_round_trips, ""),
        ("send to answer by a worker, ms", spread(figures.answer_ms), "milliseconds"),
        ("worker memory, MB, before and after", figures.worker_mb, "equal"),
        ("worker CPU idle, %", figures.worker_cpu, "equal"),
        ("server CPU idle, %", figures.server_cpu, "equal"),
        ("server bytes a parked session", figures.bytes_a_session, ""),
    )
    print_figures(f"sessions: {figures.nodes} nodes, {figures.parked} parked", (*rebuilds, *rows))


def faults(figures: Figures) -> list[str]:
    """Promises that do not hold."""
    wrong: list[str] = []
    if figures.rebuilds[0].nodes_read != figures.active:
        wrong.append("the rebuild read more than the active path")
    if figures.commit_round_trips != 1:
        wrong.append("a settled commit took more than one round trip")
    if spread(figures.turn_ms)[0] >= TURN_OVERHEAD_MS_MAX:
        busy = f"; the machine is busy: load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
        wrong.append(f"a turn's overhead is {TURN_OVERHEAD_MS_MAX} ms or more{busy if is_busy() else ''}")
    return wrong


def is_busy() -> bool:
    """More wants to run than there are cores: times are then not those of what is measured."""
    return os.getloadavg()[0] > (os.cpu_count() or 1)


def main() -> int:
    """Parse options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--parked", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=200)
    options = parser.parse_args()
    figures = asyncio.run(measure(options.nodes, options.parked, options.turns))
    show(figures)
    wrong = faults(figures)
    for fault in wrong:
        print(f"WRONG: {fault}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
