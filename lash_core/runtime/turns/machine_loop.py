"""Does what a protocol's machine asks for, until it is finished (``docs/contracts/sessions.md`` 3.3)."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from lash_core.model.base import JsonValue
from lash_core.model.canonical_json import canonical_json_bytes
from lash_core.model.model_call import ModelRequest
from lash_core.model.session import SessionPolicy
from lash_core.model.tool_output import ToolCancelled
from lash_core.model.turn_outcome import LlmCallRecord, TurnIssue, TurnToolCall
from lash_core.protocols.turn_machine import (
    CancelLlm,
    Checkpoint,
    CodeResult,
    Done,
    EffectResult,
    Emit,
    ExecCode,
    Finish,
    LlmCall,
    LlmResult,
    Log,
    MachineEffect,
    Progress,
    SyncEnvironment,
    ToolCalls,
    ToolResults,
    TurnMachine,
)
from lash_core.runtime.tool_registry_errors import ToolRegistryError
from lash_core.runtime.turns.checkpoints import TurnCheckpoints
from lash_core.runtime.turns.turn_at_work import TurnAtWork

_log = logging.getLogger(__name__)
T = TypeVar("T")

TEARDOWN_MS = 1_500
"""What is under way when the token fires ends by itself in this time, else its task is cancelled: a turn is down within
two seconds."""

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class CallsModel(Protocol):
    """Makes model calls; ``ModelCaller`` is one."""

    async def call(
        self, call: LlmCall, request: ModelRequest, prompt_ref: dict[str, JsonValue]
    ) -> tuple[LlmResult, LlmCallRecord]:
        """One call, recorded."""
        ...


class RunsTools(Protocol):
    """Runs tool calls; ``TurnToolDispatcher`` is one."""

    async def run(self, calls: ToolCalls) -> tuple[ToolResults, tuple[TurnToolCall, ...]]:
        """One round, recorded by attempts."""
        ...


class MachineLoop:
    """The effect loop of one turn.

    Args:
        turn: the turn.
        models: makes its model calls.
        tools: runs its tool calls.
        policy: in effect for it.
        instructions: of its model calls.
    """

    def __init__(
        self, turn: TurnAtWork, models: CallsModel, tools: RunsTools, policy: SessionPolicy, instructions: str
    ) -> None:
        self._turn = turn
        self._models = models
        self._tools = tools
        self._policy = policy
        self._instructions = instructions
        self._checkpoints = TurnCheckpoints(turn)

    async def run(self, machine: TurnMachine) -> Finish:
        """Run the machine to its end.

        Raises:
            SessionLeaseLostError, store errors: the turn ends without a commit.
        """
        while True:
            effect = machine.next_effect()
            if isinstance(effect, Finish):
                return effect
            self._turn.require_lease()
            machine.resume(effect.effect_id, await self._do(effect))

    async def _do(self, effect: MachineEffect) -> EffectResult:
        turn = self._turn
        match effect:
            case LlmCall():
                return await self._call_model(effect)
            case ToolCalls():
                return await self._run_tools(effect)
            case Checkpoint():
                return await self._checkpoints.deliver(effect)
            case Progress(messages=messages):
                for message in messages:
                    turn.append(message)
                return Done()
            case Emit(correlation_id=correlation_id, event=event):
                await turn.scope.send(correlation_id, event)
                return Done()
            case Log(level=level, text=text):
                _log.log(_LEVELS[level], "turn %s: %s", turn.turn_id, text)
                return Done()
            case ExecCode():
                text = "this runtime runs no code of a protocol"
                return CodeResult(issue=TurnIssue(kind="runtime", code="exec_code_unsupported", message=text))
            case SyncEnvironment():
                self._refresh_tools()
                return Done()
            case CancelLlm() | Finish():
                return Done()

    async def _call_model(self, effect: LlmCall) -> LlmResult:
        turn = self._turn
        if turn.is_cancelled:
            return LlmResult(cancelled=True)
        request = ModelRequest(
            model=self._policy.model,
            instructions=self._instructions,
            messages=(*turn.prefix, *effect.messages[turn.own_from :]),
            tools=turn.runtime.tools.catalog(),
            options=turn.draft.protocol_turn_options,
        )
        answer = await self._until_torn_down(self._models.call(effect, request, self._prompt_ref(effect)))
        if answer is None:
            return LlmResult(cancelled=True)
        result, record = answer
        turn.log.llm_calls.append(record)
        return result

    def _refresh_tools(self) -> None:
        """What sources offer by now, an MCP server say; two tools of one name leave the catalog as it was."""
        try:
            self._turn.runtime.tools.refresh_catalog()
        except ToolRegistryError as error:
            _log.warning("turn %s: the tools could not be listed again: %s", self._turn.turn_id, error)

    def _prompt_ref(self, effect: LlmCall) -> dict[str, JsonValue]:
        """Names the prompt: where the history stood, and a digest of what the turn added. A redo makes the same one."""
        own = [message.to_json_value() for message in effect.messages]
        return {
            "base_revision": self._turn.given.base_revision or 0,
            "message_ids": [message.id for message in effect.messages][-1:],
            "digest": hashlib.sha256(canonical_json_bytes(own)).hexdigest()[:32],
        }

    async def _run_tools(self, effect: ToolCalls) -> ToolResults:
        answer = await self._until_torn_down(self._tools.run(effect))
        if answer is None:
            outputs = tuple(ToolCancelled("the turn was cancelled") for _ in effect.calls)
            return ToolResults(outputs, cancelled=True)
        results, calls = answer
        self._turn.log.tool_calls += calls
        return results

    async def _until_torn_down(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Run it to its end; None when the token fired and it did not end in time."""
        token, loop = self._turn.scope.cancellation, asyncio.get_running_loop()
        task = asyncio.ensure_future(work)
        fired = loop.create_future()

        def tell() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(lambda: fired.done() or fired.set_result(None))

        forget = token.on_cancel(tell)
        try:
            await asyncio.wait([task, fired], return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                await asyncio.wait([task], timeout=TEARDOWN_MS / 1_000)
            if task.done():
                return task.result()
            _log.warning("turn %s: what was under way did not end with the turn's token", self._turn.turn_id)
            return None
        finally:
            forget()
            if not task.done():
                task.cancel()
                task.add_done_callback(_forget_error)


def _forget_error(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()
