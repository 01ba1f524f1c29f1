"""The turn that a tool is called in, as the tool sees it (``docs/contracts/tools.md`` 4)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from lash_core.model.base import JsonValue
from lash_core.model.message import ToolCallPart
from lash_core.model.session_state import SessionReadView
from lash_core.model.tool_output import AnyToolOutput
from lash_core.runtime.execution_context import RuntimeExecutionContext


@dataclass(frozen=True, slots=True)
class InnerToolAnswer:
    """What a call answered that a tool made itself; ``duration_ms`` of all its attempts."""

    output: AnyToolOutput
    duration_ms: int = 0


@dataclass(frozen=True, slots=True)
class ToolTurn:
    """The services of one attempt of a call in a turn.

    Attributes:
        turn_id: the turn.
        tool_name: the tool as the model called it.
        execution: starts child processes and waits for them; its effects are this attempt's.
        read_view: the session as it was when the turn began; None where the turn has none.
        report: streams progress under the call's id; nobody has to listen.
        call_tools: calls other tools of the session; None inside such a call.
        store_errors: what the session's own store raised in the tool's services. One that leaves the tool is the
            worker's business and no answer; a tool that goes on over it has answered.
    """

    turn_id: str
    tool_name: str
    execution: RuntimeExecutionContext
    read_view: SessionReadView | None
    report: Callable[[JsonValue], Awaitable[None]]
    call_tools: Callable[[Sequence[ToolCallPart]], Awaitable[tuple[InnerToolAnswer, ...]]] | None = None
    store_errors: list[Exception] = field(default_factory=list[Exception])

    def is_of_its_store(self, error: BaseException) -> bool:
        """True when the session's own store raised it in a service of the tool's."""
        return any(error is one for one in self.store_errors)
