"""Cancel requests: decision 21, contract 1.9 and 3.7."""

from __future__ import annotations

import hashlib
import json

from lash_core.errors import AlreadyTerminalError
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.lease import ProcessLease, ProcessLeaseCompletion, ReleaseReason
from lash_core.model.record import ProcessRecord
from lash_core.model.registration import ProcessRegistration
from lash_core.store.process_batches import LeasedRelease
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    OUTPUTS,
    SUCCESS,
    claim_ready,
    claimed,
    completed,
    current,
    external,
    feed_end,
    in_feed,
    owner_bound,
    registered,
    registration,
    running,
)
from lash_core.testing.conformance.stores import ConformanceStores, elapse, short_ttl_ms


async def _cancel(
    stores: ConformanceStores, process_id: str, reason: str | None = None, *, by: str | None = None
) -> int:
    request = ProcessEventAppendRequest.cancel_requested(process_id, reason, requested_by=by)
    result = await stores.process_registry.append_event(process_id, request)
    assert "process.cancel_requested" == result.event.event_type
    return result.event.sequence


async def _attempted(
    stores: ConformanceStores, reason: ReleaseReason, wanted: ProcessRegistration | None = None
) -> tuple[ProcessRecord, ProcessLease]:
    """A row that was claimed once and given back."""
    record, lease = await running(stores, wanted)
    await stores.process_registry.release_process_leases([LeasedRelease(lease, reason)])
    return record, lease


