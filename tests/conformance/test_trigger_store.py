"""The trigger store keeps its contract on every store: each case of the suite over each backend."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lash_core.testing.conformance.trigger_store import cases
from tests.conformance.suites import failures_on_stores_of_their_own, over_all_backends, run_case, without_a_promise

CASES = dict(cases())


@pytest.mark.parametrize(("backend", "name"), over_all_backends(CASES))
async def test_the_contract_is_kept(backend: str, name: str, server_url: Callable[[str], str]) -> None:
    """Each promise of ``lash_core.testing.conformance.trigger_store``, on stores whose clock can be moved."""
    await run_case(CASES[name], backend, server_url, "triggers-" + name.partition(".")[0])


@pytest.mark.in_memory
async def test_the_suite_runs_on_plain_stores() -> None:
    """Users have no virtual clock: on stores that nobody can move the cases wait for real, and still pass."""
    assert [] == await failures_on_stores_of_their_own(CASES)


def test_every_case_states_its_promise() -> None:
    """A case without a docstring tells its reader nothing."""
    assert [] == without_a_promise(CASES)
