"""Session stores keep their contract: leases, queue, inputs, journals, commits, the factory and the fleet's claims."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lash_core.testing.conformance import (
    queued_work,
    ready_sessions,
    session_factory,
    session_lease,
    session_persistence,
    turn_inputs,
    turn_journal,
)
from tests.conformance.suites import (
    broken_keys_after,
    failures_on_plain_stores,
    failures_on_stores_of_their_own,
    over_all_backends,
    run_case,
    without_a_promise,
)

SUITES = {
    "lease": session_lease,
    "queue": queued_work,
    "inputs": turn_inputs,
    "journal": turn_journal,
    "state": session_persistence,
    "factory": session_factory,
}
CASES = {f"{label}.{name}": case for label, suite in SUITES.items() for name, case in suite.cases()}
FLEET = {f"fleet.{name}": case for name, case in ready_sessions.cases()}


@pytest.mark.parametrize(("backend", "name"), over_all_backends({**CASES, **FLEET}))
async def test_the_contract_is_kept(backend: str, name: str, server_url: Callable[[str], str]) -> None:
    """Each promise of the suites of sessions, on stores whose clock can be moved."""
    await run_case({**CASES, **FLEET}[name], backend, server_url, "s-" + "-".join(name.split(".")[:2]))


@pytest.mark.in_memory
async def test_the_suites_run_on_plain_stores() -> None:
    """Users have no virtual clock: on stores that nobody can move the cases wait for real, and still pass."""
    assert [] == await failures_on_plain_stores(CASES)


@pytest.mark.in_memory
async def test_the_fleets_suite_runs_on_plain_stores() -> None:
    """Each case on stores of its own: a claim looks at all sessions."""
    assert [] == await failures_on_stores_of_their_own(FLEET)


async def test_the_keys_are_in_order_afterwards(server_url: Callable[[str], str]) -> None:
    """No key that expires, no journal that nobody forgets."""
    assert [] == await broken_keys_after({**CASES, **FLEET}, server_url("valkey"), "sessions")


def test_every_case_states_its_promise() -> None:
    """A case without a docstring tells its reader nothing."""
    assert [] == without_a_promise({**CASES, **FLEET})
