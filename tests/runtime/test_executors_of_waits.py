"""Executors that wait for signals and promises, through a run and without one (contract 4.4, 5.4)."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from lash_core.errors import RuntimeFailure
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.await_event import AwaitEventKey, Resolution, WaitIdentity
from lash_core.model.effect import RuntimeEffectCommand
from lash_core.model.event import ProcessEvent
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.process_command import AwaitProcess, CancelProcess
from lash_core.model.record import ProcessRecord
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.inline_await_events import InlineAwaitEvents
from lash_core.runtime.inline_effects import InlineEffectHost
from lash_core.runtime.local_executors import RuntimeEffectLocalExecutor
from tests.runtime.contexts import context_of
from tests.runtime.executor_kit import envelope, registration, signal_key, soon


class Waits:
    """``RunWaits`` that says what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.signalled = asyncio.Event()
        self.at_work = False

    @contextmanager
    def working(self) -> Generator[None]:
        self.asked.append("working")
        self.at_work = True
        yield
        self.at_work = False

    async def sleep(self, duration_ms: int) -> None:
        self.asked.append(duration_ms)

    async def signal(self, event_type: str, ordinal: int, timeout_ms: int | None = None) -> ProcessEvent | None:
        self.asked.append((event_type, ordinal, timeout_ms))
        await self.signalled.wait()
        return ProcessEvent(process_id="p", sequence=1, event_type=event_type, payload="x", occurred_at_ms=1)

    async def promise(self, key: AwaitEventKey, timeout_ms: int | None = None) -> Resolution | None:
        self.asked.append((key, timeout_ms))
        if timeout_ms is None:
            await asyncio.Event().wait()
        return None

    async def ended(self, process_id: str) -> ProcessRecord:
        self.asked.append(process_id)
        raise asyncio.CancelledError

    async def logged(self, event_type: str) -> tuple[ProcessEvent, ...]:
        raise NotImplementedError(event_type)


async def test_executors_of_a_run_wait_through_it() -> None:
    """So that its slot is free."""
    waits, stores, events = Waits(), InMemoryStores(), InlineAwaitEvents()
    registry = stores.process_registry
    await registry.register_process(registration())
    key = signal_key(events)
    waits.signalled.set()

    await RuntimeEffectLocalExecutor.sleep(waits=waits)(envelope(RuntimeEffectCommand.sleep(7)))
    wait = RuntimeEffectLocalExecutor.await_event(await_events=events, registry=registry, waits=waits)
    got = await soon(wait(envelope(RuntimeEffectCommand.await_event(key))))
    await RuntimeEffectLocalExecutor.processes(registry, CancelProcess("p"), waits=waits)(
        envelope(RuntimeEffectCommand.process(CancelProcess("p")))
    )
    with pytest.raises(asyncio.CancelledError):
        await RuntimeEffectLocalExecutor.processes(
            registry, AwaitProcess("p"), waits=waits, cancellation=CancellationToken()
        )(envelope(RuntimeEffectCommand.process(AwaitProcess("p"))))

    assert [7, (key, None), ("signal.stop", 1, None), "working", "p"] == waits.asked
    assert Resolution.ok("x") == got.into_await_event() == await events.peek(key)


