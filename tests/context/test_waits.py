"""Sleeps and waits for signals of a context (contract 4.4, 4.5)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from lash_core.errors import RuntimeFailure
from lash_core.model.await_event import AwaitEventKey, Resolution, WaitIdentity
from lash_core.model.effect import EffectKind, RuntimeEffectEnvelope, RuntimeEffectOutcome
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.execution_scope import ExecutionScope
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.execution_context import RuntimeExecutionContext
from lash_core.testing.waiting import eventually
from tests.context.scenes import HeldRun, Scene


async def soon(waiting: Any) -> Any:
    """What a task gives, within a time that only a fault takes."""
    async with asyncio.timeout(5):
        return await waiting


def key_of(scene: Scene, process_id: str, name: str, ordinal: int) -> AwaitEventKey:
    """The promise of a wait."""
    identity = WaitIdentity.process_signal(process_id, name, ordinal)
    return scene.host.await_events.mint(ExecutionScope.process(process_id), identity)


async def attempt(scene: Scene, **facts: Any) -> tuple[RuntimeExecutionContext, HeldRun, str]:
    """A context of a fresh process, its run, its id."""
    started = await scene.start()
    run = await scene.hold(started.id)
    return scene.run(run, started, **facts), run, started.id


def refusing_code(error: pytest.ExceptionInfo[RuntimeFailure]) -> str:
    """The code of a failure."""
    return error.value.code


# -- sleep ------------------------------------------------------------------------------------------------


class Spy:
    """Effects that note how long a sleep is to take, and do not sleep."""

    def __init__(self, effects: Any) -> None:
        self._effects = effects
        self.slept: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._effects, name)

    async def execute_effect(self, envelope: RuntimeEffectEnvelope, _: Any) -> RuntimeEffectOutcome:
        """Hand on, without the executor."""

        async def note(asked: RuntimeEffectEnvelope) -> RuntimeEffectOutcome:
            self.slept.append(asked.command.args["duration_ms"])
            return RuntimeEffectOutcome(EffectKind.SLEEP)

        return await self._effects.execute_effect(envelope, note)


async def test_a_replay_sleeps_only_the_rest(scene: Scene) -> None:
    """By the server's clock: what is over is not slept again, and what is left is the remainder."""
    context, run, process_id = await attempt(scene)
    token = CancellationToken()
    first = context.with_cancellation_token(token)
    sleeping = asyncio.create_task(first.sleep_process(f"process:{process_id}", 1, 600_000))
    await eventually(lambda: bool(token._callbacks))
    sleeping.cancel()
    await scene.stores.advance_clock(500_000)
    again = scene.run(await scene.crash(run), await registered(scene, process_id))
    spy = Spy(again._dispatch.effect_controller)
    again._dispatch = replace(again._dispatch, effect_controller=spy)

    await again.sleep_process(f"process:{process_id}", 1, 600_000)

    assert 1 == len(spy.slept)
    assert 0 < spy.slept[0] <= 600_000 - 500_000 - 30_000


async def registered(scene: Scene, process_id: str) -> Any:
    """The registration of a row."""
    record = await scene.registry.get_process(process_id)
    assert record is not None
    return record.to_registration()


async def test_a_sleep_that_is_over_is_over_in_every_attempt(scene: Scene) -> None:
    """Two sleeps of one scope are told apart by their sequence."""
    context, run, process_id = await attempt(scene)
    await soon(context.sleep_process("a", 1, 1))
    await scene.stores.advance_clock(60_000)

    again = scene.run(await scene.crash(run), await registered(scene, process_id))
    await soon(again.sleep_process("a", 1, 1))
    await soon(again.sleep_process("a", 2, 1))

    assert {"process:a:sleep:1", "process:a:sleep:2"} <= set(await scene.stores.effect_journal.load_effects(process_id))


@pytest.mark.parametrize("before", [True, False])
async def test_a_sleep_ends_with_its_context(scene: Scene, *, before: bool) -> None:
    """Whether the token is fired before or while it sleeps."""
    token = CancellationToken()
    context, _, _ = await attempt(scene, cancellation=token)
    if before:
        token.cancel("enough")
    sleeping = asyncio.create_task(context.sleep_process("a", 1, 600_000))
    if not before:
        await eventually(lambda: bool(token._callbacks))
        token.cancel("enough")

    with pytest.raises(RuntimeFailure, match="enough") as caught:
        await soon(sleeping)

    assert "runtime_effect_sleep_cancelled" == refusing_code(caught)


# -- signals ----------------------------------------------------------------------------------------------


async def test_a_signal_ends_the_wait_for_it(scene: Scene) -> None:
    """Whoever sends it; the waiter gets the payload."""
    context, _, process_id = await attempt(scene)
    sender = await scene.session()
    waiting = asyncio.create_task(context.await_process_signal_event(process_id, "go", 1))

    event = await sender.signal_process_by_id(scene.registry, process_id, "go", "s-1", {"by": "ops"})

    assert {"by": "ops"} == await soon(waiting)
    assert (1, "signal.go", {"by": "ops"}) == (event.sequence, event.event_type, event.payload)


