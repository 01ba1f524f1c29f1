"""Child starts of runs (decision 25, contract 4.2): recorded, registered and granted, or nothing of it."""

from __future__ import annotations

from lash_core.errors import InvalidRegistrationError
from lash_core.model.effect_record import ChildStart
from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.model.process_filter import ProcessFilter
from lash_core.model.process_input import ProcessIdentity
from lash_core.testing.conformance.effect_journal.arrange import completed, journal_of, record, recorded, starting
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    SUCCESS,
    claim_ready,
    claimed,
    current,
    registered,
    registration,
    running,
    scope,
    unique,
)
from lash_core.testing.conformance.stores import EffectStores, elapse, short_ttl_ms


async def a_child_is_there_when_the_call_returns(stores: EffectStores) -> None:
    """The entry is completed with the child's id, and the child can be claimed."""
    row, lease = await running(stores)
    child = registration()

    answer = await recorded(stores, lease, starting("k", ChildStart(child)))

    assert ("completed", {"id": child.id}) == (answer.record.state, answer.record.outcome)
    assert {"k": answer.record} == await journal_of(stores, row.id)
    assert [child.id] == [item.record.id for item in await claim_ready(stores, child.queue)]
    assert 1 == (await current(stores, row.id)).fenced_writes


async def a_repeat_starts_no_second_child(stores: EffectStores) -> None:
    """A replay answers the stored outcome and does not look at the child again, which may have ended and gone."""
    row, lease = await running(stores)
    kind = unique("kind")
    child = registration(identity=ProcessIdentity(kind=kind))
    write = starting("k", ChildStart(child))
    first = await recorded(stores, lease, write)
    child_lease = await claimed(stores, child.id)
    ended = await stores.process_registry.complete_process_with_lease(child_lease, SUCCESS)
    await stores.process_registry.prune_terminal_processes(
        ended.updated_at_ms + 1, ProcessFilter(status="any", identity_kind=kind)
    )

    again = await recorded(stores, lease, write)

    assert (first.record, True) == (again.record, again.replayed)
    assert None is await stores.process_registry.get_process(child.id)
    assert {"k": first.record} == await journal_of(stores, row.id)


async def a_successor_finds_the_child_of_its_predecessor(stores: EffectStores) -> None:
    """A replay by the next run of the parent starts nothing, also when the manifest changed meanwhile."""
    parent = await registered(stores)
    ttl_ms = await short_ttl_ms(stores)
    old = await claimed(stores, parent.id, ttl_ms=ttl_ms)
    child = registration()
    first = await recorded(stores, old, starting("k", ChildStart(child)))
    before = await current(stores, child.id)
    await elapse(stores, ttl_ms + 50)
    new = await claimed(stores, parent.id)

    again = await recorded(stores, new, starting("k", ChildStart(child.model_copy(update={"timeout_ms": 5}))))

    assert (first.record, True) == (again.record, again.replayed)
    assert before == await current(stores, child.id)


async def a_child_with_other_content_is_a_recorded_failure(stores: EffectStores) -> None:
    """The id is taken by another request: the entry fails for good, the other row is untouched."""
    row, lease = await running(stores)
    other = await registered(stores)
    child = registration(other.id, identity=ProcessIdentity(kind="another"))

    answer = await recorded(stores, lease, starting("k", ChildStart(child)))
    again = await recorded(stores, lease, starting("k", ChildStart(child)))

    assert "failed" == answer.record.state
    assert "process_registration_conflict" == answer.record.outcome["code"]
    assert (answer.record, True) == (again.record, again.replayed)
    assert other == await current(stores, other.id)
    assert {"k": answer.record} == await journal_of(stores, row.id)


async def an_equal_row_is_the_child(stores: EffectStores) -> None:
    """A start is idempotent by the registration's hash, whoever started the row first."""
    _, lease = await running(stores)
    child = registration()
    row = await registered(stores, child)

    answer = await recorded(stores, lease, starting("k", ChildStart(child)))

    assert ("completed", {"id": child.id}) == (answer.record.state, answer.record.outcome)
    assert row == await current(stores, child.id)


async def a_child_start_grants_its_handle(stores: EffectStores) -> None:
    """The grant is in place when the call returns; a repeat gives it once (hazard 4)."""
    _, lease = await running(stores)
    session, child = scope(), registration()
    write = starting("k", ChildStart(child, session, ProcessHandleDescriptor(kind="report", label="Q3")))

    await recorded(stores, lease, write)
    await recorded(stores, lease, write)

    ((grant, granted),) = await stores.process_registry.list_handles(session)
    assert (child.id, child.id) == (grant.process_id, granted.id)
    assert ProcessHandleDescriptor(kind="report", label="Q3") == grant.descriptor


async def children_start_beside_other_effects(stores: EffectStores) -> None:
    """One call may start several children, fail one, and record steps; each has its own answer."""
    row, lease = await running(stores)
    taken = await registered(stores)
    children = [registration() for _ in range(3)]
    writes = [starting(f"c{n}", ChildStart(child)) for n, child in enumerate(children)]
    clash = starting("clash", ChildStart(registration(taken.id, identity=ProcessIdentity(kind="another"))))

    answers = await record(stores, lease, writes[0], completed("step", 1), clash, *writes[1:])

    assert ["completed", "completed", "failed", "completed", "completed"] == [one.record.state for one in answers]
    assert all([await stores.process_registry.get_process(child.id) for child in children])
    assert 1 == (await current(stores, row.id)).fenced_writes
    assert 5 == len(await journal_of(stores, row.id))


async def an_invalid_registration_writes_nothing(stores: EffectStores) -> None:
    """Neither the entry nor the other entries of the call."""
    row, lease = await running(stores)
    child = registration().model_copy(update={"queue": "not a queue name"})

    with refused(InvalidRegistrationError):
        await record(stores, lease, completed("k", 1), starting("child", ChildStart(child)))

    assert {} == await journal_of(stores, row.id)
    assert None is await stores.process_registry.get_process(child.id)
