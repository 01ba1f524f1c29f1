"""Who follows something goes on by itself when the store is away for a while, as a watch of a session does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from lash_core.errors import OutcomeUnknownError, StoreClosedError, StoreRefusedError, StoreUnreachableError

RETRY_DELAY_MS = 100
RETRY_DELAY_MAX_MS = 2_000
"""A store that fails is asked again: promptly at first, every two seconds while it stays away."""

_AWAY = (StoreUnreachableError, StoreRefusedError, OutcomeUnknownError)

T = TypeVar("T")

_log = logging.getLogger(__name__)


async def patiently(who: str, ask: Callable[[], Awaitable[T]]) -> T:
    """Ask the store, for as long as it takes; the log says once that somebody waits, and once that it is over.

    Args:
        who: waits, for the log.
        ask: may be repeated.

    Raises:
        StoreClosedError: it was this program that closed the store. What else than a store that is away ``ask`` raises.
    """
    delay_ms, waits = RETRY_DELAY_MS, False
    while True:
        try:
            answer = await ask()
        except StoreClosedError:
            raise
        except _AWAY as error:
            if not waits:
                _log.warning("%s waits for the store: %s", who, error)
            waits = True
        else:
            if waits:
                _log.warning("%s goes on", who)
            return answer
        await asyncio.sleep(delay_ms / 1_000)
        delay_ms = min(2 * delay_ms, RETRY_DELAY_MAX_MS)
