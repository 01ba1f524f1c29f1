"""A tool: its manifest and the code behind it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from lash_core.errors import NotAvailableError
from lash_core.model.base import JsonValue
from lash_core.model.chronological_projection import ChronologicalProjection
from lash_core.model.message import ToolCallPart
from lash_core.model.session_state import SessionReadView
from lash_core.model.tool_invocation import ToolTriggerEffectOutcome
from lash_core.model.tool_output import AnyToolOutput
from lash_core.model.tool_state import ToolManifest
from lash_core.model.trigger_occurrence import TriggerOccurrence
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.journal.errors import STORE_ERRORS
from lash_core.runtime.tool_children import start_kind
from lash_core.runtime.tool_tasks import AsyncTaskWork, start_task

if TYPE_CHECKING:
    # These use contexts, which use tools.
    from lash_core.runtime.attachments import SessionAttachments
    from lash_core.runtime.execution_context import RuntimeExecutionContext
    from lash_core.runtime.tool_turn import InnerToolAnswer, ToolTurn
    from lash_core.store.attachment_store import AttachmentStore


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
        turn: the turn that the tool is called in; None in a process.
        captured_history: in a process: what its session's history was when the process was started.
    """

    session_id: str
    call_id: str
    attempt: int = 1
    process_id: str | None = None
    cancellation: CancellationToken = field(default_factory=CancellationToken)
    prepared_payload: JsonValue = None
    triggers: EmitsOccurrences | None = None
    turn: ToolTurn | None = None
    captured_history: ChronologicalProjection = field(default_factory=ChronologicalProjection)

    @property
    def cancelled(self) -> bool:
        """True once the call is to end."""
        return self.cancellation.cancelled

    @property
    def turn_id(self) -> str | None:
        """The turn that the tool is called in; None in a process."""
        return None if self.turn is None else self.turn.turn_id

    @property
    def read_view(self) -> SessionReadView | None:
        """The session as it was when the turn began; None in a process."""
        return None if self.turn is None else self.turn.read_view

    @property
    def history(self) -> ChronologicalProjection:
        """What happened in the session before the turn's first model call, in order.

        In a process: its newest part as it was captured with the start.
        """
        return self.captured_history if self.turn is None else self.turn.execution.chronological_projection

    @property
    def execution(self) -> RuntimeExecutionContext:
        """Starts child processes on behalf of the call. Raises: NotAvailableError: the tool runs in a process."""
        return self._in_turn("child processes").execution

    @property
    def attachments(self) -> AttachmentStore | SessionAttachments:
        """The session's attachments; those that come in belong to the turn.

        Raises:
            NotAvailableError: the tool runs in a process.
        """
        return self._in_turn("attachments").execution.attachment_store

    async def start_process(
        self, kind: str, params: JsonValue = None, *, process_id: str | None = None, label: str | None = None
    ) -> str:
        """Start a process for the session and answer its id: work that outlives the turn. Its wakes come back here.

        The same call starts it once, however often it is attempted; two of one kind need ids of their own.

        Raises:
            UnknownKindError: nobody declares the kind. InvalidArgumentError: params that do not fit it, a bad id.
            RuntimeFailure: the start was refused. NotAvailableError: the tool runs in a process. Store errors: the turn
                is redone when one leaves the tool.
        """
        turn = self._in_turn("child processes")
        call = f"{turn.turn_id}:{self.call_id}"
        try:
            return await start_kind(turn.execution, call, kind, params, process_id=process_id, label=label)
        except STORE_ERRORS as error:
            turn.store_errors.append(error)
            raise

    async def start_task(self, work: AsyncTaskWork, *, name: str = "") -> dict[str, JsonValue]:
        """Start ``work`` beside the turn and answer its handle, which the tool gives to the model.

        The task lives in this runtime: it does not survive the program, nor that the session leaves memory; what is to
        survive is a process (``start_process``). The same call starts it once, however often it is attempted; two of
        one call need names of their own.

        Raises:
            LimitExceededError: too many tasks of the session run. NotAvailableError: the tool runs in a process.
        """
        turn = self._in_turn("async tasks")
        call = f"{turn.turn_id}:{self.call_id}"
        return start_task(turn.execution, call, work, tool_name=turn.tool_name, name=name)

    async def progress(self, value: JsonValue) -> None:
        """Stream how far the call is, under its id; nobody has to listen, and in a process nobody does.

        Raises:
            InvalidJsonError: ``value`` is not JSON.
        """
        if self.turn is not None:
            await self.turn.report(value)

    async def call_tools(self, calls: Sequence[ToolCallPart]) -> tuple[InnerToolAnswer, ...]:
        """Call other tools of the session; answers in the order of the calls. Each call is recorded under its own id.

        Raises:
            NotAvailableError: the tool runs in a process, or was called by another tool.
        """
        call_tools = self._in_turn("other tools").call_tools
        if call_tools is None:
            raise NotAvailableError("a tool that another tool called cannot call tools")
        return await call_tools(calls)

    def _in_turn(self, what: str) -> ToolTurn:
        if self.turn is None:
            raise NotAvailableError(f"{what} are available to tools of a turn only")
        return self.turn


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
