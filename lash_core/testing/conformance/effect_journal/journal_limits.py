"""Bounds of a journal (DESIGN 3.3 rule 11): the refusal names what is full, and what is recorded stays readable."""

from __future__ import annotations

from lash_core.errors import LimitExceededError
from lash_core.testing.conformance.effect_journal.arrange import completed, journal_of, record, recorded
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import SUCCESS, running
from lash_core.testing.conformance.stores import EffectStores

ENTRIES_MAX = 50_000
BYTES_MAX = 64 * 1024 * 1024
BATCH = 200


async def the_number_of_entries_is_bounded(stores: EffectStores) -> None:
    """50,000 effects of one process; a replay is still answered, and the outcome of the process still goes in."""
    row, lease = await running(stores)
    for start in range(0, ENTRIES_MAX, BATCH):
        await record(stores, lease, *(completed(f"k{n}") for n in range(start, start + BATCH)))

    with refused(LimitExceededError, str(ENTRIES_MAX)) as refusal:
        await record(stores, lease, completed("k0"), completed("one more"))

    assert ("journal_entries", ENTRIES_MAX) == (refusal.error.field, refusal.error.limit)
    assert (await recorded(stores, lease, completed("k0"))).replayed
    assert ENTRIES_MAX == len(await journal_of(stores, row.id))
    ended = await stores.process_registry.complete_process_with_lease(lease, SUCCESS)
    assert "completed" == ended.status.state


async def the_bytes_of_a_journal_are_bounded(stores: EffectStores) -> None:
    """64 MB of outcomes of one process; smaller ones count as large ones do."""
    row, lease = await running(stores)
    accepted = 0
    with refused(LimitExceededError, str(BYTES_MAX)) as refusal:
        for n in range(BYTES_MAX // 200_000 + 1):
            await record(stores, lease, completed(f"k{n}", "x" * 199_998))
            accepted += 1

    assert ("journal_bytes", BYTES_MAX) == (refusal.error.field, refusal.error.limit)
    assert BYTES_MAX // 200_000 - 1 <= accepted <= BYTES_MAX // 200_000
    assert accepted == len(await journal_of(stores, row.id))
    ended = await stores.process_registry.complete_process_with_lease(lease, SUCCESS)
    assert "completed" == ended.status.state
