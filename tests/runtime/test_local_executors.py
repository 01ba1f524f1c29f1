"""Executors of effects here, alone and behind the inline controller (contract 4.4, 4.5, 5.4)."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from lash_core.errors import InvalidArgumentError, LeaseLostError, RuntimeFailure, UnknownProcessError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.await_event import AwaitEventKey, Resolution, WaitIdentity
from lash_core.model.await_output import ProcessAwaitOutput
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.effect import (
    EffectKind,
    EffectSubject,
    RuntimeEffectCommand,
    RuntimeEffectEnvelope,
    RuntimeEffectOutcome,
    RuntimeInvocation,
    RuntimeScope,
)
from lash_core.model.environment import EMPTY_ENV_REF
from lash_core.model.event import ProcessEvent, ProcessEventAppendRequest, Replay
from lash_core.model.event_type import ProcessEventType
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.process_command import AwaitProcess, CancelProcess, StartProcess
from lash_core.model.process_input import ProcessInput
from lash_core.model.record import ProcessRecord
from lash_core.model.registration import ProcessRegistration
from lash_core.model.tool_invocation import ToolInvocationReply
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.context_errors import error_reply, text_for_code
from lash_core.runtime.inline_await_events import InlineAwaitEvents
from lash_core.runtime.inline_effects import InlineEffectHost
from lash_core.runtime.local_executors import ProcessWaitCancelledError, RuntimeEffectLocalExecutor
from lash_core.store.effect_host import StartsProcess
from lash_core.testing.waiting import eventually
from tests.runtime.contexts import context_of


def envelope(command: RuntimeEffectCommand) -> RuntimeEffectEnvelope:
    """An effect with this command."""
    invocation = RuntimeInvocation(
        scope=RuntimeScope("s"), subject=EffectSubject("e", command.kind), replay=Replay("k")
    )
    return RuntimeEffectEnvelope.create(invocation, command)


def signal_key(events: InlineAwaitEvents, ordinal: int = 1) -> AwaitEventKey:
    """The promise of a wait for a ``stop``."""
    return events.mint(ExecutionScope.process("p"), WaitIdentity.process_signal("p", "stop", ordinal))


def registration(process_id: str = "p") -> ProcessRegistration:
    """A process that takes a signal."""
    return ProcessRegistration(
        process_id,
        ProcessInput.engine("job"),
        RecoveryDisposition.RERUNNABLE,
        env_ref=EMPTY_ENV_REF,
        event_types=(ProcessEventType.signal("stop"),),
    )


async def soon(waiting: Any) -> Any:
    """What a task gives, within a time that only a fault takes."""
    async with asyncio.timeout(5):
        return await waiting


# -- outcomes ---------------------------------------------------------------------------------------------


def test_an_outcome_of_another_kind_is_a_failure() -> None:
    """It says what was expected."""
    sleep = RuntimeEffectOutcome(EffectKind.SLEEP)
    for into, wanted in [(sleep.into_process, "process"), (sleep.into_await_event, "await_event")]:
        with pytest.raises(RuntimeFailure, match=f"expected {wanted} outcome, got sleep") as caught:
            into()
        assert "runtime_effect_wrong_outcome" == caught.value.code
    with pytest.raises(RuntimeFailure, match="expected sleep outcome, got direct"):
        RuntimeEffectOutcome(EffectKind.DIRECT).into_sleep()


async def test_a_controller_that_answers_something_else_is_found_out() -> None:
    """By every operation of a context."""

    class Odd:
        def durability_tier(self) -> Any:
            return None

        async def execute_effect(self, envelope: RuntimeEffectEnvelope, local_executor: Any) -> RuntimeEffectOutcome:
            del local_executor
            kind = EffectKind.DIRECT if envelope.kind is not EffectKind.PROCESS else envelope.kind
            return RuntimeEffectOutcome(kind, "nonsense")

    stores = InMemoryStores()
    context = context_of(stores, host=InlineEffectHost(Odd()))
    calls = [
        context.sleep_process("a", 1, 1),
        context.await_process_signal_event("p", "stop", 1),
        context.signal_process_by_id(stores.process_registry, "p", "stop", "s", 1),
    ]

    for call in calls:
        with pytest.raises(RuntimeFailure) as caught:
            await call
        assert "runtime_effect_wrong_outcome" == caught.value.code


def test_errors_of_the_run_are_no_replies() -> None:
    """Code must not go on over a lost lease; other errors are replies, with or without a journal alike."""
    effects = InlineEffectHost().scoped(ExecutionScope.process("p"))
    plain, recorded = UnknownProcessError("p"), RuntimeFailure("unknown_process", "unknown process `p`")

    with pytest.raises(LeaseLostError):
        error_reply(LeaseLostError("p"), effects)

    assert "unknown process `p`" == text_for_code(plain) == text_for_code(recorded)
    assert error_reply(plain, effects) == error_reply(recorded, effects)
    assert not ToolInvocationReply.error({"odd": 1}).is_success
    assert '{"odd":1}' == ToolInvocationReply.error({"odd": 1}).output.message  # type: ignore[union-attr]


# -- sleep ------------------------------------------------------------------------------------------------


async def test_a_sleep_takes_what_its_envelope_says() -> None:
    """A journal asks for the remainder."""
    executor = RuntimeEffectLocalExecutor.sleep()

    outcome = await soon(executor(envelope(RuntimeEffectCommand.sleep(1))))

    assert outcome.into_sleep() is None
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(executor(envelope(RuntimeEffectCommand.sleep(600_000))), 0.01)


async def test_an_inline_sleep_ends_with_its_context() -> None:
    """The token's reason is the text."""
    token = CancellationToken()
    context = context_of(cancellation_token=token)
    sleeping = asyncio.create_task(context.sleep_process("a", 1, 600_000))
    await eventually(lambda: bool(token._callbacks))
    token.cancel("enough")

    with pytest.raises(RuntimeFailure, match="enough") as caught:
        await soon(sleeping)

    assert "runtime_effect_sleep_cancelled" == caught.value.code


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


