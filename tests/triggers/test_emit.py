"""Emit, and what becomes of deliveries when something is wrong with them (docs/contracts/triggers.md 5)."""

from __future__ import annotations

from typing import Any

import pytest

from lash_core.errors import OccurrenceConflictError, StoreUnreachableError
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.manifest import KindManifest
from lash_core.model.process_filter import ProcessFilter
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import CausalRef, HostOriginator, SessionOriginator, SessionScope
from lash_core.model.trigger import TriggerOwnerScope, TriggerTarget
from lash_core.model.trigger_occurrence import TriggerOccurrence, trigger_process_id
from lash_core.runtime.trigger_router import GIVE_UP_MS, RETRY_MS_MAX, TriggerRouter
from lash_core.testing.conformance.trigger_store.arrange import register
from tests.triggers.conftest import AnyStores
from tests.triggers.kit import MANIFESTS, Declared, Mortal, client_of, router_of

WEEKS_MS = GIVE_UP_MS + 60_000


async def test_an_occurrence_starts_a_process_of_each_trigger(stores: AnyStores) -> None:
    """With params from the payload, the cause, the trigger's name as label, and the kind's own queue."""
    lash = client_of(stores)
    params = {"month": {"$payload": "/when/month"}, "fixed": [1, {"all": {"$payload": ""}}]}
    made = await lash.triggers.create("monthly", "report", params, source="webhook:sales:eu")
    await lash.triggers.create("other", "plain", source="webhook:sales:us")
    payload = {"when": {"month": "2026-10"}}

    report = await lash.triggers.emit("webhook:sales:eu", payload, idempotency_key="d-1")

    assert [("started", made.subscription.subscription_id)] == [
        (one.status, one.subscription_id) for one in report.deliveries
    ]
    row = await lash.get(report.deliveries[0].process_id)
    assert row is not None
    assert ("report", "monthly", "reports") == (row.identity.kind, row.identity.label, row.queue)
    assert {"month": "2026-10", "fixed": [1, {"all": payload}]} == getattr(row.input, "payload", None)
    subscription = made.subscription
    assert row.provenance.caused_by == CausalRef.trigger_occurrence(
        TriggerOccurrence("webhook", "sales:eu", "d-1").occurrence_id,
        subscription.subscription_id,
        subscription.incarnation,
        1,
    )
    assert HostOriginator() == row.provenance.originator


async def test_processes_are_found_by_their_trigger(stores: AnyStores) -> None:
    """The listing's facets for occurrence and subscription fit."""
    lash = client_of(stores)
    made = await lash.triggers.create("t", "plain", source="w:k")
    report = await lash.triggers.emit("w:k")
    await lash.triggers.emit("w:k")
    registry = stores.process_registry

    of_trigger = await registry.list_processes(
        ProcessFilter(status="any", caused_by_subscription_id=made.subscription.subscription_id)
    )
    of_occurrence = await registry.list_processes(
        ProcessFilter(status="any", caused_by_occurrence_id=report.occurrence.occurrence_id)
    )

    assert (2, [report.deliveries[0].process_id]) == (len(of_trigger), [row.id for row in of_occurrence])


async def test_a_source_without_params_hands_its_payload_on(stores: AnyStores) -> None:
    """A trigger that names no params starts the kind with the payload itself."""
    lash = client_of(stores)
    await lash.triggers.create("t", "report", source="w:k")

    report = await lash.triggers.emit("w:k", {"month": "2026-01"})

    row = await lash.get(report.deliveries[0].process_id)
    assert row is not None
    assert {"month": "2026-01"} == getattr(row.input, "payload", None)


async def test_the_same_occurrence_starts_nothing_twice(stores: AnyStores) -> None:
    """The second emit says so; the process ids are the same."""
    lash = client_of(stores)
    await lash.triggers.create("t", "plain", source="w:k")

    first = await lash.triggers.emit("w:k", 1, idempotency_key="x")
    again = await lash.triggers.emit("w:k", 1, idempotency_key="x")

    assert (False, True) == (first.replayed, again.replayed)
    assert ["already_reserved"] == [one.status for one in again.deliveries]
    assert [one.process_id for one in first.deliveries] == [one.process_id for one in again.deliveries]
    assert 1 == await lash.count()
    with pytest.raises(OccurrenceConflictError):
        await lash.triggers.emit("w:k", 2, idempotency_key="x")


async def test_one_delivery_that_fails_does_not_concern_the_others(stores: AnyStores) -> None:
    """It is reported with its reason and given up, for the same payload would fail again; the rest is started."""
    lash = client_of(stores)
    await lash.triggers.create("good", "plain", source="w:k")
    bad = await lash.triggers.create("pointer", "plain", {"x": {"$payload": "/nowhere"}}, source="w:k")
    await lash.triggers.create("schema", "report", source="w:k")

    report = await lash.triggers.emit("w:k", {"month": 7})

    assert ["failed", "failed", "started"] == sorted(one.status for one in report.deliveries)
    failed = {one.subscription_id: one for one in report.deliveries if one.status == "failed"}
    assert "did not match" in (failed[bad.subscription.subscription_id].reason or "")
    assert {False} == {one.will_retry for one in failed.values()}
    assert () == await stores.triggers.unstarted_deliveries(min_age_ms=0, limit=10)
    kept = await stores.triggers.failed_deliveries()
    assert {one.process_id for one in failed.values()} == {one.process_id for one in kept}


