"""A journal goes with its row (decision 31): a re-registered id starts a clean life."""

from __future__ import annotations

from lash_core.errors import LeaseLostError, UnknownProcessError
from lash_core.model.process_filter import ProcessFilter
from lash_core.model.process_input import ProcessIdentity
from lash_core.testing.conformance.effect_journal.arrange import completed, journal_of, record, recorded
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    LOST,
    SUCCESS,
    claimed,
    current,
    registration,
    running,
    unique,
)
from lash_core.testing.conformance.stores import EffectStores

LARGE = "x" * 100_000


async def a_pruned_row_leaves_no_journal(stores: EffectStores) -> None:
    """Neither small nor large outcomes; the next life of the id records its own, and the old lease none."""
    kind = unique("kind")
    wanted = registration(identity=ProcessIdentity(kind=kind))
    row, old = await running(stores, wanted)
    await record(stores, old, completed("k", 1), completed("large", LARGE))
    ended = await stores.process_registry.complete_process_with_lease(old, SUCCESS)
    assert {"k", "large"} == set(await journal_of(stores, row.id))

    await stores.process_registry.prune_terminal_processes(
        ended.updated_at_ms + 1, ProcessFilter(status="any", identity_kind=kind)
    )

    assert {} == await journal_of(stores, row.id)
    with refused(UnknownProcessError):
        await recorded(stores, old, completed("k", 1))
    await stores.process_registry.register_process(wanted)
    assert {} == await journal_of(stores, row.id)
    with refused(LeaseLostError, LOST):
        await recorded(stores, old, completed("k", 1))
    lease = await claimed(stores, row.id)
    assert not (await recorded(stores, lease, completed("k", 2))).replayed
    assert (0, 1) == (lease.fenced_writes, (await current(stores, row.id)).fenced_writes)


async def an_unknown_process_has_an_empty_journal(stores: EffectStores) -> None:
    """Loading is a question about recorded effects, not about the row."""
    assert {} == await journal_of(stores, unique("absent"))


async def the_end_keeps_the_journal(stores: EffectStores) -> None:
    """Until it is pruned, an ended process says what it did."""
    row, lease = await running(stores)
    await recorded(stores, lease, completed("k", 1))

    await stores.process_registry.complete_process_with_lease(lease, SUCCESS)

    assert {"k"} == set(await journal_of(stores, row.id))
