"""What ``lash top`` knows and how it looks: rates, failures, and a screen that fits its terminal."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.manifest import WorkerEntry
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.record import ProcessRecord
from lash_core.store.process_maintenance import FleetFacts
from lash_core.testing.conformance.process_registry.arrange import OUTPUTS, completed, registration
from lash_worker.cli.top_looks import FAILURES_KEPT, RATES_OVER_MS, Looks, pressing_queues
from lash_worker.cli.top_screen import HEIGHT_MIN, screen, shared
from tests.cli.conftest import Lash

NOW_MS = 1_800_000_000_000


def facts(at_ms: int = NOW_MS, **processes: int) -> FleetFacts:
    return FleetFacts(processes=processes, server_time_ms=at_ms)


def worker(number: int, **changes: Any) -> WorkerEntry:
    identity = LeaseOwnerIdentity.opaque(f"w-{number}", "incarnation")
    entry = WorkerEntry(worker_id=f"w-{number}", identity=identity, seen_at_ms=NOW_MS, host="a-host", pid=number)
    return entry.model_copy(update=changes)


async def failures(count: int) -> list[ProcessRecord]:
    async with InMemoryStores() as stores:
        return [await completed(stores, registration(f"p-{n}"), OUTPUTS["failed"]) for n in range(count)]


def lines(looks: Looks, width: int, height: int | None, note: str | None = None) -> list[str]:
    console = Console(width=width, no_color=True, legacy_windows=False, force_terminal=False)
    with console.capture() as capture:
        console.print(screen(looks, width=width, height=height, note=note))
    return capture.get().rstrip("\n").split("\n")


@pytest.fixture
async def busy() -> Looks:
    """A fleet with more of everything than a screen has lines."""
    looks = Looks()
    queues = {f"queue-{'x' * n}": n for n in range(60)}
    seen = FleetFacts(
        processes={"running": 1_234_567, "completed": 9, "failed": 4},
        ready=queues,
        oldest_ready_ms={name: n * 1_000 for name, n in queues.items()},
        sessions_due=3,
        oldest_session_due_ms=61_000,
        session_leases=2,
        outbox_depth=7,
        grace_until_ms=NOW_MS + 5_000,
        server_time_ms=NOW_MS,
    )
    workers = [worker(n, busy=n, facts={"sessions": {"busy": 1, "concurrency": 4}}) for n in range(30)]
    looks.take(seen, workers, await failures(FAILURES_KEPT))
    return looks


def test_rates_are_means_of_the_last_looks() -> None:
    """None before the second one; an old look is forgotten; what is pruned makes no rate negative."""
    looks = Looks()
    looks.take(facts(running=1), (), ())
    assert looks.rates is None
    looks.take(facts(NOW_MS + 2_000, running=3, completed=4, failed=2), (), ())

    rates = looks.rates
    assert rates is not None
    assert (4.0, 3.0, 1.0) == (rates.started, rates.ended, rates.failed)
    looks.take(facts(NOW_MS + RATES_OVER_MS + 2_001, running=3), (), ())
    looks.take(facts(NOW_MS + RATES_OVER_MS + 3_001, running=3), (), ())
    rates = looks.rates
    assert rates is not None
    assert (0.0, 0.0, 0.0) == (rates.started, rates.ended, rates.failed)


async def test_failures_are_kept_newest_first() -> None:
    """A bounded number, each once, whatever the looks brought them in."""
    rows = await failures(FAILURES_KEPT + 5)
    looks = Looks()
    looks.take(facts(), (), rows[:10])
    looks.take(facts(), (), rows[5:])

    expected = sorted(rows, key=lambda row: (row.updated_at_ms, row.id), reverse=True)[:FAILURES_KEPT]
    assert expected == list(looks.failures)


def test_queues_that_wait_longest_come_first() -> None:
    """Then the fullest; a queue that is only leased is there."""
    seen = FleetFacts(
        ready={"old": 1, "full": 9, "calm": 0}, oldest_ready_ms={"old": 50, "full": 5}, leases_by_queue={"leased": 1}
    )

    assert ["old", "full", "leased", "calm"] == pressing_queues(seen)


def test_room_is_shared_in_turn() -> None:
    """Nobody gets more than it wants; a short section leaves its lines to the others."""
    assert [1, 4, 5] == shared([1, 4, 9], 10)
    assert [1, 4, 9] == shared([1, 4, 9], 100)
    assert [0, 0] == shared([3, 3], -5)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 25), (132, 50), (40, 24), (200, 100)])
async def test_a_screen_fits_its_terminal(busy: Looks, width: int, height: int) -> None:
    """Not a line too many, not a column too many, and nothing of importance left out."""
    shown = lines(busy, width, height, note="the store is away " * 20)

    assert len(shown) <= height
    assert max(len(line) for line in shown) <= width
    assert height - len(shown) <= 1 or height > 80
    text = "\n".join(shown)
    for word in ("running 1,234,567", "sessions: 3 wait", "failover grace", "the store is away", "queues", "workers"):
        assert word[:width] in text
    assert "recent failures" in text


async def test_numbers_are_never_cut(busy: Looks) -> None:
    """A long name is; what is left of it still tells which it is."""
    shown = lines(busy, 60, 24)
    header = next(line for line in shown if line.startswith("queue "))
    first = shown[shown.index(header) + 1]

    assert ["queue", "ready", "later", "leased", "oldest"] == header.split()
    assert first.split()[0].endswith("…")
    assert ["59", "0", "0", "59", "s"] == first.split()[1:]


async def test_a_low_terminal_keeps_its_head(busy: Looks) -> None:
    """It is filled as if it had a few lines more."""
    assert len(lines(busy, 80, 3)) <= HEIGHT_MIN + 3


def test_an_idle_fleet_says_what_is_missing() -> None:
    """No empty tables."""
    looks = Looks()
    looks.take(facts(running=0), (), ())
    text = "\n".join(lines(looks, 80, 24))

    assert "running 0" in text
    assert "no live worker" in text
    assert "recent failures" not in text


def test_who_needs_a_look_comes_first() -> None:
    """A silent worker before busy ones."""
    looks = Looks()
    looks.take(facts(), [worker(1, busy=9), worker(2, seen_at_ms=NOW_MS - 60_000), worker(3, busy=10)], ())
    rows = [line.split()[0] for line in lines(looks, 80, 24) if line.startswith("w-")]

    assert ["w-2", "w-3", "w-1"] == rows


def test_one_look_tells_of_failures(lash: Lash) -> None:
    """For programs and for people."""

    async def fail(client: Any) -> None:
        await completed(client.stores, registration("p-1"), OUTPUTS["failed"])
        await completed(client.stores, registration("p-2"), OUTPUTS["abandoned"])

    lash.behind(fail)

    look = lash.ok("top", "--once", "--json").json
    out = lash.ok("top", "--once").out

    assert {"p-1", "p-2"} == {failure["process_id"] for failure in look["failures"]}
    assert look["rates"] is None
    assert "process_failed: ValueError: no" in out
    assert "abandoned by sweep" in out