async def test_an_unknown_kind_is_tried_again(stores: AnyStores) -> None:
    """A worker that declares it may come with the next deploy; recovery starts the delivery then."""
    app = Declared()
    lash = client_of(stores, app)
    await lash.triggers.create("t", "plain", source="w:k")
    del app.declared["plain"]

    report = await lash.triggers.emit("w:k")

    assert [("failed", True)] == [(one.status, one.will_retry) for one in report.deliveries]
    router = router_of(stores, app)
    assert 0 == await router.recover(min_age_ms=0)
    app.declared["plain"] = MANIFESTS["plain"]
    await stores.advance_clock(RETRY_MS_MAX)
    assert 1 == await router.recover(min_age_ms=0)
    assert await lash.get(report.deliveries[0].process_id) is not None


async def test_after_a_week_a_delivery_is_given_up(stores: AnyStores) -> None:
    """It fails with its reason instead of being tried for ever."""
    app = Declared()
    lash = client_of(stores, app)
    await lash.triggers.create("t", "plain", source="w:k")
    app.declared.clear()
    report = await lash.triggers.emit("w:k")
    await stores.advance_clock(WEEKS_MS)

    assert 0 == await router_of(stores, app).recover(min_age_ms=0)

    assert () == await stores.triggers.unstarted_deliveries(min_age_ms=0, limit=10)
    failed = await stores.triggers.failed_deliveries()
    assert [report.deliveries[0].process_id] == [one.process_id for one in failed]
    assert "unknown_kind" in (failed[0].reason or "")


async def test_an_explicit_disposition_serves_a_kind_nobody_published(stores: AnyStores) -> None:
    """And gives way to the manifest once there is one."""
    app = Declared({})
    lash = client_of(stores, app)
    await lash.triggers.create("t", "new", source="w:k", disposition="rerunnable")

    first = await lash.triggers.emit("w:k")
    app.declared["new"] = KindManifest(kind="new", disposition=RecoveryDisposition.OWNER_BOUND)
    second = await router_of(stores, app).emit(TriggerOccurrence("w", "k", "2"))

    rows = [await lash.get(report.deliveries[0].process_id) for report in (first, second)]
    assert ["rerunnable", "owner_bound"] == [row.disposition.value for row in rows if row is not None]


async def test_a_process_with_other_content_counts_as_failed(stores: AnyStores) -> None:
    """Somebody took the id: the delivery is given up, and not tried for ever."""
    lash = client_of(stores)
    made = await lash.triggers.create("t", "plain", source="w:k")
    occurrence = TriggerOccurrence("w", "k", "x")
    subscription = made.subscription
    taken = trigger_process_id(occurrence.occurrence_id, subscription.subscription_id, subscription.incarnation)
    await lash.enqueue("plain", {"somebody": "else"}, process_id=taken)

    report = await lash.triggers.router.emit(occurrence)

    assert [("failed", False)] == [(one.status, one.will_retry) for one in report.deliveries]
    assert "registration_conflict" in (report.deliveries[0].reason or "")
    assert 0 == await router_of(stores).recover(min_age_ms=0)
    assert 1 == await lash.count()


async def test_a_manifest_that_changed_meanwhile_is_still_the_same_start(stores: AnyStores) -> None:
    """The row's cause says so, though its hash differs."""
    app = Declared()
    lash = client_of(stores, app)
    await lash.triggers.create("t", "plain", source="w:k")
    dying = TriggerRouter(
        Mortal(stores.triggers, "settle_deliveries", after=False),  # pyright: ignore[reportArgumentType]
        stores.process_registry,
        lash.triggers.router._plan,
    )
    with pytest.raises(BaseException, match="settle_deliveries"):
        await dying.emit(TriggerOccurrence("w", "k", "x"))
    app.declared["plain"] = MANIFESTS["plain"].model_copy(update={"signals": {"stop": {}}})

    assert 1 == await router_of(stores, app).recover(min_age_ms=0)

    assert 1 == await lash.count()
    assert () == await stores.triggers.failed_deliveries()


async def test_a_store_that_goes_away_leaves_the_delivery_reserved(stores: AnyStores) -> None:
    """Reported as failed, retried by recovery."""
    lash = client_of(stores)
    await lash.triggers.create("t", "plain", source="w:k")

    class Away:
        async def register_processes(self, registrations: Any) -> Any:
            raise StoreUnreachableError("gone")

    router = TriggerRouter(stores.triggers, Away(), lash.triggers.router._plan)  # pyright: ignore[reportArgumentType]
    report = await router.emit(TriggerOccurrence("w", "k", "x"))

    assert [("failed", True)] == [(one.status, one.will_retry) for one in report.deliveries]
    await stores.advance_clock(RETRY_MS_MAX)
    assert 1 == await router_of(stores).recover(min_age_ms=0)