async def test_a_run_is_at_work_while_it_settles_how_its_wait_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parked meanwhile, it would have seen the signal and never act on it."""
    waits, stores, events = Waits(), InMemoryStores(), InlineAwaitEvents()
    waits.signalled.set()
    at_work = list[bool]()
    resolve = events.resolve

    async def spy(key: AwaitEventKey, resolution: Resolution) -> Any:
        at_work.append(waits.at_work)
        return await resolve(key, resolution)

    monkeypatch.setattr(events, "resolve", spy)
    wait = RuntimeEffectLocalExecutor.await_event(await_events=events, registry=stores.process_registry, waits=waits)

    await soon(wait(envelope(RuntimeEffectCommand.await_event(signal_key(events)))))

    assert ([True], False) == (at_work, waits.at_work)


async def test_a_wait_of_a_run_that_is_over_ends_its_promise() -> None:
    """The store decides between the timeout and a value."""
    waits, events = Waits(), InlineAwaitEvents()
    key = events.mint(ExecutionScope.process("p"), WaitIdentity.custom("go"))
    wait = RuntimeEffectLocalExecutor.await_event(None, 50, await_events=events, waits=waits)

    got = await soon(wait(envelope(RuntimeEffectCommand.await_event(key))))

    assert [(key, 50), "working"] == waits.asked
    assert "timeout" == got.into_await_event().type
    assert Resolution.timeout() == await events.peek(key)


async def test_an_executor_without_promises_says_so() -> None:
    """There is nothing to wait for."""
    key = signal_key(InlineAwaitEvents())

    with pytest.raises(RuntimeFailure) as caught:
        await RuntimeEffectLocalExecutor.await_event()(envelope(RuntimeEffectCommand.await_event(key)))

    assert "await_event_unsupported" == caught.value.code


async def test_a_wait_has_the_time_that_is_left() -> None:
    """The remainder of the envelope before the time that the caller gave."""
    events = InlineAwaitEvents()
    command = RuntimeEffectCommand.await_event(signal_key(events))
    left = command.model_copy(update={"args": {**command.args, "timeout_ms": 1}})
    executor = RuntimeEffectLocalExecutor.await_event(None, 600_000, await_events=events)

    got = await soon(executor(envelope(left)))

    assert "timeout" == got.into_await_event().type


async def test_inline_waits_see_the_log_too() -> None:
    """A signal that was only appended ends the wait, in order; what the promise got first stays."""
    stores, host = InMemoryStores(), InlineEffectHost()
    registry = stores.process_registry
    await registry.register_process(registration())
    context = context_of(stores, host=host).with_process_event_context("p", registry)
    waiting = asyncio.create_task(context.await_process_signal_event("p", "stop", 2))
    for number in (1, 2):
        await context.signal_process_by_id(registry, "p", "stop", str(number), number)

    got = await soon(waiting)
    nobody = asyncio.create_task(context.await_process_signal_event("nobody", "stop", 1))
    key = host.await_events.mint(ExecutionScope.process("nobody"), WaitIdentity.process_signal("nobody", "stop", 1))
    await asyncio.sleep(0)
    await host.await_events.resolve(key, Resolution.ok("by promise"))

    assert (2, "by promise") == (got, await soon(nobody))


async def test_a_log_that_is_not_there_ends_no_wait() -> None:
    """The promise alone decides then."""
    stores, events = InMemoryStores(), InlineAwaitEvents()
    key = signal_key(events)
    wait = RuntimeEffectLocalExecutor.await_event(await_events=events, registry=stores.process_registry)
    waiting = asyncio.create_task(wait(envelope(RuntimeEffectCommand.await_event(key))))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not waiting.done()

    await events.resolve(key, Resolution.ok("by promise"))

    assert Resolution.ok("by promise") == (await soon(waiting)).into_await_event()


@pytest.mark.parametrize("code", ["await_event_unsupported", "await_event_unknown_or_revoked"])
async def test_a_sender_that_may_not_sign_leaves_the_wait_to_the_log(code: str) -> None:
    """Any other trouble with the promise is the caller's."""

    class Keyless(InlineAwaitEvents):
        async def await_event_key(self, scope: ExecutionScope, wait: WaitIdentity) -> AwaitEventKey:
            raise RuntimeFailure(code, f"{scope} {wait}")

    stores = InMemoryStores()
    registry = stores.process_registry
    await registry.register_process(registration())
    context = context_of(stores, host=InlineEffectHost(await_events=Keyless()))
    sending = context.signal_process_by_id(registry, "p", "stop", "s", 1)

    if code == "await_event_unsupported":
        assert 1 == (await sending).sequence
    else:
        with pytest.raises(RuntimeFailure, match=code):
            await sending
    assert 1 == len(await registry.events_after("p", 0))


@pytest.mark.parametrize("resolved", [True, False])
async def test_turn_control_is_never_ended_by_its_waiter(*, resolved: bool) -> None:
    """Its waiter's cancel is an error of the waiter; an end that is there is answered."""
    events, token = InlineAwaitEvents(), CancellationToken()
    key = events.mint(ExecutionScope.turn("s", "t"), WaitIdentity.turn_terminal())
    token.cancel()
    if resolved:
        await events.resolve(key, Resolution.ok(1))
    wait = RuntimeEffectLocalExecutor.await_event(token, await_events=events)(
        envelope(RuntimeEffectCommand.await_event(key))
    )

    if resolved:
        assert Resolution.ok(1) == (await wait).into_await_event()
        return
    with pytest.raises(RuntimeFailure) as caught:
        await wait
    assert "turn_control_wait_cancelled" == caught.value.code
    assert await events.peek(key) is None


async def test_a_wait_of_a_deleted_session_is_an_error() -> None:
    """Also when it gives up."""
    events, token = InlineAwaitEvents(), CancellationToken()
    key = events.mint(ExecutionScope.turn("s", "t"), WaitIdentity.custom("go"))
    await events.revoke_session("s")
    token.cancel()

    with pytest.raises(RuntimeFailure) as caught:
        await RuntimeEffectLocalExecutor.await_event(token, await_events=events)(
            envelope(RuntimeEffectCommand.await_event(key))
        )

    assert "await_event_unknown_or_revoked" == caught.value.code
