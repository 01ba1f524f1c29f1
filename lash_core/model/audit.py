"""The audit list of a row: what happened to its leases, each with its evidence (DESIGN 3.2, ``T:a``)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from lash_core.model.base import Model

AUDIT_ENTRIES_MAX = 50

AuditKind = Literal[
    "takeover", "reclaim", "yield", "park", "retry", "decline", "death", "poison", "abandon", "wake_dropped"
]


class AuditEntry(Model):
    """One entry: kind, time by the store's clock, evidence."""

    kind: AuditKind
    at_ms: int
    evidence: dict[str, Any] = Field(default_factory=dict)