async def payload_and_key_follow_from_the_reason(stores: ConformanceStores) -> None:
    """Payload exactly the reason; the key is a digest of type and payload; who asked is not in it."""
    record, _ = await running(stores)

    await _cancel(stores, record.id, "too slow", by="ops")

    (event,) = await stores.process_registry.events_after(record.id, 0)
    assert {"reason": "too slow"} == event.payload
    text = json.dumps(["process.cancel_requested", {"reason": "too slow"}], separators=(",", ":"), sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert f"process:{record.id}:cancel_requested:{digest}" == event.replay_key


async def a_running_row_remembers_who_asked_first(stores: ConformanceStores) -> None:
    """The request is a fact of the row; another reason is a second event and does not replace who asked."""
    record, _ = await running(stores)

    first = await _cancel(stores, record.id, "too slow", by="ops")
    second = await _cancel(stores, record.id, "really", by="boss")

    row = await current(stores, record.id)
    assert (1, 2) == (first, second)
    assert "running" == row.status.state
    assert row.cancel_request is not None
    assert ("ops", "too slow", None) == (
        row.cancel_request.requested_by,
        row.cancel_request.reason,
        row.cancel_request.seen_at_ms,
    )
    (event, _) = await stores.process_registry.events_after(record.id, 0)
    assert event.occurred_at_ms == row.cancel_request.requested_at_ms


async def the_same_reason_again_changes_nothing(stores: ConformanceStores) -> None:
    """One event per reason, whoever asks; no new time, nothing in the feed."""
    record, _ = await running(stores)
    await _cancel(stores, record.id, "stop", by="ops")
    before = await current(stores, record.id)
    end = await feed_end(stores)
    await elapse(stores, 5)

    again = await _cancel(stores, record.id, "stop", by="someone else")

    assert 1 == again
    assert before == await current(stores, record.id)
    assert not await in_feed(stores, end, record.id)


async def no_reason_is_a_reason_of_its_own(stores: ConformanceStores) -> None:
    """None and a text are different requests."""
    record, _ = await running(stores)

    assert (1, 1, 2) == (
        await _cancel(stores, record.id),
        await _cancel(stores, record.id),
        await _cancel(stores, record.id, "x"),
    )
    row = await current(stores, record.id)
    assert row.cancel_request is not None
    assert (None, None) == (row.cancel_request.reason, row.cancel_request.requested_by)


async def a_row_that_was_never_claimed_ends_at_once(stores: ConformanceStores) -> None:
    """Without any worker: request and end are one unit, with the authority beside the outcome."""
    for wanted in (registration(), owner_bound(), registration(delay_ms=3_600_000)):
        record = await registered(stores, wanted)

        await _cancel(stores, record.id, "not needed", by="ops")

        row = await current(stores, record.id)
        assert "cancelled" == row.status.state
        events = await stores.process_registry.events_after(record.id, 0)
        types = [event.event_type for event in events]
        assert ["process.cancel_requested", "process.cancelled"] == types
        end = events[1].payload
        assert isinstance(end, dict)
        assert {"type": "cancelled_before_start"} == end["completion_authority"]
        assert ("cancelled", "not needed") == (end["await_output"]["type"], end["await_output"]["message"])
        assert f"process:{record.id}:terminal:process.cancelled" == events[1].replay_key
        assert row.cancel_request is not None
        assert ("ops", "not needed") == (row.cancel_request.requested_by, row.cancel_request.reason)
        assert events[1].occurred_at_ms == row.updated_at_ms
        assert () == await claim_ready(stores, record.queue)


async def repeating_a_cancel_that_ended_the_row_changes_nothing(stores: ConformanceStores) -> None:
    """The same request replays; another reason is recorded and ends nothing twice."""
    record = await registered(stores)
    await _cancel(stores, record.id, "a")
    before = await current(stores, record.id)

    again = await _cancel(stores, record.id, "a")
    assert 1 == again
    assert before == await current(stores, record.id)

    other = await _cancel(stores, record.id, "b")
    row = await current(stores, record.id)
    assert (3, before.status) == (other, row.status)
    assert 3 == len(await stores.process_registry.events_after(record.id, 0))


async def a_row_with_a_lease_entry_is_not_ended(stores: ConformanceStores) -> None:
    """A live or an expired lease means that somebody may be running it: the request is recorded only."""
    ttl_ms = await short_ttl_ms(stores)
    expired = await registered(stores)
    await claimed(stores, expired.id, ttl_ms=ttl_ms)
    await elapse(stores, ttl_ms + 50)
    live, _ = await running(stores)

    for record in (expired, live):
        await _cancel(stores, record.id, "stop")
        row = await current(stores, record.id)
        assert ("running", 1) == (row.status.state, row.last_sequence)


async def a_row_that_was_attempted_is_not_ended(stores: ConformanceStores) -> None:
    """After a first attempt a worker decides what the end is; the row is claimable at once."""
    record, _ = await _attempted(stores, ReleaseReason(kind="yielded"))

    await _cancel(stores, record.id, "stop")

    assert "running" == (await current(stores, record.id)).status.state
    (item,) = await claim_ready(stores, record.queue)
    assert item.record.cancel_request is not None


async def an_externally_owned_row_only_records(stores: ConformanceStores) -> None:
    """Lash does not end what it does not run, and does not offer it either."""
    record = await registered(stores, external())

    await _cancel(stores, record.id, "stop", by="ops")

    row = await current(stores, record.id)
    assert ("running", 1) == (row.status.state, row.last_sequence)
    assert row.cancel_request is not None
    assert "ops" == row.cancel_request.requested_by
    assert () == await claim_ready(stores, record.queue)


async def parked_and_delayed_rows_become_claimable(stores: ConformanceStores) -> None:
    """A cancel must not wait for a due time that was chosen before it."""
    reasons = [
        ReleaseReason(kind="parked", due_in_ms=3_600_000),
        ReleaseReason(kind="parked", due_in_ms=-1),
        ReleaseReason(kind="released", due_in_ms=3_600_000),
    ]
    for reason in reasons:
        record, _ = await _attempted(stores, reason)
        assert () == await claim_ready(stores, record.queue)

        await _cancel(stores, record.id, "stop")

        assert [record.id] == [item.record.id for item in await claim_ready(stores, record.queue)], reason.kind


async def a_cancel_while_the_run_parks_is_not_missed(stores: ConformanceStores) -> None:
    """Requested under the lease, unseen by the run: the parked row is claimable at once."""
    record, lease = await running(stores)
    await _cancel(stores, record.id, "stop")

    await stores.process_registry.release_process_leases(
        [LeasedRelease(lease, ReleaseReason(kind="parked", due_in_ms=3_600_000))]
    )

    assert [record.id] == [item.record.id for item in await claim_ready(stores, record.queue)]


async def a_cancel_survives_the_death_of_the_run(stores: ConformanceStores) -> None:
    """Recorded before a crash it is in the row and the log that the next run reads."""
    record = await registered(stores)
    ttl_ms = await short_ttl_ms(stores)
    await claimed(stores, record.id, ttl_ms=ttl_ms)
    await _cancel(stores, record.id, "stop", by="ops")
    await elapse(stores, ttl_ms + 50)

    (item,) = await claim_ready(stores, record.queue)

    assert item.record.cancel_request is not None
    assert "stop" == item.record.cancel_request.reason
    (event,) = await stores.process_registry.events_after(record.id, 0)
    assert "process.cancel_requested" == event.event_type


async def a_terminal_row_records_the_request_only(stores: ConformanceStores) -> None:
    """Asking after the end is legal, is an event, and changes no outcome."""
    ended = await completed(stores)

    sequence = await _cancel(stores, ended.id, "late")

    row = await current(stores, ended.id)
    assert (2, ended.status) == (sequence, row.status)


async def a_cancel_is_a_request(stores: ConformanceStores) -> None:
    """The run decides: a value returned anyway completes the process, and a cancelled end is its own to write."""
    stubborn, stubborn_lease = await running(stores)
    polite, polite_lease = await running(stores)
    for record in (stubborn, polite):
        await _cancel(stores, record.id, "stop")

    one = await stores.process_registry.complete_process_with_lease(stubborn_lease, SUCCESS)
    two = await stores.process_registry.complete_process_with_lease(polite_lease, OUTPUTS["cancelled"])

    assert ("completed", "cancelled") == (one.status.state, two.status.state)


async def a_lease_claimed_before_the_cancel_ended_nothing_else(stores: ConformanceStores) -> None:
    """After an end before the start a claim by name finds an ended row and can end nothing."""
    record = await registered(stores)
    await _cancel(stores, record.id, "stop")
    lease = await claimed(stores, record.id)

    with refused(AlreadyTerminalError):
        await stores.process_registry.complete_process_with_lease(lease, SUCCESS)
    await stores.process_registry.complete_process_lease(ProcessLeaseCompletion.from_lease(lease))

    assert "cancelled" == (await current(stores, record.id)).status.state
