"""Workers: ticks, catch-up, recovery, declared triggers (docs/contracts/triggers.md 4 and 5)."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest

from lash_core.errors import LimitExceededError, SettingsError
from lash_core.model.process_filter import ProcessFilter
from lash_core.model.record import ProcessRecord
from lash_core.model.trigger import TriggerOwnerScope, subscription_id
from lash_core.model.trigger_occurrence import FiredTick, ScheduleTick, TriggerOccurrence
from lash_core.runtime.due_schedules import run_due_schedule
from lash_core.runtime.schedule import next_tick
from lash_core.runtime.trigger_router import RETRY_MS_MAX
from lash_core.testing.waiting import eventually
from lash_worker import App
from lash_worker.services.app_triggers import AppTriggers
from lash_worker.services.scheduler import Scheduler
from lash_worker.supervisor import Supervisor
from lash_worker.testing import running_apps
from lash_worker.worker_settings import WorkerSettings
from tests.triggers.conftest import AnyStores
from tests.triggers.kit import client_of, router_of

HOUR_MS, DAY_MS = 3_600_000, 86_400_000


def make_app(*, interval_ms: int = HOUR_MS, kinds: tuple[str, ...] = ("plain", "report"), name: str = "shop") -> App:
    """An app with a declared schedule."""
    app = App(name)
    for kind in kinds:

        @app.process(kind, disposition="rerunnable")
        async def run(ctx: object, params: object = None) -> object:
            return params

    app.trigger("hourly", "plain", {"at": {"$payload": "/scheduled_at_ms"}}, interval_ms=interval_ms)
    return app


async def rows(stores: AnyStores) -> tuple[ProcessRecord, ...]:
    """All processes."""
    return await stores.process_registry.list_processes(ProcessFilter(status="any"))


def payloads(found: tuple[ProcessRecord, ...]) -> list[object]:
    """Their params, sorted by text."""
    return sorted((getattr(row.input, "payload", None) for row in found), key=str)


async def test_a_declared_trigger_ticks_once_for_two_workers(stores: AnyStores) -> None:
    """Both declare it, both look; an hour later there is one process, and it has run."""
    app, twin = make_app(), make_app()
    async with running_apps((app,), stores) as lash, running_apps((twin,), stores):
        view = await lash.triggers.get("shop/hourly")
        assert ("platform", 1) == (view.subscription.owner_scope.type, view.subscription.revision)
        await stores.advance_clock(HOUR_MS)

        async def done() -> bool:
            return await lash.count(status="completed") >= 1

        await eventually(done, within_ms=20_000)
        assert [{"at": view.next_tick_ms}] == payloads(await rows(stores))
        assert (view.next_tick_ms or 0) + HOUR_MS == (await lash.triggers.get("shop/hourly")).next_tick_ms


async def test_a_reservation_left_behind_is_started_by_a_worker(stores: AnyStores) -> None:
    """Its caller died after the reservation; the sweep finds it."""
    await client_of(stores).triggers.create("t", "plain", source="w:k")
    await stores.triggers.ingest_occurrence(TriggerOccurrence("w", "k", "x", {"n": 1}))
    await stores.advance_clock(RETRY_MS_MAX)

    async with running_apps((make_app(),), stores) as lash:

        async def done() -> bool:
            return await lash.count(status="completed") == 1

        await eventually(done, within_ms=20_000)
    assert () == await stores.triggers.unstarted_deliveries(min_age_ms=0, limit=10)


async def test_driving_pending_work_starts_reservations_first(stores: AnyStores) -> None:
    """A host that drives by hand needs no loop for triggers."""
    await client_of(stores).triggers.create("t", "plain", source="w:k")
    async with running_apps((make_app(),), stores, concurrency=4) as lash:
        pass
    await stores.triggers.ingest_occurrence(TriggerOccurrence("w", "k", "x"))
    await stores.advance_clock(RETRY_MS_MAX)
    assert 0 == await lash.count()

    worker = Supervisor(WorkerSettings(), (make_app(),), stores).worker
    try:
        assert 1 == await worker.drive_pending_processes()
    finally:
        await worker.close()


class TestRounds:
    """How long a worker sleeps between two looks."""

    def scheduler(self, stores: AnyStores) -> Scheduler:
        """The loop of a worker that runs nothing."""
        supervisor = Supervisor(WorkerSettings(), (App("a"),), stores)
        return next(loop for loop in supervisor.trigger_loops if isinstance(loop, Scheduler))

    async def test_until_the_next_tick(self, stores: AnyStores) -> None:
        """Not longer than it takes to hear of new ones."""
        scheduler = self.scheduler(stores)
        assert scheduler.period_ms == await scheduler.round()
        await client_of(stores).triggers.create("t", "plain", interval_ms=HOUR_MS, disposition="rerunnable")
        next_ms, now_ms = await stores.triggers.next_schedule_ms()
        await stores.advance_clock((next_ms or 0) - now_ms - 400)

        slept = await scheduler.round()

        assert 0 < slept <= 400

    async def test_what_cannot_tick_is_tried_again_and_not_all_the_time(
        self, stores: AnyStores, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A store that is full of waiting deliveries: the others tick, this one waits for the next look."""
        lash, scheduler = client_of(stores), self.scheduler(stores)
        for name in ("bad", "good"):
            await lash.triggers.create(name, "plain", interval_ms=HOUR_MS, disposition="rerunnable")
        await stores.advance_clock(HOUR_MS)
        plain = stores.triggers.fire_tick
        bad = (await lash.triggers.get("bad")).subscription.subscription_id

        async def full(tick: ScheduleTick) -> FiredTick:
            if tick.subscription_id == bad:
                raise LimitExceededError("full")
            return await plain(tick)

        with monkeypatch.context() as patch:
            patch.setattr(stores.triggers, "fire_tick", full)
            assert scheduler.period_ms == await scheduler.round()
        assert (await lash.triggers.get("bad")).next_tick_ms is not None
        assert ["good"] == [row.identity.label for row in await rows(stores)]

        await scheduler.round()
        assert ["bad", "good"] == sorted(str(row.identity.label) for row in await rows(stores))


