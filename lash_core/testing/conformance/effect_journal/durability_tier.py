"""``durability_tier`` and ``backend``: what a journal says of itself (contract 1.13)."""

from __future__ import annotations

from lash_core.model.disposition import DurabilityTier
from lash_core.testing.conformance.stores import EffectStores


async def journal_and_registry_say_the_same(stores: EffectStores) -> None:
    """A journal is as durable as the rows it belongs to, and says so."""
    tier = stores.effect_journal.durability_tier()

    assert tier in (DurabilityTier.INLINE, DurabilityTier.DURABLE)
    assert stores.process_registry.durability_tier() == tier == stores.promises.durability_tier()


async def the_backend_is_one_word(stores: EffectStores) -> None:
    """It begins the codes of replay errors."""
    assert stores.effect_journal.backend.isidentifier()
    assert stores.effect_journal.backend == stores.effect_journal.backend.lower()
