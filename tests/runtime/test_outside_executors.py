"""Envelopes and executors as code outside the project builds them: by constructor, with bare functions and waits."""

from __future__ import annotations

import asyncio

import pytest

from lash_core import InMemoryStores
from lash_core.errors import RuntimeFailure
from lash_core.model import (
    EffectKind,
    EffectSubject,
    ExecutionScope,
    Replay,
    Resolution,
    RuntimeEffectCommand,
    RuntimeEffectEnvelope,
    RuntimeEffectOutcome,
    RuntimeInvocation,
    RuntimeScope,
    WaitIdentity,
)
from lash_core.runtime import CancellationToken, InlineEffectHost, RuntimeEffectLocalExecutor
from lash_core.store import EffectHost
from tests.runtime.effect_kit import Scene

SCOPE = ExecutionScope.turn("s", "t")


def invocation(kind: EffectKind, effect_id: str = "e", key: str | None = "k") -> RuntimeInvocation:
    replay = None if key is None else Replay(key=key)
    return RuntimeInvocation(scope=RuntimeScope("s"), subject=EffectSubject(effect_id, kind), replay=replay)


def hosts() -> list[EffectHost]:
    return [InlineEffectHost(), InMemoryStores().effect_host]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (invocation(EffectKind.SLEEP, " "), "runtime_effect_invocation_subject"),
        (RuntimeInvocation(scope=RuntimeScope("s"), replay=Replay(key="k")), "runtime_effect_invocation_subject"),
        (invocation(EffectKind.DIRECT), "runtime_effect_invocation_kind"),
        (invocation(EffectKind.SLEEP, key=None), "runtime_effect_replay_required"),
        (invocation(EffectKind.SLEEP, key=""), "runtime_effect_replay_required"),
    ],
)
def test_no_way_of_construction_takes_a_bad_envelope(asked: RuntimeInvocation, code: str) -> None:
    """The constructor checks as ``create`` does, by position and by name."""
    command = RuntimeEffectCommand.sleep(1)
    for build in (RuntimeEffectEnvelope, RuntimeEffectEnvelope.create):
        with pytest.raises(RuntimeFailure) as refused:
            build(asked, command)
        assert code == refused.value.code
    with pytest.raises(RuntimeFailure) as refused:
        RuntimeEffectEnvelope(invocation=asked, command=command)
    assert code == refused.value.code


async def test_an_executor_may_answer_the_outcome_itself() -> None:
    """It is not wrapped a second time."""
    outcome = RuntimeEffectOutcome(EffectKind.DURABLE_STEP, {"a": 1})

    async def execute(_: RuntimeEffectEnvelope) -> RuntimeEffectOutcome:
        return outcome

    envelope = RuntimeEffectEnvelope(invocation(EffectKind.DURABLE_STEP), RuntimeEffectCommand.durable_step("a"))
    for host in hosts():
        assert outcome == await host.scoped(SCOPE).execute_effect(envelope, RuntimeEffectLocalExecutor(execute))


async def test_a_wait_without_promises_waits_at_its_controllers() -> None:
    """``await_event(cancellation, None)`` is enough, and a cancelled waiter ends the promise."""
    for host in hosts():
        effects, token = host.scoped(SCOPE), CancellationToken()
        keys = [await host.await_event_key(SCOPE, WaitIdentity.custom(name)) for name in ("value", "cancelled")]
        executor = RuntimeEffectLocalExecutor.await_event(token, None)
        waits = [
            asyncio.create_task(
                effects.execute_effect(
                    RuntimeEffectEnvelope(
                        invocation(EffectKind.AWAIT_EVENT, key=key.key_id), RuntimeEffectCommand.await_event(key)
                    ),
                    executor,
                )
            )
            for key in keys
        ]

        await host.resolve_await_event(keys[0], Resolution.ok(7))
        assert Resolution.ok(7) == (await waits[0]).into_await_event()
        token.cancel("enough")
        assert Resolution.cancelled() == (await waits[1]).into_await_event()
        assert Resolution.cancelled() == await host.peek_await_event(keys[1])


async def test_a_wait_without_promises_in_a_run_too() -> None:
    """The controller of a run has its host's promises."""
    run = (await Scene.claimed()).effects()
    key = await run.await_event_key(run.scope, WaitIdentity.custom("value"))
    await run.resolve_await_event(key, Resolution.ok(7))
    wait = RuntimeEffectEnvelope(invocation(EffectKind.AWAIT_EVENT), RuntimeEffectCommand.await_event(key))

    outcome = await run.execute_effect(wait, RuntimeEffectLocalExecutor.await_event(None, None))

    assert Resolution.ok(7) == outcome.into_await_event()
