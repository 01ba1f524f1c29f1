"""``filter_unregistered``: contract 2.6."""

from __future__ import annotations

from lash_core.testing.conformance.process_registry.arrange import completed, registered, unique
from lash_core.testing.conformance.stores import ConformanceStores


async def keeps_the_ids_without_a_row_in_order(stores: ConformanceStores) -> None:
    """Live and ended rows are registered; the rest comes back in input order."""
    live, ended = await registered(stores), await completed(stores)
    absent = [unique("zz"), unique("aa"), unique("mm")]

    left = await stores.process_registry.filter_unregistered([absent[0], live.id, absent[1], ended.id, absent[2]])

    assert tuple(absent) == left
    assert () == await stores.process_registry.filter_unregistered([])
    assert () == await stores.process_registry.filter_unregistered([live.id])
