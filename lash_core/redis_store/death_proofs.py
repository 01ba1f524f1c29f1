"""What this client can prove about owners of leases, for all stores of one namespace."""

from __future__ import annotations

from dataclasses import dataclass

from lash_core.model.owner import LeaseOwnerIdentity, ProcessTable, is_provably_dead


@dataclass(slots=True)
class DeathProofs:
    """The caller's view of its own host's processes; without one nothing is proved."""

    table: ProcessTable | None = None

    def proves(self, owner: LeaseOwnerIdentity, claimant: LeaseOwnerIdentity) -> bool:
        """True when ``claimant`` sees that ``owner`` is dead."""
        return self.table is not None and is_provably_dead(owner, claimant, self.table)
