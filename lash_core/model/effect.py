"""Effect envelopes: the deterministic name of a side effect and what it does (``docs/contracts/processes.md`` 5.1)."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Self

from pydantic import Field, model_validator

from lash_core.errors import RuntimeFailure
from lash_core.model.await_event import AwaitEventKey, Resolution
from lash_core.model.base import JsonValue, Model
from lash_core.model.event import Replay
from lash_core.model.process_command import ProcessCommand
from lash_core.model.scope import CausalRef

SUBJECT_INVALID = "runtime_effect_invocation_subject"
KIND_MISMATCH = "runtime_effect_invocation_kind"
REPLAY_REQUIRED = "runtime_effect_replay_required"
COMMAND_INVALID = "runtime_effect_command_invalid"
WRONG_OUTCOME = "runtime_effect_wrong_outcome"


class EffectKind(StrEnum):
    """Kinds of effects."""

    LLM_CALL = "llm_call"
    DIRECT = "direct"
    TOOL_ATTEMPT = "tool_attempt"
    TOOL_BATCH = "tool_batch"
    TRIGGER = "trigger"
    PROCESS = "process"
    EXEC_CODE = "exec_code"
    CHECKPOINT = "checkpoint"
    SYNC_EXECUTION_ENVIRONMENT = "sync_execution_environment"
    SLEEP = "sleep"
    AWAIT_EVENT = "await_event"
    PEEK_AWAIT_EVENT = "peek_await_event"
    DURABLE_STEP = "durable_step"


class RuntimeScope(Model):
    """Where in a session an effect happens; a process has the session only."""

    session_id: str = Field(kw_only=False)
    turn_id: str | None = None
    turn_index: int | None = None
    protocol_iteration: int | None = None


class EffectSubject(Model):
    """The effect an invocation is about."""

    effect_id: str = Field(kw_only=False)
    kind: EffectKind = Field(kw_only=False)


class RuntimeInvocation(Model):
    """Who asks for an effect, which one, why, and under which replay key."""

    scope: RuntimeScope
    subject: EffectSubject | None = None
    caused_by: CausalRef | None = None
    replay: Replay | None = None

    @property
    def effect_id(self) -> str | None:
        """The effect's id; None when the invocation is about a turn or a session."""
        return None if self.subject is None else self.subject.effect_id

    @property
    def replay_key(self) -> str | None:
        """The replay key; an empty one counts as absent."""
        return self.replay.key if self.replay and self.replay.key else None

    @property
    def causal_ref(self) -> CausalRef | None:
        """What this invocation is to those that it causes: its effect, else its turn, else nothing."""
        scope = self.scope
        if self.subject is not None:
            return CausalRef(
                kind="effect", session_id=scope.session_id, turn_id=scope.turn_id, effect_id=self.subject.effect_id
            )
        if scope.turn_id is not None:
            return CausalRef(kind="turn", session_id=scope.session_id, turn_id=scope.turn_id)
        return None


class RuntimeEffectCommand(Model):
    """What the effect does: its kind and the arguments of that kind."""

    kind: EffectKind = Field(kw_only=False)
    args: dict[str, Any] = Field(default_factory=dict, kw_only=False)

    @classmethod
    def sleep(cls, duration_ms: int) -> RuntimeEffectCommand:
        """A sleep of ``duration_ms``."""
        return cls(EffectKind.SLEEP, {"duration_ms": duration_ms})

    @classmethod
    def await_event(cls, key: AwaitEventKey) -> RuntimeEffectCommand:
        """A wait for the promise of ``key``."""
        return cls(EffectKind.AWAIT_EVENT, {"key": key.to_json_value()})

    @classmethod
    def durable_step(cls, step_id: str, args: JsonValue = None) -> RuntimeEffectCommand:
        """A step of a program."""
        return cls(
            EffectKind.DURABLE_STEP, {"step_id": step_id} if args is None else {"step_id": step_id, "args": args}
        )

    @classmethod
    def process(cls, command: ProcessCommand) -> RuntimeEffectCommand:
        """A process command."""
        return cls(EffectKind.PROCESS, command.to_args())


