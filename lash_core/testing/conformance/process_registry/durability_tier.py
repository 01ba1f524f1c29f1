"""``durability_tier``: contract 1.13."""

from __future__ import annotations

from lash_core.model.disposition import DurabilityTier
from lash_core.store.process_registry import ProcessRegistry
from lash_core.testing.conformance.stores import ConformanceStores


async def every_registry_states_its_tier(stores: ConformanceStores) -> None:
    """Inline or durable, the same on every call."""
    tier = stores.process_registry.durability_tier()

    assert tier in (DurabilityTier.INLINE, DurabilityTier.DURABLE)
    assert tier is stores.process_registry.durability_tier()


async def a_registry_has_every_operation(stores: ConformanceStores) -> None:
    """The registry under test is a ``ProcessRegistry`` by its members."""
    assert isinstance(stores.process_registry, ProcessRegistry)
