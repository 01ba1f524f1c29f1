"""Starting processes from a context: children, and tools as processes (contract 4.2, 4.8)."""

from __future__ import annotations

from lash_core.errors import LashError, RuntimeFailure
from lash_core.model.await_output import ToolFailureClass
from lash_core.model.base import JsonValue
from lash_core.model.chronological_projection import ChronologicalProjection
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.effect import (
    WRONG_OUTCOME,
    EffectKind,
    RuntimeEffectCommand,
    RuntimeEffectEnvelope,
    RuntimeEffectOutcome,
    RuntimeScope,
)
from lash_core.model.environment import ProcessExecutionEnvSpec
from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.model.process_command import ProcessStartOptions
from lash_core.model.process_handle import process_handle_json
from lash_core.model.process_input import EngineInput, PreparedToolCall, ProcessInput, ToolCallInput
from lash_core.model.registration import ProcessRegistration
from lash_core.model.tool_invocation import ToolInvocationReply
from lash_core.model.tool_output import AnyToolOutput, ToolFailure, tool_output_of
from lash_core.runtime.causal import child_effect_invocation, step_invocation
from lash_core.runtime.context.errors import error_reply
from lash_core.runtime.context.state import ContextState
from lash_core.runtime.local_executors import RuntimeEffectLocalExecutor
from lash_core.runtime.tools import Tool, ToolContext, ToolPrepared
from lash_core.runtime.turn_context import RuntimeNamedPhase
from lash_core.store.process_env_store import persist_process_execution_env


class ChildStarts(ContextState):
    """Starts on behalf of the context's process or session."""

    async def captured_process_execution_env_ref(self) -> str:
        """The environment that what is started here runs in: the running process's own, else this context's, stored.

        The same spec always has the same reference. Safe to repeat.

        Raises:
            InvalidArgumentError: the spec is too large. LashError: the store.
        """
        if self._registration is not None and self._registration.env_ref is not None:
            return self._registration.env_ref
        with self._at_work():
            return await persist_process_execution_env(self._process_env_store, self._captured_spec())

    @property
    def chronological_projection(self) -> ChronologicalProjection:
        """The session's history when the run began."""
        return self._history.get()

    def _captured_spec(self) -> ProcessExecutionEnvSpec:
        spec = self._execution_env_spec
        return spec.with_history(self.chronological_projection) if self._hands_history_on else spec

    async def attach_captured_process_execution_env(self, registration: ProcessRegistration) -> ProcessRegistration:
        """The registration with an environment, if its input needs one and it has none. Raises: as the capture."""
        if registration.env_ref is not None or not isinstance(registration.input, ToolCallInput | EngineInput):
            return registration
        return registration.with_env_ref(await self.captured_process_execution_env_ref())

    async def start_child_process(
        self, registration: ProcessRegistration, kind: str, label: str | None = None
    ) -> ToolInvocationReply:
        """Start a process and answer its handle, or an error with nothing started. Idempotent by registration.

        Its origin, wake target and handle follow contract 4.2: a process hands its chain's on, a session is the origin
        itself. ``kind`` and ``label`` describe the handle that the wake target gets.

        Raises:
            LeaseLostError and errors of the store: for the worker to handle; a mismatch with the journal.
        """
        with self._at_work(), RuntimeNamedPhase(self._turn_phase_probe, "process.start_child"):
            try:
                ready = await self.attach_captured_process_execution_env(registration)
                return await self._start(ready, ProcessHandleDescriptor(kind, label))
            except LashError as error:
                return error_reply(error, self._dispatch.effect_controller)

    async def start_tool_process(self, call_id: str, tool_name: str, args: JsonValue) -> ToolInvocationReply:
        """Start a tool call as a process whose id is the call's id, and answer its handle.

        The tool prepares the call first, once over all attempts; a preparation that answers is the reply already, and
        nothing is started. The process is rerunnable and inherits like a child.

        Raises:
            As ``start_child_process``.
        """
        try:
            tool = self._dispatch.tools.resolve(tool_name)
            with self._at_work():
                prepared = await self._prepared(tool, call_id, args)
                if not isinstance(prepared, ToolPrepared):
                    reply = ToolInvocationReply(prepared).recorded_as(tool_name, call_id, args)
                else:
                    reply = await self._start_tool(tool, call_id, prepared)
        except LashError as error:
            reply = error_reply(error, self._dispatch.effect_controller)
        return reply.with_trigger_outcomes(self._dispatch.trigger_outcomes.drain())

    async def _start(
        self, registration: ProcessRegistration, descriptor: ProcessHandleDescriptor
    ) -> ToolInvocationReply:
        options = ProcessStartOptions(descriptor=descriptor, spawn_provenance=self.process_spawn_provenance)
        processes = self._dispatch.require_processes()
        process_id = await processes.start(self._session_id, registration, options, self.process_scope())
        self.record_started_process(process_id)
        return ToolInvocationReply.success(process_handle_json(process_id))

    async def _start_tool(self, tool: Tool, call_id: str, prepared: ToolPrepared) -> ToolInvocationReply:
        manifest = tool.manifest
        call = PreparedToolCall(
            call_id, manifest.tool_id, manifest.name, prepared.args, prepared_payload=prepared.payload
        )
        registration = ProcessRegistration(call_id, ProcessInput.tool_call(call), RecoveryDisposition.RERUNNABLE)
        ready = await self.attach_captured_process_execution_env(registration)
        return await self._start(ready, ProcessHandleDescriptor("tool", manifest.name))

    async def _prepared(self, tool: Tool, call_id: str, args: JsonValue) -> ToolPrepared | AnyToolOutput:
        """The tool's own preparation, through the effect boundary: what it answered once is what is started again."""
        prepare = tool.prepare
        if prepare is None:
            return ToolPrepared(args)
        context = ToolContext(
            self._session_id,
            call_id,
            process_id=self.runtime_process_id,
            cancellation=self._cancellation_token,
            triggers=self._dispatch.tool_triggers,
        )

        async def run(_: RuntimeEffectEnvelope) -> JsonValue:
            try:
                answer = await prepare(context, args)
            except LashError:
                raise
            except Exception as error:  # noqa: BLE001 - a tool is the user's code; what it raises is its failure
                text = f"{type(error).__name__}: {error}"
                answer = ToolFailure(class_=ToolFailureClass.EXECUTION, code="tool_prepare_failed", message=text)
            if isinstance(answer, ToolPrepared):
                return {"prepared": {"args": answer.args, "payload": answer.payload}}
            return {"output": answer.to_json_value()}

        step_id = f"tool:{call_id}:prepare"
        parent = self._parent_invocation
        envelope = RuntimeEffectEnvelope.create(
            step_invocation(RuntimeScope(self._session_id), step_id)
            if parent is None
            else child_effect_invocation(parent, step_id, EffectKind.DURABLE_STEP, step_id),
            RuntimeEffectCommand.durable_step(step_id, {"tool_id": tool.manifest.tool_id, "args": args}),
        )
        outcome = await self._dispatch.effect_controller.execute_effect(envelope, RuntimeEffectLocalExecutor(run))
        return _preparation(outcome)


def _preparation(outcome: RuntimeEffectOutcome) -> ToolPrepared | AnyToolOutput:
    match outcome.value:
        case {"prepared": {"args": args, "payload": payload}}:
            return ToolPrepared(args, payload)
        case {"output": output}:
            return tool_output_of(output)
        case _:
            raise RuntimeFailure(WRONG_OUTCOME, "the effect controller answered no preparation")
