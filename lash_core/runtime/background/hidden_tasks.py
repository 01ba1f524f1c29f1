"""Hidden tasks: plumbing that has no name and is awaited at barriers (``docs/contracts/background_tasks.md`` 3)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from lash_core.errors import PluginSessionError
from lash_core.errors.background_task import BackgroundTaskError
from lash_core.runtime.failure_texts import text_of

HIDDEN_TASKS_MAX = 10_000
"""Of one scope at once: each costs a task of the loop."""

_log = logging.getLogger(__name__)


class HiddenTasks:
    """The hidden tasks of many scopes, in the order in which they were spawned."""

    def __init__(self) -> None:
        self._by_scope: dict[str, list[asyncio.Task[object]]] = {}

    def spawn(self, scope_key: str, label: str, task: Callable[[], Awaitable[object]] | Awaitable[object]) -> None:
        """Start one at once.

        Raises:
            BackgroundTaskError: the scope has 10,000 that nobody awaited.
        """
        tasks = self._by_scope.setdefault(scope_key, [])
        if len(tasks) >= HIDDEN_TASKS_MAX:
            discard_work(task)
            raise BackgroundTaskError(
                f"this scope has {HIDDEN_TASKS_MAX} hidden tasks that were not awaited; that is the limit",
                field="label",
                value=label,
                limit=HIDDEN_TASKS_MAX,
            )
        run = asyncio.create_task(_run(task), name=f"hidden {label}")
        # One that is cancelled before its first step never awaits what it was given.
        run.add_done_callback(lambda _: discard_work(task))
        tasks.append(run)

    async def await_all(self, scope_key: str) -> None:
        """Await them in order, and those that they spawn, until none is left; a waiter's cancel stops no task.

        Raises:
            PluginSessionError: the first error, after all of them ended; from inside a hidden task of the scope.
        """
        failed: asyncio.Task[object] | None = None
        while tasks := self._by_scope.get(scope_key):
            if asyncio.current_task() in tasks:
                raise BackgroundTaskError("a hidden task cannot wait for the hidden tasks of its own scope")
            task = tasks[0]
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:
                if failed is not None:
                    # What it had to say is for the next barrier.
                    self._by_scope.setdefault(scope_key, []).insert(0, failed)
                raise
            # Two may wait at once: an error is told to the first of them, once.
            if tasks and tasks[0] is task:
                del tasks[0]
                if failed is None and _failure_of(task) is not None:
                    failed = task
            if not tasks and self._by_scope.get(scope_key) is tasks:
                del self._by_scope[scope_key]
        if failed is not None and (failure := _failure_of(failed)) is not None:
            raise failure

    def cancel_all(self, scope_key: str) -> tuple[asyncio.Task[object], ...]:
        """Cancel what still runs and forget the scope; answers what to wait for. What failed unheard is logged."""
        tasks = self._by_scope.pop(scope_key, [])
        for task in tasks:
            if not task.done():
                task.cancel()
            elif (failure := _failure_of(task)) is not None:
                _log.warning("%s", failure)
        return tuple(task for task in tasks if not task.done())

    @property
    def scope_keys(self) -> tuple[str, ...]:
        """Scopes with hidden tasks that nobody awaited."""
        return tuple(self._by_scope)


async def _run(work: Callable[[], Awaitable[object]] | Awaitable[object]) -> object:
    return await (work() if callable(work) else work)


def discard_work(work: object) -> None:
    """Let go of work that is not begun: a coroutine that nobody awaits would warn."""
    close = getattr(work, "close", None)
    if not callable(work) and callable(close):
        with contextlib.suppress(Exception):
            close()


def _failure_of(task: asyncio.Task[object]) -> PluginSessionError | None:
    if task.cancelled():
        return BackgroundTaskError(f"hidden background task failed: {task.get_name()} was cancelled")
    error = task.exception()
    if error is None or isinstance(error, PluginSessionError):
        return error
    failure = BackgroundTaskError(f"hidden background task failed: {text_of(error)}")
    failure.__cause__ = error
    return failure
