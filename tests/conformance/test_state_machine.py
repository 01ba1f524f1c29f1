"""Random walks over two stores at once: the in-memory registry is the specification, and the other must agree."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conformance.effects_machine import EffectsMachine
from tests.conformance.paired_stores import PairedStores
from tests.conformance.registry_machine import RegistryMachine
from tests.conformance.walks import walk

# About 20 s on two slow cores over a real server; walks over memory cost a tenth.
WALKS = 40


@pytest.mark.timeout(300)
@pytest.mark.parametrize("backend", [pytest.param("memory", marks=pytest.mark.in_memory), "valkey"])
@pytest.mark.parametrize("machine", [RegistryMachine, EffectsMachine])
def test_random_walks_agree_with_the_in_memory_stores(
    backend: str, machine: type[RegistryMachine], server_url: Callable[[str], str]
) -> None:
    """Every verb of rows, and of journals, promises, waits and watchers, and time, with stale and forged leases."""
    walk(machine, PairedStores, backend, server_url(backend), namespace="walks", walks=WALKS)
