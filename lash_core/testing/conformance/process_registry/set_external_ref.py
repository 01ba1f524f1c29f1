"""``set_external_ref``: contract 2.2."""

from __future__ import annotations

from lash_core.errors import ExternalRefConflictError, UnknownProcessError
from lash_core.model.facts import ProcessExternalRef
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    completed,
    feed_end,
    in_feed,
    registered,
    unique,
    unknown_text,
)
from lash_core.testing.conformance.stores import ConformanceStores, elapse

REF = ProcessExternalRef(backend="jenkins", id="build-17", metadata={"url": "https://ci.example/17"})


async def an_unknown_process_is_refused(stores: ConformanceStores) -> None:
    """There is nothing to name."""
    process_id = unique("absent")

    with refused(UnknownProcessError, unknown_text(process_id)):
        await stores.process_registry.set_external_ref(process_id, REF)


async def the_first_assignment_is_stored_and_bumps_the_row(stores: ConformanceStores) -> None:
    """The reference is in the row, its time rises and the feed shows it."""
    record = await registered(stores)
    end = await feed_end(stores)
    await elapse(stores, 5)

    changed = await stores.process_registry.set_external_ref(record.id, REF)

    assert REF == changed.external_ref
    assert changed.updated_at_ms > record.updated_at_ms
    assert changed == await stores.process_registry.get_process(record.id)
    assert await in_feed(stores, end, record.id)


async def the_same_value_again_changes_nothing(stores: ConformanceStores) -> None:
    """Backend, id and metadata equal: no new time, nothing in the feed."""
    record = await registered(stores)
    first = await stores.process_registry.set_external_ref(record.id, REF)
    end = await feed_end(stores)
    await elapse(stores, 5)

    second = await stores.process_registry.set_external_ref(record.id, REF.model_copy())

    assert first == second
    assert not await in_feed(stores, end, record.id)


async def any_other_part_is_a_conflict(stores: ConformanceStores) -> None:
    """Another backend, id or metadata is refused and the first stays."""
    record = await registered(stores)
    first = await stores.process_registry.set_external_ref(record.id, REF)

    for change in ({"backend": "gitlab"}, {"id": "build-18"}, {"metadata": None}, {"metadata": {"url": "other"}}):
        with refused(ExternalRefConflictError, "external ref conflict"):
            await stores.process_registry.set_external_ref(record.id, REF.model_copy(update=change))

    assert first == await stores.process_registry.get_process(record.id)


async def a_terminal_row_may_be_named(stores: ConformanceStores) -> None:
    """The end of a process does not close its reference."""
    ended = await completed(stores)

    changed = await stores.process_registry.set_external_ref(ended.id, REF)

    assert REF == changed.external_ref
    assert "completed" == changed.status.state


async def it_appends_no_event(stores: ConformanceStores) -> None:
    """A reference is a fact of the row and not an event."""
    record = await registered(stores)

    await stores.process_registry.set_external_ref(record.id, REF)

    assert () == await stores.process_registry.events_after(record.id, 0)
