"""``list_non_terminal``: contract 2.6, the recovery worklist."""

from __future__ import annotations

from lash_core.testing.conformance.process_registry.arrange import (
    completed,
    external,
    registered,
    registration,
    running,
)
from lash_core.testing.conformance.stores import ConformanceStores


async def running_rows_only_by_id(stores: ConformanceStores) -> None:
    """Ready, delayed, leased and externally owned rows are all running; ended ones are not listed."""
    ready = await registered(stores)
    delayed = await registered(stores, registration(delay_ms=3_600_000))
    leased, _ = await running(stores)
    outside = await registered(stores, external())
    ended = await completed(stores)

    rows = await stores.process_registry.list_non_terminal()

    ids = [row.id for row in rows]
    assert sorted(ids) == ids
    assert {ready.id, delayed.id, leased.id, outside.id} <= set(ids)
    assert ended.id not in ids
    assert {"running"} == {row.status.state for row in rows}
