"""How often a model call is attempted, and how long an attempt may take (``docs/contracts/providers.md`` 3). Pure."""

from __future__ import annotations

from pydantic import Field

from lash_core.model.base import Model
from lash_core.model.model_call import ModelFailure


class ModelRetryPolicy(Model):
    """Bounds of one model call, in ms. Every attempt ends, whatever the provider does."""

    attempts_max: int = Field(default=4, ge=1, le=20)
    """Attempts in all; only failures that the provider calls retryable get another one."""
    backoff_ms: int = Field(default=500, ge=0)
    """Wait before the second attempt; it doubles with each one."""
    backoff_max_ms: int = Field(default=8_000, ge=0)
    """Longest wait of our own making."""
    retry_after_max_ms: int = Field(default=30_000, ge=0)
    """Longest wait that a provider may ask for: the session's next input waits as long."""
    first_token_timeout_ms: int = Field(default=120_000, ge=1)
    """From the request to the first event: models that think silently take a minute."""
    silence_timeout_ms: int = Field(default=60_000, ge=1)
    """Between two events: a connection that died without a word shows in nothing else."""
    attempt_timeout_ms: int = Field(default=600_000, ge=1)
    """One attempt from begin to end, however it trickles; time that a live listener takes is not counted."""

    def delay_ms(self, attempt: int, failure: ModelFailure, jitter: float) -> int:
        """Wait after the failed attempt of this number (from 1): the provider's wish, else our own back-off.

        Args:
            attempt: that failed.
            failure: how; its ``retry_after_ms`` is the provider's wish.
            jitter: from 0 to 1; adds up to half, so that sessions that failed together do not come back together.
        """
        own = min(self.backoff_ms * 2 ** min(attempt - 1, 40), self.backoff_max_ms)
        wish = min(max(failure.retry_after_ms or 0, 0), self.retry_after_max_ms)
        return int(max(own, wish) * (1 + jitter / 2))

    def wants_another(self, attempt: int, failure: ModelFailure) -> bool:
        """True when the attempt of this number is followed by one more."""
        return failure.retryable and attempt < self.attempts_max
