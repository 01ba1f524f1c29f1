"""Session stores keep their contract: leases, queue, inputs, journals, commits, the factory and the fleet's claims."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lash_core.testing.conformance import queued_work, session_lease
from tests.conformance.suites import run_case, without_a_promise

SUITES = {"lease": session_lease, "queue": queued_work}
CASES = {f"{label}.{name}": case for label, suite in SUITES.items() for name, case in suite.cases()}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("backend", ["memory"])
async def test_the_contract_is_kept(backend: str, name: str, server_url: Callable[[str], str]) -> None:
    """Each promise of the suites, on stores whose clock can be moved."""
    await run_case(CASES[name], backend, server_url, "s-" + "-".join(name.split(".")[:2]))


def test_every_case_states_its_promise() -> None:
    """A case without a docstring tells its reader nothing."""
    assert [] == without_a_promise(CASES)
