"""The order in which the calls of one round run (docs/adr/0192): beside each other, but for the serial ones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

from lash_core.runtime.token_race import end_tasks

T = TypeVar("T")

PARALLEL_MAX = 64
"""Calls of one round that run at once: a model may ask for hundreds, and each may hold a connection or a thread."""


async def run_in_order(
    serial: Sequence[bool], work: Callable[[int], Awaitable[T]], *, parallel_max: int = PARALLEL_MAX
) -> list[T]:
    """Run one piece of work an item and answer the results in the order of the items.

    An item that is serial begins when all before it have ended, and those after it begin when it has.

    Raises:
        Whatever the first failing piece raises; the others are cancelled and have ended by then.
    """
    results: list[T] = []
    for group in _groups(serial):
        results += await _together(group, work, parallel_max)
    return results


def _groups(serial: Sequence[bool]) -> Iterator[list[int]]:
    """Indexes that may run together, in order."""
    group: list[int] = []
    for index, alone in enumerate(serial):
        if alone and group:
            yield group
            group = []
        if alone:
            yield [index]
        else:
            group.append(index)
    if group:
        yield group


async def _together(group: Sequence[int], work: Callable[[int], Awaitable[T]], parallel_max: int) -> list[T]:
    if len(group) == 1:
        return [await work(group[0])]
    slots = asyncio.Semaphore(parallel_max)

    async def one(index: int) -> T:
        async with slots:
            return await work(index)

    tasks = [asyncio.ensure_future(one(index)) for index in group]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
        return [task.result() for task in tasks]
    finally:
        await end_tasks(tasks)
