"""The trigger store keeps its contract on every store: each case of the suite over each backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from lash_core.memory_store.stores import InMemoryStores
from lash_core.testing.conformance.trigger_store import cases
from lash_core.testing.conformance.trigger_store.arrange import TriggerStores
from tests.conformance.backends import BACKENDS, open_stores

CASES = dict(cases())


def _parameters() -> list[object]:
    marks = {"cluster": [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]}
    return [
        pytest.param(backend, name, id=f"{backend}-{name}", marks=marks.get(backend, []))
        for backend in BACKENDS
        for name in CASES
    ]


@pytest.mark.parametrize(("backend", "name"), _parameters())
async def test_the_contract_is_kept(backend: str, name: str, server_url: Callable[[str], str]) -> None:
    """Each promise of ``lash_core.testing.conformance.trigger_store``, on stores whose clock can be moved."""
    async with open_stores(backend, server_url(backend), f"t-{name.partition('.')[0]}") as stores:
        await CASES[name](cast("TriggerStores", stores))


async def test_the_suite_runs_on_plain_stores() -> None:
    """Users have no virtual clock: on stores that nobody can move the cases wait for real, and still pass."""
    for case in CASES.values():
        async with InMemoryStores() as stores:
            await case(stores)


def test_every_case_states_its_promise() -> None:
    """A case without a docstring tells its reader nothing."""
    assert [] == [name for name, case in CASES.items() if not (case.__doc__ or "").strip()]
