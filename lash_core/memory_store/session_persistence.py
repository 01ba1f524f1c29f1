"""The store of one session in memory: the reference of the contract, and the model of the property tests."""

from __future__ import annotations

from lash_core.memory_store.session_commits import CommitOperations
from lash_core.memory_store.session_journal import TurnJournalOperations
from lash_core.memory_store.session_leases import SessionLeaseOperations
from lash_core.memory_store.session_queue import QueuedWorkOperations
from lash_core.memory_store.session_reads import SessionReadOperations
from lash_core.memory_store.sessions_state import SessionsState
from lash_core.model.disposition import DurabilityTier


class MemoryRuntimePersistence(
    SessionLeaseOperations,
    QueuedWorkOperations,
    TurnJournalOperations,
    CommitOperations,
    SessionReadOperations,
):
    """``RuntimePersistence`` in memory. Made by its factory; may be called from any event loop and any thread."""

    def __init__(self, state: SessionsState, session_id: str, tier: DurabilityTier) -> None:
        super().__init__(state, session_id)
        self._tier = tier

    def durability_tier(self) -> DurabilityTier:
        """The tier of its factory."""
        return self._tier