async def test_an_emit_again_tries_what_had_failed(stores: AnyStores) -> None:
    """The way to redo a delivery after its cause is mended."""
    app = Declared()
    lash = client_of(stores, app)
    await lash.triggers.create("t", "report", source="w:k")
    first = await lash.triggers.emit("w:k", {"year": "2026"}, idempotency_key="x")
    app.declared["report"] = MANIFESTS["report"].model_copy(update={"params_schema": None})

    again = await client_of(stores, app).triggers.emit("w:k", {"year": "2026"}, idempotency_key="x")

    assert (["failed"], ["started"]) == tuple([one.status for one in report.deliveries] for report in (first, again))
    assert () == await stores.triggers.failed_deliveries()


async def test_a_session_owned_trigger_starts_in_its_session(stores: AnyStores) -> None:
    """Originator and wake target are the subscription's, the environment its target's."""
    lash = client_of(stores)
    owner, scope = TriggerOwnerScope.session("chat"), SessionScope("chat", "f1")
    created = await lash.triggers.create("t", "plain", owner=owner, wake_target=scope, source="w:k")
    definition = created.subscription.definition
    env_ref = f"process-env:sha256:{'a' * 64}"
    target = definition.target.model_copy(update={"env_ref": env_ref})
    command = register("second", definition.model_copy(update={"target": target}), owner)
    await stores.triggers.apply_trigger_command(command)

    report = await lash.triggers.emit("w:k")

    rows = [await lash.get(one.process_id) for one in report.deliveries]
    assert all(row is not None for row in rows)
    found = {row.identity.label: row for row in rows if row is not None}
    assert SessionOriginator(scope=SessionScope("chat")) == found["t"].provenance.originator
    assert scope == found["t"].wake_target
    assert env_ref == found["second"].env_ref


async def test_external_kinds_are_registered_for_their_owner(stores: AnyStores) -> None:
    """A trigger may hand work to something outside: the payload is the metadata."""
    external = KindManifest(kind="crawl", disposition=RecoveryDisposition.EXTERNALLY_OWNED)
    lash = client_of(stores, Declared({"crawl": external}))
    await lash.triggers.create("t", "crawl", source="w:k")

    report = await lash.triggers.emit("w:k", {"url": "x"})

    row = await lash.get(report.deliveries[0].process_id)
    assert row is not None
    assert ("external", {"url": "x"}, None) == (row.input.type, getattr(row.input, "metadata", None), row.env_ref)


async def test_options_of_the_target_reach_the_process(stores: AnyStores) -> None:
    """Label, queue, delay and timeout."""
    lash = client_of(stores)
    await lash.triggers.create(
        "t", "plain", source="w:k", label="nightly", queue="slow", delay_ms=60_000, timeout_ms=5_000
    )

    report = await lash.triggers.emit("w:k")

    row = await lash.get(report.deliveries[0].process_id)
    assert row is not None
    assert ("nightly", "slow", 5_000) == (row.identity.label, row.queue, row.timeout_ms)
    assert row.due_at_ms is not None
    assert row.due_at_ms >= row.created_at_ms + 60_000


async def test_a_snapshot_that_cannot_be_read_does_not_stop_recovery(stores: AnyStores) -> None:
    """What a newer release wrote is put off, the others are started."""
    lash = client_of(stores)
    await lash.triggers.create("t", "plain", source="w:k")
    store: Any = stores.triggers

    class Blind:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def unstarted_deliveries(self, **options: Any) -> Any:
            found = await store.unstarted_deliveries(**options)
            broken = found[0].delivery.model_copy(update={"subscription": None})
            return (type(found[0])(broken, found[0].occurrence, found[0].age_ms), *found[1:])

    for key in ("a", "b"):
        await stores.triggers.ingest_occurrence(TriggerOccurrence("w", "k", key))

    starts = lash.triggers.router._plan
    blind = TriggerRouter(Blind(), stores.process_registry, starts)  # pyright: ignore[reportArgumentType]
    assert 1 == await blind.recover(min_age_ms=0)
    await stores.advance_clock(RETRY_MS_MAX)
    assert 1 == await router_of(stores).recover(min_age_ms=0)


async def test_registrations_are_legal(stores: AnyStores) -> None:
    """The ids fit, whatever the names; the registry's own checks pass."""
    lash = client_of(stores)
    name = "ü" * 100
    await lash.triggers.create(name, "plain", source=f"webhook:{'s' * 512}")

    report = await lash.triggers.emit(f"webhook:{'s' * 512}", idempotency_key="k" * 512)

    assert ["started"] == [one.status for one in report.deliveries]
    row = await lash.get(report.deliveries[0].process_id)
    assert row is not None
    assert isinstance(row.to_registration(), ProcessRegistration)
    assert TriggerTarget("plain", params={"$payload": ""}) == (
        (await lash.triggers.get(name)).subscription.definition.target
    )
