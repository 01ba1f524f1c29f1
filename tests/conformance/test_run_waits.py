"""Waits of runs keep their contract on every store."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lash_core.testing.conformance.run_waits import cases
from tests.conformance.suites import (
    broken_keys_after,
    failures_on_plain_stores,
    over_all_backends,
    run_case,
    without_a_promise,
)

CASES = dict(cases())


@pytest.mark.parametrize(("backend", "name"), over_all_backends(CASES))
async def test_the_contract_is_kept(backend: str, name: str, server_url: Callable[[str], str]) -> None:
    """Each promise of ``lash_core.testing.conformance.run_waits``."""
    await run_case(CASES[name], backend, server_url, "waits-" + name.partition(".")[0])


@pytest.mark.in_memory
async def test_the_suite_runs_on_plain_stores() -> None:
    """Users have no virtual clock: on stores that nobody can move the cases wait for real, and still pass."""
    assert [] == await failures_on_plain_stores(CASES)


async def test_the_keys_are_in_order_afterwards(server_url: Callable[[str], str]) -> None:
    """No outcome without an entry, no watcher of an ended row, no row that is neither offered nor held."""
    assert [] == await broken_keys_after(CASES, server_url("valkey"), "waits")


def test_every_case_states_its_promise() -> None:
    """A case without a docstring tells its reader nothing."""
    assert [] == without_a_promise(CASES)
