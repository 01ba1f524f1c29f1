"""A suite over every backend: what each test file of a suite has in common."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext

import pytest

from lash_core.errors import LashError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.redis_store.stores import RedisStores
from lash_core.testing.conformance.suite import AnyCase
from tests.conformance.backends import BACKENDS, open_stores
from tests.conformance.layout_invariants import broken_invariants

BESIDE_EACH_OTHER_MAX = 24
"""Cases at once on stores without a virtual clock: enough to hide their real waits, few enough to meet their leases."""


def over_all_backends(
    cases: Collection[str], slow: Collection[str] = (), without: Collection[str] = ()
) -> list[object]:
    """``(backend, name)`` of each case on each backend; slow ones in memory and on one server only.

    ``without`` names backends to leave out: what is built on stores need not meet every server again.
    """
    marks = {
        "memory": [pytest.mark.in_memory],
        "cluster": [pytest.mark.cluster, pytest.mark.xdist_group("cluster")],
    }
    return [
        pytest.param(backend, name, id=f"{backend}-{name}", marks=marks.get(backend, []))
        for backend in BACKENDS
        if backend not in without
        for name in cases
        if name not in slow or backend in ("memory", "valkey")
    ]


async def run_case(case: AnyCase, backend: str, server_url: Callable[[str], str], label: str) -> None:
    """One case on stores whose clock can be moved; a namespace per label."""
    namespace = f"c-{label}".replace("_", "-")[:32].rstrip("-")
    async with open_stores(backend, server_url(backend), namespace) as stores:
        await case(stores)


async def failures_on_plain_stores(cases: Mapping[str, AnyCase], left_out: Collection[str] = ()) -> list[str]:
    """Run the cases beside each other on one set of stores whose clock nobody can move; what failed, as text."""
    async with InMemoryStores() as stores:
        wanted = {name: case for name, case in cases.items() if name not in left_out}
        return await _failures(wanted, lambda: nullcontext(stores))


async def failures_on_stores_of_their_own(cases: Mapping[str, AnyCase]) -> list[str]:
    """As ``failures_on_plain_stores``, for cases that look at everything in their stores."""
    return await _failures(cases, InMemoryStores)


async def _failures(
    cases: Mapping[str, AnyCase], opened: Callable[[], AbstractAsyncContextManager[InMemoryStores]]
) -> list[str]:
    """Beside each other first; what fails so is judged by a run alone: its real leases may have met a busy machine."""
    room = asyncio.Semaphore(BESIDE_EACH_OTHER_MAX)

    async def run(name: str) -> str | None:
        async with room, opened() as stores:
            try:
                await cases[name](stores)
            except (AssertionError, LashError) as error:
                return f"{name}: {error}"
        return None

    answers = await asyncio.gather(*(run(name) for name in cases))
    again = [await run(name) for name, answer in zip(cases, answers, strict=True) if answer is not None]
    return [answer for answer in again if answer is not None]


def without_a_promise(cases: Mapping[str, AnyCase]) -> list[str]:
    """Cases without a docstring: they tell their reader nothing."""
    return [name for name, case in cases.items() if not (case.__doc__ or "").strip()]


async def broken_keys_after(cases: Mapping[str, AnyCase], url: str, label: str) -> list[str]:
    """Run the cases one after another in a namespace of one server; what of its keys is out of order then, as text."""
    async with RedisStores.connect(url, namespace=f"k-{label}", test_clock=True) as stores:
        for case in cases.values():
            await case(stores)
        return await broken_invariants(stores)
