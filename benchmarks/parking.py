"""What waiting costs: ``python -m benchmarks.parking --rows 100000``.

One worker, one server (appendfsync everysec). Prints: memory of the worker before and after so many processes began to
sleep, CPU of worker and server while all of them are parked, how late timers fire, how fast signals arrive at runs in
memory and out of it. CPU is measured over ten idle seconds, beside a server without a worker.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial

from rich.console import Console
from rich.table import Table

from benchmarks.bench_quick import cpu_seconds, memory, server_cpu_seconds
from benchmarks.parking_app import app
from benchmarks.worker_process import Worker
from lash_core.client import LashClient
from lash_core.client_handle import ProcessHandle
from lash_core.redis_store.stores import RedisStores
from lash_core.settings import StoreSettings
from lash_core.testing.servers import ValkeyServer
from lash_core.testing.waiting import eventually

APP = "benchmarks.parking_app:app"
HOUR_MS = 3_600_000
IDLE_SECONDS = 10
TIMERS = 300
SIGNALS = 200
CHUNK = 2_000
PARK_SECONDS_MAX = 1_800
START_SECONDS = 5.0


@dataclass
class Figures:
    """What was measured; CPU in percent of a core, memory in MB, times in ms (p50, p99, max)."""

    rows: int
    worker_before_mb: float = 0.0
    worker_after_mb: float = 0.0
    parked_a_second: float = 0.0
    server_bytes_a_row: float = 0.0
    alone_server_cpu: float = 0.0
    empty_server_cpu: float = 0.0
    empty_worker_cpu: float = 0.0
    idle_server_cpu: float = 0.0
    idle_worker_cpu: float = 0.0
    timer_lateness_ms: list[float] = field(default_factory=list[float])
    resident_signal_ms: list[float] = field(default_factory=list[float])
    parked_signal_ms: list[float] = field(default_factory=list[float])


def spread(values: Sequence[float]) -> list[float]:
    """Median, 99th percentile, largest."""
    ordered = sorted(values)
    return [round(ordered[min(len(ordered) - 1, int(len(ordered) * part))], 1) for part in (0.5, 0.99, 1.0)]


async def idle_cpu(url: str, worker: Worker | None) -> tuple[float, float]:
    """Percent of a core that server and worker use while nothing happens."""
    await asyncio.sleep(START_SECONDS)
    read: Callable[[], tuple[float, float]] = lambda: (  # noqa: E731 - two clocks, read together
        server_cpu_seconds(url),
        0.0 if worker is None else cpu_seconds(worker.process.pid),
    )
    server, own = read()
    await asyncio.sleep(IDLE_SECONDS)
    later, own_later = read()
    return round((later - server) * 100 / IDLE_SECONDS, 3), round((own_later - own) * 100 / IDLE_SECONDS, 3)


async def park(stores: RedisStores, lash: LashClient, rows: int, beside: int = 0) -> float:
    """Start so many sleepers and wait until nobody holds one; returns how many were parked a second."""
    started = time.perf_counter()
    for at in range(0, rows, CHUNK):
        await lash.enqueue_many("parking.sleep", [HOUR_MS] * min(CHUNK, rows - at))
    while time.perf_counter() - started < PARK_SECONDS_MAX:
        facts = await stores.process_registry.fleet_facts()
        if facts.leases == 0 and facts.delayed.get("default", 0) == rows + beside:
            return rows / (time.perf_counter() - started)
        await asyncio.sleep(0.5)
    raise SystemExit("not all processes were parked in time")


async def timer_lateness(stores: RedisStores, lash: LashClient) -> list[float]:
    """How late parked sleepers go on, by the due time in their journals."""
    dice = random.Random(7)
    handles = [await lash.enqueue("parking.sleep", dice.randint(3_000, 9_000)) for _ in range(TIMERS)]
    late: list[float] = []
    for handle in handles:
        woke_ms = await handle.result(timeout=60)
        entries = await stores.effect_journal.load_effects(handle.process_id)
        due_ms = next(entry.due_at_ms for entry in entries.values() if entry.due_at_ms is not None)
        late.append(woke_ms - due_ms)
    return late


async def signal_latency(lash: LashClient, *, parked: bool) -> list[float]:
    """From the call that signals to the code after the wait."""
    handles = [await lash.enqueue("parking.signal") for _ in range(SIGNALS)]
    for handle in handles:
        await eventually(partial(_waits, handle, parked=parked), within_ms=60_000, every_ms=50)
    took: list[float] = []
    for handle in handles:
        sent_ms = time.time() * 1_000
        await handle.signal("go")
        took.append(await handle.result(timeout=60) - sent_ms)
    return took


async def _waits(handle: ProcessHandle, *, parked: bool) -> bool:
    """True once it waits, in memory or out of it."""
    if (await handle.record()).wait is None:
        return False
    return not parked or "held by" not in (await handle.why()).text


async def measure(rows: int) -> Figures:
    """Everything, one after the other."""
    figures = Figures(rows)
    settings = StoreSettings(failover_grace_ms=0)
    with ValkeyServer(arguments=("--appendfsync", "everysec")) as server:
        async with RedisStores.connect(server.url, settings=settings) as stores:
            lash = LashClient(stores, app=app)
            figures.alone_server_cpu, _ = await idle_cpu(server.url, None)
            worker = Worker(APP, server.url, "--park-after-ms", "500")
            try:
                figures.empty_server_cpu, figures.empty_worker_cpu = await idle_cpu(server.url, worker)
                # Warm: code is imported, pools and buffers have their size.
                await park(stores, lash, CHUNK)
                figures.worker_before_mb = round(worker.memory_mb, 1)
                before = memory(server.url)
                figures.parked_a_second = round(await park(stores, lash, rows, beside=CHUNK), 1)
                figures.server_bytes_a_row = round((memory(server.url) - before) / rows, 1)
                figures.worker_after_mb = round(worker.memory_mb, 1)
                figures.idle_server_cpu, figures.idle_worker_cpu = await idle_cpu(server.url, worker)
                figures.timer_lateness_ms = spread(await timer_lateness(stores, lash))
            finally:
                worker.stop()
            for options, parked in ((("--park-after-ms", "60000"), False), (("--park-after-ms", "0"), True)):
                worker = Worker(APP, server.url, "--queue", "signals", *options)
                try:
                    took = spread(await signal_latency(lash, parked=parked))
                finally:
                    worker.stop()
                if parked:
                    figures.parked_signal_ms = took
                else:
                    figures.resident_signal_ms = took
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000, help="processes that sleep")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    options = parser.parse_args()
    figures = asdict(asyncio.run(measure(options.rows)))
    if options.json:
        print(json.dumps(figures))
        return
    table = Table("", "", title=f"{options.rows:,} parked processes, one worker, one Valkey")
    for name, value in figures.items():
        table.add_row(name, str(value))
    Console().print(table)


if __name__ == "__main__":
    main()
