"""``delete_session_process_state``: contract 2.4 and 1.14."""

from __future__ import annotations

from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.model.reports import SessionDeleteReport
from lash_core.testing.conformance.process_registry.arrange import (
    completed,
    current,
    event,
    feed_end,
    in_feed,
    registered,
    registration,
    scope,
    unique,
)
from lash_core.testing.conformance.stores import ConformanceStores, elapse

PLAIN = ProcessHandleDescriptor()


async def reports_orphans_and_preserved(stores: ConformanceStores) -> None:
    """Grants of all frames go; a live process without another grant is an orphan, one with another is preserved."""
    session, other = scope(), scope()
    frame = session.model_copy(update={"agent_frame_id": "f1"})
    orphans = [await registered(stores) for _ in range(2)]
    shared = await registered(stores)
    ended = await completed(stores)
    for target, record in (
        (session, orphans[0]),
        (frame, orphans[0]),
        (frame, orphans[1]),
        (session, shared),
        (other, shared),
        (session, ended),
    ):
        await stores.process_registry.grant_handle(target, record.id, PLAIN)

    report = await stores.process_registry.delete_session_process_state(session.session_id)

    expected = SessionDeleteReport(
        session_id=session.session_id,
        revoked_handle_count=5,
        deleted_wake_count=0,
        orphaned_process_ids=tuple(sorted(record.id for record in orphans)),
        preserved_process_ids=(shared.id,),
    )
    assert expected == report
    assert () == await stores.process_registry.list_handles(session)
    assert () == await stores.process_registry.list_handles(frame)
    assert await stores.process_registry.has_handle(other, shared.id)
    for record in (*orphans, ended):
        assert () == await stores.process_registry.handles_for_process(record.id)


async def cancels_and_deletes_no_process(stores: ConformanceStores) -> None:
    """Rows, statuses and logs stay; without a wake target to clear the row does not change at all."""
    session = scope()
    record, ended = await registered(stores), await completed(stores)
    for row in (record, ended):
        await stores.process_registry.grant_handle(session, row.id, PLAIN)
    end = await feed_end(stores)
    await elapse(stores, 5)

    await stores.process_registry.delete_session_process_state(session.session_id)

    assert record == await current(stores, record.id)
    assert ended == await current(stores, ended.id)
    assert () == await stores.process_registry.events_after(record.id, 0)
    assert not await in_feed(stores, end, record.id)


async def clears_the_wake_target_of_every_row(stores: ConformanceStores) -> None:
    """Rows that wake the session wake nobody any more, granted or not, terminal ones too; time and feed show it."""
    session = scope()
    frame = session.model_copy(update={"agent_frame_id": "f1"})
    live = await registered(stores, registration(wake_target=frame))
    ended = await completed(stores, registration(wake_target=session))
    granted = await registered(stores, registration(wake_target=session))
    await stores.process_registry.grant_handle(session, granted.id, PLAIN)
    end = await feed_end(stores)
    await elapse(stores, 5)

    await stores.process_registry.delete_session_process_state(session.session_id)

    for row in (live, ended, granted):
        changed = await current(stores, row.id)
        assert None is changed.wake_target
        assert changed.updated_at_ms > row.updated_at_ms
        assert row.status == changed.status
        assert await in_feed(stores, end, row.id)
    result = await stores.process_registry.append_event(live.id, event("ping", {"text": "hi"}))
    assert None is result.wake_delivery


async def a_cleared_wake_target_keeps_the_registration_hash(stores: ConformanceStores) -> None:
    """Starting the same process again still finds the row."""
    session = scope()
    wanted = registration(wake_target=session)
    await stores.process_registry.register_process(wanted, grant_to=session)
    await stores.process_registry.delete_session_process_state(session.session_id)

    again = await stores.process_registry.register_process(wanted)

    assert None is again.wake_target
    assert wanted.registration_hash == again.registration_hash


async def another_sessions_wake_target_stays(stores: ConformanceStores) -> None:
    """Only targets of the deleted session are cleared; a session whose id begins alike is another one."""
    session = scope()
    longer = scope(session.session_id + "-2")
    record = await registered(stores, registration(wake_target=longer))
    for target in (session, longer):
        await stores.process_registry.grant_handle(target, record.id, PLAIN)

    report = await stores.process_registry.delete_session_process_state(session.session_id)

    assert (record.id,) == report.preserved_process_ids
    assert longer == (await current(stores, record.id)).wake_target
    assert await stores.process_registry.has_handle(longer, record.id)


async def acknowledged_wakes_stay_acknowledged(stores: ConformanceStores) -> None:
    """Wake acks survive the session."""
    session = scope()
    record = await registered(stores, registration(wake_target=session))
    await stores.process_registry.grant_handle(session, record.id, PLAIN)
    await stores.process_registry.append_event(record.id, event("ping", {"text": "one"}))
    await stores.process_registry.append_event(record.id, event("ping", {"text": "two"}))
    await stores.process_registry.ack_wake(record.id, 1)

    await stores.process_registry.delete_session_process_state(session.session_id)

    left = await stores.process_registry.wake_events_after(record.id, 0)
    assert [2] == [item.sequence for item in left]


async def a_repeat_reports_nothing(stores: ConformanceStores) -> None:
    """Deleting again, or an unknown session, removes nothing and is no error."""
    session = scope()
    record = await registered(stores)
    await stores.process_registry.grant_handle(session, record.id, PLAIN)
    await stores.process_registry.delete_session_process_state(session.session_id)

    again = await stores.process_registry.delete_session_process_state(session.session_id)

    assert SessionDeleteReport(session_id=session.session_id) == again
    absent = unique("session")
    assert SessionDeleteReport(session_id=absent) == await stores.process_registry.delete_session_process_state(absent)
