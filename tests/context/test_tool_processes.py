"""Tools as processes: prepared once, started under the call's id, inheriting like a child (contract 4.2)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lash_core.errors import InvalidArgumentError
from lash_core.model.await_output import ToolFailureClass
from lash_core.model.base import JsonValue
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.model.process_input import ToolCallInput
from lash_core.model.scope import ProcessProvenance, SessionScope
from lash_core.model.tool_invocation import ToolTriggerEffectOutcome
from lash_core.model.tool_output import AnyToolOutput, ToolFailure, ToolSuccess
from lash_core.model.tool_state import ToolManifest
from lash_core.model.trigger_occurrence import TriggerOccurrence
from lash_core.runtime.tool_registry import ToolRegistry
from lash_core.runtime.tools import Tool, ToolContext, ToolPrepared
from lash_core.runtime.trigger_router import TriggerRouter
from tests.context.scenes import Scene, row, unique

MANIFEST = ToolManifest("tool:search", "search")


class Preparing:
    """A tool that counts its preparations."""

    def __init__(self, answer: ToolPrepared | AnyToolOutput | Exception | None = None) -> None:
        self.answer = answer
        self.calls: list[tuple[str, JsonValue]] = []

    async def prepare(self, context: ToolContext, args: JsonValue) -> ToolPrepared | AnyToolOutput:
        """Note the call."""
        self.calls.append((context.call_id, args))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer or ToolPrepared({"query": args, "at": len(self.calls)}, {"prepared": len(self.calls)})

    async def call(self, context: ToolContext, args: JsonValue) -> AnyToolOutput:
        """Not used: nothing runs here."""
        return ToolSuccess([context.call_id, args])

    def registry(self, *, prepares: bool = True) -> ToolRegistry:
        """A registry with this tool."""
        return ToolRegistry([Tool(MANIFEST, self.call, self.prepare if prepares else None)])


async def test_a_tool_call_becomes_a_process_of_its_id(scene: Scene) -> None:
    """Prepared first; rerunnable; the handle says which tool; enough to await and cancel it."""
    tool, call_id = Preparing(), unique("call")
    context = await scene.session(tools=tool.registry())

    reply = await context.start_tool_process(call_id, "search", "cats")

    record = await row(scene, call_id)
    assert {"__handle__": "process", "id": call_id} == reply.output.value  # type: ignore[union-attr]
    assert isinstance(record.input, ToolCallInput)
    call = record.input.call
    assert (call_id, "tool:search", "search") == (call.call_id, call.tool_id, call.tool_name)
    assert ({"query": "cats", "at": 1}, {"prepared": 1}) == (call.args, call.prepared_payload)
    assert RecoveryDisposition.RERUNNABLE is record.disposition
    assert record.env_ref is not None
    (grant,) = await scene.registry.handles_for_process(call_id)
    assert ProcessHandleDescriptor("tool", "search") == grant.descriptor
    assert context.is_run_local_process(call_id)


async def test_a_tool_process_inherits_its_chain(scene: Scene) -> None:
    """Unlike the session that happens to run it."""
    owner = SessionScope(unique("owner"))
    started = await scene.start(provenance=ProcessProvenance.for_session(owner), wake_target=owner)
    context = scene.run(await scene.hold(started.id), started, tools=Preparing().registry(prepares=False))

    await context.start_tool_process("c-" + started.id, "search", {"q": 1})

    record = await row(scene, "c-" + started.id)
    assert (owner.scope_id, owner, started.env_ref) == (
        record.provenance.originator.scope_id,
        record.wake_target,
        record.env_ref,
    )


async def test_a_call_is_prepared_once_over_all_attempts(scene: Scene) -> None:
    """A preparation may answer something else the next time; what was started stays what is started."""
    tool, started = Preparing(), await scene.start()
    run = await scene.hold(started.id)
    first = await scene.run(run, started, tools=tool.registry()).start_tool_process("c-" + started.id, "search", 1)

    again = scene.run(await scene.crash(run), started, tools=tool.registry())
    second = await again.start_tool_process("c-" + started.id, "search", 1)

    assert first == second
    assert 1 == len(tool.calls)


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (ToolSuccess("cached"), {"type": "success", "value": "cached"}),
        (
            ToolFailure(class_=ToolFailureClass.INVALID_REQUEST, code="no_query", message="say what"),
            {"type": "failure", "class": "invalid_request", "code": "no_query", "message": "say what"},
        ),
        (
            LookupError("broken"),
            {
                "type": "failure",
                "class": "execution",
                "code": "tool_prepare_failed",
                "message": "LookupError: broken",
            },
        ),
    ],
)
async def test_a_preparation_that_answers_is_the_reply(scene: Scene, answer: Any, wanted: dict[str, Any]) -> None:
    """No process is started; the call is recorded as the tool's."""
    context, call_id = await scene.session(tools=Preparing(answer).registry()), unique("call")

    reply = await context.start_tool_process(call_id, "search", "cats")

    assert wanted == reply.output.to_json_value()
    assert reply.record is not None
    assert (call_id, "search", "cats") == (reply.record.call_id, reply.record.tool, reply.record.args)
    assert await scene.registry.get_process(call_id) is None
    assert not context.is_run_local_process(call_id)


