"""A runtime's handle keeps its contract over every store (``docs/contracts/observation.md`` 5)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lash_core.testing.conformance import observation
from tests.conformance.suites import (
    broken_keys_after,
    failures_on_plain_stores,
    over_all_backends,
    run_case,
    without_a_promise,
)

CASES = dict(observation.cases())


@pytest.mark.parametrize(("backend", "name"), over_all_backends(CASES, without=["debian-redis"]))
async def test_the_contract_is_kept(backend: str, name: str, server_url: Callable[[str], str]) -> None:
    """Each promise of the suite."""
    await run_case(CASES[name], backend, server_url, "watched-" + name.partition(".")[0])


@pytest.mark.in_memory
async def test_the_suite_runs_on_plain_stores() -> None:
    """Users have no virtual clock: on stores that nobody can move the cases pass as well."""
    assert [] == await failures_on_plain_stores(CASES)


async def test_the_keys_are_in_order_afterwards(server_url: Callable[[str], str]) -> None:
    """No run of the suite leaves keys that nothing names."""
    assert [] == await broken_keys_after(CASES, server_url("valkey"), "watched")


def test_every_case_states_its_promise() -> None:
    """A case without a docstring tells its reader nothing."""
    assert [] == without_a_promise(CASES)
