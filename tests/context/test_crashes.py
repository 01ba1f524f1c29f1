"""A context whose program dies at any store call: what the next attempt and the outbox make of it (hazards 3, 4, 5)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest

from lash_core.errors import LashError
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.model.process_handle import process_handle_json
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import SessionScope
from lash_core.redis_store.stores import RedisStores
from lash_core.runtime.execution_context import RuntimeExecutionContext
from tests.context.scenes import HeldRun, Scene, registration, unique
from tests.context.test_process_events import queued
from tests.crashes.mortal_stores import CrashSide, Life

CALLS_MAX = 40
"""More store calls than any scenario here makes."""

JOB = ProcessHandleDescriptor("job", None)
Act = Callable[[RuntimeExecutionContext], Awaitable[Any]]


class Theatre:
    """Plays an act again and again, each time ending its program at another store call."""

    def __init__(self, stores: RedisStores) -> None:
        self.stores = stores
        self.scene = Scene(stores)

    async def dies(self, act: Act, crash_at: int, side: CrashSide, run: HeldRun | None, facts: Any) -> bool:
        """Play with stores of a life that ends; True when it ended before the act did."""
        async with AsyncExitStack() as stack:
            life = Life(crash_at, side)
            mortal = life.hold(await stack.enter_async_context(await self.stores.open_sibling()))
            scene = Scene(mortal)
            context = scene.run(run, facts) if run is not None else await scene.session(facts)
            with suppress(asyncio.CancelledError, LashError):
                await act(context)
            await asyncio.sleep(0)
            return life.ended.is_set()

    async def sweep(self) -> None:
        """What workers do about leftovers."""
        await self.stores.process_registry.deliver_outbox(min_age_ms=0, limit=100)


def points() -> Generator[tuple[int, CrashSide]]:
    """Every store call, each from both sides."""
    for number in range(1, CALLS_MAX):
        for side in ("before", "after"):
            yield number, side


@pytest.fixture
def theatre(redis_stores: RedisStores) -> Theatre:
    """Over a server."""
    return Theatre(redis_stores)


async def test_no_start_of_a_session_is_without_its_handle(theatre: Theatre) -> None:
    """Once the row is there, the outbox brings the handle, whether or not anybody asks again (hazard 4)."""
    scene, crashes = theatre.scene, 0
    for number, side in points():
        session_id, child = await scene.open_session(unique("session")), registration()
        died = await theatre.dies(
            lambda context, child=child: context.start_child_process(child, "job"), number, side, None, session_id
        )
        crashes += died
        await theatre.sweep()

        there = await scene.registry.get_process(child.id) is not None
        assert there == await scene.registry.has_handle(SessionScope(session_id), child.id), (number, side)

        reply = await (await scene.session(session_id)).start_child_process(child, "job")
        assert reply.is_success, (number, side)
        assert await scene.registry.has_handle(SessionScope(session_id), child.id)
        if not died:
            break
    assert crashes >= 4, "the act made fewer store calls than a start has writes"


async def test_every_attempt_of_a_run_has_started_the_same_child(theatre: Theatre) -> None:
    """Row, handle and journal agree after the outbox; the next attempt answers the same (hazard 4, decision 25)."""
    scene, crashes = theatre.scene, 0
    for number, side in points():
        woken = SessionScope(await scene.open_session(unique("woken")))
        parent: ProcessRegistration = await scene.start(wake_target=woken)
        run, child = await scene.hold(parent.id), registration(env_ref=None)
        died = await theatre.dies(
            lambda context, child=child: context.start_child_process(child, "job"), number, side, run, parent
        )
        crashes += died
        await theatre.sweep()

        there = await scene.registry.get_process(child.id) is not None
        assert there == await scene.registry.has_handle(woken, child.id), (number, side)
        journal = await scene.stores.effect_journal.load_effects(parent.id)
        assert there == any(entry.is_final for entry in journal.values()), (number, side)

        context = scene.run(await scene.crash(run), parent)
        assert (await context.start_child_process(child, "job")).is_success, (number, side)
        assert context.is_run_local_process(child.id)
        assert await scene.registry.has_handle(woken, child.id)
        if not died:
            break
    assert crashes >= 4


async def test_no_event_is_without_its_wake(theatre: Theatre) -> None:
    """Once the event is there, the outbox brings the wake; a repeat makes neither twice (hazard 3)."""
    scene, crashes = theatre.scene, 0
    request = ProcessEventAppendRequest("process.wake", {"text": "look"}).with_replay_key("w")
    for number, side in points():
        woken = SessionScope(await scene.open_session(unique("woken")))
        process = await scene.start(wake_target=woken)
        run = await scene.hold(process.id)

        async def append(context: RuntimeExecutionContext, process_id: str = process.id) -> None:
            registry = context._event_context.registry  # type: ignore[union-attr]
            await context.append_process_event(registry, process_id, request)

        died = await theatre.dies(append, number, side, run, process)
        crashes += died
        await theatre.sweep()

        events = await scene.registry.events_after(process.id, 0)
        assert len(events) == len(await queued(theatre.stores, woken.session_id)), (number, side)

        await append(scene.run(await scene.crash(run), process))
        await theatre.sweep()
        assert 1 == len(await scene.registry.events_after(process.id, 0)), (number, side)
        assert 1 == len(await queued(theatre.stores, woken.session_id)), (number, side)
        if not died:
            break
    assert crashes >= 2


async def test_a_signal_of_a_run_is_sent_once_and_ends_its_wait(theatre: Theatre) -> None:
    """Whatever of its two writes was made; the target need not wait for the sender's next attempt (hazard 5)."""
    scene, crashes = theatre.scene, 0
    for number, side in points():
        target, sender = await scene.start(), await scene.start()
        held, run = await scene.hold(target.id), await scene.hold(sender.id)
        await scene.registry.grant_handle(SessionScope(f"process-env:{sender.id}"), target.id, JOB)

        async def send(context: RuntimeExecutionContext, target_id: str = target.id) -> Any:
            return await context.signal_process("s-1", process_handle_json(target_id), "stop", {"n": 1})

        died = await theatre.dies(send, number, side, run, sender)
        crashes += died
        if await scene.registry.events_after(target.id, 0):
            waiter = scene.run(held, target)
            early = await asyncio.wait_for(waiter.await_process_signal_event(target.id, "stop", 1), 5)
            assert {"n": 1} == early, (number, side)

        reply = await send(scene.run(await scene.crash(run), sender))
        assert reply.is_success, (number, side)
        waiter = scene.run(await scene.hold(target.id), target)
        assert {"n": 1} == await asyncio.wait_for(waiter.await_process_signal_event(target.id, "stop", 1), 5)
        assert 1 == len(await scene.registry.events_after(target.id, 0)), (number, side)
        if not died:
            break
    assert crashes >= 4
