"""What watching costs: ``python -m benchmarks.live --sessions 200 --seconds 10``.

One worker process, ``lash serve`` in another, one server (appendfsync everysec). The model says 50 tokens a second,
and each token is the time at which it was said. Prints three things, and what was promised of each:

- latency: from the token in the worker to the line of the server-sent event in a client, a few sessions at once;
- streams: CPU of the worker and of the server while so many sessions stream, nobody watching and one watcher each;
- memory: of ``lash serve`` per watcher of one session and per watched session; of the server per ring.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.bench_quick import cpu_seconds, memory, server_cpu_seconds
from benchmarks.parking import spread
from benchmarks.sessions import is_busy, print_figures, up
from benchmarks.worker_process import ROOT, STOP_SECONDS_MAX, Worker
from lash_core.client import LashClient
from lash_core.redis_store.stores import RedisStores
from lash_core.settings import StoreSettings
from lash_core.testing.servers import ValkeyServer
from lash_core.testing.waiting import eventually

TOKENS_A_SECOND = 50
LATENCY_SESSIONS = 5
LATENCY_MS_MAX = 10
WORKER_CORE_MAX = 0.5
WATCHERS = 500
STREAMED_MIN = 10
"""Events after which a session streams: more than what a turn says before its first token."""
BEGIN_SECONDS = 0.02
"""A session's turn begins so long after the one before it, at most, so that all of them stream at once."""
TOKEN = re.compile(rb'"text":\s*"(\d+) "')


@dataclass
class Figures:
    """All that was measured. CPU is in cores."""

    sessions: int
    latency_ms: list[float] = field(default_factory=list[float])
    unwatched: tuple[float, float] = (0.0, 0.0)
    unwatched_us: tuple[float, ...] = ()
    watched_us: tuple[float, ...] = ()
    watched: tuple[float, float, float] = (0.0, 0.0, 0.0)
    delivered: float = 0.0
    kb_a_watcher: float = 0.0
    kb_a_session: float = 0.0
    ring_bytes: float = 0.0


