"""Journals keep their contract on every store."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lash_core.testing.conformance.effect_journal import cases
from tests.conformance.suites import (
    broken_keys_after,
    failures_on_plain_stores,
    over_all_backends,
    run_case,
    without_a_promise,
)

CASES = dict(cases())
_ALONE = {
    "journal_limits.the_number_of_entries_is_bounded",
    "journal_limits.the_bytes_of_a_journal_are_bounded",
    "forget_effects.what_is_touched_stays",
    "forget_effects.the_limit_bounds_a_call",
    "forget_effects.promises_of_an_operation_go_with_it",
}
"""These look at all scopes of the stores, or keep the loop busy for longer than a short lease lives."""


@pytest.mark.parametrize(("backend", "name"), over_all_backends(CASES))
async def test_the_contract_is_kept(backend: str, name: str, server_url: Callable[[str], str]) -> None:
    """Each promise of ``lash_core.testing.conformance.effect_journal``."""
    await run_case(CASES[name], backend, server_url, "journal-" + name.partition(".")[0])


@pytest.mark.in_memory
async def test_the_suite_runs_on_plain_stores() -> None:
    """Users have no virtual clock: on stores that nobody can move the cases wait for real, and still pass."""
    assert [] == await failures_on_plain_stores(CASES, _ALONE)


async def test_the_keys_are_in_order_afterwards(server_url: Callable[[str], str]) -> None:
    """No outcome without an entry, and no scope that is never forgotten."""
    quick = {name: case for name, case in CASES.items() if not name.startswith("journal_limits")}
    assert [] == await broken_keys_after(quick, server_url("valkey"), "journal")


def test_every_case_states_its_promise() -> None:
    """A case without a docstring tells its reader nothing."""
    assert [] == without_a_promise(CASES)
