"""``audit_entries``: what happened to a row's leases, with its evidence (DESIGN 3.2)."""

from __future__ import annotations

from lash_core.errors import UnknownProcessError
from lash_core.model.lease import ReleaseReason
from lash_core.store.process_batches import LeasedRelease
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    claimed,
    current,
    feed_end,
    in_feed,
    registered,
    running,
    unique,
    unknown_text,
)
from lash_core.testing.conformance.stores import ConformanceStores, elapse, short_ttl_ms


async def an_unknown_process_is_refused(stores: ConformanceStores) -> None:
    """No row, no history."""
    process_id = unique("absent")

    with refused(UnknownProcessError, unknown_text(process_id)):
        await stores.process_registry.audit_entries(process_id)


async def a_quiet_row_has_none(stores: ConformanceStores) -> None:
    """Starting and claiming is no incident."""
    record, _ = await running(stores)

    assert () == await stores.process_registry.audit_entries(record.id)


async def releases_with_a_reason_are_noted_in_order(stores: ConformanceStores) -> None:
    """Parks, yields and declines, oldest first, with their detail."""
    record = await registered(stores)
    kinds = (("parked", "park"), ("yielded", "yield"), ("declined", "decline"))
    for kind, _ in kinds:
        lease = await claimed(stores, record.id)
        reason = ReleaseReason(kind=kind, detail=f"because {kind}")  # pyright: ignore[reportArgumentType]
        await stores.process_registry.release_process_leases([LeasedRelease(lease, reason)])

    entries = await stores.process_registry.audit_entries(record.id)

    assert [name for _, name in kinds] == [entry.kind for entry in entries]
    assert all("because" in str(entry.evidence) for entry in entries)
    assert all(entry.at_ms >= record.created_at_ms for entry in entries)


async def parks_and_declines_in_a_row_are_one_entry(stores: ConformanceStores) -> None:
    """With a count and the newest detail: a process that waits a thousand times pushes out no evidence."""
    record = await registered(stores)
    for number, kind in enumerate(("parked", "parked", "parked", "declined", "declined", "parked")):
        lease = await claimed(stores, record.id)
        reason = ReleaseReason(kind=kind, detail=f"{number}")
        await stores.process_registry.release_process_leases([LeasedRelease(lease, reason)])

    entries = await stores.process_registry.audit_entries(record.id)

    assert [("park", 3), ("decline", 2), ("park", None)] == [
        (entry.kind, entry.evidence.get("count")) for entry in entries
    ]
    assert ["2", "4", "5"] == [entry.evidence["detail"] for entry in entries]


async def deaths_and_takeovers_carry_evidence(stores: ConformanceStores) -> None:
    """Who held the row and why that owner counts as gone."""
    ttl_ms = await short_ttl_ms(stores)
    requeued, taken = await registered(stores), await registered(stores)
    dead = await claimed(stores, requeued.id, ttl_ms=ttl_ms)
    gone = await claimed(stores, taken.id, ttl_ms=ttl_ms)
    await elapse(stores, ttl_ms + 50)

    await stores.process_registry.requeue_expired_leases(100, (requeued.queue,))
    await claimed(stores, taken.id)

    (death,) = await stores.process_registry.audit_entries(requeued.id)
    (takeover,) = await stores.process_registry.audit_entries(taken.id)
    assert ("death", "takeover") == (death.kind, takeover.kind)
    assert dead.owner.owner_id in str(death.evidence)
    assert gone.owner.owner_id in str(takeover.evidence)


async def the_newest_fifty_are_kept(stores: ConformanceStores) -> None:
    """The list is bounded; the oldest go."""
    record = await registered(stores)
    for n in range(55):
        lease = await claimed(stores, record.id)
        await stores.process_registry.release_process_leases(
            [LeasedRelease(lease, ReleaseReason(kind="yielded", detail=f"yield {n:02d}"))]
        )

    entries = await stores.process_registry.audit_entries(record.id)

    assert 50 == len(entries)
    assert "yield 05" in str(entries[0].evidence)
    assert "yield 54" in str(entries[-1].evidence)


async def the_row_and_the_feed_do_not_notice(stores: ConformanceStores) -> None:
    """Audit entries are no events and no change of the row."""
    record, lease = await running(stores)
    end = await feed_end(stores)
    await elapse(stores, 5)

    await stores.process_registry.release_process_leases(
        [LeasedRelease(lease, ReleaseReason(kind="yielded", detail="drain"))]
    )

    assert record.updated_at_ms == (await current(stores, record.id)).updated_at_ms
    assert () == await stores.process_registry.events_after(record.id, 0)
    assert not await in_feed(stores, end, record.id)
