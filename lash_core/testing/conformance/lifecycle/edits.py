"""Edits of a session on its handle: under its lease, on its newest state, stored at once.

``docs/contracts/sessions.md`` 2.10.
"""

from __future__ import annotations

from collections.abc import Awaitable

from lash_core.errors import InvalidArgumentError, OutcomeUnknownError, RuntimeFailure, StoreUnreachableError
from lash_core.errors.session import SessionError, StaleBranchError
from lash_core.model.message import Message
from lash_core.model.plugin_snapshot import PluginSessionSnapshot, PluginSnapshotEntry, PluginSnapshotMeta
from lash_core.model.queued_work import SessionCommandPayload
from lash_core.model.session import ModelSpec
from lash_core.model.session_commit import RuntimeCommit, RuntimeCommitResult
from lash_core.model.session_graph import SessionGraph
from lash_core.model.session_node import EventPayload, PluginPayload, ProtocolEvent
from lash_core.model.session_state import RuntimeSessionState
from lash_core.model.usage import TokenLedgerEntry, TokenUsage
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.plugin.hooks import Compaction
from lash_core.runtime.plugin.host import PluginHost
from lash_core.runtime.plugins import PluginFactory, SessionPlugin
from lash_core.testing.conformance.lifecycle.arrange import (
    POLICY,
    Pokes,
    Scene,
    notes_of,
    refused,
    said,
    texts_of,
    tool,
)
from lash_core.testing.conformance.session_scene import SessionStores, chain, draft, leased


async def appended_nodes_are_stored_at_once(stores: SessionStores) -> None:
    """Messages, protocol events and plugins' nodes, in order, under the current frame; no lease stays behind."""
    scene = Scene(stores)
    runtime = await scene.runtime()
    added = await runtime.append_session_nodes(
        [*said("m1"), EventPayload(ProtocolEvent({"n": 1})), PluginPayload("notes", {"n": 2})]
    )
    read = await (await scene.store()).load_session()
    assert read is not None

    assert [node.node_id.partition(":")[0] for node in added] == ["m1", "protocol", "plugin"]
    assert [node.parent_node_id for node in added] == [None, added[0].node_id, added[1].node_id]
    assert list(read.nodes) == list(added)
    assert {node.agent_frame_id for node in added} == {f"{scene.session_id}:frame:initial"}
    assert await (await scene.store()).get_session_execution_lease(scene.session_id) is None


async def an_append_builds_on_the_newest_state(stores: SessionStores) -> None:
    """What somebody else stored meanwhile is read first."""
    scene = Scene(stores)
    one, two = await scene.runtime(), await scene.runtime()
    await one.append_session_nodes(said("a"))
    await two.append_session_nodes(said("b"), requires_ancestor="a")

    assert (texts_of(two), await scene.messages()) == (["a", "b"], ["a", "b"])


async def a_stale_branch_is_refused(stores: SessionStores) -> None:
    """The error says where the session stands; nothing is appended, here or there."""
    scene = Scene(stores)
    await scene.settled("a", "b")
    runtime = await scene.runtime()
    await runtime.branch_to_node("a")
    async with refused(StaleBranchError) as caught:
        await runtime.append_session_nodes(said("c"), requires_ancestor="b")

    assert isinstance(caught[0], StaleBranchError)
    assert (caught[0].current_leaf, texts_of(runtime), await scene.messages()) == ("a", ["a"], ["a"])
    assert await (await scene.store()).get_session_execution_lease(scene.session_id) is None


async def an_append_that_is_refused_leaves_nothing(stores: SessionStores) -> None:
    """Somebody else has the session: memory is as before, and the next one goes through."""
    scene = Scene(stores)
    runtime = await scene.runtime()
    store = await scene.store()
    lease = await leased(store)
    async with refused(RuntimeFailure, "busy"):
        await runtime.append_session_nodes(said("a"))
    assert texts_of(runtime) == []
    await store.release_session_execution_lease(lease.completion)
    await runtime.append_session_nodes(said("b"))

    assert await scene.messages() == ["b"]


