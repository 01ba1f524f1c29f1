"""Child sessions: what they begin with, what they have, how they are closed (``docs/contracts/sessions.md`` 2.11)."""

from __future__ import annotations

import asyncio

from lash_core.errors import PluginSessionError
from lash_core.errors.session import SessionError, UnknownManagedSessionError
from lash_core.model.agent_frame import ToolAccess
from lash_core.model.message import AttachmentPart, Message
from lash_core.model.queued_work import SessionCommandPayload
from lash_core.model.session import ChildRelation
from lash_core.model.session_node import ConversationEvent, EventPayload
from lash_core.model.session_state import RuntimeSessionState
from lash_core.runtime.attachments import SessionAttachments
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.plugin.host import PluginHost
from lash_core.runtime.session.child_starts import (
    CreateSessionRequest,
    CurrentSessionStart,
    ExistingSessionStart,
    SnapshotStart,
)
from lash_core.runtime.tool_registry_errors import ToolUnavailableError
from lash_core.runtime.tool_sources import StaticToolSource
from lash_core.testing.conformance.lifecycle.arrange import (
    OTHER_POLICY,
    POLICY,
    Scene,
    notes_of,
    refused,
    said,
    texts_of,
    tool,
)
from lash_core.testing.conformance.process_registry.arrange import unique
from lash_core.testing.conformance.session_scene import SessionStores, factory_of


async def _parent(stores: SessionStores, *texts: str) -> tuple[Scene, LashRuntime]:
    scene = Scene(stores, tools=[tool("add"), tool("secret")])
    runtime = await scene.runtime()
    await runtime.append_session_nodes(said(*texts))
    return scene, runtime


def _names(runtime: LashRuntime) -> list[str]:
    return [manifest.name for manifest in runtime.tools.catalog()]


async def a_child_has_a_store_of_its_own(stores: SessionStores) -> None:
    """Stored before the parent hears of it, with whose child it is; nothing of the parent's history is in it."""
    _, parent = await _parent(stores, "a")
    child = await parent.create_session(CreateSessionRequest())
    store = await factory_of(stores).open_existing_store(child.session_id)
    assert store is not None
    read, meta = await store.load_session(), await store.load_session_meta()
    assert read is not None
    assert meta is not None

    assert meta.relation == ChildRelation(parent.session_id)
    assert (read.head_revision, read.nodes, read.config.policy) == (1, (), POLICY)
    assert parent.managed_sessions.session_ids == (child.session_id,)
    assert await store.get_session_execution_lease(child.session_id) is None


async def a_known_id_is_refused(stores: SessionStores) -> None:
    """The current session, an open child, or any session that is stored."""
    scene, parent = await _parent(stores)
    child = await parent.create_session(CreateSessionRequest(session_id=unique("child")))
    other = Scene(stores)
    await other.settled()
    for session_id in (scene.session_id, child.session_id, other.session_id):
        async with refused(SessionError, f"session `{session_id}` already exists"):
            await parent.create_session(CreateSessionRequest(session_id=session_id))


async def a_fork_begins_with_the_parents_path_and_goes_on_by_itself(stores: SessionStores) -> None:
    """Active path and tool state; orphans stay behind, and neither hears of the other again."""
    scene, parent = await _parent(stores, "a", "b")
    await parent.branch_to_node("a")
    await parent.append_session_nodes(said("c"))
    state = parent.tools.export_state()
    opted_out = state.tools["secret"].model_copy(update={"member": False})
    parent.tools.apply_state(state.model_copy(update={"tools": {**state.tools, "secret": opted_out}}))
    child = await parent.create_session(CreateSessionRequest(start=CurrentSessionStart()))
    await child.runtime.append_session_nodes(said("of the child"))
    await parent.append_session_nodes(said("of the parent"))
    graph = child.runtime.state.session_graph

    assert texts_of(child.runtime) == ["a", "c", "of the child"]
    assert [node.node_id for node in graph.nodes] == ["a", "c", "of the child"]
    assert await scene.messages() == ["a", "c", "of the parent"]
    assert (_names(child.runtime), child.runtime.tools.generation) == (["add"], parent.tools.generation)
    frame_id = child.runtime.state.current_agent_frame_id
    assert [message.text for message in child.runtime.state.frame_read_model(frame_id).messages] == texts_of(
        child.runtime
    )


async def a_fork_sees_what_the_parents_frame_had(stores: SessionStores) -> None:
    """Earlier frames are history for it as well: kept, and not shown to the model."""
    _, parent = await _parent(stores, "a")
    await parent.submit_session_command(SessionCommandPayload(command="reset_session"), "k")
    await parent.drain_next_session_command()
    await parent.append_session_nodes(said("b"))
    snapshot = parent.state.copy()
    for start in (CurrentSessionStart(), SnapshotStart(snapshot)):
        child = await parent.create_session(CreateSessionRequest(start=start))
        rebuilt = await Scene(stores, session_id=child.session_id).runtime(plugin_host=PluginHost([]))
        for state in (child.runtime.state, rebuilt.state):
            shown = state.frame_read_model(state.current_agent_frame_id).messages
            assert [message.text for message in shown] == ["b"]
        assert texts_of(rebuilt) == ["a", "b"]


