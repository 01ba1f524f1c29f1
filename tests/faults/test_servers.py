"""Servers that fill up, restart, fail over or hand slots on under a fleet: it waits, says why, loses nothing."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing

import pytest
from redis.crc import key_slot

from lash_core.client import LashClient
from lash_core.errors import StoreFullError
from lash_core.model.await_output import CancelledOutput, Success
from lash_core.testing.servers import SentinelDeployment, ValkeyCluster, ValkeyServer
from lash_core.testing.waiting import eventually
from tests.faults.fleet import Fleet, fleet

pytestmark = pytest.mark.faults

SHORT = ("--lease-ttl-ms", "4000")
TTL_MS = 8_000
"""Of the restart: a worker looks for a grace every five seconds, so it must last longer to be named."""
GUARDED = {"LASH_FAILOVER_GRACE_MS": ""}
"""The rule decides about the grace; the fleet of the other tests turns it off."""


async def test_full_server_refuses_starts_and_still_finishes_cancels_and_prunes() -> None:
    """Readiness says so, and is green again when there is room."""
    with ValkeyServer() as server, closing(server.client()) as client:
        async with fleet(server.url) as made:
            await made.add("one")
            ids = [f"p{number}" for number in range(5)]
            await made.put("nap", ids, {"seconds": 2.5})
            await made.put("nap", ["endless"], {"seconds": 600})
            await eventually(lambda: _started(made, [*ids, "endless"]))
            before = client.dbsize()
            client.config_set("maxmemory", 1)
            with pytest.raises(StoreFullError):
                await made.put("nap", ["late"], {"seconds": 0})
            assert before == client.dbsize()
            await eventually(lambda: _ready_is(made, "one", 503), within_ms=8_000)
            await LashClient(made.stores).handle("endless").cancel(reason="enough")

            assert isinstance((await made.end_of("endless")).await_output, CancelledOutput)
            for process_id in ids:
                assert isinstance((await made.end_of(process_id)).await_output, Success)
            await made.check_one_outcome_each([*ids, "endless"])
            report = await made.stores.process_registry.prune_terminal_processes(2**52)
            assert 6 == report.pruned_processes
            client.config_set("maxmemory", 0)
            await eventually(lambda: _ready_is(made, "one", 200), within_ms=8_000)


async def test_plain_restart_pauses_claims_for_a_ttl_from_its_start_and_readiness_names_the_end() -> None:
    """Nothing is promoted by a restart: running work keeps its leases, new claims wait, and everything ends once."""
    with ValkeyServer() as server:
        async with fleet(server.url, "--lease-ttl-ms", str(TTL_MS), environ=GUARDED) as made:
            await made.add("one")
            url = (await made.entry("one")).metrics_url
            ids = [f"p{number}" for number in range(300)]
            for start in range(0, len(ids), 100):
                await made.put("nap", ids[start : start + 100], {"seconds": 0.7})
            await eventually(lambda: _has_finished(made, 100))
            await asyncio.to_thread(server.restart)
            restarted_ms = time.time() * 1_000
            await eventually(lambda: _grace_is_named(made, "one", url), within_ms=10_000)
            until_ms = (await made.readiness("one", url))[1]["grace_until_ms"]
            for process_id in ids:
                assert isinstance((await made.end_of(process_id)).await_output, Success)

            # The server tells its age in whole seconds; up to one is added.
            assert until_ms <= restarted_ms + TTL_MS + 1_000
            await made.check_one_outcome_each(ids)


async def test_sentinel_failover_under_load_ends_every_process_once() -> None:
    """Fences rise over the promotion, claims wait out the grace, and what the old master took with it runs again."""
    with SentinelDeployment() as deployment:
        async with fleet(deployment.url, *SHORT, "--concurrency", "16", environ=GUARDED) as made:
            for name in ("one", "two"):
                await made.add(name)
            ids = [f"p{number}" for number in range(100)]
            await made.put("nap", ids, {"seconds": 0.8})
            await eventually(lambda: _started(made, ids[:1]))
            await asyncio.to_thread(deployment.fail_over)
            for process_id in ids:
                assert isinstance((await made.end_of(process_id)).await_output, Success)

            await made.check_one_outcome_each(ids)


async def test_slots_of_a_cluster_move_under_a_running_fleet() -> None:
    """Two workers drain five hundred processes while partitions go to another master."""
    with ValkeyCluster() as cluster:
        async with fleet(cluster.url) as made:
            for name in ("one", "two"):
                await made.add(name)
            ids = [f"p{number}" for number in range(500)]
            for start in range(0, len(ids), 100):
                await made.put("nap", ids[start : start + 100], {"seconds": 0.3})
            for partition in made.stores.context.keyspace.partitions[::24]:
                slot = key_slot(partition.meta.encode())
                owner = cluster.owner_of(slot)
                target = next(node for node in cluster.masters if node is not owner)
                await asyncio.to_thread(cluster.move_slot, slot, target)
            for process_id in ids:
                assert isinstance((await made.end_of(process_id)).await_output, Success)

            await made.check_one_outcome_each(ids)


async def _started(made: Fleet, ids: list[str]) -> bool:
    return all([await made.events(process_id, "started") for process_id in ids])


async def _has_finished(made: Fleet, count: int) -> bool:
    return (await made.stores.process_registry.fleet_facts()).processes.get("completed", 0) >= count


async def _ready_is(made: Fleet, name: str, status: int) -> bool:
    return (await made.readiness(name))[0] == status


async def _grace_is_named(made: Fleet, name: str, url: str | None) -> bool:
    return (await made.readiness(name, url))[1]["grace_until_ms"] is not None
