"""``get_process`` and ``get_processes``: contract 2.6, hazard 7."""

from __future__ import annotations

from lash_core.testing.conformance.process_registry.arrange import completed, registered, unique
from lash_core.testing.conformance.stores import ConformanceStores


async def an_absent_row_reads_as_none(stores: ConformanceStores) -> None:
    """Absence is an answer and not an error."""
    assert None is await stores.process_registry.get_process(unique("absent"))


async def a_row_reads_as_it_was_written(stores: ConformanceStores) -> None:
    """A point read sees the last write at once."""
    record = await registered(stores)
    ended = await completed(stores)

    assert record == await stores.process_registry.get_process(record.id)
    assert ended == await stores.process_registry.get_process(ended.id)


async def many_rows_in_order(stores: ConformanceStores) -> None:
    """One answer per id, None for an absent one, repeats repeated."""
    one, two = await registered(stores), await registered(stores)
    absent = unique("absent")

    rows = await stores.process_registry.get_processes([two.id, absent, one.id, two.id])

    assert (two, None, one, two) == rows
    assert () == await stores.process_registry.get_processes([])
