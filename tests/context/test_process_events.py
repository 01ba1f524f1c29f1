"""Events of a running process and the wakes that leave with them (contract 4.7, hazard 3)."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from lash_core.errors import LashError, LeaseLostError, NotAvailableError
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.queued_work import ProcessWakePayload
from lash_core.model.scope import SessionScope
from lash_core.redis_store.runtime_persistence import RedisRuntimePersistence
from lash_core.redis_store.stores import RedisStores
from lash_core.runtime.execution_context import RuntimeExecutionContext
from tests.context.scenes import HeldRun, Scene, unique
from tests.redis_contract.test_grants_crash import Cut

NOTE = ProcessEventAppendRequest("note", {"n": 1})
WAKE = ProcessEventAppendRequest("process.wake", {"text": "look"})


async def attempt(scene: Scene, target: SessionScope | None = None) -> tuple[RuntimeExecutionContext, HeldRun, str]:
    """A context of a fresh process that wakes ``target``."""
    started = await scene.start(wake_target=target)
    run = await scene.hold(started.id)
    return scene.run(run, started), run, started.id


async def queued(stores: RedisStores, session_id: str) -> list[dict[str, Any]]:
    """What waits for a session."""
    batches = await RedisRuntimePersistence(stores.context, session_id).list_queued_work(session_id)
    payloads = [payload for batch in batches for payload in batch.payloads]
    return [dict(payload.delivery) for payload in payloads if isinstance(payload, ProcessWakePayload)]


async def test_an_event_of_the_own_process_is_written_under_its_lease(scene: Scene) -> None:
    """A run that was taken over writes nothing (hazard 2)."""
    context, run, process_id = await attempt(scene)
    event = await context.append_process_event(scene.registry, process_id, NOTE)
    await scene.crash(run)

    with pytest.raises(LeaseLostError):
        await context.append_process_event(scene.registry, process_id, NOTE)

    assert [event] == list(await scene.registry.events_after(process_id, 0))
    assert ("note", {"n": 1}, 1) == (event.event_type, event.payload, event.sequence)


async def test_a_replay_key_makes_an_append_safe_to_repeat(scene: Scene) -> None:
    """In this attempt and the next; without one there are two events."""
    context, run, process_id = await attempt(scene)
    once = NOTE.with_replay_key("k")

    first = [await context.append_process_event(scene.registry, process_id, once) for _ in range(2)]
    again = scene.run(await scene.crash(run), await _registered(scene, process_id))
    second = await again.append_process_event(scene.registry, process_id, once)
    plain = await again.append_process_event(scene.registry, process_id, NOTE)

    assert [1, 1, 1, 2] == [event.sequence for event in (*first, second, plain)]


async def test_there_are_no_events_outside_a_process(scene: Scene) -> None:
    """A session's turn has no process to speak for."""
    started, context = await scene.start(), await scene.session()

    with pytest.raises(NotAvailableError, match="process event emission is unavailable outside a durable process"):
        await context.append_process_event(scene.registry, started.id, NOTE)

    assert () == await scene.registry.events_after(started.id, 0)


async def test_an_undeclared_event_is_refused(scene: Scene) -> None:
    """As the registry refuses it."""
    context, _, process_id = await attempt(scene)

    with pytest.raises(LashError, match="undeclared"):
        await context.append_process_event(scene.registry, process_id, ProcessEventAppendRequest("other"))


async def test_a_wake_reaches_the_queue_of_its_session_once(redis_stores: RedisStores) -> None:
    """Whoever repeats the append."""
    scene = Scene(redis_stores)
    target = SessionScope(await scene.open_session(unique("woken")))
    context, _, process_id = await attempt(scene, target)

    for _ in range(2):
        await context.append_process_event(scene.registry, process_id, WAKE.with_replay_key("w"))

    (delivery,) = await queued(redis_stores, target.session_id)
    assert ("look", 1) == (delivery["input"], delivery["sequence"])


async def test_a_crash_between_event_and_queue_loses_no_wake(
    redis_stores: RedisStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event and the step towards the queue are one write; whoever comes next carries it out, once."""
    scene = Scene(redis_stores)
    target = SessionScope(await scene.open_session(unique("woken")))
    context, run, process_id = await attempt(scene, target)
    with Cut(monkeypatch, "enqueue_queued_work"):
        await context.append_process_event(scene.registry, process_id, WAKE.with_replay_key("w"))
    assert [] == await queued(redis_stores, target.session_id)

    await redis_stores.process_registry.deliver_outbox(min_age_ms=0, limit=100)
    again = scene.run(await scene.crash(run), await _registered(scene, process_id))
    await again.append_process_event(scene.registry, process_id, WAKE.with_replay_key("w"))
    await redis_stores.process_registry.deliver_outbox(min_age_ms=0, limit=100)

    assert 1 == len(await queued(redis_stores, target.session_id))


async def test_a_wake_for_a_session_that_is_gone_is_dropped(scene: Scene) -> None:
    """The append succeeds, and nobody is poked."""
    poked = list[str]()

    async def poke(session_id: str) -> None:
        poked.append(session_id)

    gone, there = SessionScope(unique("gone")), SessionScope(await scene.open_session(unique("there")))
    for target in (gone, there):
        started = await scene.start(wake_target=target)
        run = await scene.hold(started.id)
        context = scene.run(run, started).with_process_event_context(
            started.id,
            scene.registry,
            session_store_factory=scene.stores.session_store_factory,
            queued_work_poke=poke,
            run_lease=run,
        )
        assert 1 == (await context.append_process_event(scene.registry, started.id, WAKE)).sequence

    assert [there.session_id] == poked


async def test_a_poke_that_fails_is_logged(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """The work is in its queue whatever happens here."""

    async def poke(_: str) -> None:
        raise LookupError("no driver")

    started = await scene.start(wake_target=SessionScope(unique("woken")))
    run = await scene.hold(started.id)
    context = scene.run(run, started).with_process_event_context(
        started.id, scene.registry, queued_work_poke=poke, run_lease=run
    )

    with caplog.at_level(logging.ERROR):
        await context.append_process_event(scene.registry, started.id, WAKE)

    assert "could not be poked" in caplog.text


async def _registered(scene: Scene, process_id: str) -> Any:
    record = await scene.registry.get_process(process_id)
    assert record is not None
    return record.to_registration()
