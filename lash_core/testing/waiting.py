"""Waiting in tests: a predicate with a deadline, never a sleep."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable

DEADLINE_MS = 15_000
"""Costs nothing where the predicate comes true, and outlasts the pauses of a busy machine where it takes its time."""


async def eventually(
    predicate: Callable[[], bool | Awaitable[bool]], within_ms: int = DEADLINE_MS, every_ms: int = 5
) -> None:
    """Wait until the predicate holds. Raises: AssertionError after ``within_ms``."""
    deadline = time.monotonic() + within_ms / 1_000
    while True:
        answer = predicate()
        if await answer if inspect.isawaitable(answer) else answer:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"not true within {within_ms} ms")
        await asyncio.sleep(every_ms / 1_000)


def eventually_sync(predicate: Callable[[], bool], within_ms: int = DEADLINE_MS, every_ms: int = 5) -> None:
    """``eventually`` without a loop."""
    deadline = time.monotonic() + within_ms / 1_000
    while not predicate():
        if time.monotonic() > deadline:
            raise AssertionError(f"not true within {within_ms} ms")
        time.sleep(every_ms / 1_000)