async def test_a_signal_sent_before_the_wait_is_kept_for_it(scene: Scene) -> None:
    """In order, one counter a name."""
    context, _, process_id = await attempt(scene)
    sender = await scene.session()
    for number in (1, 2):
        await sender.signal_process_by_id(scene.registry, process_id, "go", f"s-{number}", {"n": number})
        await sender.signal_process_by_id(scene.registry, process_id, "stop", f"t-{number}", number)

    got = [
        await soon(context.await_process_signal_event(process_id, name, n)) for name in ("go", "stop") for n in (1, 2)
    ]

    assert [{"n": 1}, {"n": 2}, 1, 2] == got


async def test_a_signal_that_was_only_appended_ends_the_wait(scene: Scene) -> None:
    """No promise was resolved: a client only writes the log, and a sender may die before it resolves."""
    context, _, process_id = await attempt(scene)
    early = ProcessEventAppendRequest.signal(process_id, "stop", 1, signal_id="a")
    await scene.registry.append_event(process_id, early)

    first = await soon(context.await_process_signal_event(process_id, "stop", 1))
    waiting = asyncio.create_task(context.await_process_signal_event(process_id, "stop", 2))
    await scene.registry.append_event(process_id, ProcessEventAppendRequest.signal(process_id, "go", {}, signal_id="b"))
    await scene.registry.append_event(
        process_id, ProcessEventAppendRequest.signal(process_id, "stop", 2, signal_id="c")
    )

    assert (1, 2) == (first, await soon(waiting))
    assert Resolution.ok(2) == await scene.host.await_events.peek(key_of(scene, process_id, "stop", 2))


@pytest.mark.parametrize(
    ("resolution", "code", "message"),
    [
        (Resolution.err("denied", "not today"), "denied", "not today"),
        (Resolution.timeout(), "process_signal_wait_timeout", "process signal wait timed out"),
        (Resolution.cancelled(), "process_signal_wait_cancelled", "process signal wait was cancelled"),
    ],
)
async def test_other_ends_of_the_promise_are_errors(
    scene: Scene, resolution: Resolution, code: str, message: str
) -> None:
    """With the code and message of the resolution."""
    context, _, process_id = await attempt(scene)
    await scene.host.await_events.resolve(key_of(scene, process_id, "go", 1), resolution)

    with pytest.raises(RuntimeFailure) as caught:
        await soon(context.await_process_signal_event(process_id, "go", 1))

    assert (code, message) == (caught.value.code, caught.value.detail)


async def test_the_promise_decides_over_the_log(scene: Scene) -> None:
    """How a wait ended stays: a signal that comes after its end is for the next ordinal's log entry alone."""
    context, run, process_id = await attempt(scene)
    await scene.host.await_events.resolve(key_of(scene, process_id, "go", 1), Resolution.timeout())
    await (await scene.session()).signal_process_by_id(scene.registry, process_id, "go", "late", {})

    with pytest.raises(RuntimeFailure) as first:
        await soon(context.await_process_signal_event(process_id, "go", 1))
    again = scene.run(await scene.crash(run), await registered(scene, process_id))
    with pytest.raises(RuntimeFailure) as second:
        await soon(again.await_process_signal_event(process_id, "go", 1))

    assert ["process_signal_wait_timeout"] * 2 == [refusing_code(first), refusing_code(second)]


async def test_a_wait_ends_with_its_context_and_so_does_its_promise(scene: Scene) -> None:
    """A value that was faster is answered instead."""
    token = CancellationToken()
    context, _, process_id = await attempt(scene, cancellation=token)
    await scene.host.await_events.resolve(key_of(scene, process_id, "stop", 1), Resolution.ok("fast"))
    waiting = asyncio.create_task(context.await_process_signal_event(process_id, "go", 1))
    await eventually(lambda: bool(token._callbacks))

    token.cancel("enough")
    with pytest.raises(RuntimeFailure) as caught:
        await soon(waiting)
    fast = await soon(context.await_process_signal_event(process_id, "stop", 1))

    assert ("process_signal_wait_cancelled", "fast") == (refusing_code(caught), fast)
    assert Resolution.cancelled() == await scene.host.await_events.peek(key_of(scene, process_id, "go", 1))


@pytest.mark.parametrize("how", ["lost", "moved"])
async def test_a_run_that_goes_elsewhere_leaves_the_promise_open(scene: Scene, how: str) -> None:
    """Its lease is lost, or its task is stopped to go on in another worker: the next attempt waits on."""
    token = CancellationToken()
    context, run, process_id = await attempt(scene, cancellation=token)
    waiting = asyncio.create_task(context.await_process_signal_event(process_id, "go", 1))
    await eventually(lambda: bool(token._callbacks))

    if how == "lost":
        run.lost = True
        token.cancel("lease lost")
    else:
        waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await soon(waiting)
    again = scene.run(await scene.crash(run), await registered(scene, process_id))
    next_wait = asyncio.create_task(again.await_process_signal_event(process_id, "go", 1))
    await (await scene.session()).signal_process_by_id(scene.registry, process_id, "go", "s", {"late": True})

    assert {"late": True} == await soon(next_wait)


async def test_a_wait_for_a_process_that_is_not_there_ends_by_its_promise(scene: Scene) -> None:
    """There is no log to look at; the promise alone decides."""
    context, _, _ = await attempt(scene)
    events = scene.stores.effect_host.await_events
    key = await events.await_event_key(ExecutionScope.process("nobody"), WaitIdentity.process_signal("nobody", "go", 1))
    waiting = asyncio.create_task(context.await_process_signal_event("nobody", "go", 1))

    await events.resolve(key, Resolution.ok("by promise"))

    assert "by promise" == await soon(waiting)
