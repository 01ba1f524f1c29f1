"""Rings of sessions keep their contract in every store (``docs/contracts/observation.md`` 3)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lash_core.testing.conformance import live_replay
from tests.conformance.live_machine import LiveMachine, PairedRings
from tests.conformance.suites import (
    broken_keys_after,
    failures_on_stores_of_their_own,
    over_all_backends,
    run_case,
    without_a_promise,
)
from tests.conformance.walks import walk

CASES = dict(live_replay.cases())
WALKS = 20


@pytest.mark.parametrize(("backend", "name"), over_all_backends(CASES))
async def test_the_contract_is_kept(backend: str, name: str, server_url: Callable[[str], str]) -> None:
    """Each promise of the suite, on stores whose clock can be moved."""
    await run_case(CASES[name], backend, server_url, "live-" + name.replace(".", "-"))


@pytest.mark.in_memory
async def test_the_suite_runs_on_plain_stores() -> None:
    """Users have no virtual clock: cases that need one say nothing there, the others pass."""
    assert [] == await failures_on_stores_of_their_own(CASES)


async def test_what_the_suite_leaves_is_in_order(server_url: Callable[[str], str]) -> None:
    """Records, rings and the list of those to look at say the same, and nothing expires."""
    cases = {name: case for name, case in CASES.items() if not name.startswith("closing.")}

    assert [] == await broken_keys_after(cases, server_url("valkey"), "live")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("backend", [pytest.param("memory", marks=pytest.mark.in_memory), "valkey"])
def test_random_walks_agree_with_the_in_memory_rings(backend: str, server_url: Callable[[str], str]) -> None:
    """Every verb but streams, owners old and new, and time; cursors anywhere."""
    walk(LiveMachine, PairedRings, backend, server_url(backend), namespace="live-walks", walks=WALKS)


def test_every_case_states_its_promise() -> None:
    """A case without a docstring tells its reader nothing."""
    assert [] == without_a_promise(CASES)
