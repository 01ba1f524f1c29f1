"""The in-memory process registry: the reference of the contract, and the model of the property tests."""

from __future__ import annotations

from lash_core.clock import Clock, SystemClock
from lash_core.memory_store.claiming import ClaimOperations
from lash_core.memory_store.completion import CompletionOperations
from lash_core.memory_store.events import EventOperations
from lash_core.memory_store.facts import FactOperations
from lash_core.memory_store.grants import GrantOperations
from lash_core.memory_store.leases import LeaseOperations
from lash_core.memory_store.maintenance import MaintenanceOperations
from lash_core.memory_store.observation_reads import ObservationReads
from lash_core.memory_store.reads import ReadOperations
from lash_core.memory_store.retention import RetentionOperations
from lash_core.memory_store.run_waits import RunWaitOperations
from lash_core.memory_store.start import StartOperations
from lash_core.memory_store.state import RefreshedEnvironments, RegistryState
from lash_core.memory_store.waits import WaitOperations
from lash_core.model.disposition import DurabilityTier
from lash_core.model.limits import Limits
from lash_core.model.owner import ProcessTable
from lash_core.store.contract_names import ContractNames
from lash_core.store.runtime_persistence import SessionStoreFactory
from lash_core.store.trigger_store import TriggerStore


class MemoryProcessRegistry(
    StartOperations,
    GrantOperations,
    EventOperations,
    WaitOperations,
    ReadOperations,
    ObservationReads,
    CompletionOperations,
    LeaseOperations,
    ClaimOperations,
    FactOperations,
    RunWaitOperations,
    RetentionOperations,
    MaintenanceOperations,
    ContractNames,
):
    """``ProcessRegistry``, ``ProcessMaintenance``, ``ProcessRunWaits``, ``ProcessObservation`` in memory; lost with it.

    Every operation is atomic and may be called from any event loop and any thread.

    Args:
        clock: the store's clock; decides expiry, due times and fences. The machine's by default.
        process_table: proves deaths of this host's processes for reclaims; None proves nothing.
        limits: what is refused.
        environments: refreshed when a row is about to name one; None: not.
        durability_tier: what the registry reports; a test may let it report ``durable``.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        process_table: ProcessTable | None = None,
        *,
        limits: Limits | None = None,
        environments: RefreshedEnvironments | None = None,
        durability_tier: DurabilityTier = DurabilityTier.INLINE,
    ) -> None:
        self._state = RegistryState(clock or SystemClock(), limits or Limits(), process_table, environments)
        self._durability_tier = durability_tier

    @property
    def state(self) -> RegistryState:
        """What the registry knows; journal and promises of the same program stand with its rows, under its lock."""
        return self._state

    def durability_tier(self) -> DurabilityTier:
        """``inline`` unless told otherwise."""
        return self._durability_tier

    def with_durability_tier(self, tier: DurabilityTier) -> MemoryProcessRegistry:
        """The same rows under a registry that reports another tier."""
        copy = MemoryProcessRegistry(durability_tier=tier)
        copy._state = self._state
        return copy

    def use_process_table(self, table: ProcessTable) -> None:
        """Prove deaths of this host's processes with ``table`` from now on (``reclaim_process_lease``)."""
        self._state.process_table = table

    def use_session_store_factory(self, factory: SessionStoreFactory) -> None:
        """Delete in ``factory`` the sessions that a process owns when it is pruned."""
        self._state.session_store_factory = factory

    def use_trigger_store(self, store: TriggerStore) -> None:
        """Forget in ``store`` the deliveries whose processes are pruned."""
        self._state.trigger_store = store

    def __repr__(self) -> str:
        return f"MemoryProcessRegistry(rows={len(self._state.rows)}, tier={self._durability_tier.value})"
