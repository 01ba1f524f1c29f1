"""Sending signals: once a signal id, for the wait that the event's own place in the log names (hazard 5)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lash_core.errors import LashError, StoreUnreachableError
from lash_core.model.await_event import Resolution
from lash_core.model.await_output import ProcessAwaitOutput
from lash_core.model.facts import SignalWait, WaitState
from lash_core.runtime import signal_sending
from lash_core.runtime.execution_context import RuntimeExecutionContext
from tests.context.scenes import Scene
from tests.context.test_waits import attempt, key_of, registered, soon


async def send(scene: Scene, sender: RuntimeExecutionContext, process_id: str, signal_id: str, payload: Any) -> Any:
    """A ``stop`` signal."""
    return await sender.signal_process_by_id(scene.registry, process_id, "stop", signal_id, payload)


async def test_a_signal_id_is_one_event(scene: Scene) -> None:
    """Whoever repeats it; another payload under it is refused, and resolves nothing."""
    context, _, process_id = await attempt(scene)
    sender, other = await scene.session(), await scene.session()

    events = [await send(scene, each, process_id, "a", 1) for each in (sender, sender, other)]
    with pytest.raises(LashError, match="conflicts with an existing event"):
        await send(scene, await scene.session(), process_id, "a", 2)

    assert [1, 1, 1] == [event.sequence for event in events]
    assert 1 == len(await scene.registry.events_after(process_id, 0))
    assert 1 == await soon(context.await_process_signal_event(process_id, "stop", 1))


@pytest.mark.parametrize(
    ("name", "payload", "wanted"),
    [
        ("unheard-of", {}, "undeclared"),
        ("go", "no object", "invalid `signal.go` payload"),
        ("not a name", {}, "signal name"),
    ],
)
async def test_a_signal_that_is_refused_reaches_nobody(scene: Scene, name: str, payload: Any, wanted: str) -> None:
    """Nothing is appended and the target keeps waiting."""
    context, _, process_id = await attempt(scene)
    waiting = asyncio.create_task(context.await_process_signal_event(process_id, "go", 1))
    sender = await scene.session()

    with pytest.raises(LashError, match=wanted):
        await sender.signal_process_by_id(scene.registry, process_id, name, "s", payload)

    assert () == await scene.registry.events_after(process_id, 0)
    assert not waiting.done()
    await sender.signal_process_by_id(scene.registry, process_id, "go", "t", {})
    assert {} == await soon(waiting)


async def test_an_old_signal_sent_again_does_not_end_the_next_wait(scene: Scene) -> None:
    """It was the first one and stays the first one, whatever the target waits for now (hazard 5 a)."""
    context, run, process_id = await attempt(scene)
    await send(scene, await scene.session(), process_id, "old", "first")
    assert "first" == await soon(context.await_process_signal_event(process_id, "stop", 1))
    await scene.registry.set_wait(process_id, WaitState(1, SignalWait.of(process_id, "stop", 2)), lease=run.lease)
    waiting = asyncio.create_task(context.await_process_signal_event(process_id, "stop", 2))

    await send(scene, await scene.session(), process_id, "old", "first")
    assert await scene.host.await_events.peek(key_of(scene, process_id, "stop", 2)) is None
    await send(scene, await scene.session(), process_id, "new", "second")

    assert "second" == await soon(waiting)


async def test_two_signals_inside_one_wait_are_two(scene: Scene) -> None:
    """The second is kept for the next wait (hazard 5 b)."""
    context, run, process_id = await attempt(scene)
    await scene.registry.set_wait(process_id, WaitState(1, SignalWait.of(process_id, "stop", 1)), lease=run.lease)
    waiting = asyncio.create_task(context.await_process_signal_event(process_id, "stop", 1))
    senders = [await scene.session() for _ in range(2)]

    await asyncio.gather(*(send(scene, each, process_id, str(n), n) for n, each in enumerate(senders)))

    promises = [await scene.host.await_events.peek(key_of(scene, process_id, "stop", n)) for n in (1, 2)]
    got = [await soon(waiting), await soon(context.await_process_signal_event(process_id, "stop", 2))]
    assert [0, 1] == sorted(got)
    logged = [event.payload for event in await scene.registry.events_after(process_id, 0)]
    assert logged == got
    assert [Resolution.ok(payload) for payload in logged] == promises


async def test_two_open_waits_get_one_signal_each(scene: Scene) -> None:
    """Sent while both are open, in the log's order."""
    context, _, process_id = await attempt(scene)
    waits = [asyncio.create_task(context.await_process_signal_event(process_id, "stop", n)) for n in (1, 2)]

    for payload in ("x", "y"):
        await send(scene, await scene.session(), process_id, payload, payload)

    assert ["x", "y"] == [await soon(wait) for wait in waits]


async def test_a_sender_that_dies_between_its_two_writes_loses_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event is there, so the wait ends; the sender's next attempt resolves the promise harmlessly."""
    context, _, process_id = await attempt(scene)
    parent = await scene.start()
    run = await scene.hold(parent.id)
    resolve = signal_sending.resolve_signal

    async def die(*_: Any) -> None:
        raise StoreUnreachableError("the sender died here")

    monkeypatch.setattr(signal_sending, "resolve_signal", die)
    with pytest.raises(StoreUnreachableError):
        await send(scene, scene.run(run, parent), process_id, "s", "once")
    monkeypatch.setattr(signal_sending, "resolve_signal", resolve)
    got = await soon(context.await_process_signal_event(process_id, "stop", 1))
    event = await send(scene, scene.run(await scene.crash(run), parent), process_id, "s", "once")

    assert ("once", "once", 1) == (got, event.payload, event.sequence)
    assert Resolution.ok("once") == await scene.host.await_events.peek(key_of(scene, process_id, "stop", 1))
    assert 1 == len(await scene.registry.events_after(process_id, 0))


async def test_a_recorded_signal_is_sent_once_over_all_attempts(scene: Scene) -> None:
    """Also when its target is gone by the time of the replay."""
    _, target_run, process_id = await attempt(scene)
    parent = await scene.start()
    run = await scene.hold(parent.id)
    first = await send(scene, scene.run(run, parent), process_id, "s", {"a": [1, None]})
    del target_run
    await scene.stores.advance_clock(40_000)
    target = await scene.hold(process_id)
    await scene.registry.complete_process_with_lease(target.lease, ProcessAwaitOutput.success())
    await scene.stores.advance_clock(10)
    record = await scene.registry.get_process(process_id)
    assert record is not None
    await scene.registry.prune_terminal_processes(record.updated_at_ms + 1)

    again = await send(scene, scene.run(await scene.crash(run), parent), process_id, "s", {"a": [1, None]})

    assert first == again
    assert await scene.registry.get_process(process_id) is None


async def test_waits_of_several_attempts_see_the_same_signals(scene: Scene) -> None:
    """A replay asks for the ordinals from 1 again."""
    context, run, process_id = await attempt(scene)
    for payload in ("x", "y", "z"):
        await send(scene, await scene.session(), process_id, payload, payload)
    first = [await soon(context.await_process_signal_event(process_id, "stop", n)) for n in (1, 2)]

    again = scene.run(await scene.crash(run), await registered(scene, process_id))
    second = [await soon(again.await_process_signal_event(process_id, "stop", n)) for n in (1, 2, 3)]

    assert (["x", "y"], ["x", "y", "z"]) == (first, second)