class RuntimeEffectEnvelope(Model):
    """A named command. Its canonical JSON decides whether a replay asks for the same thing.

    Raises:
        RuntimeFailure: no effect id (``runtime_effect_invocation_subject``), another kind than the command's
            (``runtime_effect_invocation_kind``), no replay key (``runtime_effect_replay_required``), or a command whose
            arguments do not fit its kind.
    """

    invocation: RuntimeInvocation = Field(kw_only=False)
    command: RuntimeEffectCommand = Field(kw_only=False)

    @model_validator(mode="after")
    def _check(self) -> Self:
        subject, command = self.invocation.subject, self.command
        if subject is None or not subject.effect_id.strip():
            raise RuntimeFailure(SUBJECT_INVALID, "the invocation's subject must be an effect with a non-empty id")
        if subject.kind is not command.kind:
            raise RuntimeFailure(
                KIND_MISMATCH, f"the invocation names `{subject.kind.value}`, the command is `{command.kind.value}`"
            )
        if self.invocation.replay is None or not self.invocation.replay.key:
            raise RuntimeFailure(REPLAY_REQUIRED, f"effect `{subject.effect_id}` has no replay key")
        fault = _command_fault(command)
        if fault is not None:
            raise RuntimeFailure(COMMAND_INVALID, f"effect `{subject.effect_id}`: {fault}")
        return self

    @classmethod
    def create(cls, invocation: RuntimeInvocation, command: RuntimeEffectCommand) -> RuntimeEffectEnvelope:
        """The constructor under the name of the other builders. Raises: RuntimeFailure."""
        return cls(invocation, command)

    @property
    def kind(self) -> EffectKind:
        """The command's kind."""
        return self.command.kind

    @property
    def replay_key(self) -> str:
        """The key under which an outcome is recorded."""
        return self.invocation.replay.key if self.invocation.replay else ""


class RuntimeEffectOutcome(Model):
    """What an effect answered, as JSON."""

    kind: EffectKind = Field(kw_only=False)
    value: JsonValue = Field(default=None, kw_only=False)

    def into_sleep(self) -> None:
        """Check that a sleep is over. Raises: RuntimeFailure, ``runtime_effect_wrong_outcome``."""
        self._into(EffectKind.SLEEP)

    def into_await_event(self) -> Resolution:
        """How the promise ended. Raises: RuntimeFailure, ``runtime_effect_wrong_outcome``."""
        return Resolution.model_validate(self._into(EffectKind.AWAIT_EVENT))

    def into_process(self) -> JsonValue:
        """The answer of a process command. Raises: RuntimeFailure, ``runtime_effect_wrong_outcome``."""
        return self._into(EffectKind.PROCESS)

    def _into(self, kind: EffectKind) -> JsonValue:
        if self.kind is not kind:
            raise RuntimeFailure(WRONG_OUTCOME, f"expected {kind.value} outcome, got {self.kind.value}")
        return self.value


def _command_fault(command: RuntimeEffectCommand) -> str | None:
    args = command.args
    match command.kind:
        case EffectKind.DURABLE_STEP if not _text(args.get("step_id")):
            return "a durable step needs a non-empty step_id"
        case EffectKind.TOOL_ATTEMPT:
            return _attempt_fault(args)
        case EffectKind.TOOL_BATCH if not _text(args.get("batch_id")) or not args.get("calls"):
            return "a tool batch needs a non-empty batch_id and at least one call"
        case _:
            return None


def _attempt_fault(args: dict[str, Any]) -> str | None:
    if not _text(args.get("call_id")):
        return "a tool attempt needs a non-empty call_id"
    attempt, attempts_max = args.get("attempt"), args.get("attempts_max")
    if not isinstance(attempt, int) or not isinstance(attempts_max, int) or not 1 <= attempt <= attempts_max:
        return f"attempt {attempt} of {attempts_max} is not between 1 and the maximum"
    return None


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
