"""``complete_process``: completion without a lease, by authority (contract 2.7, decision 12)."""

from __future__ import annotations

from lash_core.errors import (
    AlreadyTerminalError,
    CompletionAuthorityError,
    LeaseLostError,
    ReplayKeyConflictError,
    UnknownProcessError,
)
from lash_core.model.await_output import AnyAwaitOutput, ProcessAwaitOutput
from lash_core.model.registration import ProcessRegistration
from lash_core.model.reports import CompletionAuthority
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    LOST,
    OUTPUTS,
    SUCCESS,
    TTL_MS,
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
    unique,
    unknown_text,
)
from lash_core.testing.conformance.stores import ConformanceStores, elapse

EXTERNAL_OWNER = CompletionAuthority.external_owner("jenkins")
WORKFLOW_KEY = CompletionAuthority.for_workflow_key("orders")
RECONCILED = CompletionAuthority.reconciled_abandon()


async def an_unknown_process_is_refused(stores: ConformanceStores) -> None:
    """Before the authority is looked at."""
    process_id = unique("absent")

    with refused(UnknownProcessError, unknown_text(process_id)):
        await stores.process_registry.complete_process(process_id, SUCCESS, EXTERNAL_OWNER)


async def the_authority_must_fit_the_disposition(stores: ConformanceStores) -> None:
    """The whole table: what is rejected writes nothing and says which authority and why."""
    abandoned = OUTPUTS["abandoned"]
    rejected: list[tuple[ProcessRegistration, CompletionAuthority, AnyAwaitOutput, str]] = [
        (registration(), EXTERNAL_OWNER, SUCCESS, "external-owner"),
        (owner_bound(), EXTERNAL_OWNER, SUCCESS, "external-owner"),
        (external(), WORKFLOW_KEY, SUCCESS, "workflow-key"),
        (registration(), RECONCILED, abandoned, "reconciled-abandon"),
        (owner_bound(), RECONCILED, abandoned, "reconciled-abandon"),
        (external(), RECONCILED, SUCCESS, "reconciled-abandon"),
        (external(), RECONCILED, OUTPUTS["failed"], "reconciled-abandon"),
    ]
    for wanted, authority, output, label in rejected:
        record = await registered(stores, wanted)
        text = f"process `{record.id}` cannot be completed with {label} authority: "
        with refused(CompletionAuthorityError, text):
            await stores.process_registry.complete_process(record.id, output, authority)
        assert record == await current(stores, record.id)


async def accepted_authorities_end_the_row(stores: ConformanceStores) -> None:
    """What the table accepts is recorded beside the outcome, with its facts."""
    accepted = [
        (external(), EXTERNAL_OWNER, SUCCESS, {"type": "external_owner", "granted_to": "jenkins"}),
        (registration(), WORKFLOW_KEY, SUCCESS, {"type": "workflow_key", "workflow_key": "orders"}),
        (owner_bound(), WORKFLOW_KEY, OUTPUTS["failed"], {"type": "workflow_key", "workflow_key": "orders"}),
        (external(), RECONCILED, OUTPUTS["abandoned"], {"type": "reconciled_abandon"}),
    ]
    for wanted, authority, output, recorded in accepted:
        record = await registered(stores, wanted)

        ended = await stores.process_registry.complete_process(record.id, output, authority)

        assert (output.state, output) == (ended.status.state, ended.await_output)
        (event,) = await stores.process_registry.events_after(record.id, 0)
        assert f"process.{output.state}" == event.event_type
        assert {"await_output": output.to_json_value(), "completion_authority": recorded} == event.payload
        assert f"process:{record.id}:terminal:process.{output.state}" == event.replay_key
        assert event.occurred_at_ms == ended.updated_at_ms
        assert ended == await current(stores, record.id)


async def the_same_completion_again_changes_nothing(stores: ConformanceStores) -> None:
    """Same output and authority: the ended row, no second event, nothing in the feed."""
    record = await registered(stores, external())
    first = await stores.process_registry.complete_process(record.id, SUCCESS, EXTERNAL_OWNER)
    end = await feed_end(stores)
    await elapse(stores, 5)

    again = await stores.process_registry.complete_process(record.id, SUCCESS, EXTERNAL_OWNER)

    assert first == again
    assert 1 == again.last_sequence
    assert not await in_feed(stores, end, record.id)


async def another_output_or_authority_of_the_same_kind_is_a_conflict(stores: ConformanceStores) -> None:
    """The one terminal event is immutable."""
    record = await registered(stores, external())
    first = await stores.process_registry.complete_process(record.id, SUCCESS, EXTERNAL_OWNER)
    other_owner = CompletionAuthority.external_owner("gitlab")

    for output, authority in ((ProcessAwaitOutput.success(2), EXTERNAL_OWNER), (SUCCESS, other_owner)):
        with refused(ReplayKeyConflictError, "conflicts with an existing event"):
            await stores.process_registry.complete_process(record.id, output, authority)

    assert first == await current(stores, record.id)


async def another_kind_of_end_is_already_terminal(stores: ConformanceStores) -> None:
    """A failure after a success is refused."""
    record = await registered(stores, external())
    await stores.process_registry.complete_process(record.id, SUCCESS, EXTERNAL_OWNER)

    with refused(AlreadyTerminalError, "is already terminal"):
        await stores.process_registry.complete_process(record.id, OUTPUTS["failed"], EXTERNAL_OWNER)


async def the_authority_is_checked_on_a_terminal_row_too(stores: ConformanceStores) -> None:
    """Who may not complete learns that, and not that the row has ended."""
    ended = await completed(stores)

    with refused(CompletionAuthorityError):
        await stores.process_registry.complete_process(ended.id, OUTPUTS["failed"], EXTERNAL_OWNER)


async def an_ended_row_is_offered_to_nobody(stores: ConformanceStores) -> None:
    """The row leaves the queue in the same unit."""
    record = await registered(stores)

    await stores.process_registry.complete_process(record.id, SUCCESS, WORKFLOW_KEY)

    assert () == await claim_ready(stores, record.queue)


async def a_held_lease_stays_until_it_expires(stores: ConformanceStores) -> None:
    """Completion by authority does not touch the lease, and the holder can end nothing any more."""
    record = await registered(stores)
    lease = await claimed(stores, record.id)

    await stores.process_registry.complete_process(record.id, SUCCESS, WORKFLOW_KEY)

    held = await stores.process_registry.get_process_lease(record.id)
    assert held is not None
    assert lease.same_acquisition(held)
    await stores.process_registry.renew_process_lease(lease, TTL_MS)
    with refused(AlreadyTerminalError):
        await stores.process_registry.complete_process_with_lease(lease, OUTPUTS["failed"])
    stale = lease.model_copy(update={"lease_token": "forged"})
    with refused(LeaseLostError, LOST):
        await stores.process_registry.complete_process_with_lease(stale, OUTPUTS["failed"])
