"""Expectations that need more than one ``assert``: refusals with their text, and states reached within a bound."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any, Generic, TypeVar

from lash_core.errors import LashError
from lash_core.model.base import Model

ErrorT = TypeVar("ErrorT", bound=LashError)


class Refusal(Generic[ErrorT]):
    """The error of a refused call, readable after the block."""

    def __init__(self) -> None:
        self._error: ErrorT | None = None

    @property
    def error(self) -> ErrorT:
        """The error.

        Raises:
            AssertionError: the block was not left yet.
        """
        if self._error is None:
            raise AssertionError("the refusal is known after its block only")
        return self._error

    def keep(self, error: ErrorT) -> None:
        """Remember the error."""
        self._error = error


@contextmanager
def refused(error_type: type[ErrorT], *substrings: str) -> Generator[Refusal[ErrorT]]:
    """Expect the block to raise ``error_type`` with every substring in its text.

    Raises:
        AssertionError: nothing was raised, or the text lacks a substring. Errors of other types pass through.
    """
    refusal: Refusal[ErrorT] = Refusal()
    try:
        yield refusal
    except error_type as error:
        for substring in substrings:
            assert substring in str(error), f"{substring!r} is not in {str(error)!r}"
        refusal.keep(error)
    else:
        raise AssertionError(f"expected {error_type.__name__}; the call was accepted")


async def reached(predicate: Callable[[], Awaitable[bool]], *, within_ms: int = 5_000) -> None:
    """Wait until ``predicate`` holds, asking every 5 ms.

    Raises:
        AssertionError: it did not hold within ``within_ms``.
    """
    deadline = time.monotonic() + within_ms / 1_000
    while not await predicate():
        if time.monotonic() > deadline:
            raise AssertionError(f"not reached within {within_ms} ms")
        await asyncio.sleep(0.005)


def spoil(value: Any) -> None:
    """Change whatever can be changed within a value: lists and objects of JSON, however deep in records."""
    match value:
        case dict():
            for item in list(value.values()):
                spoil(item)
            value["spoilt"] = True
        case list():
            for item in list(value):
                spoil(item)
            value.append("spoilt")
        case tuple():
            for item in value:
                spoil(item)
        case Model():
            for name in type(value).model_fields:
                spoil(getattr(value, name))
        case _ if is_dataclass(value) and not isinstance(value, type):
            for part in fields(value):
                spoil(getattr(value, part.name))
        case _:
            pass