async def an_edit_that_is_not_stored_is_not_in_memory(stores: SessionStores) -> None:
    """Nodes, leaf and policy are as they were read; no lease stays behind."""
    scene = Scene(stores)
    await scene.settled("a", "b")
    runtime = await scene.runtime()
    assert runtime.store is not None
    write = runtime.store.commit_runtime_state

    async def failing(commit: RuntimeCommit) -> RuntimeCommitResult:
        raise StoreUnreachableError(f"no way to store {commit.session_id}")

    runtime.store.commit_runtime_state = failing
    async with refused(StoreUnreachableError):
        await runtime.append_session_nodes(said("c"))
    async with refused(StoreUnreachableError):
        await runtime.branch_to_node("a")
    async with refused(StoreUnreachableError):
        await runtime.update_session_config(max_turns=3)
    runtime.store.commit_runtime_state = write

    assert (texts_of(runtime), runtime.policy, runtime.state.policy) == (["a", "b"], POLICY, POLICY)
    assert await (await scene.store()).get_session_execution_lease(scene.session_id) is None
    await runtime.append_session_nodes(said("d"))
    assert await scene.messages() == ["a", "b", "d"]


async def a_commit_whose_reply_was_lost_is_made_once(stores: SessionStores) -> None:
    """It is asked for again, and answered as it was: one revision, no double usage, no lease left."""
    scene = Scene(stores)
    await scene.settled("a")
    before = await scene.revision()
    runtime = await scene.runtime()
    assert runtime.store is not None
    write, lost = runtime.store.commit_runtime_state, [True]

    async def losing(commit: RuntimeCommit) -> RuntimeCommitResult:
        result = await write(commit)
        if lost and lost.pop():
            raise OutcomeUnknownError("the reply was lost")
        return result

    runtime.store.commit_runtime_state = losing
    spent = TokenLedgerEntry("child:x", "model-1", TokenUsage(input=3))
    runtime.shared_token_ledger.append(spent)
    await runtime.append_session_nodes(said("b"))
    runtime.store.commit_runtime_state = write
    await runtime.append_session_nodes(said("c"))
    read = await (await scene.store()).load_session()
    assert read is not None

    assert (read.head_revision, read.token_ledger) == (before + 2, (spent,))
    assert await scene.messages() == texts_of(runtime) == ["a", "b", "c"]
    assert await (await scene.store()).get_session_execution_lease(scene.session_id) is None


async def a_branch_moves_the_leaf_and_keeps_the_rest(stores: SessionStores) -> None:
    """Stored at once; who runs the session stays who it was."""
    scene = Scene(stores)
    await scene.settled("a", "b", "c")
    runtime = await scene.runtime()
    owner, scope = runtime.runtime_lease_owner, runtime.runtime_scope_id
    await runtime.branch_to_node("b")

    assert (texts_of(runtime), await scene.messages()) == (["a", "b"], ["a", "b"])
    assert (runtime.runtime_lease_owner, runtime.runtime_scope_id) == (owner, scope)
    assert await runtime.orphaned_node_ids() == ["c"]
    async with refused(InvalidArgumentError, "never"):
        await runtime.branch_to_node("never")
    assert await scene.messages() == ["a", "b"]


async def a_changed_config_is_stored_and_told_once(stores: SessionStores) -> None:
    """With what was before and what is now; the same again says nothing."""
    scene = Scene(stores)
    await scene.settled()
    runtime = await scene.runtime()
    scene.log.clear()
    changed = [
        await runtime.update_session_config(model=ModelSpec("model-9"), max_turns=4),
        await runtime.update_session_config(max_turns=4),
    ]
    revision = await scene.revision()
    again = await scene.runtime()

    assert (changed, scene.log.count("session_config_changed")) == ([True, False], 1)
    facts = scene.facts["session_config_changed"]
    assert (facts["previous"].model.id, facts["current"].model.id) == ("model-1", "model-9")
    assert (again.policy.model.id, again.policy.max_turns, again.policy.provider_id) == ("model-9", 4, "provider-1")
    await runtime.park()
    assert await scene.revision() == revision


