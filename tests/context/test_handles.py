"""Handles: who may await, signal and cancel what, and how replies are recorded (contract 4.3)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from lash_core.errors import PluginSessionError
from lash_core.model.await_output import AbandonEvidence, AbandonWriter, AnyAwaitOutput, ProcessAwaitOutput
from lash_core.model.base import JsonValue
from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.model.process_command import ProcessListMode
from lash_core.model.process_handle import process_handle_json
from lash_core.model.process_input import ProcessInput
from lash_core.model.reports import CompletionAuthority
from lash_core.model.scope import SessionScope
from lash_core.model.tool_invocation import ToolInvocationReply
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.execution_context import RuntimeExecutionContext
from lash_core.runtime.process.cancel import ProcessCancelRequest
from lash_core.runtime.process.service import ProcessCancelSummary, ProcessService
from lash_core.testing.waiting import eventually
from tests.context.scenes import Scene, registration, row, turn_invocation, unique

JOB = ProcessHandleDescriptor("job", "nightly")
NOT_VISIBLE = "process handle `{}` is not live or visible in this session"


def text(reply: ToolInvocationReply) -> str:
    """The message of a reply that is no success."""
    assert reply.output.type != "success", reply.output
    return reply.output.message


async def child_of(context: RuntimeExecutionContext) -> str:
    """A process that the context started itself."""
    child = registration()
    assert (await context.start_child_process(child, "job")).is_success
    return child.id


async def complete(scene: Scene, process_id: str, output: AnyAwaitOutput) -> None:
    """End a process as its worker would."""
    run = await scene.hold(process_id)
    await scene.registry.complete_process_with_lease(run.lease, output)


async def foreign(scene: Scene, *scopes: SessionScope) -> str:
    """A process that somebody else started, with handles for these scopes."""
    started = await scene.start()
    for scope in scopes:
        await scene.registry.grant_handle(scope, started.id, JOB)
    return started.id


# -- await ------------------------------------------------------------------------------------------------


async def test_a_run_awaits_what_it_started_without_a_grant(scene: Scene) -> None:
    """Also when the handle was taken away; copies of the context share what was started."""
    context = await scene.session()
    child = await child_of(context)
    await scene.registry.revoke_handle(context.session_scope, child)
    await complete(scene, child, ProcessAwaitOutput.success({"n": 1}))

    reply = await context.with_parent_invocation(None).await_process("call-7", process_handle_json(child))

    assert {"n": 1} == reply.output.value  # type: ignore[union-attr]
    assert reply.record is not None
    assert ("call-7", "await_process", reply.output) == (reply.record.call_id, reply.record.tool, reply.record.output)


async def test_another_handle_must_be_visible(scene: Scene) -> None:
    """A grant of the session is not one of its frame; ended processes are visible too."""
    context = await scene.session()
    frame = await scene.session(context.session_id, frame="f")
    process_id = await foreign(scene, context.session_scope)
    await complete(scene, process_id, ProcessAwaitOutput.success(5))
    handle = process_handle_json(process_id)

    seen, unseen = await context.await_process("a", handle), await frame.await_process("b", handle)

    assert 5 == seen.output.value  # type: ignore[union-attr]
    assert NOT_VISIBLE.format(process_id) == text(unseen)
    assert ("b", "await_process") == (unseen.record.call_id, unseen.record.tool)  # type: ignore[union-attr]


async def test_what_was_started_is_forgotten_with_the_attempt(scene: Scene) -> None:
    """In memory only: after a crash a handle that the replay does not start again has to be granted."""
    parent = await scene.start()
    run = await scene.hold(parent.id)
    context = scene.run(run, parent)
    child = await child_of(context)
    again = scene.run(await scene.crash(run), parent)

    reply = await again.await_process("a", process_handle_json(child))

    assert (True, False) == (context.is_run_local_process(child), again.is_run_local_process(child))
    assert NOT_VISIBLE.format(child) == text(reply)


@pytest.mark.parametrize(
    ("output", "wanted"),
    [
        (ProcessAwaitOutput.success([1], control={"end": True}), {"type": "success", "value": [1]}),
        (
            ProcessAwaitOutput.failure("timeout", "slow", "too slow", raw={"ms": 3}),
            {"type": "failure", "class": "timeout", "code": "slow", "message": "too slow", "raw": {"ms": 3}},
        ),
        (ProcessAwaitOutput.cancelled("enough"), {"type": "cancelled", "message": "enough"}),
        (
            ProcessAwaitOutput.abandoned(AbandonEvidence(AbandonWriter.SWEEP, None, 1)),
            {
                "type": "failure",
                "class": "external",
                "code": "process_abandoned",
                "message": "recovery observed the owner provably dead",
                "raw": {"writer": "sweep", "epoch_ms": 1},
            },
        ),
    ],
    ids=lambda value: value.type if hasattr(value, "type") else "",
)
async def test_an_outcome_is_a_tools_output(scene: Scene, output: AnyAwaitOutput, wanted: dict[str, Any]) -> None:
    """One to one, but for an abandoned process (contract 1.8)."""
    context = await scene.session()
    child = await child_of(context)
    await complete(scene, child, output)

    reply = await context.await_process("a", process_handle_json(child))

    found = reply.output.to_json_value()
    found.pop("control", None)
    assert wanted == found


async def test_a_recorded_outcome_is_answered_after_its_process_was_pruned(scene: Scene) -> None:
    """The child may be gone before the parent replays."""
    parent = await scene.start()
    run = await scene.hold(parent.id)
    child = registration()
    context = scene.run(run, parent)
    await context.start_child_process(child, "job")
    await complete(scene, child.id, ProcessAwaitOutput.success("kept"))
    await context.await_process("a", process_handle_json(child.id))
    await scene.stores.advance_clock(10)
    await scene.registry.prune_terminal_processes((await row(scene, child.id)).updated_at_ms + 1)

    again = scene.run(await scene.crash(run), parent)
    reply = await again.await_process("a", process_handle_json(child.id))

    assert "kept" == reply.output.value  # type: ignore[union-attr]


async def test_a_wait_for_a_process_ends_with_its_context(scene: Scene) -> None:
    """As cancelled, with the reason; nothing is recorded, so the next attempt waits again."""
    token = CancellationToken()
    parent = await scene.start()
    run = await scene.hold(parent.id)
    context = scene.run(run, parent, cancellation=token)
    child = await child_of(context)
    waiting = asyncio.create_task(context.await_process("a", process_handle_json(child)))
    await eventually(lambda: bool(token._callbacks))

    token.cancel("stop it")
    reply = await asyncio.wait_for(waiting, 5)

    assert ("cancelled", "stop it") == (reply.output.type, text(reply))
    keys = await scene.stores.effect_journal.load_effects(parent.id)
    assert not [key for key in keys if key.endswith(f"process:await:{child}")]


@pytest.mark.parametrize(
    ("handle", "wanted"),
    [
        ({}, "missing `__handle__`"),
        ("p", "missing `__handle__`"),
        ({"__handle__": "file", "id": "p"}, "Invalid process handle kind"),
        ({"__handle__": "process"}, "missing `id`"),
        ({"__handle__": "process", "id": ""}, "missing `id`"),
    ],
)
async def test_what_is_no_handle_is_refused(scene: Scene, handle: JsonValue, wanted: str) -> None:
    """By all three, under the caller's call id."""
    context = await scene.session()

    replies = [
        await context.await_process("a", handle),
        await context.cancel_process("b", handle),
        await context.signal_process("c", handle, "go", {}),
    ]

    assert all(wanted in text(reply) for reply in replies), replies
    assert [("a", "await_process"), ("b", "cancel_process"), ("c", "signal_process")] == [
        (reply.record.call_id, reply.record.tool) for reply in replies if reply.record
    ]


