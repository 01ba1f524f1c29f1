"""How many rows a second one worker process can claim, read and complete, and what a row costs in memory.

Run: python -m benchmarks.registry_hot_path [--rows 20000] [--batch 100]. Starts a private server.
"""

from __future__ import annotations

import argparse
import asyncio
import time

from lash_core.model.await_output import ProcessAwaitOutput
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.environment import EMPTY_ENV_REF
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.process_input import ProcessInput
from lash_core.model.registration import ProcessRegistration
from lash_core.redis_store.stores import RedisStores
from lash_core.store.process_batches import LeasedCompletion
from lash_core.testing.servers import ValkeyServer


def registration(number: int) -> ProcessRegistration:
    """A minimal row."""
    return ProcessRegistration(
        id=f"bench-{number:08d}",
        input=ProcessInput.engine("bench.work", {"number": number}),
        disposition=RecoveryDisposition.RERUNNABLE,
        env_ref=EMPTY_ENV_REF,
    )


async def row_bytes(stores: RedisStores, process_id: str) -> dict[str, int]:
    """MEMORY USAGE of a row's own keys."""
    keys = stores.context.keyspace.of_process(process_id)
    names = {
        "registration": keys.registration(process_id),
        "control": keys.control(process_id),
        "events": keys.events(process_id),
    }
    return {
        name: int(await stores.context.connection.execute(key, "MEMORY", "USAGE", key) or 0)
        for name, key in names.items()
    }


async def measure(url: str, rows: int, batch: int) -> None:
    """Start ``rows`` rows, then drain them in batches."""
    async with RedisStores.connect(url) as stores:
        registry = stores.process_registry
        registrations = [registration(number) for number in range(rows)]
        started, cpu = time.perf_counter(), time.process_time()
        for at in range(0, rows, 500):
            await registry.register_processes(registrations[at : at + 500])
        report("register", rows, started, cpu)
        process_id = registrations[0].id
        print("bytes of a ready row:", await row_bytes(stores, process_id))
    async with RedisStores.connect(url) as stores:
        registry = stores.process_registry
        owner = LeaseOwnerIdentity.opaque("bench", "1")
        output = ProcessAwaitOutput.success({"ok": True})
        started, cpu = time.perf_counter(), time.process_time()
        done = 0
        while done < rows:
            claimed = await registry.claim_ready_processes(owner, batch, 30_000)
            if not claimed:
                break
            outcomes = await registry.complete_processes_with_lease(
                [LeasedCompletion(item.lease, output) for item in claimed]
            )
            done += sum(outcome.error is None for outcome in outcomes)
        report("claim + read + complete", done, started, cpu)
        print("bytes of a completed row:", await row_bytes(stores, process_id))


def report(what: str, rows: int, started: float, cpu: float) -> None:
    """One line: rate, and the CPU this process spent on a row."""
    seconds, spent = time.perf_counter() - started, time.process_time() - cpu
    print(f"{what}: {rows / seconds:,.0f} rows/s, {spent / rows * 1e6:.0f} µs client CPU a row")


def main() -> None:
    """Parse arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=100)
    arguments = parser.parse_args()
    with ValkeyServer() as server:
        asyncio.run(measure(server.url, arguments.rows, arguments.batch))


if __name__ == "__main__":
    main()
