"""How often a step is tried."""

from __future__ import annotations

from pydantic import Field

from lash_core.model.registration import RetryPolicy


class StepRetry(RetryPolicy):
    """Tries of one step: how many in all, and the first and the longest wait between two, in ms.

    The wait doubles with each try. It is recorded: a worker that takes over goes on with the next try.
    """

    attempts_max: int = Field(default=3, ge=1, le=1_000, kw_only=False)
    backoff_ms: int = Field(default=1_000, ge=0, kw_only=False)
    backoff_max_ms: int = Field(default=60_000, ge=0, kw_only=False)


def backoff_after(policy: RetryPolicy, attempt: int) -> int:
    """Wait after the failed attempt of this number (from 1), in ms."""
    return min(policy.backoff_ms * 2 ** min(attempt - 1, 40), policy.backoff_max_ms)