# -- cancel -----------------------------------------------------------------------------------------------


async def test_a_visible_process_may_be_cancelled(scene: Scene) -> None:
    """The request is recorded with its reason; what nobody has claimed ends at once."""
    context = await scene.session()
    process_id = await foreign(scene, context.session_scope)

    reply = await context.cancel_process("c", process_handle_json(process_id), "enough")

    assert {"process_id": process_id, "status": "cancelled"} == reply.output.value  # type: ignore[union-attr]
    request = (await row(scene, process_id)).cancel_request
    assert request is not None
    assert "enough" == request.reason


async def test_an_invisible_process_may_not_be_cancelled(scene: Scene) -> None:
    """Unless the run started it itself."""
    context = await scene.session()
    process_id = await foreign(scene)
    child = await child_of(context)
    await scene.registry.revoke_handle(context.session_scope, child)

    refused = await context.cancel_process("c", process_handle_json(process_id))
    own = await context.cancel_process("d", process_handle_json(child))

    assert f"cancel failed: {NOT_VISIBLE.format(process_id)}" == text(refused)
    assert own.is_success
    assert (await row(scene, process_id)).cancel_request is None


class Denying:
    """A host that lets nobody cancel."""

    def __init__(self) -> None:
        self.asked: list[ProcessCancelRequest] = []

    async def cancel(self, processes: ProcessService, request: ProcessCancelRequest) -> ProcessCancelSummary:
        """No."""
        del processes
        self.asked.append(request)
        raise PluginSessionError("not on a Friday")


