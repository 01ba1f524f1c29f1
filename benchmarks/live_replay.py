"""What live events cost: streaming many sessions, hearing them, watchers and watched sessions in memory.

Run: python -m benchmarks.live_replay [--sessions 200] [--rate 50] [--seconds 5]. Starts a private server.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
import tracemalloc

from lash_core.model.session_cursor import SessionCursor
from lash_core.model.session_observation import TurnActivityPayload
from lash_core.model.turn_activity import TurnActivity, TurnEvent
from lash_core.redis_store.stores import RedisStores
from lash_core.runtime.observation.activity_writer import writer_of
from lash_core.store.live_replay_store import LiveReplaySubscription, LiveSubscribed
from lash_core.testing.servers import ValkeyServer

SAMPLES = 500
WATCHERS = 10_000
WATCHED = 1_000


def said(number: int) -> TurnActivityPayload:
    """A piece of an answer."""
    event = TurnEvent("assistant_prose_delta", {"text": f"token {number} "})
    return TurnActivityPayload(TurnActivity(id=f"activity-{number}", correlation_id="turn-1-call-1", event=event))


async def server_cpu_seconds(stores: RedisStores) -> float:
    """User and system time of the server so far."""
    lines = str(await stores.context.connection.execute("", "INFO", "cpu")).splitlines()
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    return float(facts["used_cpu_user"]) + float(facts["used_cpu_sys"])


async def subscribed(stores: RedisStores, session_id: str, position: int = 0) -> LiveReplaySubscription:
    """A stream behind a position."""
    result = await stores.live_replay.subscribe_after_cursor(SessionCursor.new(session_id, 0, position))
    assert isinstance(result, LiveSubscribed)
    return result.subscription


async def stream(stores: RedisStores, sessions: int, rate: int, seconds: int, *, recorded: bool) -> float:
    """Cores that this process uses while so many sessions make pieces of answers."""
    writer = writer_of(stores.live_replay)

    async def answer(session: int) -> None:
        due = time.perf_counter() + session / sessions / rate
        for number in range(rate * seconds):
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            payload = said(number)
            if recorded:
                writer.record(f"streamed-{session}", 1, payload, generation=1)
            due += 1 / rate

    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(answer(session) for session in range(sessions)))
    return (time.process_time() - cpu) / (time.perf_counter() - started)


async def measure_streaming(stores: RedisStores, sessions: int, rate: int, seconds: int) -> None:
    """Cores beside what the sessions themselves cost here."""
    plain = await stream(stores, sessions, rate, seconds, recorded=False)
    server, started = await server_cpu_seconds(stores), time.perf_counter()
    busy = await stream(stores, sessions, rate, seconds, recorded=True)
    used = (await server_cpu_seconds(stores) - server) / (time.perf_counter() - started)
    print(
        f"{sessions} sessions, {rate} events a second each: {busy - plain:.2f} cores of the worker beside "
        f"{plain:.2f} for making them, {used:.2f} of the server; {writer_of(stores.live_replay).counts}"
    )
    await writer_of(stores.live_replay).flush("streamed-0")


async def measure_latency(stores: RedisStores, other: RedisStores) -> None:
    """From ``record`` in one process's stores to a watcher of another one's."""
    writer, watcher = writer_of(stores.live_replay), await subscribed(other, "latency")
    found: list[float] = []
    for number in range(SAMPLES):
        started = time.perf_counter()
        writer.record("latency", 1, said(number))
        await anext(watcher)
        found.append((time.perf_counter() - started) * 1_000)
        await asyncio.sleep(0.01)  # apart, so that none waits for the pipeline before it
    found.sort()
    print(f"record to watcher: p50 {statistics.median(found):.2f} ms, p99 {found[int(SAMPLES * 0.99)]:.2f} ms")
    await watcher.aclose()


async def measure_watchers(stores: RedisStores) -> None:
    """Memory of subscriptions of one session, and how long an event takes to all of them."""
    first = await subscribed(stores, "crowded")
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    started = time.perf_counter()
    watchers = [await subscribed(stores, "crowded") for _ in range(WATCHERS)]
    opened = time.perf_counter() - started
    size = (tracemalloc.get_traced_memory()[0] - before) / WATCHERS
    tracemalloc.stop()
    waits = [asyncio.create_task(anext(watcher)) for watcher in watchers]
    await asyncio.sleep(0)
    started = time.perf_counter()
    await stores.live_replay.append("crowded", 1, said(0))
    await asyncio.gather(*waits)
    print(
        f"{WATCHERS} watchers of a session: {size:.0f} bytes each, {opened:.2f} s to open (traced), "
        f"{time.perf_counter() - started:.2f} s for one event to reach them all"
    )
    for watcher in (first, *watchers):
        await watcher.aclose()


async def measure_watched(stores: RedisStores) -> None:
    """Memory of watched sessions, empty and with events."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    watchers = [await subscribed(stores, f"watched-{number}") for number in range(WATCHED)]
    empty = (tracemalloc.get_traced_memory()[0] - before) / WATCHED
    for watcher in watchers:
        await watcher.aclose()
    few = [await subscribed(stores, f"kept-{number}") for number in range(10)]
    before = tracemalloc.get_traced_memory()[0]
    for number in range(10):
        for place in range(100):
            await stores.live_replay.append(f"kept-{number}", 1, said(place))
    for watcher in few:
        for _ in range(100):
            await anext(watcher)
    kept = (tracemalloc.get_traced_memory()[0] - before) / 1_000
    tracemalloc.stop()
    print(f"a watched session: {empty:.0f} bytes in its process, and {kept:.0f} for each event that is kept")
    ring = stores.context.keyspace.of_session("kept-0").live_ring("kept-0")
    stored = int(await stores.context.connection.execute(ring, "MEMORY", "USAGE", ring, "SAMPLES", 0))
    print(f"a session's ring in Redis: {stored / 100:.0f} bytes an event")
    for watcher in few:
        await watcher.aclose()


async def measure(url: str, sessions: int, rate: int, seconds: int) -> None:
    """Everything, one after another."""
    async with RedisStores.connect(url) as stores, RedisStores.connect(url) as other:
        await measure_streaming(stores, sessions, rate, seconds)
        await measure_latency(stores, other)
        await measure_watchers(other)
        await measure_watched(other)


def main() -> None:
    """Parse the arguments and measure on a private server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--rate", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=5)
    chosen = parser.parse_args()
    with ValkeyServer() as server:
        asyncio.run(measure(server.url, chosen.sessions, chosen.rate, chosen.seconds))


if __name__ == "__main__":
    main()
