"""Runs a process by the kind of its input (contract 3.9 and 3.10; decisions 1, 2, 14, 15, 36, 37)."""

from __future__ import annotations

from pydantic import ValidationError

from lash_core.client_enqueue import KindResolver
from lash_core.errors import (
    LashError,
    MissingEnvironmentError,
    PluginSessionError,
)
from lash_core.model.await_output import AnyAwaitOutput, ProcessAwaitOutput
from lash_core.model.chronological_projection import ChronologicalProjection
from lash_core.model.effect import (
    EffectKind,
    EffectSubject,
    RuntimeEffectCommand,
    RuntimeEffectEnvelope,
    RuntimeEffectOutcome,
    RuntimeInvocation,
    RuntimeScope,
)
from lash_core.model.environment import ProcessExecutionEnvSpec, process_env_session_id
from lash_core.model.event import Replay
from lash_core.model.process_input import EngineInput, ExternalInput, PreparedToolCall, SessionTurnInput, ToolCallInput
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import CausalRef
from lash_core.model.session import SessionPolicy, SessionStoreCreateRequest
from lash_core.model.tool_output import AnyToolOutput, ToolCancelled, ToolFailure, ToolSuccess, from_tool_output
from lash_core.runtime.attachments import SessionAttachments
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.journal.errors import STORE_ERRORS
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.process.engine import EngineRun, RuntimeBuilder
from lash_core.runtime.process.execution_context import ProcessExecutionContext
from lash_core.runtime.process.parts import ProcessParts, builder_of
from lash_core.runtime.session.turn_process import run_session_turn
from lash_core.runtime.tools import ToolContext
from lash_core.store.effect_host import ScopedEffects
from lash_core.store.process_env_store import load_process_execution_env

ENGINE_MISSING = "process_engine_missing"
TOOL_FAILED = "process_tool_failed"
PROCESS_FAILED = "process_failed"

RUN_ERRORS = STORE_ERRORS
"""Not the process's fault: the worker retries, gives the lease back or has lost it (decision 29)."""

_TOOL_OUTPUTS = {"success": ToolSuccess, "failure": ToolFailure, "cancelled": ToolCancelled}


class ProcessRunner:
    """Runs processes on one host's parts. Keeps no state between runs but the manifests it read."""

    def __init__(self, parts: ProcessParts) -> None:
        self._parts = parts
        self._kinds: KindResolver | None = None

    @property
    def kinds(self) -> KindResolver:
        """Finds the manifests of children's kinds: this host's apps, then the directory. Raises: SettingsError."""
        if self._kinds is None:
            self._kinds = KindResolver(self._parts.runtime_host.directory, self._parts.plugin_host)
        return self._kinds

    async def run_process(
        self,
        registration: ProcessRegistration,
        execution_context: ProcessExecutionContext,
        scoped_effect_controller: ScopedEffects,
        cancellation: CancellationToken,
    ) -> AnyAwaitOutput:
        """Run one process to its outcome; what its own code does wrong is an outcome too.

        Raises:
            MissingEnvironmentError: the captured environment is not in the store.
            PluginSessionError: the session cannot be opened or its runtime built.
            LeaseLostError, StoreBehindError, StoreUnreachableError, OutcomeUnknownError, StoreRefusedError: for the
                worker to handle.
        """
        builder = RuntimeBuilder(lambda: self._build_runtime(registration, run))
        run = EngineRun(
            registration,
            self._parts.process_registry,
            execution_context,
            cancellation,
            scoped_effect_controller,
            builder,
        )
        run.find_kinds = lambda: self.kinds
        durability = self._parts.runtime_host.durability
        run.open_attachments = lambda: SessionAttachments.of_process(
            registration.id, durability.attachment_store, durability.attachment_manifest
        )
        try:
            match registration.input:
                case EngineInput(kind=kind):
                    return await self._run_engine(kind, run)
                case ToolCallInput(call=call):
                    return await _run_tool_call(call, run)
                case ExternalInput(metadata=metadata):
                    return ProcessAwaitOutput.success({"metadata": metadata})
                case SessionTurnInput() as process_input:
                    return await run_session_turn(process_input, registration, run, self._parts)
        finally:
            if builder.runtime is not None:
                builder.runtime.close()
            # The builder refers to the run, which has the builder: an ended run leaves memory at once.
            builder.forget()

    async def _run_engine(self, kind: str, run: EngineRun) -> AnyAwaitOutput:
        engine = self._parts.plugin_host.process_engines.get(kind)
        if engine is None:
            text = f"process `{run.process_id}`: no engine of kind `{kind}` is registered"
            return ProcessAwaitOutput.failure("execution", ENGINE_MISSING, text)
        try:
            return await engine.run(run)
        except (*RUN_ERRORS, PluginSessionError):
            raise
        except Exception as error:  # noqa: BLE001 - decision 37: an engine's exception is its process's outcome
            return ProcessAwaitOutput.failure("execution", PROCESS_FAILED, f"{type(error).__name__}: {error}")

    async def _build_runtime(self, registration: ProcessRegistration, run: EngineRun) -> LashRuntime:
        """Decision 1: the captured environment in a session of its own, else the originator's session."""
        parts = self._parts
        if registration.env_ref is not None:
            env_store = parts.runtime_host.durability.process_env_store
            if env_store is None:
                raise MissingEnvironmentError(
                    f"missing process execution env `{registration.env_ref}`: this host has no environment store",
                    field="env_ref",
                    value=registration.env_ref,
                )
            spec = await load_process_execution_env(env_store, registration.env_ref)
            session_id = process_env_session_id(registration.id)
            policy = _captured_policy(spec.policy, registration.env_ref) or parts.session_policy
            run.history = _captured_history(spec, registration.env_ref)
        else:
            session_id = registration.provenance.owner_scope.session_id
            policy = parts.session_policy
            if not session_id:
                raise PluginSessionError(
                    f"process `{registration.id}` is missing a structured owner scope", process_id=registration.id
                )
        try:
            store = await parts.session_store_factory.create_store(
                SessionStoreCreateRequest(session_id=session_id, policy=policy)
            )
        except RUN_ERRORS:
            raise
        except LashError as error:
            raise PluginSessionError(
                f"failed to open session store for process worker session `{session_id}`: {error}",
                process_id=registration.id,
            ) from error
        builder = builder_of(parts, session_id, policy, store)
        try:
            return await builder.build()
        except RUN_ERRORS:
            raise
        except LashError as error:
            raise PluginSessionError(
                f"failed to rebuild process worker runtime for session `{session_id}`: {error}",
                process_id=registration.id,
            ) from error