async def test_a_host_may_deny_a_cancel(scene: Scene) -> None:
    """It is asked about processes that the run did not start; its reason reaches the code."""
    denying, context = Denying(), await scene.session()
    context._dispatch = replace(context._dispatch, process_cancel_ability=denying)
    process_id, child = await foreign(scene, context.session_scope), await child_of(context)

    refused = await context.cancel_process("c", process_handle_json(process_id), "why not")
    own = await context.cancel_process("d", process_handle_json(child))

    assert "cancel failed: not on a Friday" == text(refused)
    assert own.is_success
    assert [(process_id, "why not")] == [(request.process_id, request.reason) for request in denying.asked]


# -- signal -----------------------------------------------------------------------------------------------


async def test_a_signal_takes_a_live_grant(scene: Scene) -> None:
    """Having started the process is not enough, and an ended one takes none."""
    context = await scene.session()
    granted, ended = await foreign(scene, context.session_scope), await foreign(scene, context.session_scope)
    await complete(scene, ended, ProcessAwaitOutput.success())
    child = await child_of(context)
    await scene.registry.revoke_handle(context.session_scope, child)

    sent = await context.signal_process("s", process_handle_json(granted), "go", {"by": "ops"})
    refused = [
        await context.signal_process("t", process_handle_json(process_id), "go", {}) for process_id in (ended, child)
    ]

    assert {"process_id": granted, "event_type": "signal.go", "sequence": 1} == sent.output.value  # type: ignore[union-attr]
    assert ("s", "signal_process") == (sent.record.call_id, sent.record.tool)  # type: ignore[union-attr]
    assert [NOT_VISIBLE.format(process_id) for process_id in (ended, child)] == [text(reply) for reply in refused]


async def test_a_recorded_check_is_not_made_again(scene: Scene) -> None:
    """A replay answers that the signal was sent, although the handle is gone by then; and that another was not."""
    parent = await scene.start()
    run = await scene.hold(parent.id)
    context = scene.run(run, parent)
    target, hidden = await foreign(scene, context.session_scope), await foreign(scene)
    first = [await context.signal_process("s", process_handle_json(pid), "stop") for pid in (target, hidden)]
    await scene.registry.revoke_handle(context.session_scope, target)
    await scene.registry.grant_handle(context.session_scope, hidden, JOB)

    again = scene.run(await scene.crash(run), parent)
    second = [await again.signal_process("s", process_handle_json(pid), "stop") for pid in (target, hidden)]

    assert (True, NOT_VISIBLE.format(hidden)) == (first[0].is_success, text(first[1]))
    assert first == second


# -- grants -----------------------------------------------------------------------------------------------


