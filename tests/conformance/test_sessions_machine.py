"""Random walks over sessions of two stores at once: the in-memory ones are the specification, the others must agree."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conformance.paired_sessions import PairedSessions
from tests.conformance.turns_machine import TurnsMachine
from tests.conformance.walks import walk

# About 4 s on two slow cores over a real server; walks over memory cost a tenth.
WALKS = 20


@pytest.mark.timeout(300)
@pytest.mark.parametrize("backend", [pytest.param("memory", marks=pytest.mark.in_memory), "valkey"])
def test_random_walks_agree_with_the_in_memory_stores(backend: str, server_url: Callable[[str], str]) -> None:
    """Every verb of leases, queue, inputs, turns and commits, and time, with stale and forged leases."""
    walk(TurnsMachine, PairedSessions, backend, server_url(backend), namespace="session-walks", walks=WALKS)
