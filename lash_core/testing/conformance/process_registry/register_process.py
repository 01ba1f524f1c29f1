"""``register_process``: contract 2.1; ``register_process_checks`` has the refusals."""

from __future__ import annotations

import asyncio

from lash_core.errors import RegistrationConflictError
from lash_core.model.event_type import CORE_BY_NAME
from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.model.process_filter import ProcessFilter
from lash_core.model.process_input import PreparedToolCall, ProcessIdentity, ProcessInput
from lash_core.model.record import ProcessRecord
from lash_core.model.registration import RetryPolicy
from lash_core.model.scope import CausalRef, ProcessOriginator, ProcessProvenance
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    CORE_NAMES,
    NOTE,
    PING,
    SUCCESS,
    claim_ready,
    completed,
    external,
    feed_end,
    in_feed,
    registered,
    registration,
    scope,
    unique,
)
from lash_core.testing.conformance.stores import ConformanceStores, elapse


async def inserts_a_running_row(stores: ConformanceStores) -> None:
    """A new row is running, created and updated at one time, and has no history."""
    wanted = registration(event_types=())

    record = await stores.process_registry.register_process(wanted)

    assert wanted.id == record.id
    assert record.status.state == "running"
    assert record.created_at_ms == record.updated_at_ms
    assert record.created_at_ms > 1_600_000_000_000
    assert (0, 0, 0, 0) == (record.attempt, record.deaths, record.last_sequence, record.fenced_writes)
    absent = (record.wait, record.first_started, record.abandon_request, record.cancel_request, record.external_ref)
    assert (None, None, None, None, None) == absent
    assert () == await stores.process_registry.events_after(wanted.id, 0)


async def keeps_every_fact_of_the_registration(stores: ConformanceStores) -> None:
    """What was registered is what is read: hashed facts and dispatch facts."""
    target = scope(frame="frame-1")
    provenance = ProcessProvenance(
        originator=ProcessOriginator.host("billing"),
        caused_by=CausalRef.process_event("parent", 7),
        host_profile_id="profile-1",
    )
    wanted = registration(
        identity=ProcessIdentity(kind="report", label="October", definition={"rev": 3}),
        provenance=provenance,
        wake_target=target,
        timeout_ms=5_000,
        app_version="app-1",
        version_pin="pin-1",
        retry_policy=RetryPolicy(attempts_max=3, backoff_ms=10, backoff_max_ms=100),
    )

    await stores.process_registry.register_process(wanted)
    record = await stores.process_registry.get_process(wanted.id)

    assert isinstance(record, ProcessRecord)
    assert wanted.input == record.input
    assert wanted.disposition == record.disposition
    assert ProcessIdentity(kind="report", label="October", definition={"rev": 3}) == record.identity
    assert provenance == record.provenance
    assert target == record.wake_target
    assert wanted.env_ref == record.env_ref
    assert wanted.queue == record.queue
    assert (5_000, "app-1", "pin-1") == (record.timeout_ms, record.app_version, record.version_pin)
    assert RetryPolicy(attempts_max=3, backoff_ms=10, backoff_max_ms=100) == record.retry_policy
    assert 64 == len(record.registration_hash)
    assert wanted.registration_hash == record.registration_hash


async def identity_defaults_come_from_the_input(stores: ConformanceStores) -> None:
    """Without an identity a row is called after its input: tool, engine kind, or the label of external work."""
    tool = await registered(
        stores,
        registration(input=ProcessInput.tool_call(PreparedToolCall(call_id="c1", tool_id="t1", tool_name="search"))),
    )
    engine = await registered(stores, registration(input=ProcessInput.engine("build")))
    outside = await registered(stores, external(input=ProcessInput.external({"title": "Tuesday", "name": "batch"})))

    assert ProcessIdentity(kind="tool", label="search") == tool.identity
    assert ProcessIdentity(kind="build") == engine.identity
    assert ProcessIdentity(kind="external", label="batch") == outside.identity