async def test_grants_of_session_and_frame_are_listed_apart(scene: Scene) -> None:
    """Live ones by default; with history on request; revoked ones not at all."""
    context = await scene.session()
    frame = await scene.session(context.session_id, frame="f")
    running, ended, gone = [await foreign(scene) for _ in range(3)]
    for process_id in (running, ended, gone):
        await context.grant_process_handle(process_id, JOB)
    await frame.grant_process_handle(running, ProcessHandleDescriptor("own"))
    await complete(scene, ended, ProcessAwaitOutput.success())
    await context.revoke_process_handle(gone)
    await context.revoke_process_handle(gone)

    live = await context.list_process_handles()
    history = await context.list_process_handles(ProcessListMode.of_status("any"))
    own = await frame.list_process_handles()

    assert [running] == [handle["id"] for handle in live]
    assert {running: "running", ended: "completed"} == {handle["id"]: handle["status"] for handle in history}
    assert [{"kind": "own"}] == [handle["descriptor"] for handle in own]
    assert {"kind": "job", "label": "nightly"} == live[0]["descriptor"]


async def test_a_transfer_moves_all_or_nothing(scene: Scene) -> None:
    """To a frame of another session; descriptors travel."""
    context = await scene.session()
    target = SessionScope.for_agent_frame(unique("other"), "f")
    one, two, foreign_id = [await foreign(scene) for _ in range(3)]
    for process_id in (one, two):
        await context.grant_process_handle(process_id, JOB)

    with pytest.raises(Exception, match="is not granted to session"):
        await context.transfer_process_handles(target, [one, foreign_id])
    left = await context.list_process_handles()
    await context.transfer_process_handles(target, [one, two])

    assert sorted([one, two]) == [handle["id"] for handle in left]
    assert () == await (await scene.session(context.session_id)).list_process_handles()
    assert [(pid, JOB) for pid in sorted([one, two])] == [
        (grant.process_id, grant.descriptor) for grant, _ in await scene.registry.list_handles(target)
    ]


async def test_a_deleted_session_leaves_its_processes(scene: Scene) -> None:
    """Its handles go, nothing is cancelled, and the report says who is left without a holder."""
    context = await scene.session()
    orphan, kept = await foreign(scene, context.session_scope), await foreign(scene, context.session_scope)
    await scene.registry.grant_handle(SessionScope(unique("keeper")), kept, JOB)

    report = await scene.service(context).delete_session(context.session_id, context.process_scope())

    assert ((orphan,), (kept,), 2) == (
        report.orphaned_process_ids,
        report.preserved_process_ids,
        report.revoked_handle_count,
    )
    assert "running" == (await row(scene, orphan)).status.state


async def test_what_a_scope_sees_can_be_asked(scene: Scene) -> None:
    """All of the ids, or an error that names the first it does not see; a frame asks for itself."""
    context = await scene.session()
    seen, unseen = await foreign(scene, context.session_scope), await foreign(scene)
    scope = context.process_scope()

    await scene.service(context).validate_visible(context.session_id, [seen], scope)
    for ids, asking in [([seen, unseen], scope), ([seen], scope.with_agent_frame_id("f"))]:
        with pytest.raises(PluginSessionError, match="is not live or visible"):
            await scene.service(context).validate_visible(context.session_id, ids, asking)


async def test_two_questions_of_a_turn_are_two_effects_under_two_parents(scene: Scene) -> None:
    """Under one they are the same one, and what was answered first is answered again."""
    context = await scene.session()
    service, scope = scene.service(context), context.process_scope()
    other = scope.with_parent_invocation(turn_invocation(context.session_id))
    first = await service.list_visible(context.session_id, ProcessListMode.LIVE, scope)
    process_id = await foreign(scene, context.session_scope)

    again = await service.list_visible(context.session_id, ProcessListMode.LIVE, scope)
    elsewhere = await service.list_visible(context.session_id, ProcessListMode.LIVE, other)

    assert ((), ()) == (first, again)
    assert [process_id] == [handle["id"] for handle in elsewhere]


async def test_an_external_owner_completes_what_a_child_does_outside(scene: Scene) -> None:
    """An external child is a handle like any other."""
    context = await scene.session()
    child = registration(input=ProcessInput.external({}), disposition="externally_owned", env_ref=None)
    await context.start_child_process(child, "external")
    await scene.registry.complete_process(
        child.id, ProcessAwaitOutput.success("done"), CompletionAuthority.external_owner("ops")
    )

    reply = await context.await_process("a", process_handle_json(child.id))

    assert "done" == reply.output.value  # type: ignore[union-attr]
