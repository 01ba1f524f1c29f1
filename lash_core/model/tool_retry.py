"""Which failures of tools may be tried again, and how often (``docs/contracts/sessions.md`` 3.3). Pure.

Two say so together: the failure, that trying again is safe; the tool's manifest, that there is more than one attempt.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lash_core.model.base import Model
from lash_core.model.registration import RetryPolicy
from lash_core.model.step_retry import backoff_after

TOOL_ATTEMPTS_MAX = 10
"""More attempts of one call would hold a turn up for longer than a model that is told of the failure."""

TOOL_BACKOFF_MS_MAX = 60_000
"""The longest wait between two attempts, whatever the failure wishes."""


class ToolRetryPolicy(RetryPolicy):
    """Attempts of one call (1 = no retries), and the first and the longest wait between two, in ms; it doubles."""

    attempts_max: int = Field(default=1, ge=1, le=TOOL_ATTEMPTS_MAX, kw_only=False)
    backoff_ms: int = Field(default=200, ge=0, le=TOOL_BACKOFF_MS_MAX, kw_only=False)
    backoff_max_ms: int = Field(default=5_000, ge=0, le=TOOL_BACKOFF_MS_MAX, kw_only=False)


NO_TOOL_RETRIES = ToolRetryPolicy()


class ToolRetryDisposition(Model):
    """What a failure says of another attempt.

    Attributes:
        disposition: ``safe``: nothing was done, or doing it again does no harm; ``never``; ``exhausted``: it was safe,
            and the attempts that the policy allows are used up.
        after_ms: not before that time, as whoever refused wishes it.
    """

    disposition: Literal["safe", "never", "exhausted"] = Field(kw_only=False)
    after_ms: int | None = Field(default=None, ge=0)


def wait_before_retry(policy: ToolRetryPolicy, wish: ToolRetryDisposition | None, attempt: int) -> int | None:
    """The wait after the failed attempt of this number (from 1), in ms, or None when it was the last."""
    if wish is None or wish.disposition != "safe" or attempt >= policy.attempts_max:
        return None
    return min(max(backoff_after(policy, attempt), wish.after_ms or 0), TOOL_BACKOFF_MS_MAX)
