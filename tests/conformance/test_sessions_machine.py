"""Random walks over sessions of two stores at once: the in-memory ones are the specification, the others must agree."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis.stateful import run_state_machine_as_test

from lash_core.redis_store.stores import RedisStores
from tests.conformance.backends import open_stores
from tests.conformance.layout_invariants import broken_invariants
from tests.conformance.paired_sessions import PairedSessions
from tests.conformance.turns_machine import TurnsMachine

# About 4 s on two slow cores over a real server; walks over memory cost a tenth.
WALKS = int(os.environ.get("LASH_TEST_WALKS") or 20)
STEPS = 40


@pytest.mark.timeout(300)
@pytest.mark.parametrize("backend", ["memory", "valkey"])
def test_random_walks_agree_with_the_in_memory_stores(backend: str, server_url: Callable[[str], str]) -> None:
    """Every verb of leases, queue, inputs, turns and commits, and time, with stale and forged leases.

    Repeat a failure with ``LASH_TEST_SEED=<the printed seed>``.
    ``LASH_TEST_SHRINK=1`` looks for a shorter walk, for up to 5 min.
    """
    seed = int(os.environ.get("LASH_TEST_SEED") or secrets.randbits(32))
    sys.stdout.write(f"LASH_TEST_SEED={seed}\n")
    settings = hypothesis.settings(
        max_examples=WALKS,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        phases=[Phase.generate, *([Phase.shrink] if os.environ.get("LASH_TEST_SHRINK") else [])],
    )
    url = server_url(backend)
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        stack = AsyncExitStack()
        try:
            left = loop.run_until_complete(stack.enter_async_context(open_stores("memory", "", "")))
            right = loop.run_until_complete(stack.enter_async_context(open_stores(backend, url, "session-walks")))

            class Machine(TurnsMachine):
                pair = PairedSessions(left, right, loop)

            run_state_machine_as_test(hypothesis.seed(seed)(Machine), settings=settings)
            if isinstance(right, RedisStores):
                assert [] == loop.run_until_complete(broken_invariants(right))
        finally:
            loop.run_until_complete(stack.aclose())
