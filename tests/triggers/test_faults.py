"""Real workers that are killed while a schedule ticks: no tick is lost and none runs twice."""

from __future__ import annotations

import itertools

import pytest

from lash_core.client import LashClient
from lash_core.model.process_filter import ProcessFilter
from lash_core.testing.servers import ValkeyServer
from lash_core.testing.waiting import eventually
from tests.faults.fleet import Fleet, fleet

pytestmark = pytest.mark.faults

KILLS = 6


async def _ticks(made: Fleet) -> list[int]:
    """The tick of each process that the schedule has started, by the payload of its occurrence."""
    found: list[int] = []
    for row in await made.stores.process_registry.list_processes(ProcessFilter(status="any")):
        cause = row.provenance.caused_by
        assert cause is not None
        stored = await made.stores.triggers.get_occurrence(cause.occurrence_id or "")
        assert stored is not None
        found.append(int(stored.occurrence.idempotency_key))
    return sorted(found)


async def test_a_storm_of_kills_loses_no_tick_and_doubles_none() -> None:
    """A tick a second, ``missed=all``; after each further tick the worker that is older is killed -9 and replaced."""
    with ValkeyServer() as server:
        async with fleet(server.url, "--lease-ttl-ms", "3000") as made:
            names = (f"w{number}" for number in itertools.count())
            alive = [await made.add(next(names)), await made.add(next(names))]
            lash = LashClient(made.stores)
            await lash.triggers.create("each-second", "nap", {"seconds": 0.05}, interval_ms=1_000, missed="all")
            for _ in range(KILLS):
                seen = len(await _ticks(made))

                async def ticked(seen: int = seen) -> bool:
                    return len(await _ticks(made)) > seen

                await eventually(ticked, within_ms=20_000, every_ms=20)
                alive.pop(0).kill()
                alive.append(await made.add(next(names)))
            await lash.triggers.pause("each-second")

            async def settled() -> bool:
                waiting = await made.stores.triggers.unstarted_deliveries(min_age_ms=0, limit=10)
                return not waiting and await lash.count(status="running") == 0

            await eventually(settled, within_ms=30_000, every_ms=50)
            ticks = await _ticks(made)
            assert list(range(ticks[0], ticks[-1] + 1, 1_000)) == ticks
            assert len(ticks) >= KILLS
            rows = await made.stores.process_registry.list_processes(ProcessFilter(status="any"))
            assert {"completed"} == {row.status.state for row in rows}
            assert () == await made.stores.triggers.failed_deliveries()
            await made.check_one_outcome_each([row.id for row in rows])
