"""The process registry keeps its contract on every store: each case of the suite over each backend."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lash_core.testing.conformance.process_registry import cases
from tests.conformance.suites import failures_on_plain_stores, over_all_backends, run_case, without_a_promise

CASES = dict(cases())
_ALONE = {
    "prune_terminal_processes.without_a_filter_every_ended_row_is_a_candidate",
    "count_processes.counters_per_status_agree_with_the_lists",
    "limits.the_number_of_events_is_bounded",
    "limits.the_bytes_of_a_log_are_bounded",
}
"""These look at all rows of the stores, or keep the loop busy for longer than a short lease lives."""


@pytest.mark.parametrize(("backend", "name"), over_all_backends(CASES))
async def test_the_contract_is_kept(backend: str, name: str, server_url: Callable[[str], str]) -> None:
    """Each promise of ``lash_core.testing.conformance.process_registry``, on stores whose clock can be moved."""
    await run_case(CASES[name], backend, server_url, name.partition(".")[0])


@pytest.mark.in_memory
async def test_the_suite_runs_on_plain_stores() -> None:
    """Users have no virtual clock: on stores that nobody can move the cases wait for real, and still pass."""
    assert [] == await failures_on_plain_stores(CASES, _ALONE)


def test_every_case_states_its_promise() -> None:
    """A case without a docstring tells its reader nothing."""
    assert [] == without_a_promise(CASES)


def test_names_are_unique_and_stable() -> None:
    """A name is how a user selects and reports a case."""
    names = [name for name, _ in cases()]

    assert len(names) == len(set(names))
    assert names == [name for name, _ in cases()]
