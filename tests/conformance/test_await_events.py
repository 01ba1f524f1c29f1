"""Promises keep their contract on every store."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lash_core.testing.conformance.await_events import cases
from tests.conformance.suites import failures_on_plain_stores, over_all_backends, run_case, without_a_promise

CASES = dict(cases())
_LONG = {
    "resolve_promise.the_promises_of_a_process_are_bounded",
    "resolve_promise.the_promises_of_a_session_are_bounded",
}
"""These make ten thousand promises and keep the loop busy for longer than a short wait lasts."""


@pytest.mark.parametrize(("backend", "name"), over_all_backends(CASES, _LONG))
async def test_the_contract_is_kept(backend: str, name: str, server_url: Callable[[str], str]) -> None:
    """Each promise of ``lash_core.testing.conformance.await_events``."""
    await run_case(CASES[name], backend, server_url, "promises-" + name.partition(".")[0])


@pytest.mark.in_memory
async def test_the_suite_runs_on_plain_stores() -> None:
    """Users have no virtual clock: on stores that nobody can move the cases wait for real, and still pass."""
    assert [] == await failures_on_plain_stores(CASES, _LONG)


def test_every_case_states_its_promise() -> None:
    """A case without a docstring tells its reader nothing."""
    assert [] == without_a_promise(CASES)
