"""A server that restarts, connections that break, replies that are lost: no process is lost or doubled."""

from __future__ import annotations

import asyncio
import random
import signal
import time

import pytest

from lash_core.model.await_output import Success
from lash_core.testing.servers import FaultProxy, ValkeyServer
from lash_core.testing.waiting import eventually
from tests.faults.fleet import Fleet, fleet

pytestmark = pytest.mark.faults


async def test_server_restart_under_a_running_fleet_loses_and_doubles_nothing() -> None:
    """Readiness goes red and green again; every process ends once."""
    # Killed right after the starts: with fsync every second a busy disk may hold back what was just written.
    with ValkeyServer(arguments=("--appendfsync", "always")) as server:
        async with fleet(server.url) as made:
            for name in ("one", "two"):
                await made.add(name)
            url = (await made.entry("one")).metrics_url
            ids = [f"p{number}" for number in range(60)]
            await made.put("nap", ids, {"seconds": 2.0})
            await asyncio.to_thread(server.kill)
            await eventually(lambda: _ready_is(made, "one", 503, url), within_ms=8_000)
            await asyncio.to_thread(server.start)
            await eventually(lambda: _ready_is(made, "one", 200, url), within_ms=15_000)
            for process_id in ids:
                assert isinstance((await made.end_of(process_id)).await_output, Success)

            await made.check_one_outcome_each(ids)


async def test_cut_connections_lose_and_double_nothing() -> None:
    """Every connection of every worker is cut, several times, while they work."""
    with ValkeyServer() as server, FaultProxy(server.socket) as proxy:
        async with fleet(proxy.url, client_url=server.url) as made:
            for name in ("one", "two"):
                await made.add(name)
            ids = [f"p{number}" for number in range(200)]
            await made.put("nap", ids, {"seconds": 0.3})
            for _ in range(4):
                proxy.cut()
                await asyncio.sleep(0.3)
            for process_id in ids:
                assert isinstance((await made.end_of(process_id)).await_output, Success)

            await made.check_one_outcome_each(ids)


async def test_lost_reply_never_doubles_a_write() -> None:
    """Replies to scripts are swallowed after the server carried them out; they are asked again, not done again."""
    with ValkeyServer() as server, FaultProxy(server.socket) as proxy:
        async with fleet(proxy.url, client_url=server.url) as made:
            await made.add("one")
            ids = [f"p{number}" for number in range(80)]
            await made.put("quiet", ids, {"seconds": 0.05})
            for after in range(5):
                dropped = proxy.dropped
                proxy.drop_reply_to(b"EVALSHA", after=after)
                await eventually(lambda dropped=dropped: proxy.dropped > dropped)
            for process_id in ids:
                output = (await made.end_of(process_id)).await_output
                assert isinstance(output, Success)

            await made.check_one_outcome_each(ids)


async def test_drain_on_sigterm_hands_work_over_in_milliseconds() -> None:
    """The worker that leaves releases its leases; the peer has them at once, with no death counted."""
    with ValkeyServer() as server:
        async with fleet(server.url) as made:
            leaving = await made.add("leaving", "--drain-seconds", "0")
            ids = [f"p{number}" for number in range(8)]
            await made.put("nap", ids, {"seconds": 60})
            await eventually(lambda: _started(made, ids, 1))
            await made.add("peer")
            leaving.signal(signal.SIGTERM)
            await eventually(lambda: _started(made, ids, 2), within_ms=3_000)

            assert 0 == leaving.wait()
            for process_id in ids:
                record = await made.stores.process_registry.get_process(process_id)
                assert record is not None
                assert (0, 1) == (record.deaths, record.attempt)
                entries = await made.stores.process_registry.audit_entries(process_id)
                assert ["yield"] == [entry.kind for entry in entries]


async def test_storm_of_kills_and_cuts_ends_every_process_once() -> None:
    """Fences strictly rise over the attempts, logs are dense, there is one terminal event each."""
    dice = random.Random(20_261_121)
    with ValkeyServer() as server, FaultProxy(server.socket) as proxy:
        async with fleet(proxy.url, "--concurrency", "16", "--poison-deaths-max", "0", client_url=server.url) as made:
            names = ["a", "b", "c"]
            for name in names:
                await made.add(name)
            ids = [f"p{number}" for number in range(150)]
            await made.put("nap", ids, {"seconds": 0.4})
            until = time.monotonic() + 8
            while time.monotonic() < until:
                await asyncio.sleep(dice.uniform(0.2, 0.6))
                if dice.random() < 0.5:
                    proxy.cut()
                else:
                    name = dice.choice(names)
                    made.workers[name].kill()
                    await made.add(name)
            for process_id in ids:
                assert isinstance((await made.end_of(process_id, 60)).await_output, Success)

            await made.check_one_outcome_each(ids)


async def _ready_is(made: Fleet, name: str, status: int, url: str | None) -> bool:
    return (await made.readiness(name, url))[0] == status


async def _started(made: Fleet, ids: list[str], times: int) -> bool:
    return all([times == len(await made.events(process_id, "started")) for process_id in ids])
