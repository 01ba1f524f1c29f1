"""Children: whose they are, who may see them, what they run in (contract 4.2)."""

from __future__ import annotations

from typing import Any

import pytest

from lash_core.errors import LeaseLostError, PluginSessionError
from lash_core.model.await_output import AnyAwaitOutput, ProcessAwaitOutput
from lash_core.model.environment import ProcessExecutionEnvSpec
from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.model.process_command import ProcessStartOptions
from lash_core.model.process_input import ProcessIdentity, ProcessInput
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import CausalRef, ProcessOriginator, ProcessProvenance, SessionScope
from lash_core.runtime.execution_context import RuntimeExecutionContext
from lash_core.runtime.process.engine import EngineRun, ProcessEngineRegistry
from tests.context.scenes import Scene, Stores, registration, row, turn_invocation, unique

JOB = ProcessHandleDescriptor("job", "nightly")


async def started(context: RuntimeExecutionContext, child: ProcessRegistration) -> str:
    """Start a child; its id."""
    reply = await context.start_child_process(child, "job", "nightly")
    assert reply.is_success, reply.output
    assert {"__handle__": "process", "id": child.id} == reply.output.value  # type: ignore[union-attr]
    return child.id


async def test_a_sessions_child_is_the_sessions(scene: Scene) -> None:
    """Originator and wake target are the creator; the creator alone has the handle."""
    context = await scene.session()

    child = await started(context, registration())

    record = await row(scene, child)
    assert (ProcessOriginator.session(context.session_scope), context.session_scope) == (
        record.provenance.originator,
        record.wake_target,
    )
    (grant,) = await scene.registry.handles_for_process(child)
    assert (context.session_scope.scope_id, JOB) == (grant.scope_id, grant.descriptor)


async def test_a_childs_cause_is_the_invocation_that_asked(scene: Scene) -> None:
    """Its effect; without a parent invocation there is no cause."""
    context = await scene.session()
    asked = context.with_parent_invocation(turn_invocation(context.session_id))

    caused, plain = await started(asked, registration()), await started(context, registration())

    assert (
        CausalRef(kind="effect", session_id=context.session_id, turn_id="t1", effect_id="call-1")
        == (await row(scene, caused)).provenance.caused_by
    )
    assert (await row(scene, plain)).provenance.caused_by is None


async def test_a_child_of_a_frame_is_the_frames(scene: Scene) -> None:
    """A frame and its session are two grantees."""
    context = await scene.session(frame="f")

    child = await started(context, registration())

    assert f"session:{context.session_id}/frame:f" == (await row(scene, child)).provenance.originator.scope_id
    assert await scene.registry.has_handle(SessionScope.for_agent_frame(context.session_id, "f"), child)
    assert not await scene.registry.has_handle(SessionScope(context.session_id), child)


async def test_a_process_hands_its_chain_on(scene: Scene) -> None:
    """Its children wake the session that the chain comes from; the ephemeral scope is on no record."""
    owner = SessionScope(unique("owner"))
    provenance = ProcessProvenance.for_session(owner)
    context = await scene.running(provenance=provenance, wake_target=owner)

    child = await started(context, registration())

    record = await row(scene, child)
    assert (provenance.originator, owner) == (record.provenance.originator, record.wake_target)
    (grant,) = await scene.registry.handles_for_process(child)
    assert owner.scope_id == grant.scope_id
    assert context.session_id not in record.model_dump_json()


async def test_a_chain_without_a_wake_target_grants_nobody(scene: Scene) -> None:
    """Although a descriptor is given."""
    context = await scene.running()

    child = await started(context, registration())

    assert (await row(scene, child)).wake_target is None
    assert () == await scene.registry.handles_for_process(child)


async def test_what_a_request_says_of_its_origin_is_not_believed(scene: Scene) -> None:
    """Provenance rides beside the request."""
    context = await scene.session()
    forged = registration(
        provenance=ProcessProvenance(ProcessOriginator.host("root")), wake_target=SessionScope("somebody")
    )

    await started(context, forged)

    record = await row(scene, forged.id)
    assert (context.session_scope.scope_id, context.session_scope) == (
        record.provenance.originator.scope_id,
        record.wake_target,
    )


