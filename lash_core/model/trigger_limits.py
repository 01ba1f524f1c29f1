"""Bounds of a namespace's triggers: a number, a unit, a reason (``docs/contracts/triggers.md`` 6)."""

from __future__ import annotations

from pydantic import Field

from lash_core.model.base import Model


class TriggerLimits(Model):
    """What a trigger store refuses or trims. Payloads and definitions have the limit of every payload."""

    subscriptions_max: int = Field(default=10_000, ge=1)
    """Subscriptions of a namespace, deleted ones that were not pruned included."""
    source_subscriptions_max: int = Field(default=1_000, ge=1)
    """Enabled subscriptions of one source: one occurrence reserves a delivery for each in one script, about 11 ms."""
    occurrences_max: int = Field(default=50_000, ge=1)
    """Occurrences kept; the oldest whose deliveries are all settled make room."""
    occurrence_bytes_max: int = Field(default=64 * 1024 * 1024, ge=1_024)
    """Bytes of them and of their deliveries; as above."""
    unstarted_max: int = Field(default=100_000, ge=1)
    """Reserved deliveries that were not started yet: more mean that nobody starts them, so occurrences are refused."""
    unstarted_bytes_max: int = Field(default=256 * 1024 * 1024, ge=1_024)
    """Bytes over which an occurrence is refused, when trimming could not go below it."""
    receipts_max: int = Field(default=10_000, ge=1)
    """Receipts of mutations; the oldest make room."""
    receipt_bytes_max: int = Field(default=16 * 1024 * 1024, ge=1_024)
    """Bytes of them."""
