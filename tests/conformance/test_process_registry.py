"""The process registry keeps its contract on every store: each case of the suite over each backend."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from lash_core.errors import LashError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.testing.conformance.process_registry import Case, cases
from tests.conformance.backends import BACKENDS, open_stores

CASES = dict(cases())
_ALONE = {
    "prune_terminal_processes.without_a_filter_every_ended_row_is_a_candidate",
    "count_processes.counters_per_status_agree_with_the_lists",
    "limits.the_number_of_events_is_bounded",
    "limits.the_bytes_of_a_log_are_bounded",
}
"""These look at all rows of the stores, or keep the loop busy for longer than a short lease lives."""
BESIDE_EACH_OTHER_MAX = 24
"""Cases at once on stores without a virtual clock: enough to hide their real waits, few enough to meet their leases."""


def _parameters() -> list[object]:
    marks = {"cluster": [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]}
    return [
        pytest.param(backend, name, id=f"{backend}-{name}", marks=marks.get(backend, []))
        for backend in BACKENDS
        for name in CASES
    ]


@pytest.mark.parametrize(("backend", "name"), _parameters())
async def test_the_contract_is_kept(backend: str, name: str, server_url: Callable[[str], str]) -> None:
    """Each promise of ``lash_core.testing.conformance.process_registry``, on stores whose clock can be moved."""
    operation = name.partition(".")[0].replace("_", "-")
    async with open_stores(backend, server_url(backend), f"c-{operation}"[:32].rstrip("-")) as stores:
        await CASES[name](stores)


async def test_the_suite_runs_on_plain_stores() -> None:
    """Users have no virtual clock: on stores that nobody can move the cases wait for real, and still pass."""
    room = asyncio.Semaphore(BESIDE_EACH_OTHER_MAX)
    async with InMemoryStores() as stores:

        async def run(name: str, case: Case) -> str | None:
            async with room:
                try:
                    await case(stores)
                except (AssertionError, LashError) as error:
                    return f"{name}: {error}"
            return None

        answers = await asyncio.gather(*(run(name, case) for name, case in CASES.items() if name not in _ALONE))

    assert [] == [answer for answer in answers if answer is not None]


def test_every_case_states_its_promise() -> None:
    """A case without a docstring tells its reader nothing."""
    assert [] == [name for name, case in CASES.items() if not (case.__doc__ or "").strip()]


def test_names_are_unique_and_stable() -> None:
    """A name is how a user selects and reports a case."""
    names = [name for name, _ in cases()]

    assert len(names) == len(set(names))
    assert names == [name for name, _ in cases()]
