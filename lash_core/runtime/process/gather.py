"""Waiting for several things at once, with the same end on every replay (docs/adr/0108)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

from lash_core.errors import RuntimeFailure
from lash_core.model.effect import EffectKind, RuntimeEffectEnvelope, RuntimeEffectOutcome
from lash_core.runtime.process.verbs import RunVerbs

GATHER_FAILED = "gather_failed"


class Gatherings:
    """The gatherings of one run."""

    __slots__ = ("_tasks", "_verbs")

    def __init__(self, verbs: RunVerbs) -> None:
        self._verbs = verbs
        self._tasks: set[asyncio.Task[Any]] = set()

    async def gather(self, things: Sequence[Awaitable[Any]], *, return_exceptions: bool) -> list[Any]:
        """See ``ProcessContext.gather``."""
        number = self._verbs.count("gather")
        tasks = [self._task(thing) for thing in things]
        if not tasks:
            return []
        try:
            if return_exceptions:
                await asyncio.wait(tasks)
                return [_outcome(task) for task in tasks]
            await self._first_failure(tasks, f"gather:{number}")
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            # As asyncio.gather: what was waited for has ended before its waiter goes on.
            await asyncio.wait(tasks)
            raise
        return [task.result() for task in tasks]

    async def _first_failure(self, tasks: list[asyncio.Task[Any]], effect_id: str) -> None:
        """Return when all are done; raise the first failure, which one that is being recorded."""
        journal = self._verbs.journal
        if journal is not None and journal.find(self._verbs.key(effect_id)) is not None:
            index = await self._recorded_index(effect_id, -1)
            if 0 <= index < len(tasks):
                await asyncio.wait([tasks[index]])
                tasks[index].result()
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        failed = [index for index, task in enumerate(tasks) if task.done() and _failed(task)]
        if not failed:
            return
        if journal is not None and not journal.refused and not tasks[failed[0]].cancelled():
            await self._recorded_index(effect_id, failed[0])
        tasks[failed[0]].result()

    async def _recorded_index(self, effect_id: str, index: int) -> int:
        """Which one was first: a recorded failure, so that a retry of the whole process forgets it with the others."""

        async def execute(envelope: RuntimeEffectEnvelope) -> RuntimeEffectOutcome:
            del envelope
            raise RuntimeFailure(GATHER_FAILED, f"number {index} failed first", raw={"index": index})

        try:
            await self._verbs.effect(effect_id, EffectKind.DURABLE_STEP, {"step_id": effect_id}, execute)
        except RuntimeFailure as failure:
            if failure.code != GATHER_FAILED:
                raise
            raw: Any = failure.raw
            return int(raw["index"])
        return -1

    def _task(self, thing: Awaitable[Any]) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(_awaited(thing))
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # The others of a failed gathering go on, and nobody asks how they end.
            task.exception()

    def close(self) -> None:
        """The function is over: what still runs is cancelled."""
        for task in tuple(self._tasks):
            task.cancel()


async def _awaited(thing: Awaitable[Any]) -> Any:
    return await thing


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.cancelled() or task.exception() is not None


def _outcome(task: asyncio.Task[Any]) -> Any:
    if task.cancelled():
        return asyncio.CancelledError()
    return task.exception() or task.result()
