"""What one worker knows of the others: refreshed by the directory beat, read by claimer and takeover."""

from __future__ import annotations

from lash_core.model.manifest import WorkerEntry
from lash_core.model.owner import LeaseOwnerIdentity, LocalProcessLiveness
from lash_worker.services.partition_hints import PartitionHints, rank_partitions


class FleetView:
    """Live workers, this worker's partitions, and its peers on the same host."""

    def __init__(self, identity: LeaseOwnerIdentity, partitions: int) -> None:
        self._identity = identity
        self._partitions = partitions
        self._names: frozenset[str] = frozenset()
        self.workers_count = 1
        self.hints: PartitionHints = rank_partitions(identity.owner_id, (), partitions)
        self.peers: dict[str, LeaseOwnerIdentity] = {}
        """Incarnation id → identity of other workers whose death this host could prove."""

    def see(self, workers: tuple[WorkerEntry, ...]) -> bool:
        """Take in the directory; returns True when the partitions were dealt anew."""
        for entry in workers:
            self.see_owner(entry.identity)
        # Who is leaving claims nothing: its partitions go to the others at once.
        names = frozenset(entry.worker_id for entry in workers if entry.state == "running")
        self.workers_count = max(1, len(names | {self._identity.owner_id}))
        if names == self._names:
            return False
        self._names = names
        self.hints = rank_partitions(self._identity.owner_id, names, self._partitions)
        return True

    def see_owner(self, owner: LeaseOwnerIdentity) -> None:
        """Remember a holder of leases when it is another OS process of this host and boot."""
        theirs, ours = owner.liveness, self._identity.liveness
        if (
            isinstance(theirs, LocalProcessLiveness)
            and isinstance(ours, LocalProcessLiveness)
            and (theirs.host_id, theirs.boot_id, theirs.pid_namespace)
            == (ours.host_id, ours.boot_id, ours.pid_namespace)
            and (theirs.pid, theirs.process_start) != (ours.pid, ours.process_start)
        ):
            # An attempt's identity stands for its worker's: the part after the colon names the attempt.
            base = owner.incarnation_id.partition(":")[0]
            self.peers[base] = owner.with_incarnation(base)

    def forget_peer(self, incarnation_id: str) -> None:
        """A dead peer's leases are all taken over."""
        self.peers.pop(incarnation_id, None)
