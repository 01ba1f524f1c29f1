"""A process runs by the kind of its input; whose runtime it gets, and which failure goes where."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from lash_core.errors import MissingEnvironmentError, PluginSessionError, StoreUnreachableError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.await_output import AnyAwaitOutput, FailureOutput, ProcessAwaitOutput, ToolFailureClass
from lash_core.model.base import JsonValue
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.effect import RuntimeEffectEnvelope, RuntimeEffectOutcome
from lash_core.model.environment import EMPTY_ENV_REF, ProcessExecutionEnvSpec
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.process_input import PreparedToolCall, ProcessInput
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import ProcessProvenance, SessionScope
from lash_core.model.session import ModelSpec, SessionPolicy, SessionStoreCreateRequest
from lash_core.model.tool_output import AnyToolOutput, ToolCancelled, ToolFailure, ToolSuccess
from lash_core.model.tool_state import ToolManifest
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.host_config import RuntimeHostConfig
from lash_core.runtime.inline_effects import InlineEffectHost
from lash_core.runtime.plugin.host import PluginHost
from lash_core.runtime.plugins import PluginFactory, SessionPlugin
from lash_core.runtime.process.engine import EngineRun, ProcessEngine, RuntimeAlreadyBuiltError
from lash_core.runtime.process.execution_context import ProcessExecutionContext
from lash_core.runtime.process.runner import ProcessRunner
from lash_core.runtime.residency import Residency
from lash_core.runtime.runtime_builder import EmbeddedRuntimeBuilder
from lash_core.runtime.tools import Tool, ToolContext
from lash_core.store.effect_host import RuntimeEffectLocalExecutor
from lash_core.store.process_env_store import persist_process_execution_env

Body = Callable[[EngineRun], Awaitable[AnyAwaitOutput]]


class Engine:
    kind = "work"

    def __init__(self, body: Body) -> None:
        self._body = body

    async def run(self, run: EngineRun) -> AnyAwaitOutput:
        return await self._body(run)


class Plugin(PluginFactory, SessionPlugin):
    """One engine and one tool of the test's making."""

    plugin_id = "test"

    def __init__(self, body: Body | None = None, answer: Callable[[ToolContext, Any], Any] | None = None) -> None:
        self._body = body
        self._answer = answer

    def build(self, session_id: str) -> SessionPlugin:
        return self

    def process_engines(self) -> Sequence[ProcessEngine]:
        return [Engine(self._body)] if self._body else []

    def tools(self) -> Sequence[Tool]:
        async def call(context: ToolContext, args: JsonValue) -> AnyToolOutput:
            assert self._answer is not None
            return self._answer(context, args)

        return [Tool(ToolManifest("t-1", "search"), call)] if self._answer else []


@dataclass
class Parts:
    plugin_host: PluginHost
    stores: InMemoryStores = field(default_factory=InMemoryStores)
    session_policy: SessionPolicy = field(default_factory=SessionPolicy)
    residency: Residency = Residency.KEEP_ALL
    effect_host: InlineEffectHost = field(default_factory=InlineEffectHost)

    def __post_init__(self) -> None:
        self.runtime_host = RuntimeHostConfig.from_stores(self.stores)
        self.session_store_factory = self.stores.session_store_factory
        self.process_registry = self.stores.process_registry

    async def run(self, registration: ProcessRegistration, token: CancellationToken | None = None) -> AnyAwaitOutput:
        scoped = self.effect_host.scoped(ExecutionScope.process(registration.id))
        return await ProcessRunner(self).run_process(
            registration, ProcessExecutionContext.default(), scoped, token or CancellationToken()
        )


def parts(body: Body | None = None, answer: Callable[[ToolContext, Any], Any] | None = None, **other: Any) -> Parts:
    return Parts(PluginHost([Plugin(body, answer)]), **other)


def engine_work(env_ref: str | None = EMPTY_ENV_REF, session: str | None = None) -> ProcessRegistration:
    provenance = ProcessProvenance.for_session(SessionScope(session)) if session else ProcessProvenance()
    return ProcessRegistration(
        "p",
        ProcessInput.engine("work", {"n": 1}),
        RecoveryDisposition.RERUNNABLE,
        env_ref=env_ref,
        provenance=provenance,
    )


def tool_work(name: str = "search") -> ProcessRegistration:
    call = PreparedToolCall("c-1", "t-1", name, {"q": "x"})
    return ProcessRegistration("p", ProcessInput.tool_call(call), RecoveryDisposition.RERUNNABLE, env_ref=EMPTY_ENV_REF)


