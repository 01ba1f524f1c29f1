"""Scopes, envelopes and the inline effect host."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lash_core.errors import RuntimeFailure
from lash_core.model.disposition import DurabilityTier
from lash_core.model.effect import (
    EffectKind,
    EffectSubject,
    RuntimeEffectCommand,
    RuntimeEffectEnvelope,
    RuntimeEffectOutcome,
    RuntimeInvocation,
    RuntimeScope,
)
from lash_core.model.event import Replay
from lash_core.model.execution_scope import ExecutionScope
from lash_core.runtime.inline_effects import InlineEffectHost


def envelope(kind: EffectKind, effect_id: str = "e", key: str = "k", **args: Any) -> RuntimeEffectEnvelope:
    return RuntimeEffectEnvelope.create(
        RuntimeInvocation(
            scope=RuntimeScope("s"), subject=EffectSubject(effect_id, kind), replay=Replay(key=key) if key else None
        ),
        RuntimeEffectCommand(kind, args),
    )


@pytest.mark.parametrize(
    "scope",
    [
        ExecutionScope.turn("s", " "),
        ExecutionScope.turn("", "t"),
        ExecutionScope.process(""),
        ExecutionScope.queue_drain("s", ""),
        ExecutionScope.session_delete("\t"),
        ExecutionScope.runtime_operation(""),
    ],
)
def test_a_scope_with_a_blank_part_is_refused(scope: ExecutionScope) -> None:
    """Whichever part it is."""
    with pytest.raises(RuntimeFailure) as caught:
        InlineEffectHost().scoped(scope)

    assert "missing_execution_scope_id" == caught.value.code


def test_only_scopes_of_sessions_carry_a_session() -> None:
    """So a session's deletion cannot reach the promises of a process."""
    scopes = [
        ExecutionScope.turn("s", "t"),
        ExecutionScope.queue_drain("s", "d"),
        ExecutionScope.session_delete("s"),
        ExecutionScope.process("p"),
        ExecutionScope.runtime_operation("o"),
    ]

    assert ["t", "d", "s", "p", "o"] == [scope.id for scope in scopes]
    assert ["s", "s", "s", None, None] == [scope.session_id for scope in scopes]


def test_an_inline_host_is_inline_and_has_a_static_scope() -> None:
    """A worker needs the static one."""
    host = InlineEffectHost()
    scoped = host.scoped_static(ExecutionScope.process("p"))

    assert DurabilityTier.INLINE == host.durability_tier()
    assert scoped is not None
    assert ("p", DurabilityTier.INLINE) == (scoped.scope_id, scoped.durability_tier())


@pytest.mark.parametrize(
    ("invocation", "command", "code"),
    [
        (RuntimeInvocation(scope=RuntimeScope("s")), "sleep", "runtime_effect_invocation_subject"),
        (
            RuntimeInvocation(scope=RuntimeScope("s"), subject=EffectSubject(" ", EffectKind.SLEEP)),
            "sleep",
            "runtime_effect_invocation_subject",
        ),
        (
            RuntimeInvocation(scope=RuntimeScope("s"), subject=EffectSubject("e", EffectKind.SLEEP)),
            "direct",
            "runtime_effect_invocation_kind",
        ),
        (
            RuntimeInvocation(scope=RuntimeScope("s"), subject=EffectSubject("e", EffectKind.SLEEP)),
            "sleep",
            "runtime_effect_replay_required",
        ),
    ],
)
def test_envelopes_that_cannot_be_named_are_refused(invocation: RuntimeInvocation, command: str, code: str) -> None:
    """No subject, another kind, no replay key: each has its code."""
    with pytest.raises(RuntimeFailure) as caught:
        RuntimeEffectEnvelope.create(invocation, RuntimeEffectCommand(EffectKind(command)))

    assert code == caught.value.code


@pytest.mark.parametrize(
    ("kind", "args"),
    [
        (EffectKind.DURABLE_STEP, {"step_id": " "}),
        (EffectKind.TOOL_ATTEMPT, {"call_id": "", "attempt": 1, "attempts_max": 1}),
        (EffectKind.TOOL_ATTEMPT, {"call_id": "c", "attempt": 0, "attempts_max": 1}),
        (EffectKind.TOOL_ATTEMPT, {"call_id": "c", "attempt": 2, "attempts_max": 1}),
        (EffectKind.TOOL_BATCH, {"batch_id": "b", "calls": []}),
    ],
)
def test_commands_that_make_no_sense_are_refused(kind: EffectKind, args: dict[str, Any]) -> None:
    """Blank step ids, attempts out of range, empty batches."""
    with pytest.raises(RuntimeFailure):
        envelope(kind, **args)


async def test_an_effect_runs_here_and_its_error_is_the_callers() -> None:
    """Nothing is recorded: the same key runs again."""
    scoped = InlineEffectHost().scoped(ExecutionScope.process("p"))
    runs: list[str] = []

    async def run(asked: RuntimeEffectEnvelope) -> RuntimeEffectOutcome:
        runs.append(asked.replay_key)
        if len(runs) == 3:
            raise LookupError("third")
        return RuntimeEffectOutcome(asked.kind, len(runs))

    asked = envelope(EffectKind.DIRECT)
    outcomes = [(await scoped.execute_effect(asked, run)).value for _ in range(2)]

    assert [1, 2] == outcomes
    with pytest.raises(LookupError, match="third"):
        await scoped.execute_effect(asked, run)


@pytest.mark.parametrize(("op", "finished"), [("start", True), ("await", False)])
async def test_a_process_command_survives_its_cancelled_caller(op: str, *, finished: bool) -> None:
    """A start that was sent is not left half done; a wait ends with its waiter."""
    scoped = InlineEffectHost().scoped(ExecutionScope.process("p"))
    begun, go_on, done = asyncio.Event(), asyncio.Event(), list[str]()

    async def run(asked: RuntimeEffectEnvelope) -> RuntimeEffectOutcome:
        begun.set()
        await go_on.wait()
        done.append("done")
        return RuntimeEffectOutcome(asked.kind)

    caller = asyncio.create_task(scoped.execute_effect(envelope(EffectKind.PROCESS, op=op), run))
    await begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    go_on.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert finished == bool(done)
