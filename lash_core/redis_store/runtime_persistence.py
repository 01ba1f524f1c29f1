"""The store of one session over Redis: one class of parts, each in its file."""

from __future__ import annotations

from lash_core.model.disposition import DurabilityTier
from lash_core.redis_store.queued_work import SessionQueue
from lash_core.redis_store.session_commits import SessionCommits
from lash_core.redis_store.session_leases import SessionLeases
from lash_core.redis_store.session_reads import SessionReads
from lash_core.redis_store.session_upkeep import SessionUpkeep
from lash_core.redis_store.turn_journal import SessionTurns


class RedisRuntimePersistence(SessionCommits, SessionReads, SessionUpkeep, SessionLeases, SessionQueue, SessionTurns):
    """``RuntimePersistence`` over Redis. Made by ``RedisSessionStoreFactory``; costs nothing to make again."""

    def durability_tier(self) -> DurabilityTier:
        """``durable``."""
        return DurabilityTier.DURABLE