def failure(output: AnyAwaitOutput) -> tuple[ToolFailureClass, str, str]:
    assert isinstance(output, FailureOutput)
    return output.class_, output.code, output.message


async def test_an_engine_gets_its_run_and_no_runtime_is_built() -> None:
    """Payload, registry, scope: and no session is made behind its back (decision 15)."""

    async def body(run: EngineRun) -> AnyAwaitOutput:
        assert built.process_registry is run.registry
        return ProcessAwaitOutput.success([run.process_id, run.payload, run.effects.scope_id])

    built = parts(body)

    assert ProcessAwaitOutput.success(["p", {"n": 1}, "p"]) == await built.run(engine_work())
    assert await built.session_store_factory.open_existing_store("process-env:p") is None


async def test_an_unknown_kind_is_a_failure_that_names_it() -> None:
    """A direct run answers it; the sweep declines such rows."""
    output = await parts().run(engine_work())

    assert (ToolFailureClass.EXECUTION, "process_engine_missing") == failure(output)[:2]
    assert "`work`" in failure(output)[2]


async def test_an_exception_of_an_engine_is_the_outcome() -> None:
    """Decision 37."""

    async def body(run: EngineRun) -> AnyAwaitOutput:
        raise ZeroDivisionError(run.process_id)

    output = await parts(body).run(engine_work())

    assert (ToolFailureClass.EXECUTION, "process_failed", "ZeroDivisionError: p") == failure(output)


async def test_a_store_failure_of_an_engine_is_the_workers_business() -> None:
    """It is retried or given back, and never recorded as the process's outcome (decision 29)."""

    async def body(run: EngineRun) -> AnyAwaitOutput:
        raise StoreUnreachableError("gone")

    with pytest.raises(StoreUnreachableError):
        await parts(body).run(engine_work())


async def test_external_input_answers_its_metadata() -> None:
    """A direct run of it runs nothing (decision 2)."""
    work = ProcessRegistration("p", ProcessInput.external({"job": 7}), RecoveryDisposition.EXTERNALLY_OWNED)

    assert ProcessAwaitOutput.success({"metadata": {"job": 7}}) == await parts().run(work)


# -- whose runtime ----------------------------------------------------------------------------------------------


async def test_a_captured_environment_means_a_session_of_its_own() -> None:
    """With the captured policy, in ``process-env:<pid>``."""

    async def body(run: EngineRun) -> AnyAwaitOutput:
        runtime = await run.runtime_builder.build()
        return ProcessAwaitOutput.success([runtime.session_id, runtime.policy.model.id])

    built = parts(body, session_policy=SessionPolicy(model=ModelSpec("workers-own")))
    policy = SessionPolicy(model=ModelSpec("captured")).to_json_value()
    ref = await persist_process_execution_env(built.stores.env_store, ProcessExecutionEnvSpec(policy=policy))

    assert ProcessAwaitOutput.success(["process-env:p", "captured"]) == await built.run(engine_work(ref))
    assert ProcessAwaitOutput.success(["process-env:q", "workers-own"]) == await built.run(
        engine_work().model_copy(update={"id": "q"})
    )


async def test_without_an_environment_the_originators_session_is_rebuilt() -> None:
    """With what is stored of it (decision 1)."""

    async def body(run: EngineRun) -> AnyAwaitOutput:
        runtime = await run.runtime_builder.build()
        return ProcessAwaitOutput.success([runtime.session_id, runtime.policy.model.id])

    built = parts(body)
    store = await built.session_store_factory.create_store(SessionStoreCreateRequest("s"))
    policy = SessionPolicy(model=ModelSpec("stored"))
    await (await EmbeddedRuntimeBuilder(policy=policy).with_store(store).build()).park()

    assert ProcessAwaitOutput.success(["s", "stored"]) == await built.run(engine_work(None, "s"))


async def test_processes_of_one_session_run_beside_each_other() -> None:
    """Each has a runtime of its own of the same session."""
    both = asyncio.Barrier(2)

    async def body(run: EngineRun) -> AnyAwaitOutput:
        await run.runtime_builder.build()
        await both.wait()
        return ProcessAwaitOutput.success()

    built = parts(body)
    async with asyncio.timeout(5):
        outputs = await asyncio.gather(built.run(engine_work(None, "s")), built.run(engine_work(None, "s")))

    assert [ProcessAwaitOutput.success()] * 2 == outputs