async def a_bad_config_changes_nothing(stores: SessionStores) -> None:
    """An unknown field, a value that is none, no model: the error names the field."""
    scene = Scene(stores)
    await scene.settled()
    runtime, before = await scene.runtime(), await scene.revision()
    for changes, field in (
        ({"colour": "red"}, "colour"),
        ({"max_turns": 0}, "max_turns"),
        ({"model": ModelSpec("")}, "model.id"),
    ):
        async with refused(InvalidArgumentError) as caught:
            await runtime.update_session_config(**changes)
        assert caught[0].field == field, caught[0].field

    assert (runtime.policy, await scene.revision()) == (POLICY, before)


async def a_state_given_by_the_host_is_healed_and_restored(stores: SessionStores) -> None:
    """Leaf, tools and plugins; it is stored by the next commit."""
    scene = Scene(stores, tools=[tool("add"), tool("sub")])
    runtime = await scene.runtime()
    tools = runtime.tools.export_state()
    tools = tools.model_copy(
        update={"tools": {**tools.tools, "sub": tools.tools["sub"].model_copy(update={"member": False})}}
    )
    meta = PluginSnapshotMeta(plugin_id="notes", plugin_version="1", revision=6, state={"count": 6})
    state = RuntimeSessionState(
        scene.session_id,
        session_graph=SessionGraph(chain("a", "b"), "gone"),
        tool_state_snapshot=tools,
        plugin_snapshot=PluginSessionSnapshot(plugins={"notes": PluginSnapshotEntry(meta=meta)}),
    )
    await runtime.set_persisted_state(state)
    found = (texts_of(runtime), [manifest.name for manifest in runtime.tools.catalog()], notes_of(runtime).count)
    assert found == (["a", "b"], ["add"], 6)
    assert runtime.policy == POLICY
    await runtime.park()

    assert await scene.messages() == ["a", "b"]
    async with refused(SessionError, "other"):
        await runtime.set_persisted_state(RuntimeSessionState("other"))


async def a_refresh_takes_over_what_somebody_else_stored(stores: SessionStores) -> None:
    """Nodes, config, tools and plugins; nothing where nothing is new."""
    scene = Scene(stores)
    await scene.settled("a")
    one, two = await scene.runtime(), await scene.runtime()
    notes_of(two).count = 8
    await two.append_session_nodes(said("b"))
    await two.update_session_config(max_turns=3)
    answers = [await one.refresh(), await one.refresh()]

    assert answers == [True, False]
    assert (texts_of(one), notes_of(one).count, one.policy.max_turns) == (["a", "b"], 8, 3)


async def a_refresh_keeps_what_plugins_have_not_stored_yet(stores: SessionStores) -> None:
    """Where nobody else stored their states meanwhile."""
    scene = Scene(stores)
    await scene.settled("a")
    one, two = await scene.runtime(), await scene.runtime()
    await two.append_session_nodes(said("b"))
    notes_of(one).count = 5
    await one.append_session_nodes(said("c"))

    assert (notes_of(one).count, notes_of(await scene.runtime()).count) == (5, 5)


