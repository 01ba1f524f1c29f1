"""Workers and servers that die while processes wait, rest or take a step: what was recorded is not done again."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from lash_core.client import LashClient
from lash_core.model.await_output import Success
from lash_core.model.event_type import ProcessEventType
from lash_core.testing.servers import ValkeyServer
from lash_core.testing.waiting import eventually
from tests.faults.fleet import Fleet, fleet

pytestmark = pytest.mark.faults

PARKING = ("--park-after-ms", "0")
SHORT = ("--lease-ttl-ms", "1500")
SIGNALS = (ProcessEventType.signal("go", True),)


@pytest.fixture
async def made() -> AsyncGenerator[Fleet]:
    """A fleet with default settings."""
    with ValkeyServer() as server:
        async with fleet(server.url) as made:
            yield made


async def begin(made: Fleet, folder: Path, ids: list[str], kind: str = "approved", **params: float) -> None:
    """Start processes that leave their traces in ``folder``."""
    for name in ids:
        (folder / name).mkdir()
    await made.put(kind, ids, {"folder": str(folder), **params}, event_types=SIGNALS if kind == "approved" else ())


def times(folder: Path, process_id: str, step: str) -> int:
    """How often a step did what it does outside."""
    path = folder / process_id / step
    return len(path.read_text().splitlines()) if path.exists() else 0


async def all_wait(made: Fleet, ids: list[str]) -> bool:
    """All wait for their signal."""
    rows = await made.stores.process_registry.get_processes(ids)
    return all(row is not None and row.wait is not None for row in rows)


async def all_parked(made: Fleet, ids: list[str]) -> bool:
    """All wait, and nobody holds one of them."""
    return await all_wait(made, ids) and not any([await made.holder(name) for name in ids])


async def check_ends(made: Fleet, folder: Path, ids: list[str]) -> None:
    """Signal all: each ends once, with each step done once."""
    client = LashClient(made.stores)
    for name in ids:
        await client.handle(name).signal("go", name, signal_id="one")
    for name in ids:
        output = (await made.end_of(name)).await_output
        assert isinstance(output, Success), output
        assert name == output.value["answer"]
        assert (1, 1) == (times(folder, name, "first"), times(folder, name, "last"))
    await made.check_one_outcome_each(ids)


async def test_a_worker_killed_while_its_runs_rest_costs_no_step(made: Fleet, tmp_path: Path) -> None:
    """They hold leases and wait in memory; a peer takes them over by proof of the death and replays them."""
    ids = [f"p{number}" for number in range(20)]
    victim = await made.add("victim")
    await begin(made, tmp_path, ids)
    await eventually(lambda: all_wait(made, ids), within_ms=10_000)
    assert {"victim"} == {await made.holder(name) for name in ids}
    await made.add("peer")
    victim.kill()

    await check_ends(made, tmp_path, ids)


async def test_a_worker_killed_while_its_runs_are_parked_is_not_missed(made: Fleet, tmp_path: Path) -> None:
    """Nobody holds them: whoever is there when the signal comes goes on, and nobody counts a death."""
    ids = [f"p{number}" for number in range(20)]
    victim = await made.add("victim", *PARKING)
    await begin(made, tmp_path, ids)
    await eventually(lambda: all_parked(made, ids), within_ms=10_000)
    victim.kill()
    await made.add("next", *PARKING)

    await check_ends(made, tmp_path, ids)
    for row in await made.stores.process_registry.get_processes(ids):
        assert row is not None
        assert 0 == row.deaths


async def test_a_worker_killed_in_a_step_repeats_that_step_alone(made: Fleet, tmp_path: Path) -> None:
    """The step was not recorded: it is done once more by the peer, and recorded once."""
    victim = await made.add("victim")
    await begin(made, tmp_path, ["p"], "working")
    await eventually(lambda: times(tmp_path, "p", "work") == 1)
    peer = await made.add("peer")
    victim.kill()
    (tmp_path / "p" / "go").touch()
    output = (await made.end_of("p")).await_output

    assert isinstance(output, Success)
    assert f"work by {peer.process.pid}" == output.value
    assert 2 == times(tmp_path, "p", "work")
    await made.check_one_outcome_each(["p"])


async def test_a_step_recorded_after_the_lease_is_refused(tmp_path: Path) -> None:
    """Its worker was stopped past its lease: what it did is not recorded beside what its successor did."""
    with ValkeyServer() as server:
        async with fleet(server.url, *SHORT) as made:
            sleeper = await made.add("sleeper")
            await begin(made, tmp_path, ["p"], "working")
            await eventually(lambda: times(tmp_path, "p", "work") == 1)
            sleeper.signal(signal.SIGSTOP)
            peer = await made.add("peer")
            (tmp_path / "p" / "go").touch()
            output = (await made.end_of("p")).await_output
            sleeper.signal(signal.SIGCONT)
            await eventually(lambda: _lost(made, "sleeper"))

            assert isinstance(output, Success)
            assert f"work by {peer.process.pid}" == output.value
            entries = await made.stores.effect_journal.load_effects("p")
            assert [output.value] == [entry.outcome for entry in entries.values()]
            assert 2 == times(tmp_path, "p", "work")


async def test_a_server_that_restarts_keeps_a_hundred_parked_runs(tmp_path: Path) -> None:
    """Parked rows need no worker and no connection; after the restart they hear their signals."""
    ids = [f"p{number:03}" for number in range(100)]
    with ValkeyServer() as server:
        async with fleet(server.url, *PARKING) as made:
            await made.add("one")
            await begin(made, tmp_path, ids)
            await eventually(lambda: all_parked(made, ids), within_ms=20_000)
            await asyncio.to_thread(server.restart)

            await check_ends(made, tmp_path, ids)


async def test_a_drained_worker_parks_what_rests_and_a_peer_goes_on(made: Fleet, tmp_path: Path) -> None:
    """It leaves at once and yields nothing; the sleep ends where it would have."""
    ids = [f"p{number}" for number in range(5)]
    leaving = await made.add("leaving", "--drain-seconds", "30")
    await begin(made, tmp_path, ids, sleep_ms=4_000)
    await eventually(lambda: all(times(tmp_path, name, "first") == 1 for name in ids))
    await made.add("peer")
    leaving.signal(signal.SIGTERM)
    await asyncio.to_thread(leaving.wait)
    for name in ids:
        entries = await made.stores.process_registry.audit_entries(name)
        assert ["park"] == [entry.kind for entry in entries]
    await eventually(lambda: all_wait(made, ids), within_ms=20_000)

    await check_ends(made, tmp_path, ids)


async def _lost(made: Fleet, name: str) -> bool:
    return await made.leases_lost(name) >= 1
