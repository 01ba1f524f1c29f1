"""Who holds a lease, and when that owner is provably dead (contract 1.10, decision 35). Pure."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Protocol

from pydantic import Field, model_validator

from lash_core.model.base import Model


class OpaqueLiveness(Model):
    """Nothing can be proved about the owner; only the lease's expiry counts."""

    type: Literal["opaque"] = "opaque"


class LocalProcessLiveness(Model):
    """An OS process of a host; every part is needed for a proof of death, so one that misses a part is opaque."""

    type: Literal["local_process"] = "local_process"
    host_id: str = ""
    boot_id: str = ""
    pid_namespace: str = ""
    pid: int = 0
    process_start: int = -1

    @model_validator(mode="before")
    @classmethod
    def _null_is_missing(cls, data: Any) -> Any:
        return {name: value for name, value in data.items() if value is not None} if isinstance(data, dict) else data

    @property
    def is_complete(self) -> bool:
        """True when no part is missing."""
        return bool(self.host_id and self.boot_id and self.pid_namespace) and self.pid > 0 and self.process_start >= 0


AnyLiveness = Annotated[OpaqueLiveness | LocalProcessLiveness, Field(discriminator="type")]


class LeaseOwnerIdentity(Model):
    """An owner of leases: a stable id, one incarnation of it, and what proves its death."""

    owner_id: str = Field(kw_only=False)
    incarnation_id: str = Field(kw_only=False)
    liveness: AnyLiveness = Field(default_factory=OpaqueLiveness, kw_only=False)

    @classmethod
    def opaque(cls, owner_id: str, incarnation_id: str) -> LeaseOwnerIdentity:
        """An owner whose death cannot be proved."""
        return cls(owner_id=owner_id, incarnation_id=incarnation_id)

    def same_incarnation(self, other: LeaseOwnerIdentity) -> bool:
        """Owner id and incarnation id are equal; liveness is ignored."""
        return self.owner_id == other.owner_id and self.incarnation_id == other.incarnation_id

    def is_attempt_of(self, worker: LeaseOwnerIdentity) -> bool:
        """True for the worker's own incarnation and for its attempts, ``<worker incarnation>:<nonce>`` (decision 3)."""
        return self.owner_id == worker.owner_id and (
            self.incarnation_id == worker.incarnation_id or self.incarnation_id.startswith(f"{worker.incarnation_id}:")
        )

    def with_incarnation(self, incarnation_id: str) -> LeaseOwnerIdentity:
        """The same owner under another incarnation id."""
        return LeaseOwnerIdentity(owner_id=self.owner_id, incarnation_id=incarnation_id, liveness=self.liveness)


class ProcessTable(Protocol):
    """What a claimant can see of its own host's processes (``lash_worker`` brings the real one)."""

    def is_dead(self, pid: int, process_start: int) -> bool:
        """True only when it is certain: no such pid, or its start time differs. Unreadable means False."""
        ...


def is_provably_dead(owner: LeaseOwnerIdentity, claimant: LeaseOwnerIdentity, table: ProcessTable) -> bool:
    """True when both are processes of one boot and one pid namespace of one host and the owner's pid is gone."""
    theirs, ours = owner.liveness, claimant.liveness
    if not isinstance(theirs, LocalProcessLiveness) or not isinstance(ours, LocalProcessLiveness):
        return False
    if not theirs.is_complete or not ours.is_complete:
        return False
    same_place = (
        theirs.host_id == ours.host_id and theirs.boot_id == ours.boot_id and theirs.pid_namespace == ours.pid_namespace
    )
    return same_place and table.is_dead(theirs.pid, theirs.process_start)
