"""Event types, their semantics, and the core types every process has (contract 1.5, decision 34)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from lash_core.model.base import JsonValue, Model
from lash_core.model.ids import signal_event_type
from lash_core.model.selector import AnySelector, PointerSelector

TerminalState = Literal["completed", "failed", "cancelled", "abandoned"]

CANCEL_REQUESTED = "process.cancel_requested"
WAITING = "process.waiting"
RESUMED = "process.resumed"
COMPLETED = "process.completed"
FAILED = "process.failed"
CANCELLED = "process.cancelled"
ABANDONED = "process.abandoned"
YIELD = "process.yield"
WAKE = "process.wake"

TERMINAL_EVENT_TYPES: dict[TerminalState, str] = {
    "completed": COMPLETED,
    "failed": FAILED,
    "cancelled": CANCELLED,
    "abandoned": ABANDONED,
}


class TerminalSemantics(Model):
    """This event ends the process in ``state``; ``await_output`` selects its outcome."""

    state: TerminalState = Field(kw_only=False)
    await_output: AnySelector | None = Field(default=None, kw_only=False)


class EventIdentityDedupe(Model):
    """Dedupe by ``<pid>:<sequence>``."""

    type: Literal["event_identity"] = "event_identity"


class SelectorDedupe(Model):
    """Dedupe by a selected value, stringified."""

    type: Literal["selector"] = "selector"
    selector: AnySelector = Field(kw_only=False)


class ConstDedupe(Model):
    """Dedupe by a fixed text."""

    type: Literal["const"] = "const"
    value: str = Field(kw_only=False)


AnyDedupe = Annotated[EventIdentityDedupe | SelectorDedupe | ConstDedupe, Field(discriminator="type")]


class WakeSemantics(Model):
    """This event wakes a session: when, with what input, deduplicated how."""

    when: AnySelector | None = None
    input: AnySelector
    dedupe_key: AnyDedupe = Field(default_factory=EventIdentityDedupe)


class ProcessEventSemantics(Model):
    """What an event means beyond being recorded."""

    terminal: TerminalSemantics | None = Field(default=None, kw_only=False)
    wake: WakeSemantics | None = Field(default=None, kw_only=False)

    @property
    def is_plain(self) -> bool:
        """True when the event only records."""
        return self.terminal is None and self.wake is None


class ProcessEventType(Model):
    """A declared event type. ``payload_schema`` is a JSON schema; ``True``, ``{}`` and ``"any"`` accept everything."""

    name: str = Field(kw_only=False)
    payload_schema: JsonValue = Field(default=True, kw_only=False)
    semantics: ProcessEventSemantics = Field(default_factory=ProcessEventSemantics, kw_only=False)

    @classmethod
    def signal(cls, name: str, payload_schema: JsonValue = None) -> ProcessEventType:
        """The type of a declared signal: ``signal.<name>``."""
        return cls(name=signal_event_type(name), payload_schema=payload_schema)


def accepts_any(schema: Any) -> bool:
    """True for a schema that accepts every payload."""
    return schema is None or schema is True or schema in ("any", {})


def _core(name: str, state: TerminalState | None = None) -> ProcessEventType:
    terminal = None
    if state is not None:
        terminal = TerminalSemantics(state=state, await_output=PointerSelector(pointer="/await_output"))
    return ProcessEventType(name=name, semantics=ProcessEventSemantics(terminal=terminal))


CORE_EVENT_TYPES: tuple[ProcessEventType, ...] = (
    _core(CANCEL_REQUESTED),
    _core(WAITING),
    _core(RESUMED),
    _core(COMPLETED, "completed"),
    _core(FAILED, "failed"),
    _core(CANCELLED, "cancelled"),
    _core(ABANDONED, "abandoned"),
)
"""Added to every registration, after the declared types. Version 1; stored as that number."""

CORE_EVENT_TYPES_VERSION = 1

CORE_BY_NAME = {event_type.name: event_type for event_type in CORE_EVENT_TYPES}

YIELD_TYPE = ProcessEventType(name=YIELD)
WAKE_TYPE = ProcessEventType(
    name=WAKE, semantics=ProcessEventSemantics(wake=WakeSemantics(input=PointerSelector(pointer="/text")))
)
"""Engine-declared extras: declare them where an engine emits them."""


def with_core_event_types(declared: tuple[ProcessEventType, ...]) -> tuple[ProcessEventType, ...]:
    """The declared types, then each core type that is not declared already."""
    if not declared:
        return CORE_EVENT_TYPES
    names = {event_type.name for event_type in declared}
    return declared + tuple(core for core in CORE_EVENT_TYPES if core.name not in names)
