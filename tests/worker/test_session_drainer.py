"""Sessions on a worker: their queues are worked off, what it cannot run is left to others, a drain hands over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from lash_core.client import LashClient
from lash_core.clock import VirtualClock
from lash_core.errors import StoreUnreachableError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.model_call import ModelRequest
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.queued_work import ClaimBoundary
from lash_core.model.session_lease import SessionLeaseAcquired
from lash_core.store.turn_journal import OpenTurn
from lash_core.testing.scripted_provider import ScriptedReply, hangs, says
from lash_core.testing.waiting import eventually
from lash_worker.app import App
from lash_worker.services import session_drainer
from lash_worker.services.session_run import DECLINE_DELAY_MAX_MS, DECLINES_REMEMBERED_MAX, Declines
from lash_worker.supervisor import Supervisor
from lash_worker.testing import running_apps
from lash_worker.worker_settings import WorkerSettings
from tests.worker.session_app import session_app


@asynccontextmanager
async def supervised(app: App, stores: Any, **settings: Any) -> AsyncGenerator[Supervisor]:
    """A worker in this program that the test can drain."""
    supervisor = Supervisor(WorkerSettings(**settings), [app], stores)
    await supervisor.start()
    try:
        yield supervisor
    finally:
        await supervisor.stop()


def samples(supervisor: Supervisor) -> dict[str, float]:
    """Samples of its metrics that are not zero, by name and labels."""
    found: dict[str, float] = {}
    for family in supervisor.metrics.registry.collect():
        for sample in family.samples:
            if sample.value:
                found[sample.name + "".join(f":{value}" for value in sample.labels.values())] = sample.value
    return found


async def test_an_input_is_answered() -> None:
    """By a worker in this program; then the session is parked."""
    async with running_apps((session_app(),), InMemoryStores()) as lash:
        sent = await lash.session("chat").send("hello")
        assert "you said: hello" == (await sent.answer(5)).final_text
        again = await lash.session("chat").send("and now?")
        assert "you said: and now?" == (await again.answer(5)).final_text
        assert 4 == len(await lash.session("chat").history())
        assert 2 == (await lash.session("chat").park(5)).head_revision


async def test_a_worker_claims_once_its_providers_are_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Meanwhile a worker that is ready may answer; one that never is ready is not waited for."""
    asked, loaded = asyncio.Event(), asyncio.Event()

    async def prepare() -> None:
        asked.set()
        await loaded.wait()

    app = session_app()
    assert app.declared_sessions is not None
    [provider] = app.declared_sessions.make_providers()
    monkeypatch.setattr(provider, "prepare", prepare, raising=False)
    stores = InMemoryStores()
    lash = LashClient(stores)
    async with supervised(app, stores) as supervisor:
        sent = await lash.session("chat").send("hello")
        async with asyncio.timeout(5):
            await asked.wait()
        assert "lash_sessions_claimed_total" not in samples(supervisor)
        loaded.set()
        assert "you said: hello" == (await sent.answer(5)).final_text
    monkeypatch.setattr(session_drainer, "PREPARE_SECONDS", 0.01)
    loaded.clear()
    async with supervised(app, stores):
        assert "you said: again" == (await (await lash.session("chat").send("again")).answer(5)).final_text


async def test_a_worker_takes_no_more_turns_than_it_has_places() -> None:
    """The others wait, and are taken as places get free."""
    gate, at_once, most = asyncio.Event(), 0, 0

    def held(request: ModelRequest) -> ScriptedReply:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        return says("yes").held_by(gate)

    stores = InMemoryStores()
    lash = LashClient(stores)
    async with supervised(session_app(held), stores, session_concurrency=2) as supervisor:
        sent = [await lash.session(f"s{number}").send("hello") for number in range(5)]
        await eventually(lambda: at_once == 2)
        assert supervisor.sessions is not None
        assert (0, 2) == (supervisor.sessions.slots.free, supervisor.sessions.slots.taken)
        at_once -= 2
        gate.set()
        for one in sent:
            await one.answer(5)
        await eventually(lambda: supervisor.sessions is not None and not supervisor.sessions.runs)
        assert 5.0 == samples(supervisor)["lash_session_turns_total:finished"]
        assert 2 == supervisor.sessions.slots.free


