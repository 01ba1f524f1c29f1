"""A command that follows ends when nobody reads what it prints: ``lash session watch ID | head -1``."""

from __future__ import annotations

import asyncio
import errno
import select
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

LOOK_SECONDS = 0.5
"""A session may be silent for days, and only a write would say that its reader has gone."""


async def while_read(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` to its end.

    Raises:
        BrokenPipeError: the reader of our output has gone. What ``work`` raises.
    """
    working = asyncio.create_task(work)
    watching = asyncio.create_task(_until_nobody_reads())
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise BrokenPipeError(errno.EPIPE, "nobody reads this")
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _until_nobody_reads() -> None:
    try:
        output = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):
        # Closed, or kept by whoever runs this: there is no other end.
        await asyncio.Event().wait()
        return
    poller = select.poll()
    # Asked for nothing: that the other end is gone is always told, and a file has none.
    poller.register(output, 0)
    while not any(told & (select.POLLERR | select.POLLHUP) for _, told in poller.poll(0)):  # noqa: ASYNC110 - nothing in this process tells
        await asyncio.sleep(LOOK_SECONDS)