@dataclass
class Web:
    """``lash serve`` in a process of its own."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def memory_kb(self) -> float:
        """Resident memory (Linux)."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1_000

    async def lines(self, session_id: str) -> AsyncGenerator[bytes]:
        """The lines of a session's events, as they come."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=4_000_000)
        try:
            request = f"GET /sessions/{session_id}/events HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n\r\n"
            writer.write(request.encode())
            while line := await reader.readline():
                yield line
        finally:
            writer.close()


@contextlib.contextmanager
def serving(url: str) -> Generator[Web]:
    """The web app over this server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = [sys.executable, "-m", "lash_worker.cli.main", "serve", "--port", str(port), "--watchers", "5000"]
    environment = {**os.environ, "LASH_REDIS_URL": url, "LASH_EMBEDDED": "0"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield Web(process, port)
    finally:
        process.terminate()
        process.wait(STOP_SECONDS_MAX)


class Watchers:
    """Clients of ``lash serve``: count tokens, and how late each came."""

    def __init__(self, web: Web) -> None:
        self.latency_ms: list[float] = []
        self.begun = 0
        self._web = web
        self._tasks: set[asyncio.Task[None]] = set()

    async def add(self, session_ids: list[str]) -> None:
        """Watch these; returns when each has had its first event."""
        wanted = self.begun + len(session_ids)
        for session_id in session_ids:
            self._tasks.add(asyncio.create_task(self._watch(session_id)))
        await eventually(lambda: self.begun >= wanted, within_ms=60_000, every_ms=20)

    async def stop(self) -> None:
        """End them all."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _watch(self, session_id: str) -> None:
        has_begun = False
        async for line in self._web.lines(session_id):
            if not line.startswith(b"data:"):
                continue
            if not has_begun:
                has_begun, self.begun = True, self.begun + 1
            if b"assistant_prose_delta" in line and (token := TOKEN.search(line)):
                self.latency_ms.append((time.monotonic_ns() // 1_000 - int(token[1])) / 1_000)


async def web_up(web: Web) -> None:
    """Wait until it answers."""

    async def answers() -> bool:
        with contextlib.suppress(OSError):
            async for line in web.lines("nobody"):
                return line.startswith(b"HTTP/1.1")
        return False

    await eventually(answers, within_ms=30_000, every_ms=50)


async def ask(lash: LashClient, session_ids: list[str]) -> None:
    """A turn for each."""
    for at in range(0, len(session_ids), 50):
        await asyncio.gather(*(lash.session(name).send("go") for name in session_ids[at : at + 50]))


async def made(lash: LashClient, session_ids: list[str]) -> None:
    """The sessions exist, with nothing to do."""
    for at in range(0, len(session_ids), 50):
        await asyncio.gather(*(lash.session(name).create() for name in session_ids[at : at + 50]))


async def all_idle(stores: RedisStores) -> None:
    """Wait until nobody has a session."""

    async def idle() -> bool:
        facts = await stores.process_registry.fleet_facts()
        return facts.session_leases == 0 and facts.sessions_due == 0

    await eventually(idle, within_ms=120_000, every_ms=100)


async def positions(stores: RedisStores, names: list[str]) -> list[int]:
    """How many events were put into the ring of each of these sessions."""
    cursors = await asyncio.gather(*(stores.live_replay.current_cursor(name, 0) for name in names))
    return [cursor.parse().live_position for cursor in cursors]


async def all_stream(stores: RedisStores, names: list[str]) -> None:
    """Wait until all of these sessions stream."""
    before = await positions(stores, names)

    async def stream() -> bool:
        now = await positions(stores, names)
        return all(late > early + STREAMED_MIN for early, late in zip(before, now, strict=True))

    await eventually(stream, within_ms=120_000, every_ms=100)


async def streaming(
    stores: RedisStores, url: str, names: list[str], pids: list[int], seconds: float
) -> tuple[list[float], tuple[float, ...]]:
    """Cores of these processes, and of the server at the end, in the middle of a stream; the same in µs an event."""
    early = [*map(cpu_seconds, pids), server_cpu_seconds(url)]
    began, first = time.monotonic(), sum(await positions(stores, names))
    await asyncio.sleep(seconds)
    late = [*map(cpu_seconds, pids), server_cpu_seconds(url)]
    took, events = time.monotonic() - began, sum(await positions(stores, names)) - first
    used = [end - begin for begin, end in zip(early, late, strict=True)]
    return [round(one / took, 2) for one in used], tuple(round(one / max(events, 1) * 1e6, 1) for one in used)


async def measure(sessions: int, seconds: float) -> Figures:
    """Everything, on a server of its own."""
    figures = Figures(sessions)
    answer_seconds = seconds + sessions * BEGIN_SECONDS
    os.environ |= {"BENCH_TOKENS_A_SECOND": str(TOKENS_A_SECOND), "BENCH_STREAM_SECONDS": str(answer_seconds)}
    with (
        ValkeyServer(arguments=("--appendonly", "yes", "--appendfsync", "everysec")) as server,
        serving(server.url) as web,
    ):
        async with RedisStores.connect(server.url, settings=StoreSettings(failover_grace_ms=0)) as stores:
            lash = LashClient(stores)
            worker = Worker("benchmarks.live_app:app", server.url, "--session-concurrency", str(sessions + 10))
            try:
                await up(stores)
                await web_up(web)
                await watchers(lash, web, figures)
                await latency(lash, web, figures, seconds)
                await all_idle(stores)
                await streams(lash, server.url, web, worker, figures, seconds)
                await all_idle(stores)
            finally:
                await asyncio.to_thread(worker.stop)
    return figures


async def latency(lash: LashClient, web: Web, figures: Figures, seconds: float) -> None:
    """A few sessions, each with a watcher."""
    names = [f"late-{number}" for number in range(LATENCY_SESSIONS)]
    await made(lash, names)
    watching = Watchers(web)
    await watching.add(names)
    await ask(lash, names)
    await asyncio.sleep(seconds)
    await watching.stop()
    figures.latency_ms = watching.latency_ms


async def streams(lash: LashClient, url: str, web: Web, worker: Worker, figures: Figures, seconds: float) -> None:
    """All sessions at once, first unwatched, then with a watcher each."""
    names = [f"stream-{number}" for number in range(figures.sessions)]
    stores = lash_stores(lash)
    await made(lash, names)
    window = seconds * 0.5
    before = memory(url)
    await ask(lash, names)
    await all_stream(stores, names)
    (own, of_server), figures.unwatched_us = await streaming(stores, url, names, [worker.process.pid], window)
    figures.unwatched = (own, of_server)
    await all_idle(stores)
    figures.ring_bytes = round((memory(url) - before) / figures.sessions)

    watching = Watchers(web)
    await watching.add(names)
    await ask(lash, names)
    await all_stream(stores, names)
    told = len(watching.latency_ms)
    pids = [worker.process.pid, web.process.pid]
    (own, of_web, of_server), figures.watched_us = await streaming(stores, url, names, pids, window)
    figures.watched = (own, of_web, of_server)
    figures.delivered = round((len(watching.latency_ms) - told) / window)
    await all_idle(stores)
    await watching.stop()


def lash_stores(lash: LashClient) -> RedisStores:
    """The stores of a client of this benchmark."""
    assert isinstance(lash.stores, RedisStores)
    return lash.stores


async def watchers(lash: LashClient, web: Web, figures: Figures) -> None:
    """Memory of ``lash serve``: so many watchers of one session, then one of each of so many sessions."""
    names = [f"memory-{number}" for number in range(WATCHERS)]
    await made(lash, ["shared", *names])
    watching = Watchers(web)
    before = web.memory_kb
    await watching.add(["shared"] * WATCHERS)
    shared = web.memory_kb
    await watching.add(names)
    figures.kb_a_watcher = round((shared - before) / WATCHERS, 1)
    figures.kb_a_session = round((web.memory_kb - shared) / WATCHERS, 1)
    await watching.stop()


def show(figures: Figures) -> None:
    """Print a table."""
    rows = (
        ("token to event in a client, ms (p50, p99, max)", spread(figures.latency_ms), f"p50 under {LATENCY_MS_MAX}"),
        ("nobody watches: cores of worker, server", figures.unwatched, f"worker under {WORKER_CORE_MAX}"),
        ("one watcher each: cores of worker, web, server", figures.watched, f"worker under {WORKER_CORE_MAX}"),
        ("the same in µs an event: nobody, one each", (figures.unwatched_us, figures.watched_us), ""),
        ("events a second that arrived", figures.delivered, str(figures.sessions * TOKENS_A_SECOND)),
        ("lash serve: kB a watcher of one session", figures.kb_a_watcher, ""),
        ("lash serve: kB a watched session and its watcher", figures.kb_a_session, ""),
        ("server: bytes a session after its turn, ring included", figures.ring_bytes, ""),
    )
    print_figures(f"watching: {figures.sessions} sessions of {TOKENS_A_SECOND} tokens a second", rows)


def faults(figures: Figures) -> list[str]:
    """Promises that do not hold."""
    wrong: list[str] = []
    if spread(figures.latency_ms)[0] >= LATENCY_MS_MAX:
        wrong.append(f"half of the tokens take {LATENCY_MS_MAX} ms or more")
    if max(figures.unwatched[0], figures.watched[0]) >= WORKER_CORE_MAX:
        wrong.append(f"the worker takes {WORKER_CORE_MAX} of a core or more")
    busy = f" (the machine is busy: load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores)" if is_busy() else ""
    return [text + busy for text in wrong]


def main() -> int:
    """Parse options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of an answer")
    options = parser.parse_args()
    figures = asyncio.run(measure(options.sessions, options.seconds))
    show(figures)
    wrong = faults(figures)
    print(json.dumps({"latency_ms": spread(figures.latency_ms), "cores": figures.watched}))
    for fault in wrong:
        print(f"WRONG: {fault}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
