"""How suites find their cases: the public ``async def case(stores)`` functions of a module or of several."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

AnyCase = Callable[[Any], Awaitable[None]]


def cases_in(module: ModuleType) -> Iterator[tuple[str, AnyCase]]:
    """The cases of a module as ``(<module>.<function>, function)``, as written: what takes ``stores`` and is public."""
    prefix = module.__name__.rpartition(".")[2]
    for name, function in vars(module).items():
        if (
            not name.startswith("_")
            and inspect.iscoroutinefunction(function)
            and function.__module__ == module.__name__
            and list(inspect.signature(function).parameters) == ["stores"]
        ):
            yield f"{prefix}.{name}", function


def cases_of(modules: Sequence[ModuleType]) -> Iterator[tuple[str, AnyCase]]:
    """The cases of several modules, in a stable order: by module, then as written."""
    for module in modules:
        yield from cases_in(module)
