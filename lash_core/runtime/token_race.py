"""Waits that end with a cancel token."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

from lash_core.runtime.cancellation import CancellationToken


async def unless_cancelled(token: CancellationToken, wait: Coroutine[Any, Any, Any]) -> bool:
    """Run ``wait`` to its end (True), or end it when the token is fired first (False). What it raises is raised."""
    if token.cancelled:
        wait.close()
        return False
    task = asyncio.ensure_future(wait)
    fired = asyncio.ensure_future(token.wait())
    try:
        await asyncio.wait({task, fired}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            return False
        task.result()
        return True
    finally:
        await end_tasks((task, fired))


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
