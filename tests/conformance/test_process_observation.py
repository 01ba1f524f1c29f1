"""Views of processes are read alike from every store (``docs/contracts/observation.md`` 7)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lash_core.testing.conformance import process_observation
from tests.conformance.suites import failures_on_stores_of_their_own, over_all_backends, run_case, without_a_promise

CASES = dict(process_observation.cases())


@pytest.mark.parametrize(("backend", "name"), over_all_backends(CASES))
async def test_the_contract_is_kept(backend: str, name: str, server_url: Callable[[str], str]) -> None:
    """Each promise of the suite, on stores whose clock can be moved; a namespace of its own for each case."""
    await run_case(CASES[name], backend, server_url, f"o{list(CASES).index(name)}-{name.partition('.')[2]}")


@pytest.mark.in_memory
async def test_the_suite_runs_on_plain_stores() -> None:
    """Users have no virtual clock."""
    assert [] == await failures_on_stores_of_their_own(CASES)


def test_every_case_states_its_promise() -> None:
    """A case without a docstring tells its reader nothing."""
    assert [] == without_a_promise(CASES)
