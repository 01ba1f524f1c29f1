"""Collecting the cases of a suite: the public ``async def case(stores)`` functions of its modules, as written."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

AnyCase = Callable[[Any], Awaitable[None]]


def cases_of(modules: Sequence[ModuleType]) -> Iterator[tuple[str, AnyCase]]:
    """Every case as ``(<module>.<function>, function)``, in a stable order: by module, then as written."""
    for module in modules:
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