async def an_id_whose_plugins_cannot_be_built_stays_free(stores: SessionStores) -> None:
    """Nothing is stored under it, so the next attempt opens it."""
    _, parent = await _parent(stores)
    child_id = unique("child")
    taken = StaticToolSource("more", [tool("add")])
    async with refused(PluginSessionError, "add"):
        await parent.create_session(CreateSessionRequest(child_id, tool_sources=[taken]))

    assert await factory_of(stores).open_existing_store(child_id) is None
    assert (await parent.create_session(CreateSessionRequest(child_id))).session_id == child_id


async def plugins_of_a_child_begin_fresh_or_with_the_parents_state(stores: SessionStores) -> None:
    """As its request says."""
    _, parent = await _parent(stores)
    notes_of(parent).count = 7
    fresh = await parent.create_session(CreateSessionRequest(start=CurrentSessionStart()))
    forked = await parent.create_session(CreateSessionRequest(plugin_source="current_session_fork"))

    assert (notes_of(fresh.runtime).count, notes_of(forked.runtime).count) == (0, 7)


async def a_child_may_begin_with_a_snapshot_or_be_a_session_that_exists(stores: SessionStores) -> None:
    """The one is copied under a new id, the other opened as it is."""
    _, parent = await _parent(stores)
    other = Scene(stores)
    await other.settled("x", "y")
    snapshot = (await other.runtime()).state
    copied = await parent.create_session(CreateSessionRequest(start=SnapshotStart(snapshot)))
    existing = await parent.create_session(CreateSessionRequest(start=ExistingSessionStart(other.session_id)))
    await copied.runtime.append_session_nodes(said("z"))

    assert (texts_of(copied.runtime), texts_of(existing.runtime)) == (["x", "y", "z"], ["x", "y"])
    assert (existing.session_id, await other.messages()) == (other.session_id, ["x", "y"])
    async with refused(UnknownManagedSessionError, "unknown session `never`"):
        await parent.create_session(CreateSessionRequest(start=ExistingSessionStart("never")))
    async with refused(SessionError, "open already"):
        await parent.create_session(CreateSessionRequest(start=ExistingSessionStart(other.session_id)))


async def a_policy_of_its_own_is_the_childs(stores: SessionStores) -> None:
    """Stored with it; a fork without one has the parent's."""
    _, parent = await _parent(stores)
    own = await parent.create_session(CreateSessionRequest(policy=OTHER_POLICY))
    inherited = await parent.create_session(CreateSessionRequest(start=CurrentSessionStart()))
    frame = own.runtime.state.current_agent_frame()
    assert frame is not None

    assert (own.runtime.policy, frame.assignment.policy, inherited.runtime.policy) == (
        OTHER_POLICY,
        OTHER_POLICY,
        POLICY,
    )


async def hidden_tools_stay_hidden_after_a_rebuild(stores: SessionStores) -> None:
    """They are recorded, never members, and executable neither by name nor by id."""
    scene, parent = await _parent(stores)
    access = ToolAccess(hidden_tools=("secret",))
    child = await parent.create_session(CreateSessionRequest(tool_access=access))
    await parent.close_session(child.session_id)
    rebuilt = Scene(stores, session_id=child.session_id, tools=scene.tools)
    for runtime in (child.runtime, await rebuilt.runtime()):
        assert _names(runtime) == ["add"]
        assert not runtime.tools.export_state().tools["secret"].is_member
        async with refused(ToolUnavailableError, "secret"):
            runtime.tools.resolve("secret")
        async with refused(ToolUnavailableError, "secret"):
            runtime.tools.resolve_by_id("secret")


async def a_session_that_is_opened_again_has_no_more_tools(stores: SessionStores) -> None:
    """Than it had, and than it is opened with now; both last."""
    scene, parent = await _parent(stores)
    child = await parent.create_session(CreateSessionRequest(tool_access=ToolAccess(hidden_tools=("secret",))))
    await parent.close_session(child.session_id)
    opened = await parent.create_session(
        CreateSessionRequest(
            start=ExistingSessionStart(child.session_id), tool_access=ToolAccess(hidden_tools=("add",))
        )
    )
    await parent.close_session(child.session_id)
    rebuilt = await Scene(stores, session_id=child.session_id, tools=scene.tools).runtime()

    assert (_names(opened.runtime), _names(rebuilt)) == ([], [])