async def test_without_a_descriptor_nobody_gets_a_handle(scene: Scene) -> None:
    """A start is a row and, if it is described, a handle."""
    context = await scene.session()
    child = registration()

    await scene.service(context).start(context.session_id, child, ProcessStartOptions(), context.process_scope())

    assert context.session_scope == (await row(scene, child.id)).wake_target
    assert () == await scene.registry.handles_for_process(child.id)


async def test_an_unknown_session_starts_nothing(scene: Scene) -> None:
    """Whoever asks for a session that is not there."""
    context, child = await scene.session(), registration()
    options = ProcessStartOptions(descriptor=JOB)

    with pytest.raises(PluginSessionError, match="unknown session `nobody`"):
        await scene.service(context).start("nobody", child, options, context.process_scope())
    other = await scene.open_session(unique("other"))
    await scene.service(context).start(other, child, options, context.process_scope())

    assert await scene.registry.has_handle(SessionScope(other), child.id)


async def test_a_start_again_is_the_same_process(scene: Scene) -> None:
    """By its registration, whoever repeats it; other content under the id is an error and no run-local handle."""
    context, child = await scene.session(), registration()
    other = await scene.session(context.session_id)

    await started(context, child)
    await started(other, child)
    third = await scene.session(context.session_id)
    reply = await third.start_child_process(
        child.model_copy(update={"input": ProcessInput.engine("job", {"n": 2})}), "job"
    )

    assert not reply.is_success
    assert "registration hash conflict" in reply.output.message  # type: ignore[union-attr]
    assert (True, True, False) == tuple(context.is_run_local_process(child.id) for context in (context, other, third))


# -- environments ---------------------------------------------------------------------------------------


async def test_what_needs_an_environment_gets_the_contexts(scene: Scene) -> None:
    """Engines do, external work does not; one that the registration has stays."""
    spec = ProcessExecutionEnvSpec(plugin_options={"search": {"limit": 3}})
    context = (await scene.session()).with_execution_env_spec(spec)
    engine, external = (
        registration(env_ref=None),
        registration(input=ProcessInput.external({}), disposition="externally_owned", env_ref=None),
    )
    kept = registration()

    for child in (engine, external, kept):
        await started(context, child)

    refs = [(await row(scene, child.id)).env_ref for child in (engine, external, kept)]
    assert [spec.env_ref, None, kept.env_ref] == refs
    assert spec.encode() == await scene.stores.env_store.get(spec.env_ref)


async def test_the_same_spec_is_the_same_environment(scene: Scene) -> None:
    """Content-addressed: whoever captures it, however often."""
    spec = ProcessExecutionEnvSpec(policy={"model": {"id": "m"}}, plugin_options={"b": 1, "a": 2})
    same = ProcessExecutionEnvSpec(plugin_options={"a": 2, "b": 1}, policy={"model": {"id": "m"}})
    one, two = [(await scene.session()).with_execution_env_spec(each) for each in (spec, same)]

    refs = {await context.captured_process_execution_env_ref() for context in (one, two, one)}

    assert {spec.env_ref} == refs


async def test_a_processs_children_inherit_its_environment(scene: Scene) -> None:
    """Not the spec of the runtime that happens to run it."""
    spec = ProcessExecutionEnvSpec(plugin_options={"creator": True})
    await scene.stores.env_store.put(spec.env_ref, spec.encode())
    context = await scene.running(env_ref=spec.env_ref)
    context = context.with_execution_env_spec(ProcessExecutionEnvSpec(plugin_options={"worker": True}))

    child = await started(context, registration(env_ref=None))

    assert spec.env_ref == (await row(scene, child)).env_ref