async def a_command_is_queued_once_for_its_key(stores: SessionStores) -> None:
    """And run by a drain, in the order of the queue: work before it is not passed over."""
    scene, pokes = Scene(stores), Pokes()
    await scene.settled("a")
    runtime = await scene.runtime(queued_work_driver=pokes)
    refresh = SessionCommandPayload(command="refresh_tool_catalog")
    first = await runtime.submit_session_command(refresh, "k")
    again = await runtime.submit_session_command(refresh, "k")
    assert first is not None
    assert again is not None
    scene.tools.append(tool("new"))
    drained = await runtime.drain_next_session_command()
    assert drained is not None

    assert first.batch_id == again.batch_id == drained.batch_id
    assert [manifest.name for manifest in runtime.tools.catalog()] == ["add", "new"]
    assert pokes.told == [(scene.session_id, "session_command")] * 2
    assert await runtime.drain_next_session_command() is None
    store = await scene.store()
    await store.enqueue_queued_work(draft(scene.session_id))
    await runtime.submit_session_command(refresh, "behind")
    assert await runtime.drain_next_session_command() is None
    assert await store.get_session_execution_lease(scene.session_id) is None


async def a_reset_opens_an_empty_frame(stores: SessionStores) -> None:
    """History stays, and what the model sees begins anew."""
    scene = Scene(stores)
    await scene.settled("a")
    runtime = await scene.runtime()
    await runtime.submit_session_command(SessionCommandPayload(command="reset_session", reason="enough"), "k")
    await runtime.drain_next_session_command()
    again = await scene.runtime()
    state = again.state

    assert len(state.agent_frames) == 2
    assert [frame.status for frame in state.agent_frames] == ["superseded", "active"]
    assert texts_of(again) == ["a"]
    assert not state.frame_read_model(state.current_agent_frame_id).messages


class _Summary(SessionPlugin):
    def compact(self, messages: tuple[Message, ...]) -> Awaitable[Compaction | None]:
        async def summed() -> Compaction | None:
            return Compaction((Message.user(f"{len(messages)} so far"),)) if messages else None

        return summed()


class _SummaryFactory(PluginFactory):
    plugin_id = "summary"

    def build(self, session_id: str) -> SessionPlugin:
        return _Summary()


async def a_compaction_is_a_new_frame(stores: SessionStores) -> None:
    """The model goes on from the summary; history is not rewritten. Without an answer nothing happens."""
    scene, host = Scene(stores), PluginHost([_SummaryFactory()])
    runtime = await scene.runtime(plugin_host=host)
    assert not await runtime.compact_session()
    await runtime.append_session_nodes(said("a", "b"))
    assert await runtime.compact_session()
    runtime.close()
    again = await scene.runtime(plugin_host=host)
    state = again.state
    shown = state.frame_read_model(state.current_agent_frame_id).messages

    assert [message.text for message in shown] == ["2 so far"]
    assert texts_of(again) == ["a", "b", "2 so far"]
    assert [frame.reason for frame in state.agent_frames] == ["initial", "compaction"]
    assert [node.node_id for node in state.session_graph.nodes][:2] == ["a", "b"]


async def without_a_store_a_command_is_done_at_once(stores: SessionStores) -> None:
    """There is no queue; a blank key is refused all the same."""
    scene = Scene(stores)
    runtime = await LashRuntime.from_environment(scene.environment(), POLICY, RuntimeSessionState(scene.session_id))
    scene.tools.append(tool("new"))
    refresh = SessionCommandPayload(command="refresh_tool_catalog")
    answer = await runtime.submit_session_command(refresh, "k")
    async with refused(InvalidArgumentError, "idempotency key"):
        await runtime.submit_session_command(refresh, " ")

    assert answer is None
    assert [manifest.name for manifest in runtime.tools.catalog()] == ["add", "new"]
    assert await runtime.drain_next_session_command() is None


async def without_a_store_edits_are_in_memory(stores: SessionStores) -> None:
    """The same verbs."""
    scene = Scene(stores)
    runtime = await LashRuntime.from_environment(scene.environment(), POLICY, RuntimeSessionState(scene.session_id))
    await runtime.append_session_nodes(said("a", "b"))
    await runtime.branch_to_node("a")
    await runtime.update_session_config(max_turns=2)

    assert (texts_of(runtime), runtime.policy.max_turns, await runtime.refresh()) == (["a"], 2, False)
