"""Executors of effects here, alone and behind the inline controller (contract 4.4, 4.5, 5.4)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lash_core.errors import InvalidArgumentError, LeaseLostError, RuntimeFailure, UnknownProcessError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.await_output import ProcessAwaitOutput
from lash_core.model.effect import (
    EffectKind,
    RuntimeEffectCommand,
    RuntimeEffectEnvelope,
    RuntimeEffectOutcome,
)
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.process_command import AwaitProcess, CancelProcess, StartProcess
from lash_core.model.tool_invocation import ToolInvocationReply
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.context.errors import error_reply, text_for_code
from lash_core.runtime.inline_effects import InlineEffectHost
from lash_core.runtime.local_executors import ProcessWaitCancelledError, RuntimeEffectLocalExecutor
from lash_core.store.effect_host import StartsProcess
from lash_core.testing.waiting import eventually
from tests.runtime.contexts import context_of
from tests.runtime.executor_kit import envelope, registration, soon


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
