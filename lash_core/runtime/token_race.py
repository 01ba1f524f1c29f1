"""Waits that end with a cancel token."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

from lash_core.runtime.cancellation import CancellationToken


async def unless_cancelled(token: CancellationToken, wait: Coroutine[Any, Any, Any]) -> bool:
    """Run ``wait`` to its end (True), or end it when the token is fired first (False). What it raises is raised.

    One turn of the loop lies between the end of ``wait`` and the caller: a run that goes on says so before it could be
    taken for one that rests.
    """
    if token.cancelled:
        wait.close()
        return False
    loop, fired = asyncio.get_running_loop(), False
    task = asyncio.ensure_future(wait)

    def fire() -> None:
        nonlocal fired
        fired = True
        task.cancel()

    forget = token.on_cancel(lambda: _tell(loop, fire))
    try:
        await task
    except asyncio.CancelledError:
        caller = asyncio.current_task()
        if fired and task.cancelled() and (caller is None or not caller.cancelling()):
            return False
        raise
    finally:
        forget()
    return True


async def end_tasks(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel what still runs and return when it has ended; errors of tasks that nobody asked for are dropped."""
    left = [task for task in tasks if not task.done()]
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left)
    for task in tasks:
        if not task.cancelled():
            task.exception()


def _tell(loop: asyncio.AbstractEventLoop, fire: Any) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(fire)