class TestCatchUp:
    """Nobody was there when ticks came."""

    async def run(self, stores: AnyStores) -> int:
        """One worker looks."""
        fired = 0
        for item in await stores.triggers.due_schedules():
            fired += (await run_due_schedule(router_of(stores), item)).fired
        return fired

    async def test_skip_runs_the_newest(self, stores: AnyStores) -> None:
        """One process for five hours, and the next tick is in the future."""
        lash = client_of(stores)
        due = (await self.created(stores, missed="skip")) or 0
        await stores.advance_clock(5 * HOUR_MS)

        assert 1 == await self.run(stores)

        assert [str(due + 4 * HOUR_MS)] == await self.ticks(stores)
        assert due + 5 * HOUR_MS == (await lash.triggers.get("hourly")).next_tick_ms
        assert 0 == await self.run(stores)

    async def test_all_runs_each(self, stores: AnyStores) -> None:
        """Five processes for five hours."""
        due = (await self.created(stores, missed="all")) or 0
        await stores.advance_clock(5 * HOUR_MS)

        assert 5 == await self.run(stores)

        assert [str(due + n * HOUR_MS) for n in range(5)] == await self.ticks(stores)
        assert 0 == await self.run(stores)

    async def test_what_is_too_late_is_dropped(self, stores: AnyStores) -> None:
        """Within the tolerance only; the schedule goes on."""
        due = (await self.created(stores, missed="all", missed_within_ms=2 * HOUR_MS)) or 0
        await stores.advance_clock(10 * HOUR_MS)

        fired = await self.run(stores)

        assert fired in (2, 3)
        assert [str(due + n * HOUR_MS) for n in range(10 - fired, 10)] == await self.ticks(stores)

    async def test_a_schedule_without_a_recent_tick_moves_on(self, stores: AnyStores) -> None:
        """All ticks are too late: none runs, and the next one is in the future."""
        lash = client_of(stores)
        await lash.triggers.create("daily", "plain", cron="0 0 * * *", missed_within_ms=1_000)
        before = (await lash.triggers.get("daily")).next_tick_ms or 0
        await stores.advance_clock(before + HOUR_MS - (await stores.triggers.next_schedule_ms())[1])

        assert 0 == await self.run(stores)

        assert before + DAY_MS == (await lash.triggers.get("daily")).next_tick_ms
        assert 0 == await lash.count()

    async def test_a_pause_is_not_made_up_for(self, stores: AnyStores) -> None:
        """Ticks of the pause are nobody's; a backfill can make them up."""
        lash = client_of(stores)
        due = (await self.created(stores, missed="all")) or 0
        await lash.triggers.pause("hourly")
        await stores.advance_clock(5 * HOUR_MS)
        await lash.triggers.resume("hourly")

        assert 0 == await self.run(stores)
        assert due + 5 * HOUR_MS == (await lash.triggers.get("hourly")).next_tick_ms

    async def created(self, stores: AnyStores, **options: object) -> int | None:
        """An hourly trigger; returns its first tick."""
        lash = client_of(stores)
        await lash.triggers.create("hourly", "plain", interval_ms=HOUR_MS, **options)  # pyright: ignore[reportArgumentType]
        return (await lash.triggers.get("hourly")).next_tick_ms

    async def ticks(self, stores: AnyStores) -> list[str]:
        """The ticks that have a process, by the idempotency keys of their occurrences."""
        found: list[str] = []
        for row in await rows(stores):
            cause = row.provenance.caused_by
            assert cause is not None
            stored = await stores.triggers.get_occurrence(cause.occurrence_id or "")
            assert stored is not None
            found.append(stored.occurrence.idempotency_key)
        return sorted(found)


