"""``list_processes``: contract 1.12 and 2.6."""

from __future__ import annotations

from typing import Any

from lash_core.model.facts import SignalWait, WaitState
from lash_core.model.process_filter import ProcessFilter
from lash_core.model.process_input import ProcessIdentity
from lash_core.model.record import ProcessRecord
from lash_core.model.scope import CausalRef, ProcessOriginator, ProcessProvenance
from lash_core.testing.conformance.process_registry.arrange import (
    OUTPUTS,
    completed,
    registered,
    registration,
    scope,
    unique,
)
from lash_core.testing.conformance.stores import ConformanceStores, elapse


async def _ids(stores: ConformanceStores, **facets: Any) -> list[str]:
    return [row.id for row in await stores.process_registry.list_processes(ProcessFilter(**facets))]


def _of_kind(kind: str, **changes: Any) -> Any:
    return registration(identity=ProcessIdentity(kind=kind), **changes)


async def lists_running_rows_by_id_unless_told_otherwise(stores: ConformanceStores) -> None:
    """The default status is running; the order is the id's."""
    kind = unique("kind")
    live = [await registered(stores, _of_kind(kind)) for _ in range(4)]
    ended = await completed(stores, _of_kind(kind))

    assert sorted(row.id for row in live) == await _ids(stores, identity_kind=kind)
    everything = sorted([*(row.id for row in live), ended.id])
    assert everything == await _ids(stores, identity_kind=kind, status="any")
    bare = [row.id for row in await stores.process_registry.list_processes()]
    assert sorted(bare) == bare
    assert {row.id for row in live} <= set(bare)
    assert ended.id not in bare


async def every_status_can_be_listed(stores: ConformanceStores) -> None:
    """Each of the four ends, and only it."""
    kind = unique("kind")
    rows: dict[str, ProcessRecord] = {
        state: await completed(stores, _of_kind(kind), output) for state, output in OUTPUTS.items()
    }

    for state, row in rows.items():
        assert [row.id] == await _ids(stores, identity_kind=kind, status=state)
    assert [] == await _ids(stores, identity_kind=kind, status="running")


async def facets_and_together(stores: ConformanceStores) -> None:
    """Every given facet must fit; an absent one fits all."""
    kind, queue = unique("kind"), unique("queue")
    one = await registered(
        stores,
        registration(
            identity=ProcessIdentity(kind=kind, label="red", definition={"rev": 1}),
            provenance=ProcessProvenance(originator=ProcessOriginator.host("billing")),
            queue=queue,
        ),
    )
    session = scope(frame="f")
    two = await registered(
        stores,
        registration(
            identity=ProcessIdentity(kind=kind, label="blue", definition={"rev": 2}),
            provenance=ProcessProvenance(originator=ProcessOriginator.session(session)),
        ),
    )

    assert [one.id] == await _ids(stores, identity_kind=kind, identity_label="red")
    assert [two.id] == await _ids(stores, identity_kind=kind, definition={"rev": 2})
    assert [one.id] == await _ids(stores, identity_kind=kind, originator_scope_id="host:billing")
    assert [two.id] == await _ids(stores, originator_scope_id=session.scope_id)
    assert [one.id] == await _ids(stores, queue=queue)
    assert [] == await _ids(stores, identity_kind=kind, identity_label="red", definition={"rev": 2})


async def causes_can_be_listed(stores: ConformanceStores) -> None:
    """By trigger occurrence and subscription; a row without a subscription never matches one."""
    occurrence, subscription = unique("occurrence"), unique("subscription")

    async def caused(**ids: str) -> ProcessRecord:
        cause = CausalRef(kind="trigger_occurrence", **ids)  # pyright: ignore[reportArgumentType]
        return await registered(stores, registration(provenance=ProcessProvenance(caused_by=cause)))

    both = await caused(occurrence_id=occurrence, subscription_id=subscription)
    bare = await caused(occurrence_id=occurrence)

    assert sorted([both.id, bare.id]) == await _ids(stores, caused_by_occurrence_id=occurrence)
    assert [both.id] == await _ids(stores, caused_by_subscription_id=subscription)


async def waiting_is_a_facet_of_running_rows(stores: ConformanceStores) -> None:
    """A waiting row is running; true and false select, absent does not ask."""
    kind = unique("kind")
    waits, works = await registered(stores, _of_kind(kind)), await registered(stores, _of_kind(kind))
    key = f"process:{waits.id}:signal.approve:1"
    signal = SignalWait(name="approve", event_type="signal.approve", key=key, ordinal=1)
    await stores.process_registry.set_wait(waits.id, WaitState(since_ms=1, kind=signal))

    assert [waits.id] == await _ids(stores, identity_kind=kind, waiting=True)
    assert [works.id] == await _ids(stores, identity_kind=kind, waiting=False)
    assert sorted([waits.id, works.id]) == await _ids(stores, identity_kind=kind)


async def creation_times_bound_the_list(stores: ConformanceStores) -> None:
    """The start is inclusive, the end exclusive."""
    kind = unique("kind")
    first = await registered(stores, _of_kind(kind))
    await elapse(stores, 10)
    second = await registered(stores, _of_kind(kind))
    assert first.created_at_ms < second.created_at_ms

    assert [second.id] == await _ids(stores, identity_kind=kind, created_at_start_ms=second.created_at_ms)
    assert [first.id] == await _ids(stores, identity_kind=kind, created_at_end_ms=second.created_at_ms)
    between = {"created_at_start_ms": first.created_at_ms, "created_at_end_ms": second.created_at_ms + 1}
    assert sorted([first.id, second.id]) == await _ids(stores, identity_kind=kind, **between)
