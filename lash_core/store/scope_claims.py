"""What every store refuses of claims in scopes without a lease, and how it says so (contract 5.3). Pure."""

from __future__ import annotations

from lash_core.errors import InvalidArgumentError, LimitExceededError, RuntimeFailure
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.ids import check_replay_key


def check_claim(key: str, ttl_ms: int) -> str:
    """Return the replay key of a claim that may be asked for. Raises: InvalidArgumentError."""
    if ttl_ms < 1:
        raise InvalidArgumentError(f"ttl_ms is {ttl_ms}; it must be at least 1", field="ttl_ms", value=ttl_ms)
    return check_replay_key(key)


def scope_journal_full(scope: ExecutionScope, limit: int) -> LimitExceededError:
    """The refusal of one more effect."""
    return LimitExceededError(
        f"the journal of scope `{scope.id}` is full: journal_entries {limit}", field="journal_entries", limit=limit
    )


def claim_lost(backend: str, key: str) -> RuntimeFailure:
    """The refusal of a renewal or an outcome whose claim is over."""
    return RuntimeFailure(
        f"{backend}_effect_replay_lease_lost", f"the claim of effect `{key}` is over; nothing was recorded"
    )