async def core_event_types_follow_the_declared_ones(stores: ConformanceStores) -> None:
    """The seven core types are added after the declared ones."""
    record = await registered(stores, registration(event_types=(NOTE, PING)))

    assert ("note", "ping", *CORE_NAMES) == tuple(event_type.name for event_type in record.event_types)


async def a_declared_core_type_is_not_added_twice(stores: ConformanceStores) -> None:
    """Declaring a core type with the core semantics is legal and changes no hash."""
    process_id = unique("process")
    queue = unique("queue")
    plain = registration(process_id, event_types=(NOTE,), queue=queue)
    spelled = registration(process_id, event_types=(NOTE, CORE_BY_NAME["process.waiting"]), queue=queue)

    first = await stores.process_registry.register_process(plain)
    second = await stores.process_registry.register_process(spelled)

    assert first == second
    assert 8 == len({event_type.name for event_type in second.event_types})


async def the_same_registration_returns_the_row_unchanged(stores: ConformanceStores) -> None:
    """A repeat is harmless: same row, no new time, nothing in the feed."""
    wanted = registration()
    first = await stores.process_registry.register_process(wanted)
    end = await feed_end(stores)
    await elapse(stores, 5)

    second = await stores.process_registry.register_process(wanted)

    assert first == second
    assert not await in_feed(stores, end, wanted.id)


async def the_same_registration_returns_a_terminal_row(stores: ConformanceStores) -> None:
    """A repeat after the end answers with the ended row."""
    wanted = registration()
    ended = await completed(stores, wanted)

    again = await stores.process_registry.register_process(wanted)

    assert "completed" == again.status.state
    assert ended == again


async def other_content_is_a_conflict(stores: ConformanceStores) -> None:
    """Each hashed fact makes another registration; the error names both hashes and the row stays."""
    process_id = unique("process")
    base = registration(process_id)
    row = await stores.process_registry.register_process(base)
    others = [
        registration(process_id, input=ProcessInput.engine("conformance.work", {"n": 2})),
        registration(process_id, input=ProcessInput.engine("conformance.other", {"n": 1})),
        registration(process_id, disposition="owner_bound"),
        registration(process_id, identity=ProcessIdentity(kind="conformance.work", label="x")),
        registration(process_id, event_types=(NOTE,)),
        registration(process_id, provenance=ProcessProvenance(originator=ProcessOriginator.host("x"))),
        registration(process_id, env_ref="process-env:sha256:" + "0" * 64),
        registration(process_id, wake_target=scope()),
    ]

    for other in others:
        text = f"registration hash conflict: existing {row.registration_hash}, new {other.registration_hash}"
        with refused(RegistrationConflictError, text, f"`{process_id}`") as refusal:
            await stores.process_registry.register_process(other)
        assert process_id == refusal.error.process_id

    assert row == await stores.process_registry.get_process(process_id)


async def dispatch_facts_make_no_conflict(stores: ConformanceStores) -> None:
    """Due time, queue, timeout, retry policy and app version are not hashed; the first ones stay (decision 17)."""
    process_id = unique("process")
    first = await stores.process_registry.register_process(registration(process_id))

    again = await stores.process_registry.register_process(
        registration(
            process_id,
            queue=unique("elsewhere"),
            delay_ms=60_000,
            timeout_ms=1,
            app_version="2",
            version_pin="2",
            retry_policy=RetryPolicy(attempts_max=9),
        )
    )

    assert first == again


async def odd_ids_are_legal_and_distinct(stores: ConformanceStores) -> None:
    """Slashes, colons, braces, spaces and other alphabets are legal, and no id names another's data."""
    stem = unique("odd")
    ids = [
        f"{stem}/2026/17",
        f"{stem}:e",
        f"{stem}:e:1",
        f"{{{stem}}}",
        f"{stem} with space",
        f"{stem}-процесс-流程",
        f"{stem}*?[a]\\",
        f"{stem}\\n`quoted`",
        stem + "x" * (200 - len(stem)),
    ]
    for process_id in ids:
        await stores.process_registry.register_process(registration(process_id))

    rows = await stores.process_registry.get_processes(ids)

    assert ids == [row.id for row in rows if row is not None]


