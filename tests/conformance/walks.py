"""Random walks of a state machine over two sets of stores: the in-memory ones are the specification.

Repeat a failure with ``LASH_TEST_SEED=<the printed seed>``. ``LASH_TEST_SHRINK=1`` looks for a shorter walk, for up to
5 min.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from lash_core.redis_store.stores import RedisStores
from lash_core.testing.conformance.stores import EffectStores
from tests.conformance.backends import open_stores
from tests.conformance.layout_invariants import broken_invariants

STEPS = 40

PairOf = Callable[[EffectStores, EffectStores, asyncio.AbstractEventLoop], object]
"""Makes a machine's ``pair``: of the specification, the stores under test, and the loop of both."""


def walk(
    machine: type[RuleBasedStateMachine], pair_of: PairOf, backend: str, url: str, *, namespace: str, walks: int
) -> None:
    """Walk ``LASH_TEST_WALKS`` or ``walks`` times over memory and the backend, then look for broken keys."""
    # Seeded by the test run, so that the run's seed repeats the walk, too.
    seed = int(os.environ.get("LASH_TEST_SEED") or random.getrandbits(32))
    sys.stdout.write(f"LASH_TEST_SEED={seed}\n")
    settings = hypothesis.settings(
        max_examples=int(os.environ.get("LASH_TEST_WALKS") or walks),
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        phases=[Phase.generate, *([Phase.shrink] if os.environ.get("LASH_TEST_SHRINK") else [])],
    )
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        stack = AsyncExitStack()
        try:
            left = loop.run_until_complete(stack.enter_async_context(open_stores("memory", "", "")))
            right = loop.run_until_complete(stack.enter_async_context(open_stores(backend, url, namespace)))
            paired = type("Machine", (machine,), {"pair": pair_of(left, right, loop)})
            run_state_machine_as_test(hypothesis.seed(seed)(paired), settings=settings)
            if isinstance(right, RedisStores):
                assert [] == loop.run_until_complete(broken_invariants(right))
        finally:
            loop.run_until_complete(stack.aclose())
