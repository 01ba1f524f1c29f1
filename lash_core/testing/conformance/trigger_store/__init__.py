"""The conformance suite of ``lash_core.store.trigger_store.TriggerStore``: one module per part of the contract.

Each case is ``async def case(stores) -> None`` and states its promise in its docstring. Cases make their own names, so
one set of stores serves all of them, in any order and beside other triggers. Run them one at a time per set of stores:
some move the stores' clock, and some prune.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator
from types import ModuleType

from lash_core.testing.conformance.trigger_store import (
    deliveries,
    limits,
    listing,
    occurrences,
    own_copies,
    receipts,
    schedules,
    subscriptions,
)
from lash_core.testing.conformance.trigger_store.arrange import TriggerStores

Case = Callable[[TriggerStores], Awaitable[None]]

_MODULES: tuple[ModuleType, ...] = (
    subscriptions,
    receipts,
    listing,
    occurrences,
    deliveries,
    schedules,
    limits,
    own_copies,
)


def cases() -> Iterator[tuple[str, Case]]:
    """Every case as ``(<module>.<function>, function)``, in a stable order."""
    for module in _MODULES:
        name = module.__name__.rpartition(".")[2]
        for case_name, function in vars(module).items():
            if _is_case(module, case_name, function):
                yield f"{name}.{case_name}", function


def _is_case(module: ModuleType, name: str, function: object) -> bool:
    return (
        not name.startswith("_")
        and inspect.iscoroutinefunction(function)
        and function.__module__ == module.__name__
        and list(inspect.signature(function).parameters) == ["stores"]
    )
