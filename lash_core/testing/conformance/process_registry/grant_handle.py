"""``grant_handle``: contract 2.3."""

from __future__ import annotations

from lash_core.errors import UnknownProcessError
from lash_core.model.facts import ProcessHandleDescriptor, ProcessHandleGrant
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    completed,
    current,
    feed_end,
    in_feed,
    registered,
    scope,
    unique,
    unknown_text,
)
from lash_core.testing.conformance.stores import ConformanceStores, elapse

JOB = ProcessHandleDescriptor(kind="job", label="nightly")


async def an_unknown_process_is_refused(stores: ConformanceStores) -> None:
    """A handle names a row."""
    process_id, target = unique("absent"), scope()

    with refused(UnknownProcessError, unknown_text(process_id)):
        await stores.process_registry.grant_handle(target, process_id, JOB)

    assert not await stores.process_registry.has_handle(target, process_id)


async def a_grant_is_there_when_the_call_returns(stores: ConformanceStores) -> None:
    """The answer is the grant, and every read sees it."""
    record = await registered(stores)
    target = scope(frame="f1")

    grant = await stores.process_registry.grant_handle(target, record.id, JOB)

    expected = ProcessHandleGrant(
        session_id=target.session_id,
        process_id=record.id,
        scope_id=f"session:{target.session_id}/frame:f1",
        descriptor=JOB,
    )
    assert expected == grant
    assert await stores.process_registry.has_handle(target, record.id)
    assert ((expected, record),) == await stores.process_registry.list_handles(target)
    assert (expected,) == await stores.process_registry.handles_for_process(record.id)


async def a_second_grant_replaces_the_descriptor(stores: ConformanceStores) -> None:
    """One grant per scope and process."""
    record = await registered(stores)
    target = scope()
    await stores.process_registry.grant_handle(target, record.id, JOB)

    await stores.process_registry.grant_handle(target, record.id, ProcessHandleDescriptor(label="other"))

    grants = await stores.process_registry.handles_for_process(record.id)
    assert [ProcessHandleDescriptor(kind=None, label="other")] == [grant.descriptor for grant in grants]


async def a_session_and_its_frame_are_different_grantees(stores: ConformanceStores) -> None:
    """Grants are keyed by scope id; an empty frame id is the session itself."""
    record = await registered(stores)
    session = scope()
    frame = session.model_copy(update={"agent_frame_id": "f1"})

    await stores.process_registry.grant_handle(frame, record.id, JOB)

    assert await stores.process_registry.has_handle(frame, record.id)
    assert not await stores.process_registry.has_handle(session, record.id)

    await stores.process_registry.grant_handle(session.model_copy(update={"agent_frame_id": ""}), record.id, JOB)

    assert await stores.process_registry.has_handle(session, record.id)


async def the_row_and_the_feed_do_not_notice(stores: ConformanceStores) -> None:
    """Grants append no event, touch no row and are not in the feed."""
    record = await registered(stores)
    target, other = scope(), scope()
    end = await feed_end(stores)
    await elapse(stores, 5)

    await stores.process_registry.grant_handle(target, record.id, JOB)
    await stores.process_registry.transfer_handles(target, other, [record.id])
    await stores.process_registry.revoke_handle(other, record.id)

    assert record == await current(stores, record.id)
    assert () == await stores.process_registry.events_after(record.id, 0)
    assert not await in_feed(stores, end, record.id)


async def a_terminal_row_may_be_granted(stores: ConformanceStores) -> None:
    """A result may be shared after the end."""
    ended = await completed(stores)
    target = scope()

    await stores.process_registry.grant_handle(target, ended.id, JOB)

    assert await stores.process_registry.has_handle(target, ended.id)