class TestDeclared:
    """Triggers of apps."""

    OWN_ID = subscription_id(TriggerOwnerScope.platform(), "shop/hourly")

    async def test_a_changed_definition_is_updated_by_the_worker_that_starts(self, stores: AnyStores) -> None:
        """The revision counts up; an old worker that looks again does not write its own back."""
        old, new = (
            AppTriggers(stores.triggers, [make_app()]),
            AppTriggers(stores.triggers, [make_app(interval_ms=2 * HOUR_MS)]),
        )
        await old.publish()
        await new.publish()
        await old.publish()

        found = await stores.triggers.get_trigger_subscription(self.OWN_ID)
        assert found is not None
        assert found.definition.schedule is not None
        assert (2, 2 * HOUR_MS) == (found.revision, found.definition.schedule.interval_ms)

    async def test_many_workers_start_at_once(self, stores: AnyStores) -> None:
        """One registration, whoever is first."""
        for _ in range(3):
            await AppTriggers(stores.triggers, [make_app()]).publish()

        found = await stores.triggers.get_trigger_subscription(self.OWN_ID)
        assert found is not None
        assert 1 == found.revision

    async def test_what_an_operator_decided_stays(self, stores: AnyStores) -> None:
        """Paused stays paused, also with a new definition; deleted stays deleted."""
        lash = client_of(stores)
        await AppTriggers(stores.triggers, [make_app()]).publish()
        await lash.triggers.pause("shop/hourly")
        await AppTriggers(stores.triggers, [make_app(interval_ms=2 * HOUR_MS)]).publish()

        paused = (await lash.triggers.get("shop/hourly")).subscription
        assert (3, False) == (paused.revision, paused.enabled)
        await lash.triggers.delete("shop/hourly")
        await AppTriggers(stores.triggers, [make_app()]).publish()
        assert (await lash.triggers.get("shop/hourly")).subscription.tombstoned

    async def test_a_forgotten_one_is_registered_again(self, stores: AnyStores) -> None:
        """A server without persistence restarted, or somebody pruned the key."""
        declared = AppTriggers(stores.triggers, [make_app()])
        await declared.publish()
        lash = client_of(stores)
        await lash.triggers.delete("shop/hourly")
        await lash.triggers.prune("shop/hourly", owner=TriggerOwnerScope.platform())

        await declared.publish()

        assert (await lash.triggers.get("shop/hourly")).subscription.is_live

    async def test_one_that_no_code_declares_is_named(
        self, stores: AnyStores, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It goes on, for old workers may still declare it; the log says how to end it."""
        app = make_app()
        app.trigger("gone", "plain", source="w:k")
        await AppTriggers(stores.triggers, [app]).publish()

        with caplog.at_level(logging.WARNING):
            await AppTriggers(stores.triggers, [make_app()]).publish()

        assert "shop/gone" in caplog.text
        assert (await client_of(stores).triggers.get("shop/gone")).subscription.is_live

    def test_mistakes_are_found_when_declared(self) -> None:
        """Naming app and trigger."""
        app = make_app()
        for options, field in (
            ({"cron": "0 25 * * *"}, "cron"),
            ({}, "cron"),
            ({"cron": "@daily", "source": "a:b"}, "cron"),
            ({"cron": "@daily", "timezone": "Nowhere"}, "timezone"),
            ({"interval_ms": 1}, "interval_ms"),
            ({"source": "nocolon"}, "source"),
            ({"source": "a:b", "missed": "all"}, "missed"),
        ):
            with pytest.raises(SettingsError, match="app `shop`") as caught:
                app.trigger("t", "plain", **options)  # pyright: ignore[reportArgumentType]
            assert field == caught.value.field, options
        with pytest.raises(SettingsError, match="twice"):
            app.trigger("hourly", "plain", cron="@daily")
        with pytest.raises(TypeError, match="no option"):
            app.trigger("t", "plain", crom="@daily")  # pyright: ignore[reportCallIssue]


def test_ticks_are_named_in_the_zone_of_people() -> None:
    """A fixed date: what a nightly trigger of Berlin means in UTC."""
    app = App("a")
    app.trigger("nightly", "plain", cron="0 3 * * *", timezone="Europe/Berlin")

    definition = app.triggers()[0].definition

    assert definition.schedule is not None
    assert "0 3 * * * (Europe/Berlin)" == str(definition.schedule)
    winter = int(datetime(2026, 1, 10, tzinfo=UTC).timestamp() * 1_000)
    assert 2 * HOUR_MS == (next_tick(definition.schedule, winter) or 0) - winter
