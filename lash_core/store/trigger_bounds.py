"""How the bounds of triggers are refused, and what is bounded for every store alike. Pure."""

from __future__ import annotations

from lash_core.errors import LimitExceededError

TRIM_MAX = 16
"""Occurrences that one ingest drops at most, so that its cost stays bounded."""

SESSION_PART = 200
"""Subscriptions of a session that one script removes."""


def too_many_waiting(limit: int) -> LimitExceededError:
    """The refusal of an occurrence while too many deliveries wait."""
    return LimitExceededError(
        f"{limit} deliveries of triggers wait to be started, which is the limit: is a worker running?",
        field="deliveries",
        limit=limit,
    )


def too_many_bytes(limit: int) -> LimitExceededError:
    """The refusal of an occurrence while those that wait take too much memory."""
    return LimitExceededError(
        f"occurrences whose deliveries wait to be started take {limit} bytes, which is the limit: is a worker running?",
        field="occurrences",
        limit=limit,
    )


def too_many_subscriptions(limit: int) -> LimitExceededError:
    """The refusal of a subscription."""
    return LimitExceededError(
        f"the namespace has {limit} triggers, which is the limit; delete and prune some first",
        field="subscriptions",
        limit=limit,
    )


def too_many_of_source(source_type: str, source_key: str, limit: int) -> LimitExceededError:
    """The refusal of one more live subscription of a source."""
    return LimitExceededError(
        f"source `{source_type}:{source_key}` has {limit} live triggers, which is the limit",
        field="source_key",
        value=source_key,
        limit=limit,
    )
