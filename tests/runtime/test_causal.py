"""Ids, causes and replay keys of effects (contract 4.4, 4.5, 5.1)."""

from __future__ import annotations

import pytest

from lash_core.errors import InvalidArgumentError
from lash_core.model.canonical_json import sha256_hex
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.effect import EffectKind, EffectSubject, RuntimeInvocation, RuntimeScope
from lash_core.model.event import Replay
from lash_core.model.ids import REPLAY_KEY_BYTES_MAX
from lash_core.model.process_command import (
    AnyProcessCommand,
    AwaitProcess,
    CancelProcess,
    DeleteSessionProcesses,
    GrantProcess,
    ListProcesses,
    ProcessCommand,
    ProcessListMode,
    RevokeProcess,
    SignalProcess,
    StartProcess,
    TransferProcesses,
)
from lash_core.model.process_input import ProcessInput
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import CausalRef, SessionScope
from lash_core.runtime.causal import (
    process_await_event_invocation,
    process_effect_invocation,
    process_sleep_invocation,
    turn_effect_invocation,
)

TURN = RuntimeScope("s", turn_id="t", turn_index=2, protocol_iteration=3)
PARENT = RuntimeInvocation(scope=TURN, subject=EffectSubject("call", EffectKind.TOOL_ATTEMPT), replay=Replay("key"))
KEYLESS = RuntimeInvocation(scope=TURN, subject=EffectSubject("call", EffectKind.TOOL_ATTEMPT))
CAUSE = CausalRef(kind="effect", session_id="s", turn_id="t", effect_id="call")
START = ProcessRegistration("p", ProcessInput.engine("job", {"n": 1}), RecoveryDisposition.RERUNNABLE, app_version="7")


def test_without_a_parent_both_ids_are_the_suffix() -> None:
    """The scope is the session."""
    sleep = process_sleep_invocation("s", None, "process:p", 4)
    wait = process_await_event_invocation("s", None, "p", "go", 2)

    assert ("process:process:p:sleep:4",) * 2 == (sleep.effect_id, sleep.replay_key)
    assert ("process:p:signal.go:await:2",) * 2 == (wait.effect_id, wait.replay_key)
    assert (RuntimeScope("s"), None) == (sleep.scope, sleep.caused_by)
    assert (EffectKind.SLEEP, EffectKind.AWAIT_EVENT) == (sleep.subject.kind, wait.subject.kind)  # type: ignore[union-attr]


def test_with_a_parent_they_are_the_parents_and_the_suffix() -> None:
    """Key after key, id after id; a parent without a key gives its id."""
    sleep = process_sleep_invocation("other", PARENT, "a", 1)
    wait = process_await_event_invocation("other", KEYLESS, "p", "go", 1)

    assert ("call:process:a:sleep:1", "key:process:a:sleep:1") == (sleep.effect_id, sleep.replay_key)
    assert "call:process:p:signal.go:await:1" == wait.replay_key == wait.effect_id
    assert (TURN, CAUSE) == (sleep.scope, sleep.caused_by)


def test_a_process_command_is_keyed_by_its_parent_or_its_session() -> None:
    """Its id stays the command's; a turn stays the turn."""
    plain, inside = (
        process_effect_invocation("s2", None, "process:x"),
        process_effect_invocation("s2", PARENT, "process:x"),
    )

    assert ("process:x", "s2:process:x", RuntimeScope("s2")) == (plain.effect_id, plain.replay_key, plain.scope)
    assert ("process:x", "key:process:x", CAUSE) == (inside.effect_id, inside.replay_key, inside.caused_by)
    assert ("s2", "t", 2, 3) == (
        inside.scope.session_id,
        inside.scope.turn_id,
        inside.scope.turn_index,
        inside.scope.protocol_iteration,
    )
    assert "call:process:x" == process_effect_invocation("s2", KEYLESS, "process:x").replay_key


def test_an_effect_of_a_turn_is_keyed_by_its_place() -> None:
    """Session, turn, index, iteration, kind, effect."""
    invocation = turn_effect_invocation(TURN, "e", EffectKind.LLM_CALL)

    assert "s:t:2:3:llm_call:e" == invocation.replay_key


def test_a_key_that_is_too_long_is_cut_and_told_apart() -> None:
    """Journals bound their keys; ids of 200 bytes are legal."""
    long = process_effect_invocation("s" * 200, PARENT, "é" * 300 + "1").replay_key
    other = process_effect_invocation("s" * 200, PARENT, "é" * 300 + "2").replay_key

    assert long is not None
    assert len(long.encode()) <= REPLAY_KEY_BYTES_MAX
    assert long != other
    assert long.startswith("key:é")


SESSION, FRAME = SessionScope("s"), SessionScope.for_agent_frame("s", "f")


@pytest.mark.parametrize(
    ("command", "effect_id"),
    [
        (StartProcess(START), "process:start:p"),
        (ListProcesses(FRAME), "process:list:session:s/frame:f:live"),
        (ListProcesses(SESSION, ProcessListMode.ALL), "process:list:session:s:all"),
        (
            TransferProcesses(SESSION, FRAME, ("a", "b")),
            f"process:transfer:session:s:session:s/frame:f:{sha256_hex(['a', 'b'])}",
        ),
        (GrantProcess(SESSION, "p"), "process:grant:session:s:p"),
        (RevokeProcess(SESSION, "p"), "process:revoke:session:s:p"),
        (DeleteSessionProcesses("s"), "process:delete-session:s"),
        (AwaitProcess("p"), "process:await:p"),
        (CancelProcess("p", "why"), "process:cancel:p"),
        (SignalProcess.of("p", "go", "id-1", None), "process:signal:p:signal.go:id-1"),
    ],
    ids=lambda value: value.__class__.__name__,
)
def test_a_command_names_its_effect(command: AnyProcessCommand, effect_id: str) -> None:
    """And all but a start are their arguments."""
    assert effect_id == command.effect_id
    if isinstance(command, StartProcess):
        with pytest.raises(InvalidArgumentError, match="not a process command"):
            ProcessCommand.from_args(command.to_args())
    else:
        assert command == ProcessCommand.from_args(command.to_args())


def test_a_start_is_known_by_what_was_asked_for() -> None:
    """Not by what another release adds: its version, its event types, its queue."""
    newer = START.model_copy(update={"app_version": "8", "queue": "slow", "timeout_ms": 5})
    other = START.model_copy(update={"input": ProcessInput.engine("job", {"n": 2})})

    assert StartProcess(START).to_args() == StartProcess(newer).to_args()
    assert StartProcess(START).to_args() != StartProcess(other).to_args()
    assert {"op", "id", "input", "provenance"} == set(StartProcess(START).to_args())


def test_a_blank_signal_id_is_refused() -> None:
    """Every signal would be the same one."""
    with pytest.raises(InvalidArgumentError, match="signal id"):
        SignalProcess.of("p", "go", " ", None)


def test_what_an_invocation_is_to_what_it_causes() -> None:
    """Its effect, else its turn, else nothing."""
    turn = RuntimeInvocation(scope=TURN)
    session = RuntimeInvocation(scope=RuntimeScope("s"))

    assert [CAUSE, CausalRef(kind="turn", session_id="s", turn_id="t"), None] == [
        each.causal_ref for each in (PARENT, turn, session)
    ]
    assert (None, None) == (turn.effect_id, turn.replay_key)


def test_only_commands_have_ids() -> None:
    """The base is for decoding."""
    with pytest.raises(TypeError):
        _ = ProcessCommand().effect_id
