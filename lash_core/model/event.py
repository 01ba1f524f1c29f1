"""Events, append requests and wake deliveries (contract 1.9)."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

from pydantic import Field, model_validator

from lash_core.model.await_output import AnyAwaitOutput
from lash_core.model.base import JsonValue, Model
from lash_core.model.canonical_json import canonical_json, sha256_hex
from lash_core.model.event_type import CANCEL_REQUESTED, RESUMED, WAITING, TerminalState
from lash_core.model.facts import WaitState
from lash_core.model.ids import signal_event_type
from lash_core.model.scope import CausalRef, SessionScope


class Replay(Model):
    """A deterministic key: the same key with the same content is the same event."""

    key: str = Field(kw_only=False)


class ProcessEventAppendRequest(Model):
    """A request to append one event."""

    event_type: str = Field(kw_only=False)
    payload: JsonValue = Field(default=None, kw_only=False)
    replay: Replay | None = None
    wake_target_scope: SessionScope | None = None
    requested_by: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _replay_of_key(cls, data: Any) -> Any:
        # The builder's ``with_replay_key`` as an argument: ``replay_key="k"``.
        if not isinstance(data, dict) or "replay_key" not in data:
            return data
        facts: dict[str, Any] = {name: value for name, value in data.items() if name != "replay_key"}
        facts.setdefault("replay", None if data["replay_key"] is None else {"key": data["replay_key"]})
        return facts

    @property
    def replay_key(self) -> str | None:
        """The replay key; an empty one counts as absent."""
        return self.replay.key if self.replay and self.replay.key else None

    def with_replay_key(self, key: str) -> ProcessEventAppendRequest:
        """A copy with a replay key."""
        return self.model_copy(update={"replay": Replay(key=key)})

    def with_payload(self, payload: JsonValue) -> ProcessEventAppendRequest:
        """A copy with another payload."""
        return self.model_copy(update={"payload": payload})

    def with_wake_target_scope(self, scope: SessionScope) -> ProcessEventAppendRequest:
        """A copy that wakes this scope instead of the row's."""
        return self.model_copy(update={"wake_target_scope": scope})

    @classmethod
    def cancel_requested(
        cls, process_id: str, reason: str | None = None, *, requested_by: str | None = None
    ) -> ProcessEventAppendRequest:
        """A cancel request: payload ``{"reason"}``, one event per reason (decision 21)."""
        payload = {"reason": reason}
        key = f"process:{process_id}:cancel_requested:{payload_hash(CANCEL_REQUESTED, payload)}"
        return cls(event_type=CANCEL_REQUESTED, payload=payload, replay=Replay(key=key), requested_by=requested_by)

    @classmethod
    def signal(cls, process_id: str, name: str, payload: JsonValue, *, signal_id: str) -> ProcessEventAppendRequest:
        """A declared signal: at most one event per ``signal_id``."""
        event_type = signal_event_type(name)
        key = f"process:{process_id}:{event_type}:{signal_id}"
        return cls(event_type=event_type, payload=payload, replay=Replay(key=key))

    @classmethod
    def waiting(cls, process_id: str, wait: WaitState) -> ProcessEventAppendRequest:
        """The process waits for a signal: one event an ordinal, with the time since when."""
        key = f"process:{process_id}:waiting:{wait.kind.event_type}:{wait.kind.ordinal}"
        return cls(event_type=WAITING, payload={"wait": wait.to_json_value()}, replay=Replay(key=key))

    @classmethod
    def resumed(cls, process_id: str, wait: WaitState) -> ProcessEventAppendRequest:
        """The signal that the process waited for came: one event an ordinal."""
        kind = wait.kind
        key = f"process:{process_id}:resumed:{kind.event_type}:{kind.ordinal}"
        payload = {"signal": kind.name, "key": kind.key, "ordinal": kind.ordinal}
        return cls(event_type=RESUMED, payload=payload, replay=Replay(key=key))


def payload_hash(event_type: str, payload: Any) -> str:
    """Hex SHA-256 of the JSON of ``[event_type, payload]``."""
    return sha256_hex([event_type, payload])


class MaterializedTerminal(Model):
    """The terminal meaning of one event."""

    state: TerminalState
    await_output: AnyAwaitOutput


class MaterializedWake(Model):
    """The wake meaning of one event: the text for the model and the key that dedupes it."""

    input: str
    dedupe_key: str


class MaterializedSemantics(Model):
    """What one event means, computed from its type and payload."""

    terminal: MaterializedTerminal | None = None
    wake: MaterializedWake | None = None


class ProcessEventSubject(Model):
    """Names one event."""

    type: Literal["process_event"] = "process_event"
    process_id: str
    sequence: int
    event_type: str


class ProcessEventInvocation(Model):
    """Where an event stands among invocations: scope ``runtime``, caused by its process."""

    scope: str = "runtime"
    subject: ProcessEventSubject
    caused_by: CausalRef
    replay: Replay | None = None


class ProcessEvent(Model):
    """One event of a process. ``sequence`` starts at 1 and is dense; ``occurred_at_ms`` is the store's time."""

    process_id: str
    sequence: int
    event_type: str
    payload: JsonValue = None
    occurred_at_ms: int
    replay_key: str | None = None
    semantics: MaterializedSemantics = Field(default_factory=MaterializedSemantics)

    @property
    def occurred_at(self) -> int:
        """``occurred_at_ms``."""
        return self.occurred_at_ms

    @property
    def invocation(self) -> ProcessEventInvocation:
        """The event's invocation, derived from its own facts."""
        return ProcessEventInvocation(
            subject=ProcessEventSubject(process_id=self.process_id, sequence=self.sequence, event_type=self.event_type),
            caused_by=CausalRef.process(self.process_id),
            replay=Replay(key=self.replay_key) if self.replay_key else None,
        )


class ProcessWakeDelivery(Model):
    """A wake on its way to a session."""

    wake_id: str
    target_session_id: str
    target_scope_id: str
    process_id: str
    sequence: int
    event_type: str
    event_invocation: ProcessEventInvocation
    process_caused_by: CausalRef | None = None
    dedupe_key: str
    input: str
    created_at_ms: int

    @property
    def source_key(self) -> str:
        """Key under which the target's queue takes this wake once."""
        return f"process:{self.process_id}:event:{self.sequence}:wake"

    @property
    def model_text(self) -> str:
        """What the model of the woken session reads."""
        return (
            f"Background process wake\nProcess: {self.process_id}\n"
            f"Event: {self.event_type} #{self.sequence}\nWake input:\n{self.input}"
        )


def wake_id(target_scope_id: str, dedupe_key: str) -> str:
    """``wake:`` and the hex SHA-256 of ``[target_scope_id, dedupe_key]``."""
    return "wake:" + hashlib.sha256(canonical_json([target_scope_id, dedupe_key]).encode()).hexdigest()


class ProcessEventAppendResult(Model):
    """The event as stored, and the wake it causes, if any. ``replayed`` is True when nothing was written."""

    event: ProcessEvent
    wake_delivery: ProcessWakeDelivery | None = None
    replayed: bool = False
