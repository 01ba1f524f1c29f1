"""A tool: its manifest and the code behind it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from lash_core.model.base import JsonValue
from lash_core.model.tool_invocation import ToolTriggerEffectOutcome
from lash_core.model.tool_output import AnyToolOutput
from lash_core.model.tool_state import ToolManifest
from lash_core.model.trigger_occurrence import TriggerOccurrence
from lash_core.runtime.cancellation import CancellationToken


class EmitsOccurrences(Protocol):
    """Emits for a tool; see ``ToolTriggers``."""

    async def emit(self, occurrence: TriggerOccurrence, *, source: JsonValue = None) -> ToolTriggerEffectOutcome:
        """Emit an occurrence; what came of it is in the reply of the call. Safe to repeat."""
        ...


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool knows of its call.

    Attributes:
        session_id: the session whose tool is called.
        call_id: the same for every attempt of one call.
        attempt: from 1.
        process_id: the process that runs the call, or None.
        cancellation: fired when the call is to end.
        prepared_payload: what the tool's own preparation left for the call, or None.
        triggers: emits occurrences, where the runtime has triggers.
    """

    session_id: str
    call_id: str
    attempt: int = 1
    process_id: str | None = None
    cancellation: CancellationToken = field(default_factory=CancellationToken)
    prepared_payload: JsonValue = None
    triggers: EmitsOccurrences | None = None

    @property
    def cancelled(self) -> bool:
        """True once the call is to end."""
        return self.cancellation.cancelled


@dataclass(frozen=True, slots=True)
class ToolPrepared:
    """A call that is ready to run in a process of its own: its arguments, and what the call is to know beside them."""

    args: JsonValue
    payload: JsonValue = None


ToolFunction = Callable[[ToolContext, JsonValue], Awaitable[AnyToolOutput]]

ToolPreparation = Callable[[ToolContext, JsonValue], Awaitable[ToolPrepared | AnyToolOutput]]
"""Runs before a tool is started as a process. An output is the answer already: no process is started."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A manifest and its function; what the function raises counts as a failure outside the tool."""

    manifest: ToolManifest
    call: ToolFunction
    prepare: ToolPreparation | None = None
