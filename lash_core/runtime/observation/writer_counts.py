"""What a writer of live events did, and the log of what it could not do."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from lash_core.errors.observation import LiveReplayStoreError

_log = logging.getLogger(__name__)

LOG_EVERY_S = 1.0
"""Between two warnings: a ring that cannot be reached fails for every session and every event."""


@dataclass(slots=True)
class WriterCounts:
    """What a writer did since it was made.

    Attributes:
        appended: events in the rings.
        dropped: events that are in none: too many queued, a store that failed.
        stale: events of a lease generation that was over.
        failures: appends that failed.
        flushes: pipelines.
    """

    appended: int = 0
    dropped: int = 0
    stale: int = 0
    failures: int = 0
    flushes: int = 0


class FailureLog:
    """Warnings about rings, at most one every ``LOG_EVERY_S``."""

    def __init__(self) -> None:
        self._logged_at = float("-inf")

    def note(self, session_id: str, failure: LiveReplayStoreError) -> None:
        """Log a failure, unless one was logged just now."""
        now = time.monotonic()
        if now - self._logged_at >= LOG_EVERY_S:
            self._logged_at = now
            _log.warning("live events of session %s: %s; who watches it may find a gap", session_id, failure)
