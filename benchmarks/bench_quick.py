"""Enqueue, drain, idle latency and bytes a row of lash beside arq: one worker process each, one server, one run.

Prints a table and, with ``--json``, the figures. Read the ratios: machines are small and noisy.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import redis
from rich.console import Console
from rich.table import Table

from lash_core.client import LashClient
from lash_core.testing.servers import ValkeyServer

HERE = Path(__file__).resolve().parent
ARQ_VENV = HERE.parent / ".venv" / "arq"
ARQ = "arq==0.28.0"
LATENCY_SAMPLES = 200
DRAIN_SECONDS_MAX = 300
POLL_SECONDS = 0.1
"""Between two looks at what is left: rare enough to cost neither side anything."""


@dataclass
class Figures:
    """One side's figures. Rates per second, latency in ms, bytes of ``used_memory`` a row."""

    enqueue: float
    drain: float
    latency_p50_ms: float
    latency_p99_ms: float
    pending_bytes: float
    finished_bytes: float
    worker_cpu_us: float
    server_cpu_us: float


def memory(url: str) -> int:
    with redis.Redis.from_url(url) as client:
        return int(client.info("memory")["used_memory"])


def server_cpu_seconds(url: str) -> float:
    """User and system time of the server so far."""
    with redis.Redis.from_url(url) as client:
        facts = client.info("cpu")
    return float(facts["used_cpu_user"]) + float(facts["used_cpu_sys"])


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def drain_rate(
    url: str, left: Callable[[], Awaitable[int]], worker: subprocess.Popen[bytes], total: int
) -> tuple[float, float, float]:
    """Finished a second, from the first finished row seen to the last; CPU µs a row of worker and server meanwhile."""
    deadline = time.perf_counter() + DRAIN_SECONDS_MAX
    first: tuple[float, int, float, float] | None = None
    while time.perf_counter() < deadline:
        remaining = await left()
        now = time.perf_counter()
        if first is None and remaining < total:
            first = (now, remaining, cpu_seconds(worker.pid), server_cpu_seconds(url))
        if remaining == 0 and first is not None:
            done = first[1] or 1
            worker_us = (cpu_seconds(worker.pid) - first[2]) / done * 1e6
            return done / max(now - first[0], 1e-9), worker_us, (server_cpu_seconds(url) - first[3]) / done * 1e6
        if worker.poll() is not None:
            raise SystemExit(f"the worker ended with {worker.returncode}")
        await asyncio.sleep(POLL_SECONDS)
    raise SystemExit(f"not drained within {DRAIN_SECONDS_MAX} s")


def latencies(seconds: list[float]) -> tuple[float, float]:
    ordered = sorted(seconds)
    return statistics.median(ordered) * 1e3, ordered[int(len(ordered) * 0.99) - 1] * 1e3


async def measure_lash(url: str, total: int, concurrency: int) -> Figures:
    environment = {**os.environ, "LASH_REDIS_URL": url, "PYTHONPATH": str(HERE.parent)}
    command = [sys.executable, "-m", "lash_worker.cli.main", "worker", "run", "--app", "benchmarks.noop_app:app"]
    command += ["--concurrency", str(concurrency)]
    async with LashClient.connect(url) as lash:
        before = memory(url)
        started = time.perf_counter()
        for start in range(0, total, 1_000):
            await lash.enqueue_many("noop", [{"n": n} for n in range(start, start + 1_000)], disposition="rerunnable")
        enqueue = total / (time.perf_counter() - started)
        pending = (memory(url) - before) / total
        worker = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        try:

            async def left() -> int:
                return total - await lash.count(status="completed")

            drain, *cpu = await drain_rate(url, left, worker, total)
            finished = (memory(url) - before) / total
            taken: list[float] = []
            for n in range(LATENCY_SAMPLES):
                begun = time.perf_counter()
                handle = await lash.enqueue("noop", {"n": n}, disposition="rerunnable")
                await handle.result(timeout=10)
                taken.append(time.perf_counter() - begun)
        finally:
            worker.terminate()
            worker.wait(30)
    return Figures(enqueue, drain, *latencies(taken), pending, finished, *cpu)


def arq_python() -> str:
    python = ARQ_VENV / "bin" / "python"
    if not python.exists():
        venv.create(ARQ_VENV, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", ARQ], check=True)
    return str(python)


async def measure_arq(url: str, total: int) -> Figures:
    python, side = arq_python(), str(HERE / "arq_side.py")

    def run(*args: str) -> dict[str, object]:
        done = subprocess.run([python, side, *args], check=True, capture_output=True, text=True)
        return json.loads(done.stdout)

    before = memory(url)
    enqueue = total / float(str(run("enqueue", url, str(total))["seconds"]))
    pending = (memory(url) - before) / total
    worker = subprocess.Popen([python, side, "worker", url], stderr=subprocess.DEVNULL)
    client = redis.Redis.from_url(url)
    try:

        async def left() -> int:
            return int(client.zcard("arq:queue"))

        drain, *cpu = await drain_rate(url, left, worker, total)
        finished = (memory(url) - before) / total
        seconds = run("latency", url, str(LATENCY_SAMPLES))["seconds"]
    finally:
        client.close()
        worker.terminate()
        worker.wait(30)
    assert isinstance(seconds, list)
    return Figures(enqueue, drain, *latencies(seconds), pending, finished, *cpu)


def report(lash: Figures, arq: Figures, total: int) -> None:
    table = Table(title=f"{total:,} no-ops, one worker process each, one Valkey (appendfsync everysec)")
    for name in ("", "lash", "arq", "lash / arq"):
        table.add_column(name, justify="left" if not name else "right")
    for field, ours in asdict(lash).items():
        theirs = asdict(arq)[field]
        table.add_row(field.replace("_", " "), f"{ours:,.1f}", f"{theirs:,.1f}", f"{ours / theirs:.2f}")
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--total", type=int, default=20_000)
    parser.add_argument("--concurrency", type=int, default=400)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with ValkeyServer() as server:
        lash = asyncio.run(measure_lash(server.url, options.total, options.concurrency))
        with redis.Redis.from_url(server.url) as client:
            client.execute_command("FLUSHALL", "SYNC")
        arq = asyncio.run(measure_arq(server.url, options.total))
    if options.json:
        print(json.dumps({"lash": asdict(lash), "arq": asdict(arq)}))
    else:
        report(lash, arq, options.total)


if __name__ == "__main__":
    main()