async def a_delay_sets_the_due_time(stores: ConformanceStores) -> None:
    """A delayed row knows when it is due by the store's clock, and nobody claims it before."""
    wanted = registration(delay_ms=3_600_000)

    record = await stores.process_registry.register_process(wanted)

    assert record.due_at_ms == record.created_at_ms + 3_600_000
    assert () == await claim_ready(stores, wanted.queue)


async def a_new_row_is_claimable_at_once(stores: ConformanceStores) -> None:
    """The non-terminal rows are the queue: no second step makes a row ready."""
    record = await registered(stores)

    found = await claim_ready(stores, record.queue)

    assert [record.id] == [item.lease.process_id for item in found]


async def a_grant_is_in_place_when_the_call_returns(stores: ConformanceStores) -> None:
    """Start and grant are one unit; repeating the start repeats the grant too (hazard 4)."""
    target = scope()
    wanted = registration()
    descriptor = ProcessHandleDescriptor(kind="job", label="first")

    await stores.process_registry.register_process(wanted, grant_to=target, descriptor=descriptor)

    assert await stores.process_registry.has_handle(target, wanted.id)
    grants = await stores.process_registry.handles_for_process(wanted.id)
    assert [(target.scope_id, descriptor)] == [(grant.scope_id, grant.descriptor) for grant in grants]

    await stores.process_registry.revoke_handle(target, wanted.id)
    await stores.process_registry.register_process(wanted, grant_to=target, descriptor=descriptor)

    assert await stores.process_registry.has_handle(target, wanted.id)


async def a_refused_start_grants_nothing(stores: ConformanceStores) -> None:
    """A conflict or an invalid registration leaves no grant behind."""
    target = scope()
    record = await registered(stores)
    other = registration(record.id, input=ProcessInput.engine("conformance.other"))

    with refused(RegistrationConflictError):
        await stores.process_registry.register_process(other, grant_to=target)

    assert not await stores.process_registry.has_handle(target, record.id)
    assert () == await stores.process_registry.list_handles(target)


async def concurrent_equal_starts_make_one_row(stores: ConformanceStores) -> None:
    """Eight starts at once: one row, and all callers see it."""
    wanted = registration()

    records = await asyncio.gather(*(stores.process_registry.register_process(wanted) for _ in range(8)))

    assert 1 == len({record.created_at_ms for record in records})
    found = await claim_ready(stores, wanted.queue)
    assert [wanted.id] == [item.lease.process_id for item in found]


async def of_concurrent_different_starts_one_wins(stores: ConformanceStores) -> None:
    """Eight different starts under one id: one row, seven conflicts."""
    process_id = unique("process")
    wanted = [registration(process_id, input=ProcessInput.engine("conformance.work", n)) for n in range(8)]

    answers = await asyncio.gather(
        *(stores.process_registry.register_process(item) for item in wanted), return_exceptions=True
    )

    winners = [answer for answer in answers if isinstance(answer, ProcessRecord)]
    losers = [answer for answer in answers if isinstance(answer, RegistrationConflictError)]
    assert (1, 7) == (len(winners), len(losers))
    assert winners[0] == await stores.process_registry.get_process(process_id)


async def a_pruned_id_may_start_again_with_other_content(stores: ConformanceStores) -> None:
    """After a prune the id is free, also for another registration."""
    kind = unique("kind")
    first = registration(identity=ProcessIdentity(kind=kind))
    ended = await completed(stores, first, SUCCESS)
    await stores.process_registry.prune_terminal_processes(
        ended.updated_at_ms + 1, ProcessFilter(status="any", identity_kind=kind)
    )

    record = await registered(stores, registration(first.id, input=ProcessInput.engine("conformance.second")))

    assert "running" == record.status.state
    assert () == await stores.process_registry.events_after(first.id, 0)