# -- promises ---------------------------------------------------------------------------------------------


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


# -- processes --------------------------------------------------------------------------------------------


async def test_a_start_says_what_it_starts() -> None:
    """A journal starts it in one unit with its entry; where there is none, the executor does."""
    stores, start = InMemoryStores(), StartProcess(registration())
    executor = RuntimeEffectLocalExecutor.processes(stores.process_registry, start)

    outcome = await executor(envelope(RuntimeEffectCommand.process(start)))

    assert isinstance(executor, StartsProcess)
    assert start.registration == executor.child_start.registration
    assert {"id": "p"} == outcome.into_process()
    assert not isinstance(RuntimeEffectLocalExecutor.processes(stores.process_registry), StartsProcess)


async def test_other_commands_are_read_from_their_envelope() -> None:
    """As the seed's executor does; a start cannot."""
    stores = InMemoryStores()
    await stores.process_registry.register_process(registration())
    executor = RuntimeEffectLocalExecutor.processes(stores.process_registry)

    outcome = await executor(envelope(RuntimeEffectCommand.process(CancelProcess("p", "why"))))

    assert {"process_id": "p", "status": "cancelled"} == outcome.into_process()
    with pytest.raises(InvalidArgumentError):
        await executor(envelope(RuntimeEffectCommand.process(StartProcess(registration()))))
    with pytest.raises(UnknownProcessError):
        await executor(envelope(RuntimeEffectCommand.process(CancelProcess("nobody"))))


async def test_a_wait_for_a_process_ends_with_the_token() -> None:
    """Before it began as well; the process is not touched."""
    stores, token = InMemoryStores(), CancellationToken()
    registry = stores.process_registry
    await registry.register_process(registration())
    executor = RuntimeEffectLocalExecutor.processes(registry, cancellation=token)
    waiting = asyncio.create_task(executor(envelope(RuntimeEffectCommand.process(AwaitProcess("p")))))
    await eventually(lambda: bool(token._callbacks))
    token.cancel("stop")

    with pytest.raises(ProcessWaitCancelledError, match="stop"):
        await soon(waiting)
    with pytest.raises(ProcessWaitCancelledError):
        await executor(envelope(RuntimeEffectCommand.process(AwaitProcess("p"))))
    await registry.append_event("p", ProcessEventAppendRequest.cancel_requested("p", "x"))
    done = await RuntimeEffectLocalExecutor.processes(registry)(
        envelope(RuntimeEffectCommand.process(AwaitProcess("p")))
    )
    assert ProcessAwaitOutput.cancelled("x").type == done.into_process()["output"]["type"]
