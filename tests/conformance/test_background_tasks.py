"""Background tasks keep their contract over every store."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lash_core.testing.conformance.background_tasks import cases
from tests.conformance.suites import (
    broken_keys_after,
    failures_on_plain_stores,
    over_all_backends,
    run_case,
    without_a_promise,
)

CASES = dict(cases())

_OF_STORES = frozenset({"adoption", "adoption_races", "move_crashes", "task_rows", "transfers"})
ABOVE_STORES = tuple(name for name in CASES if name.partition(".")[0] not in _OF_STORES)
"""What hosts decide by themselves: in memory and on one server they say all that there is to say."""


@pytest.mark.parametrize(("backend", "name"), over_all_backends(CASES, ABOVE_STORES))
async def test_the_contract_is_kept(backend: str, name: str, server_url: Callable[[str], str]) -> None:
    """Each promise of ``lash_core.testing.conformance.background_tasks``."""
    await run_case(CASES[name], backend, server_url, "tasks-" + name.partition(".")[0])


@pytest.mark.in_memory
async def test_the_suite_runs_on_plain_stores() -> None:
    """Users have no virtual clock: on stores that nobody can move the cases pass as well."""
    assert [] == await failures_on_plain_stores(CASES)


async def test_the_keys_are_in_order_afterwards(server_url: Callable[[str], str]) -> None:
    """No run of the suite leaves keys that nothing names."""
    cases = {name: case for name, case in CASES.items() if name not in ABOVE_STORES}
    assert [] == await broken_keys_after(cases, server_url("valkey"), "tasks")


def test_every_case_states_its_promise() -> None:
    """A case without a docstring tells its reader nothing."""
    assert [] == without_a_promise(CASES)
