"""A ``session_turn`` process: which outcome each end of its child's turn has (contract 3.9, 3.10)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.await_output import AnyAwaitOutput, CancelledOutput, FailureOutput, Success
from lash_core.model.canonical_json import canonical_json_bytes
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.process_input import ProcessInput
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import CausalRef, ProcessProvenance, SessionScope
from lash_core.model.session import ChildRelation, ModelLimits, ModelSpec, SessionPolicy, SessionStoreCreateRequest
from lash_core.model.session_commit import PersistedSessionConfig, RuntimeCommit
from lash_core.model.session_lease import SessionLeaseAcquired
from lash_core.model.tool_output import AnyToolOutput, ToolSuccess
from lash_core.model.tool_state import ToolManifest
from lash_core.model.turn_outcome import AssembledTurn
from lash_core.protocols.providers.model_providers import ModelProviders
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.host_config import RuntimeHostConfig
from lash_core.runtime.plugin.host import PluginHost
from lash_core.runtime.plugins import PluginFactory, SessionPlugin
from lash_core.runtime.process.execution_context import ProcessExecutionContext
from lash_core.runtime.process.runner import ProcessRunner
from lash_core.runtime.residency import Residency
from lash_core.runtime.tools import Tool, ToolContext
from lash_core.testing.scripted_provider import ScriptedProvider, calls_tools, fails, hangs, says
from lash_core.testing.waiting import eventually

LIMITS = ModelLimits(context_window_tokens=8_000)
POLICY = SessionPolicy(model=ModelSpec("worker-model", limits=LIMITS), provider_id="scripted")
CHILD = "process-session-turn:p"
PARENT = SessionScope(session_id="parent")
OTHER = LeaseOwnerIdentity.opaque("other", "other-1")


@dataclass
class Bench:
    """A host whose only provider plays a script."""

    provider: ScriptedProvider
    session_policy: SessionPolicy = POLICY
    stores: InMemoryStores = field(default_factory=InMemoryStores)
    plugin_host: PluginHost = field(default_factory=PluginHost)
    residency: Residency = Residency.KEEP_ALL

    def __post_init__(self) -> None:
        self.runtime_host = RuntimeHostConfig.from_stores(self.stores)
        self.runtime_host.providers = ModelProviders([self.provider])
        self.session_store_factory = self.stores.session_store_factory
        self.process_registry = self.stores.process_registry

    async def run(
        self,
        create_request: Any = None,
        turn_input: Any = "hello",
        *,
        token: CancellationToken | None = None,
        parent: SessionScope | None = None,
    ) -> AnyAwaitOutput:
        provenance = ProcessProvenance() if parent is None else ProcessProvenance.for_session(parent)
        registration = ProcessRegistration(
            "p",
            ProcessInput.session_turn(create_request, turn_input),
            RecoveryDisposition.RERUNNABLE,
            provenance=provenance,
        )
        effects = self.runtime_host.control.effect_host.scoped(ExecutionScope.process("p"))
        return await ProcessRunner(self).run_process(
            registration, ProcessExecutionContext.default(), effects, token or CancellationToken()
        )

    async def store(self, session_id: str = CHILD) -> Any:
        found = await self.session_store_factory.open_existing_store(session_id)
        assert found is not None
        return found

    async def committed(self, session_id: str, policy: SessionPolicy) -> None:
        """A session with a policy of its own."""
        store = await self.session_store_factory.create_store(SessionStoreCreateRequest(session_id, policy=policy))
        taken = await store.try_claim_session_execution_lease(session_id, OTHER, 30_000)
        assert isinstance(taken, SessionLeaseAcquired)
        await store.commit_runtime_state(
            RuntimeCommit(
                session_id=session_id,
                expected_head_revision=0,
                session_execution_lease=taken.lease.fence,
                release_session_execution_lease=taken.lease.completion,
                config=PersistedSessionConfig.of_policy(policy),
            )
        )


def failure(output: AnyAwaitOutput) -> tuple[str, str]:
    assert isinstance(output, FailureOutput), output
    assert "execution" == output.class_
    return output.code, output.message


async def test_a_finished_turn_completes_with_the_turn() -> None:
    """Its id is the process's; the child knows what caused it, and is closed."""
    bench = Bench(ScriptedProvider([says("hello back")]))
    output = await bench.run()

    assert isinstance(output, Success)
    assert ("p", CHILD) == (output.value["process_id"], output.value["child_session_id"])
    turn = output.value["turn"]
    assert ("p", "hello back") == (turn["turn_id"], turn["outcome"]["finish"]["text"])
    meta = await (await bench.store()).load_session_meta()
    assert ChildRelation("process-env:p", caused_by=CausalRef.process("p")) == meta.relation
    assert await (await bench.store()).get_session_execution_lease(CHILD) is None


class _LongWinded(PluginFactory):
    """Gives a tool that answers more than a process may."""

    plugin_id = "long_winded"

    def build(self, session_id: str) -> SessionPlugin:
        async def read(_context: ToolContext, _args: Any) -> AnyToolOutput:
            return ToolSuccess("x" * 150_000)

        class Plugin(SessionPlugin):
            def tools(self) -> list[Tool]:
                return [Tool(ToolManifest("read", "read"), read)]

        return Plugin()


async def test_a_turn_with_large_evidence_completes_without_it() -> None:
    """What its tools said is in the child's history; the answer is what the process was started for."""
    provider = ScriptedProvider([calls_tools(("read", {}), ("read", {})), says("two files")])
    output = await Bench(provider, plugin_host=PluginHost([_LongWinded()])).run()

    assert isinstance(output, Success), output
    turn = AssembledTurn.model_validate(output.value["turn"])
    assert "two files" == turn.final_text == turn.assistant_output.safe_text
    assert (2, None) == (len(turn.tool_calls), turn.tool_calls[0].output)
    assert len(canonical_json_bytes(output.value)) < 200 * 1024


