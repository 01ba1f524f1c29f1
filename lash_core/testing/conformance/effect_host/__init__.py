"""The conformance suite of journaling effect hosts: what a recorded effect promises (contract 5.2 to 5.5).

It runs through ``stores.effect_host``. Cases run as those of ``process_registry`` do: own ids, any order, one at a time
per set of stores. Which case notices which broken rule is listed in docs/adr/0100.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from lash_core.testing.conformance.effect_host import hosts, run_effects, run_promises, scoped_effects
from lash_core.testing.conformance.stores import EffectHostStores
from lash_core.testing.conformance.suite import cases_of

Case = Callable[[EffectHostStores], Awaitable[None]]

_MODULES = (hosts, scoped_effects, run_effects, run_promises)


def cases() -> Iterator[tuple[str, Case]]:
    """Every case as ``(<module>.<function>, function)``, in a stable order: by subject, then as written."""
    return cases_of(_MODULES)
