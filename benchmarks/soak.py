"""A storm of kills over real workers: ``soak.py --seconds 600 --seed 7``.

Keeps a fleet of workers busy while it kills (-9), stops and continues them and restarts the server at random, then lets
the fleet finish and checks: every process ended, exactly one terminal event each, logs without holes, no owner-bound
process ran to its end twice. Prints the seed first.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from benchmarks.soak_app import app
from lash_core.client import LashClient
from lash_core.redis_store.stores import RedisStores
from lash_core.settings import StoreSettings
from lash_core.testing.servers import ValkeyServer

ROOT = Path(__file__).resolve().parent.parent
KINDS = ("soak.async", "soak.thread", "soak.once")
LEASE_TTL_MS = 3_000
SETTLE_SECONDS_MAX = 120


class Storm:
    """Workers, what happens to them, and what was enqueued."""

    def __init__(self, server: ValkeyServer, workers: int, dice: random.Random) -> None:
        self._server = server
        self._wanted = workers
        self._dice = dice
        self._processes: list[subprocess.Popen[bytes]] = []
        self.events: Counter[str] = Counter()
        self.ids: list[str] = []

    def refill(self) -> None:
        """Start workers until there are as many as wanted."""
        self._processes = [process for process in self._processes if process.poll() is None]
        while len(self._processes) < self._wanted:
            command = [sys.executable, "-m", "lash_worker.cli.main", "worker", "run"]
            command += ["--app", "benchmarks.soak_app:app", "--lease-ttl-ms", str(LEASE_TTL_MS)]
            environment = {**os.environ, "LASH_REDIS_URL": self._server.url, "LASH_FAILOVER_GRACE_MS": "0"}
            self._processes.append(
                subprocess.Popen(
                    command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
                )
            )

    async def enqueue(self, lash: LashClient) -> None:
        """A handful of processes of random length."""
        for _ in range(self._dice.randint(1, 20)):
            process_id = f"s-{len(self.ids)}"
            seconds = self._dice.choice((0.0, 0.01, 0.1, 1.0))
            self.ids.append(process_id)
            await lash.enqueue(self._dice.choice(KINDS), {"seconds": seconds}, process_id=process_id)

    async def strike(self) -> None:
        """One fault."""
        victim = self._dice.choice(self._processes)
        fault = self._dice.choices(("kill", "freeze", "drain", "server"), (6, 3, 2, 1))[0]
        self.events[fault] += 1
        match fault:
            case "kill":
                victim.kill()
            case "drain":
                victim.terminate()
            case "freeze":
                victim.send_signal(signal.SIGSTOP)
                await asyncio.sleep(self._dice.uniform(0.1, 1.5) * LEASE_TTL_MS / 1_000)
                victim.send_signal(signal.SIGCONT)
            case _:
                await asyncio.to_thread(self._server.restart)

    def stop(self) -> None:
        """End all workers."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


async def settled(lash: LashClient) -> bool:
    """Wait until nothing runs any more."""
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while await lash.count(status="running"):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.2)
    return True


async def faults_of(stores: RedisStores, ids: list[str]) -> list[str]:
    """What is wrong with the logs."""
    wrong: list[str] = []
    for process_id in ids:
        events = await stores.process_registry.events_after(process_id, 0)
        ends = sum(1 for event in events if event.semantics.terminal is not None)
        if ends != 1:
            wrong.append(f"{process_id}: {ends} terminal events")
        if [event.sequence for event in events] != list(range(1, len(events) + 1)):
            wrong.append(f"{process_id}: a hole in the log")
    return wrong


async def soak(seconds: float, workers: int, seed: int) -> int:
    dice = random.Random(seed)
    with ValkeyServer() as server:
        storm = Storm(server, workers, dice)
        settings = StoreSettings(namespace="soak", failover_grace_ms=0)
        os.environ["LASH_NAMESPACE"] = "soak"
        async with RedisStores.connect(server.url, "soak", settings) as stores:
            lash = LashClient(stores, app=app)
            try:
                ends_at = time.monotonic() + seconds
                while time.monotonic() < ends_at:
                    storm.refill()
                    await storm.enqueue(lash)
                    await asyncio.sleep(dice.uniform(0.05, 1.0))
                    await storm.strike()
                storm.refill()
                done = await settled(lash)
            finally:
                storm.stop()
            wrong = await faults_of(stores, storm.ids)
            counts = {
                state: await lash.count(status=state) for state in ("completed", "failed", "abandoned", "running")
            }
    print(f"{len(storm.ids)} processes, {dict(storm.events)} -> {counts}")
    for line in wrong[:20]:
        print(line)
    return 0 if done and not wrong else 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    sys.exit(asyncio.run(soak(options.seconds, options.workers, options.seed)))


if __name__ == "__main__":
    main()