async def a_child_is_opened_once(stores: SessionStores) -> None:
    """Also when it is asked for twice at once."""
    _, parent = await _parent(stores)
    child_id = unique("child")
    answers = await asyncio.gather(
        *(parent.create_session(CreateSessionRequest(child_id)) for _ in range(3)), return_exceptions=True
    )
    refusals = [answer for answer in answers if isinstance(answer, SessionError)]

    assert [f"session `{child_id}` already exists"] * 2 == [refusal.message for refusal in refusals]
    assert parent.managed_sessions.session_ids == (child_id,)


async def an_overlay_is_the_childs_alone(stores: SessionStores) -> None:
    """Further tools and prompt texts, with the parent's tools or without them."""
    _, parent = await _parent(stores)
    source = StaticToolSource("overlay", [tool("dig")])
    beside = await parent.create_session(CreateSessionRequest(tool_sources=(source,), prompt_contributions=("Dig.",)))
    alone = await parent.create_session(CreateSessionRequest(tool_sources=(source,), include_base_tools=False))

    assert (_names(beside.runtime), _names(alone.runtime)) == (["add", "dig", "secret"], ["dig"])
    assert _names(parent) == ["add", "secret"]
    assert beside.runtime.plugins.hooks.prompt_contributions() == ("Dig.",)
    assert parent.plugins.hooks.prompt_contributions() == ()


async def a_child_has_attachments_of_its_own(stores: SessionStores) -> None:
    """Those that its forked messages show are referred to by both, for good; what comes in later belongs to one."""
    _, parent = await _parent(stores)
    ours = parent.attachments
    assert isinstance(ours, SessionAttachments)
    shown = await ours.put(b"shown " + parent.session_id.encode())
    later = await ours.put(b"later " + parent.session_id.encode())
    message = Message(id="m", role="user", parts=(AttachmentPart(shown.to_json_value()),))
    await parent.append_session_nodes([EventPayload(ConversationEvent(message))])
    child = await parent.create_session(CreateSessionRequest(start=CurrentSessionStart()))
    theirs = child.runtime.attachments
    assert isinstance(theirs, SessionAttachments)

    assert await theirs.get(shown.attachment_id) == b"shown " + parent.session_id.encode()
    assert [held.attachment_id for held in await theirs.refs()] == [shown.attachment_id]
    held = {
        one.attachment_id: one.committed_at_epoch_ms is not None for one in (*await ours.refs(), *await theirs.refs())
    }
    assert held == {shown.attachment_id: True, later.attachment_id: False}


async def a_closed_child_is_stored_and_its_id_is_free(stores: SessionStores) -> None:
    """The current session cannot be closed, nor one that is unknown."""
    _, parent = await _parent(stores)
    child = await parent.create_session(CreateSessionRequest())
    notes_of(child.runtime).count = 2
    await parent.close_session(child.session_id)
    again = await parent.create_session(CreateSessionRequest(start=ExistingSessionStart(child.session_id)))

    assert notes_of(again.runtime).count == 2
    async with refused(SessionError, "is the current one"):
        await parent.close_session(parent.session_id)
    async with refused(UnknownManagedSessionError, "unknown session `never`"):
        await parent.close_session("never")


async def a_parked_parent_closes_its_children(stores: SessionStores) -> None:
    """What they had not stored is stored."""
    _, parent = await _parent(stores)
    child = await parent.create_session(CreateSessionRequest())
    notes_of(child.runtime).count = 3
    await parent.park()

    assert notes_of(await Scene(stores, session_id=child.session_id).runtime()).count == 3
    assert parent.managed_sessions.session_ids == ()


async def an_activated_child_is_the_runtimes_session(stores: SessionStores) -> None:
    """The handle stays who it is; the session before becomes a child of it, and may be activated again."""
    scene, parent = await _parent(stores, "a")
    owner = parent.runtime_lease_owner
    child_id = (await parent.create_session(CreateSessionRequest())).session_id
    parent.activate_managed_session(child_id)
    await parent.append_session_nodes(said("in the child"))

    assert (parent.session_id, texts_of(parent), parent.runtime_lease_owner) == (child_id, ["in the child"], owner)
    assert parent.managed_sessions.session_ids == (scene.session_id,)
    parent.activate_managed_session(scene.session_id)
    assert (parent.session_id, texts_of(parent)) == (scene.session_id, ["a"])
    async with refused(UnknownManagedSessionError, "unknown session `never`"):
        parent.activate_managed_session("never")


async def without_stores_children_live_in_memory(stores: SessionStores) -> None:
    """The parent has no store: neither has the child."""
    scene = Scene(stores)
    parent = await LashRuntime.from_environment(scene.environment(), POLICY, RuntimeSessionState(scene.session_id))
    await parent.append_session_nodes(said("a"))
    child = await parent.create_session(CreateSessionRequest(start=CurrentSessionStart()))

    assert (child.runtime.store, texts_of(child.runtime)) == (None, ["a"])
    assert await factory_of(stores).open_existing_store(child.session_id) is None
    await parent.close_session(child.session_id)