async def test_a_session_whose_provider_is_elsewhere_is_left_to_others() -> None:
    """The worker that lacks it answers nothing; the one that has it does."""
    stores = InMemoryStores()
    lash = LashClient(stores)
    async with supervised(session_app(provider_id="first"), stores):
        await (await lash.session("chat").send("hello")).answer(5)
    async with supervised(session_app(provider_id="second"), stores) as wrong:
        sent = await lash.session("chat").send("more")
        await eventually(lambda: samples(wrong).get("lash_sessions_declined_total:no_provider", 0) >= 2)
        assert 1 == len(await lash.session("chat").queue())
        async with supervised(session_app(provider_id="first"), stores):
            assert "you said: more" == (await sent.answer(10)).final_text


async def test_a_drain_gives_the_turn_to_a_peer() -> None:
    """Nothing of it is committed here; the peer answers."""
    stores = InMemoryStores()
    lash = LashClient(stores)
    asked: list[ModelRequest] = []

    def stuck(request: ModelRequest) -> ScriptedReply:
        asked.append(request)
        return hangs()

    async with supervised(session_app(stuck), stores, drain_seconds=0.05) as leaver:
        sent = await lash.session("chat").send("hello")
        await eventually(lambda: bool(asked))
        async with supervised(session_app(), stores):
            assert 1 == await leaver.drain()
            assert "you said: hello" == (await sent.answer(5)).final_text
        assert 1.0 == samples(leaver)["lash_sessions_yielded_total"]
        assert "lash_session_turns_total:stopped" not in samples(leaver)
    assert 2 == len(await lash.session("chat").history())