async def test_a_second_run_is_answered_by_the_stamp() -> None:
    """The model is asked once, the turn applied once."""
    bench = Bench(ScriptedProvider([says("once")]))
    first, second = await bench.run(), await bench.run()

    assert isinstance(first, Success)
    assert isinstance(second, Success)
    assert first.value["turn"]["outcome"] == second.value["turn"]["outcome"]
    assert 1 == len(bench.provider.requests)
    assert 1 == (await (await bench.store()).load_session()).head_revision


async def test_what_the_request_leaves_out_is_inherited() -> None:
    """From the parent's stored policy; from the worker where there is no parent."""
    bench = Bench(ScriptedProvider(lambda _: says("yes")))
    theirs = SessionPolicy(model=ModelSpec("parent-model", limits=LIMITS), provider_id="scripted", max_turns=3)
    await bench.committed("parent", theirs)
    await bench.run({"policy": {"max_turns": 2}}, parent=PARENT)

    stored = (await (await bench.store()).load_session()).config.policy
    assert ("parent-model", "scripted", 2) == (stored.model.id, stored.provider_id, stored.max_turns)
    assert "parent" == (await (await bench.store()).load_session_meta()).relation.parent_session_id

    alone = Bench(ScriptedProvider(lambda _: says("yes")))
    await alone.run({"policy": {"model": {"id": "own-model", "limits": LIMITS.to_json_value()}}})
    assert "own-model" == alone.provider.requests[0].model.id
    plain = Bench(ScriptedProvider(lambda _: says("yes")))
    await plain.run()
    assert "worker-model" == plain.provider.requests[0].model.id


async def test_a_child_may_be_named() -> None:
    """Whoever named it may talk to it later."""
    bench = Bench(ScriptedProvider([says("yes")]))
    output = await bench.run({"session_id": "helper"})

    assert isinstance(output, Success)
    assert "helper" == output.value["child_session_id"]


@pytest.mark.parametrize(
    ("create_request", "turn_input", "text"),
    [
        ({"session_id": " x"}, "hello", "session id"),
        ({"polcy": {}}, "hello", "polcy"),
        ({"policy": {"max_turns": 0}}, "hello", "max_turns"),
        (["a list"], "hello", "must be an object"),
        ({"session_id": "taken"}, "hello", "session `taken` already exists"),
        ({}, {"items": [{"type": "sound"}]}, "items"),
    ],
)
async def test_a_child_that_cannot_be_made(create_request: Any, turn_input: Any, text: str) -> None:
    """``process_session_create_failed``, and the model is not asked."""
    bench = Bench(ScriptedProvider([says("never")]))
    await bench.session_store_factory.create_store(SessionStoreCreateRequest("taken", policy=POLICY))
    code, message = failure(await bench.run(create_request, turn_input))

    assert "process_session_create_failed" == code
    assert text in message
    assert [] == bench.provider.requests


async def test_a_turn_that_stops_fails_the_process() -> None:
    """With what stopped it; the child keeps the turn."""
    bench = Bench(ScriptedProvider([fails("validation", "no such model")]))
    code, message = failure(await bench.run())

    assert "process_session_turn_failed" == code
    assert "provider_error" in message
    assert "no such model" in message
    assert 1 == (await (await bench.store()).load_session()).head_revision


async def test_a_turn_that_cannot_begin_fails_the_process() -> None:
    """Nobody has the provider that it names."""
    bench = Bench(ScriptedProvider([]))
    code, message = failure(await bench.run({"policy": {"provider_id": "elsewhere"}}))

    assert "process_session_turn_failed" == code
    assert "elsewhere" in message


async def test_a_cancelled_turn_cancels_the_process() -> None:
    """The child is closed then, too."""
    bench = Bench(ScriptedProvider([hangs()]))
    token = CancellationToken()
    run = asyncio.create_task(bench.run(token=token))
    await eventually(lambda: bool(bench.provider.requests))
    token.cancel("not needed")
    output = await run

    assert isinstance(output, CancelledOutput)
    assert "background session turn was cancelled" == output.message
    assert await (await bench.store()).get_session_execution_lease(CHILD) is None


async def test_a_child_that_is_held_is_waited_for() -> None:
    """An earlier attempt has it still; a cancel ends the wait."""
    bench = Bench(ScriptedProvider([says("at last")]))
    relation = ChildRelation("process-env:p", caused_by=CausalRef.process("p"))
    store = await bench.session_store_factory.create_store(
        SessionStoreCreateRequest(CHILD, relation=relation, policy=POLICY)
    )
    held = await store.try_claim_session_execution_lease(CHILD, OTHER, 600_000)
    assert isinstance(held, SessionLeaseAcquired)
    token = CancellationToken()
    cancelled = asyncio.create_task(bench.run(token=token))
    waiting = asyncio.create_task(bench.run())
    done, _ = await asyncio.wait([cancelled, waiting], timeout=0.05)
    assert set() == done
    token.cancel("enough")

    assert isinstance(await cancelled, CancelledOutput)
    await store.release_session_execution_lease(held.lease.completion)
    assert isinstance(await waiting, Success)


async def test_a_run_that_is_ended_from_outside_leaves_the_turn_to_the_next() -> None:
    """No cancelled turn is committed: the next run takes the same turn again."""
    bench = Bench(ScriptedProvider([hangs(), says("the second time")]))
    run = asyncio.create_task(bench.run())
    await eventually(lambda: bool(bench.provider.requests))
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    assert await (await bench.store()).load_session() is None

    output = await bench.run()
    assert isinstance(output, Success)
    assert "the second time" == output.value["turn"]["outcome"]["finish"]["text"]
