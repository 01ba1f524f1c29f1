"""Recovery disposition (contract 1.4) and durability tier (1.13)."""

from __future__ import annotations

from enum import StrEnum


class RecoveryDisposition(StrEnum):
    """What may happen to a process whose owner is gone. Required at registration; there is no default."""

    RERUNNABLE = "rerunnable"
    """Another owner may execute it again."""
    OWNER_BOUND = "owner_bound"
    """Anyone before its first start; after it nobody: abandonment is the only recovery."""
    EXTERNALLY_OWNED = "externally_owned"
    """Never executed and never leased by the sweep for execution."""


class DurabilityTier(StrEnum):
    """What a store or host promises about the loss of its OS process."""

    INLINE = "inline"
    """Lost with the process."""
    DURABLE = "durable"
    """Survives the loss of the process."""