async def test_an_environment_that_cannot_be_stored_starts_nothing(scene: Scene) -> None:
    """The reply says why, and nothing is run-local."""
    spec = ProcessExecutionEnvSpec(plugin_options={"blob": "x" * 300_000})
    context, child = (await scene.session()).with_execution_env_spec(spec), registration(env_ref=None)

    reply = await context.start_child_process(child, "job")

    assert "tool_error" == reply.output.code  # type: ignore[union-attr]
    assert await scene.registry.get_process(child.id) is None
    assert not context.is_run_local_process(child.id)


# -- engines --------------------------------------------------------------------------------------------


class CheckingEngine:
    """Refuses payloads without ``n``, and publishes what it runs."""

    kind = "job"

    async def run(self, run: EngineRun) -> AnyAwaitOutput:
        """Not used."""
        return ProcessAwaitOutput.success(run.payload)

    def check_start(self, registration: ProcessRegistration, env: ProcessExecutionEnvSpec) -> ProcessIdentity | None:
        """Refuse or name."""
        payload: Any = getattr(registration.input, "payload", None)
        if "n" not in payload:
            raise PluginSessionError("a job needs n")
        return ProcessIdentity("job", "counted", {"n": payload["n"], "options": env.plugin_options})


async def test_an_engine_checks_its_starts_and_stamps_their_identity(stores: Stores) -> None:
    """With the environment that they will run in."""
    scene = Scene(stores, engines=ProcessEngineRegistry([CheckingEngine()]))
    spec = ProcessExecutionEnvSpec(plugin_options={"search": 1})
    context = (await scene.session()).with_execution_env_spec(spec)
    good, bad = registration(env_ref=None), registration(env_ref=None, input=ProcessInput.engine("job", {}))

    await started(context, good)
    reply = await context.start_child_process(bad, "job")

    identity = (await row(scene, good.id)).identity
    assert ("counted", {"n": 1, "options": {"search": 1}}) == (identity.label, identity.definition)
    assert "a job needs n" == reply.output.message  # type: ignore[union-attr]
    assert await scene.registry.get_process(bad.id) is None


@pytest.mark.parametrize("data", [None, b"{}x"])
async def test_an_environment_that_is_gone_or_broken_starts_nothing(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, data: bytes | None
) -> None:
    """The text says which of the two."""
    scene = Scene(stores, engines=ProcessEngineRegistry([CheckingEngine()]))
    context = await scene.session()
    missing = "process-env:sha256:" + "0" * 64

    async def get(_: str) -> bytes | None:
        return data

    monkeypatch.setattr(stores.env_store, "get", get)
    reply = await context.start_child_process(registration(env_ref=missing), "job")

    wanted = f"missing process execution env `{missing}`" if data is None else "failed to decode process execution env"
    assert reply.output.message.startswith(wanted)  # type: ignore[union-attr]


# -- under a lease --------------------------------------------------------------------------------------


async def test_a_replay_starts_nothing_again(scene: Scene) -> None:
    """The journal answers, and the handle is run-local again although the child was pruned meanwhile."""
    parent = await scene.start()
    run = await scene.hold(parent.id)
    child = registration(env_ref=None)
    await started(scene.run(run, parent), child)
    cancel = await scene.session()
    await scene.service(cancel).cancel(cancel.session_id, child.id, cancel.process_scope(), visible_only=False)
    await scene.stores.advance_clock(10)
    await scene.registry.prune_terminal_processes((await row(scene, child.id)).updated_at_ms + 1)
    assert await scene.registry.get_process(child.id) is None

    again = scene.run(await scene.crash(run), parent)
    await started(again, child)

    assert await scene.registry.get_process(child.id) is None
    assert again.is_run_local_process(child.id)


async def test_a_run_that_lost_its_lease_starts_no_child(scene: Scene) -> None:
    """Its worker does not know it yet; the store does (hazard 2, decision 25)."""
    parent = await scene.start()
    stale = await scene.hold(parent.id)
    await scene.crash(stale)
    context, child = scene.run(stale, parent), registration()

    with pytest.raises(LeaseLostError):
        assert await context.start_child_process(child, "job") is None

    assert await scene.registry.get_process(child.id) is None
    assert not context.is_run_local_process(child.id)