async def test_a_preparation_that_refuses_is_an_error(scene: Scene) -> None:
    """With the refusal's own text, in this attempt and the next."""
    tool, started = Preparing(InvalidArgumentError("no cats here", field="query")), await scene.start()
    run = await scene.hold(started.id)

    first = await scene.run(run, started, tools=tool.registry()).start_tool_process("call", "search", "cats")
    again = scene.run(await scene.crash(run), started, tools=tool.registry())
    second = await again.start_tool_process("call", "search", "cats")

    assert "no cats here" == first.output.message  # type: ignore[union-attr]
    assert first == second
    assert 1 == len(tool.calls)


async def test_an_unknown_tool_starts_nothing(scene: Scene) -> None:
    """The reply says which."""
    context, call_id = await scene.session(), unique("call")

    reply = await context.start_tool_process(call_id, "search", {})

    assert "unknown tool `search`" == reply.output.message  # type: ignore[union-attr]
    assert await scene.registry.get_process(call_id) is None


async def test_what_a_preparation_emits_is_in_its_reply_once(scene: Scene) -> None:
    """The outcomes of triggers are drained into the reply."""
    context = await scene.session(tools=Preparing(ToolSuccess(1)).registry())
    outcome = ToolTriggerEffectOutcome(
        source_type="mail", source_key="inbox", occurrence_id="trigger:1", idempotency_key="1"
    )
    context._dispatch.trigger_outcomes.enqueue(outcome)

    first = await context.start_tool_process(unique("call"), "search", 1)
    second = await context.start_tool_process(unique("call"), "search", 1)

    assert ((outcome,), ()) == (first.trigger_outcomes, second.trigger_outcomes)
    assert () == context.drain_tool_trigger_outcomes()


async def test_a_tool_emits_and_its_reply_says_what_came_of_it(scene: Scene) -> None:
    """Each occurrence once; the same one again starts nothing and is reported again."""

    async def plan(*_: Any) -> Any:
        raise AssertionError("nobody subscribes")

    class Emitting(Preparing):
        async def prepare(self, context: ToolContext, args: JsonValue) -> ToolPrepared | AnyToolOutput:
            assert context.triggers is not None
            await context.triggers.emit(TriggerOccurrence("mail", "inbox", str(args), {"n": args}), source="test")
            return ToolSuccess(args)

    router = TriggerRouter(scene.stores.triggers, scene.registry, plan)
    context = await scene.session(tools=Emitting().registry())
    context._dispatch = replace(context._dispatch, trigger_router=router)

    replies = [await context.start_tool_process(unique("call"), "search", args) for args in (1, 2)]

    assert [({"n": 1}, "test", ()), ({"n": 2}, "test", ())] == [
        (outcome.payload, outcome.source, outcome.deliveries) for reply in replies for outcome in reply.trigger_outcomes
    ]
    assert scene.stores.triggers is context.trigger_store
    occurrence_id = replies[0].trigger_outcomes[0].occurrence_id
    assert await scene.stores.triggers.get_occurrence(occurrence_id) is not None