async def test_a_session_whose_claim_a_drain_overtook_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once: its lease would else keep it from the peers until it ends."""
    stores = InMemoryStores()
    session = LashClient(stores).session("chat")
    await session.create()
    ready = stores.ready_sessions
    claim, claimed, answered = ready.claim_ready_sessions, asyncio.Event(), asyncio.Event()

    async def slow(*args: Any) -> Any:
        found = await claim(*args)
        if found:
            claimed.set()
            await answered.wait()
        return found

    monkeypatch.setattr(ready, "claim_ready_sessions", slow)
    async with supervised(session_app(), stores) as leaver:
        sent = await session.send("hello")
        async with asyncio.timeout(5):
            await claimed.wait()
        assert leaver.sessions is not None
        leaver.sessions.stop_claiming()
        answered.set()
        await eventually(lambda: leaver.sessions is not None and not leaver.sessions.is_accepting)
        await _is_free(stores)
        assert "lash_session_turns_total:finished" not in samples(leaver)
        assert (sent.batch,) == await session.queue()


async def test_a_session_that_is_only_being_opened_is_given_back_too() -> None:
    """A drain that does not wait cuts it off before it has a runtime."""
    stores = InMemoryStores()
    session = LashClient(stores).session("chat")
    await session.create()
    await session.send("hello")
    opening, factory = asyncio.Event(), stores.session_store_factory
    opened = factory.open_existing_store

    async def slow(session_id: str) -> Any:
        opening.set()
        return await asyncio.Event().wait()

    factory.open_existing_store = slow
    async with supervised(session_app(), stores) as leaver:
        async with asyncio.timeout(5):
            await opening.wait()
        factory.open_existing_store = opened
        assert leaver.sessions is not None
        assert 1 == await leaver.sessions.drain(0)
        await _is_free(stores)


async def _is_free(stores: InMemoryStores) -> None:
    store = await stores.session_store_factory.open_existing_store("chat")
    assert store is not None

    async def nobody_has_it() -> bool:
        return await store.get_session_execution_lease("chat") is None

    await eventually(nobody_has_it)


async def test_a_turn_that_ends_in_time_is_not_cut_off_by_a_drain() -> None:
    """The worker takes no other one."""
    stores = InMemoryStores()
    lash = LashClient(stores)
    gate, asked = asyncio.Event(), 0

    def held(request: ModelRequest) -> ScriptedReply:
        nonlocal asked
        asked += 1
        return says("in time").held_by(gate)

    async with supervised(session_app(held), stores, drain_seconds=10) as leaver:
        sent = await lash.session("chat").send("hello")
        await eventually(lambda: asked == 1)
        drained = asyncio.create_task(leaver.drain())
        await asyncio.sleep(0)
        later = await lash.session("other").send("hello")
        gate.set()
        assert 0 == await drained
        assert "in time" == (await sent.answer(5)).final_text
        assert (later.batch,) == await lash.session("other").queue()


async def test_a_store_that_fails_delays_a_session_and_loses_nothing() -> None:
    """Its runtime could not be read; it is tried again."""
    stores = InMemoryStores()
    lash = LashClient(stores)
    await lash.session("chat").create()
    factory = stores.session_store_factory
    opened, failures = factory.open_existing_store, 3

    async def failing(session_id: str) -> Any:
        nonlocal failures
        if failures > 0:
            failures -= 1
            raise StoreUnreachableError("away")
        return await opened(session_id)

    sent = await lash.session("chat").send("hello")
    factory.open_existing_store = failing
    async with supervised(session_app(), stores) as supervisor:
        await eventually(lambda: failures == 0)
        assert "you said: hello" == (await sent.answer(5)).final_text
        assert 3.0 == samples(supervisor)["lash_session_runs_failed_total:store"]


async def test_a_worker_without_declaration_runs_no_session() -> None:
    """It says so in the directory, which the command line reads."""
    stores = InMemoryStores()
    lash = LashClient(stores)
    async with supervised(App("jobs"), stores) as plain:
        assert plain.sessions is None
        await lash.session("chat").send("hello")
        [entry] = await stores.directory.list_workers()
        assert "sessions" not in entry.facts
        async with supervised(session_app(), stores, worker_id="agents"):
            entries = {entry.worker_id: entry for entry in await stores.directory.list_workers()}
            assert ["scripted"] == entries["agents"].facts["sessions"]["providers"]


async def dies_in_a_turn(stores: InMemoryStores, clock: VirtualClock, deaths: int) -> None:
    """An owner opens a turn for what is queued, dies without a write, and so do those after it."""
    store = await stores.session_store_factory.open_existing_store("chat")
    assert store is not None
    for number in range(deaths):
        owner = LeaseOwnerIdentity.opaque("mortal", f"life-{number}")
        taken = await store.try_claim_session_execution_lease("chat", owner, 1_000)
        assert isinstance(taken, SessionLeaseAcquired)
        if number == 0:
            claim = await store.claim_ready_queued_work(taken.lease.fence, ClaimBoundary.IDLE)
            assert claim is not None
            ids = tuple(batch.batch_id for batch in claim.batches)
            facts = {"root": f"t_{ids[0]}", "origin": "queue", "base_revision": 0, "batch_ids": list(ids)}
            await store.open_turn(taken.lease.fence, OpenTurn(f"t_{ids[0]}", facts=facts, batch_ids=ids))
        clock.advance_ms(70_000)
    # The last death is noticed by whoever comes next; its back-off passes, too.
    taken = await store.try_claim_session_execution_lease("chat", LeaseOwnerIdentity.opaque("next", "1"), 1_000)
    assert isinstance(taken, SessionLeaseAcquired)
    await store.release_session_execution_lease(taken.lease.completion)
    clock.advance_ms(70_000)


@pytest.mark.parametrize(("deaths_max", "answer"), [(2, "turn_poisoned"), (0, None)])
async def test_a_turn_that_kills_its_owners_is_given_up(deaths_max: int, answer: str | None) -> None:
    """After as many deaths as the worker was told; 0 = never."""
    clock = VirtualClock()
    stores = InMemoryStores(clock)
    sent = await LashClient(stores).session("chat").send("hello")
    await dies_in_a_turn(stores, clock, 3)
    async with supervised(session_app(), stores, poison_deaths_max=deaths_max):
        turn = await sent.answer(10)

    assert answer == next((issue.code for issue in turn.errors), None)


def test_declines_wait_ever_longer() -> None:
    """Doubling to a bound; a turn begins anew; what is forgotten too."""
    declines = Declines()
    delays = [declines.next_delay_ms("s") for _ in range(12)]
    assert [100, 200, 400] == delays[:3]
    assert DECLINE_DELAY_MAX_MS == delays[-1]
    declines.forget("s")
    assert 100 == declines.next_delay_ms("s")
    for number in range(DECLINES_REMEMBERED_MAX):
        declines.next_delay_ms(f"other-{number}")
    assert 100 == declines.next_delay_ms("s")
