"""Waiting for a session to change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

_POLL_FIRST_MS = 25
_POLL_MAX_MS = 1_000
"""Behind the notices: prompt at first, one read a second for an answer that takes long."""


async def turns_of_a_wait(heard: asyncio.Event, *, only_one: bool) -> AsyncGenerator[None]:
    """One turn at once, then one with each notice, and now and then without. Raises: TimeoutError: ``only_one``."""
    pause_ms = _POLL_FIRST_MS
    while True:
        heard.clear()
        yield
        if only_one:
            raise TimeoutError
        try:
            async with asyncio.timeout(pause_ms / 1_000):
                await heard.wait()
            pause_ms = _POLL_FIRST_MS
        except TimeoutError:
            pause_ms = min(2 * pause_ms, _POLL_MAX_MS)