async def test_the_runtime_is_built_once() -> None:
    """A second build is an error that says so."""

    async def body(run: EngineRun) -> AnyAwaitOutput:
        await run.runtime_builder.build()
        with pytest.raises(RuntimeAlreadyBuiltError, match="already built"):
            await run.runtime_builder.build()
        return ProcessAwaitOutput.success()

    assert ProcessAwaitOutput.success() == await parts(body).run(engine_work())


async def test_a_missing_environment_is_the_runners_error() -> None:
    """It names the ref; the worker records it as ``process_recovery_failed``."""
    ref = ProcessExecutionEnvSpec(policy={"never": "stored"}).env_ref
    with pytest.raises(MissingEnvironmentError, match=f"missing process execution env `{ref}`"):
        await parts(answer=lambda context, args: ToolSuccess()).run(tool_work().with_env_ref(ref))


async def test_an_environment_whose_policy_is_none_is_refused() -> None:
    """Unknown fields are not guessed at."""
    built = parts(answer=lambda context, args: ToolSuccess())
    spec = ProcessExecutionEnvSpec(policy={"nobody": "knows"})
    ref = await persist_process_execution_env(built.stores.env_store, spec)
    with pytest.raises(PluginSessionError, match="failed to decode process execution env"):
        await built.run(tool_work().with_env_ref(ref))


async def test_neither_environment_nor_session_is_an_error() -> None:
    """The registry refuses such rows; a direct run says the same."""
    with pytest.raises(PluginSessionError, match="is missing a structured owner scope"):
        await parts(answer=lambda context, args: ToolSuccess()).run(tool_work().with_env_ref(None))


# -- tool calls ---------------------------------------------------------------------------------------------------


async def test_a_tool_call_is_one_attempt_through_the_effect_boundary() -> None:
    """The envelope has a deterministic replay key; the tool learns its call."""
    seen: list[RuntimeEffectEnvelope] = []

    class Watching:
        def durability_tier(self) -> Any:
            raise AssertionError

        async def execute_effect(
            self, envelope: RuntimeEffectEnvelope, local_executor: RuntimeEffectLocalExecutor
        ) -> RuntimeEffectOutcome:
            seen.append(envelope)
            return await local_executor(envelope)

    def answer(context: ToolContext, args: Any) -> AnyToolOutput:
        return ToolSuccess([context.call_id, context.process_id, context.session_id, args])

    output = await parts(answer=answer, effect_host=InlineEffectHost(Watching())).run(tool_work())

    assert ProcessAwaitOutput.success(["c-1", "p", "process-env:p", {"q": "x"}]) == output
    assert ["process:p:tool:c-1:attempt:1"] == [envelope.replay_key for envelope in seen]


async def test_a_recorded_attempt_is_answered_without_the_tool() -> None:
    """That is what a journaling controller does on replay."""

    class Recorded:
        def durability_tier(self) -> Any:
            raise AssertionError

        async def execute_effect(
            self, envelope: RuntimeEffectEnvelope, local_executor: RuntimeEffectLocalExecutor
        ) -> RuntimeEffectOutcome:
            return RuntimeEffectOutcome(envelope.kind, ToolSuccess("recorded").to_json_value())

    def answer(context: ToolContext, args: Any) -> AnyToolOutput:
        raise AssertionError("the tool was called")

    output = await parts(answer=answer, effect_host=InlineEffectHost(Recorded())).run(tool_work())

    assert ProcessAwaitOutput.success("recorded") == output


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (ToolSuccess(None), ProcessAwaitOutput.success(None)),
        (
            ToolFailure.model_validate({"class": "timeout", "code": "slow", "message": "too slow", "raw": [1]}),
            ProcessAwaitOutput.failure("timeout", "slow", "too slow", [1]),
        ),
        (ToolCancelled("enough"), ProcessAwaitOutput.cancelled("enough")),
    ],
)
async def test_what_a_tool_answers_is_the_outcome(answer: AnyToolOutput, expected: AnyAwaitOutput) -> None:
    """One to one."""
    assert expected == await parts(answer=lambda context, args: answer).run(tool_work())


async def test_what_fails_outside_the_tool_is_told_apart() -> None:
    """An unknown tool, or code that raises instead of answering."""

    def broken(context: ToolContext, args: Any) -> AnyToolOutput:
        raise ZeroDivisionError("inside")

    unknown = await parts(answer=broken).run(tool_work("nobody"))
    raised = await parts(answer=broken).run(tool_work())

    assert (ToolFailureClass.INTERNAL, "process_tool_failed") == failure(unknown)[:2]
    assert "unknown tool `nobody`" in failure(unknown)[2]
    assert (ToolFailureClass.INTERNAL, "process_tool_failed", "ZeroDivisionError: inside") == failure(raised)
