"""Watching sessions keeps its contract over every store."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lash_core.runtime.observation import commit_repair
from lash_core.testing.conformance.watching import cases
from tests.conformance.suites import failures_on_plain_stores, over_all_backends, run_case, without_a_promise

CASES = dict(cases())


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody publishes late in these cases, so that nobody has to be waited for."""
    monkeypatch.setattr(commit_repair, "GRACE_MS", 20)


@pytest.mark.parametrize(("backend", "name"), over_all_backends(CASES))
async def test_the_contract_is_kept(backend: str, name: str, server_url: Callable[[str], str]) -> None:
    """Each promise of ``lash_core.testing.conformance.watching``."""
    await run_case(CASES[name], backend, server_url, "watching-" + name.partition(".")[0])


@pytest.mark.in_memory
async def test_the_suite_runs_on_plain_stores() -> None:
    """Users have no virtual clock: on stores that nobody can move the cases pass as well."""
    assert [] == await failures_on_plain_stores(CASES)


@pytest.mark.in_memory
def test_every_case_states_its_promise() -> None:
    """A case without a docstring tells its reader nothing."""
    assert [] == without_a_promise(CASES)