def _captured_policy(policy: dict[str, object], env_ref: str) -> SessionPolicy | None:
    if not policy:
        return None
    try:
        return SessionPolicy.model_validate(policy)
    except ValidationError as error:
        raise PluginSessionError(
            f"failed to decode process execution env `{env_ref}`: policy: {error.errors()[0]['msg']}"
        ) from error


def _captured_history(spec: ProcessExecutionEnvSpec, env_ref: str) -> ChronologicalProjection:
    try:
        return spec.history
    except ValidationError as error:
        raise PluginSessionError(
            f"failed to decode process execution env `{env_ref}`: history: {error.errors()[0]['msg']}"
        ) from error


async def _run_tool_call(call: PreparedToolCall, run: EngineRun) -> AnyAwaitOutput:
    """One tool attempt through the effect boundary. What fails outside the tool ends as ``process_tool_failed``."""
    runtime = await run.runtime_builder.build()
    context = ToolContext(
        session_id=runtime.session_id,
        call_id=call.call_id,
        process_id=run.process_id,
        cancellation=run.cancellation,
        prepared_payload=call.prepared_payload,
        captured_history=run.history,
    )

    async def attempt(envelope: RuntimeEffectEnvelope) -> RuntimeEffectOutcome:
        output = await runtime.call_tool(call.tool_name, call.args, context)
        return RuntimeEffectOutcome(kind=envelope.kind, value=output.to_json_value())

    try:
        outcome = await run.effects.execute_effect(tool_attempt_envelope(call, run.process_id), attempt)
        return from_tool_output(_tool_output(outcome))
    except RUN_ERRORS:
        raise
    except Exception as error:  # noqa: BLE001 - contract 3.9: what fails outside the tool is an outcome
        return ProcessAwaitOutput.failure("internal", TOOL_FAILED, f"{type(error).__name__}: {error}")


def tool_attempt_envelope(call: PreparedToolCall, process_id: str) -> RuntimeEffectEnvelope:
    """The effect of a process's tool attempt. Raises: RuntimeFailure for a blank call id."""
    effect_id = f"tool:{call.call_id}:attempt:1"
    scope = RuntimeScope(session_id=process_env_session_id(process_id))
    return RuntimeEffectEnvelope.create(
        RuntimeInvocation(
            scope=scope,
            subject=EffectSubject(effect_id=effect_id, kind=EffectKind.TOOL_ATTEMPT),
            caused_by=CausalRef.process(process_id),
            replay=Replay(key=f"process:{process_id}:{effect_id}"),
        ),
        RuntimeEffectCommand(
            kind=EffectKind.TOOL_ATTEMPT,
            args={
                "call_id": call.call_id,
                "tool_id": call.tool_id,
                "tool_name": call.tool_name,
                "args": call.args,
                "attempt": 1,
                "attempts_max": 1,
            },
        ),
    )


def _tool_output(outcome: RuntimeEffectOutcome) -> AnyToolOutput:
    value = outcome.value
    if not isinstance(value, dict) or value.get("type") not in _TOOL_OUTPUTS:
        raise PluginSessionError("the effect controller answered no tool output")
    return _TOOL_OUTPUTS[value["type"]].model_validate(value)
