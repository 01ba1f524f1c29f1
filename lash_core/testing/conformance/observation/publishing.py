"""What readers of a runtime see, and what a publication tells watchers (``docs/contracts/observation.md`` 5)."""

from __future__ import annotations

from typing import Any

from lash_core.model.session_cursor import SessionCursor, SessionRevision
from lash_core.model.session_observation import CommittedPayload, TurnActivityPayload
from lash_core.model.session_state import RuntimeSessionState
from lash_core.model.usage import TokenLedgerEntry, TokenUsage
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.runtime_handle import RuntimeHandle
from lash_core.testing.conformance.lifecycle.arrange import POLICY, Scene, said, tool
from lash_core.testing.conformance.observation.arrange import (
    WatchedStores,
    events_after,
    rings_of,
    say,
    watched,
    words_after,
)
from lash_core.testing.conformance.turns.arrange import finished, scene_of, words
from lash_core.testing.scripted_provider import calls_tools, says


async def the_first_observation_is_there_at_once(stores: WatchedStores) -> None:
    """With all that the runtime is; nothing was appended for it."""
    scene = Scene(stores)
    registry = stores.process_registry
    async with watched(scene, process_registry=registry) as (runtime, handle):
        seen = handle.observe()

        assert seen is handle.observe()
        assert (scene.session_id, 0) == (seen.session_id, seen.revision)
        assert seen.session_revision() == seen.revision
        assert SessionCursor.new(scene.session_id, 0, 0) == seen.cursor
        assert POLICY == seen.policy == seen.read_view.policy
        assert () == seen.read_view.messages
        assert scene.session_id == seen.persisted_state.session_id
        assert 0 == seen.usage_report.entry_count
        assert ["add"] == [entry["name"] for entry in seen.tool_catalog if isinstance(entry, dict)]
        assert seen.tool_catalog_error is None
        assert seen.tool_state == runtime.tools.export_state()
        assert registry is seen.process_registry is seen.process_read_service
        assert runtime.store is seen.queue_store is seen.session_read_service
        assert runtime.plugins is seen.plugin_session
        assert runtime.plugins.plugins["notes"] is seen.query_plugin("notes")
        assert seen.query_plugin("nobody") is None
        assert f"session:{scene.session_id}" == seen.process_scope_id() == seen.process_scope().scope_id
        assert (seen.read_view, seen.cursor) == (
            seen.session_observation().read_view,
            seen.session_observation().cursor,
        )
        assert 0 == (await rings_of(stores).current_cursor(scene.session_id, 0)).parse().live_position


async def a_handle_needs_no_store(stores: WatchedStores) -> None:
    """Its ring is in the program then, and its own."""
    scene = Scene(stores)
    runtime = await scene.runtime()
    for handle in (RuntimeHandle(runtime), await RuntimeHandle.create(runtime)):
        begin = handle.observe().cursor
        await handle.publish_from(runtime)
        assert ["committed "] == await words_after(handle, begin)
    runtime.close()


async def a_new_handle_stands_behind_what_was_said_before(stores: WatchedStores) -> None:
    """The cursor of its first observation is the ring's."""
    scene = Scene(stores)
    async with watched(scene) as (runtime, handle):
        await say(handle, runtime, "a")
    async with watched(scene) as (runtime, handle):
        begin = handle.observe().cursor
        await say(handle, runtime, "b")

        assert ["committed a,b"] == await words_after(handle, begin)


async def the_revision_is_the_heads_once_there_is_one(stores: WatchedStores) -> None:
    """Before it, the turn index."""
    scene = Scene(stores)
    state = RuntimeSessionState(scene.session_id, turn_index=9)
    runtime = await LashRuntime.from_environment(scene.environment(), POLICY, state, await scene.store())
    handle = await RuntimeHandle.create(runtime, rings_of(stores))
    assert SessionRevision(9) == handle.observe().revision
    await say(handle, runtime, "a")

    assert runtime.state.head_revision == handle.observe().revision == await scene.revision()
    assert handle.observe().revision != 9
    runtime.close()


async def nothing_shows_before_it_is_published(stores: WatchedStores) -> None:
    """A commit alone changes nothing for readers and watchers; what was seen stays as it was for good."""
    scene = Scene(stores)
    async with watched(scene) as (runtime, handle):
        before = handle.observe()
        await runtime.append_session_nodes(said("a"))
        assert before is handle.observe()
        assert () == (await handle.current_session_observation()).read_view.messages
        await handle.publish_from(runtime)

        assert ["a"] == [message.text for message in handle.observe().read_view.messages]
        assert () == before.read_view.messages
        assert [] == list(before.persisted_state.session_graph.nodes)


async def a_publication_is_a_commit_for_watchers(stores: WatchedStores) -> None:
    """Its event has the session as it is; the published cursor stands right behind it."""
    scene = Scene(stores)
    async with watched(scene) as (runtime, handle):
        begin = handle.observe().cursor
        await say(handle, runtime, "a")
        (event,) = await events_after(handle, begin)
        await handle.publish_from(runtime)

        assert isinstance(event.payload, CommittedPayload)
        assert ["a"] == [message.text for message in event.payload.read_view.messages]
        assert (scene.session_id, await scene.revision()) == (event.session_id, event.revision)
        assert ["committed a"] == await words_after(handle, event.cursor)
        assert [] == await words_after(handle, handle.observe().cursor)
        assert handle.observe().cursor == (await handle.current_session_observation()).cursor


async def a_switch_of_the_frame_comes_right_before_its_commit(stores: WatchedStores) -> None:
    """Once: the next commit in that frame has none."""
    script = [calls_tools(("switch", {"frame_id": "plan", "task": "go on"})), says("planned"), says("done")]
    scene = scene_of(stores, script)
    runtime = await scene.runtime()
    handle = await RuntimeHandle.create(runtime, rings_of(stores))
    begin = handle.observe().cursor
    for text in ("hi", "and now"):
        async with handle.writer() as held:
            await held.stream_turn(words(text))
            await handle.publish_from(held)

    told = await events_after(handle, begin)
    assert ["agent_frame_switched", "committed", "committed"] == [event.payload.type for event in told]
    assert told[0].revision == told[1].revision == handle.observe().revision - 1
    assert "frame plan" == (await words_after(handle, begin))[0]
    assert "plan" == handle.observe().persisted_state.current_agent_frame_id
    runtime.close()


async def a_frame_without_an_id_is_no_switch(stores: WatchedStores) -> None:
    """Nobody could be told where to."""
    scene = Scene(stores)
    async with watched(scene) as (runtime, handle):
        begin = handle.observe().cursor
        runtime.state.current_agent_frame_id = ""
        await handle.publish_from(runtime)

        assert "" == handle.observe().persisted_state.current_agent_frame_id
        assert ["committed"] == [event.payload.type for event in await events_after(handle, begin)]


async def a_turn_is_heard_while_it_runs(stores: WatchedStores) -> None:
    """What it streams comes in its order, then its commit; none of it waits for the turn's end."""
    scene = scene_of(stores, [says("hello world")])
    runtime = await scene.runtime()
    handle = await RuntimeHandle.create(runtime, rings_of(stores))
    begin = handle.observe().cursor
    async with handle.writer() as held:
        turn = await held.stream_turn(words("hi"), sender=handle.sender())
        await handle.publish_from(held)
    events = await events_after(handle, begin)

    assert "hello world" == finished(turn)
    activities = [event.payload.activity for event in events if isinstance(event.payload, TurnActivityPayload)]
    deltas = [one.event.facts["text"] for one in activities if one.event.type == "assistant_prose_delta"]
    assert "hello world" == "".join(map(str, deltas))
    assert "committed" == events[-1].payload.type
    assert {0} == {int(event.revision) for event in events[:-1]}
    assert await scene.revision() == events[-1].revision
    runtime.close()


async def a_turn_belongs_to_the_commit_before_it(stores: WatchedStores) -> None:
    """Also one that the host did not publish: whoever watches may tell it while the next turn streams."""
    scene = scene_of(stores, [says("one"), says("two")])
    runtime = await scene.runtime()
    handle, rings = await RuntimeHandle.create(runtime, rings_of(stores)), rings_of(stores)
    begin = handle.observe().cursor
    async with handle.writer() as held:
        finished(await held.stream_turn(words("hi"), sender=handle.sender()))
        committed = await scene.revision()
        await handle.resume_session_observation(begin)
        assert await rings.append_commit_once(scene.session_id, committed, CommittedPayload(held.read_view()))
        finished(await held.stream_turn(words("again"), sender=handle.sender()))
        await handle.publish_from(held)
    events = await events_after(handle, begin)

    deltas = [
        (event.payload.activity.event.facts["text"], event.revision)
        for event in events
        if isinstance(event.payload, TurnActivityPayload)
        and event.payload.activity.event.type == "assistant_prose_delta"
    ]
    assert [("one", 0), ("two", committed)] == deltas
    runtime.close()


async def tools_are_shared_while_their_generation_is_the_same(stores: WatchedStores) -> None:
    """A publication costs nothing for tools that did not change."""
    scene = Scene(stores)
    async with watched(scene) as (runtime, handle):
        first = handle.observe()
        await say(handle, runtime, "a")
        second = handle.observe()
        runtime.tools.register(tool("later"))
        await handle.publish_from(runtime)
        third = handle.observe()

        assert first.tool_state is second.tool_state
        assert first.tool_catalog is second.tool_catalog
        assert third.tool_state == runtime.tools.export_state()
        assert ["add", "later"] == [entry["name"] for entry in third.tool_catalog if isinstance(entry, dict)]


async def tools_that_fail_are_left_out(stores: WatchedStores) -> None:
    """The catalog is empty then and says why; the state is missing. Nothing else is."""
    scene = Scene(stores)

    def fail() -> Any:
        raise LookupError("no tools today")

    async with watched(scene) as (runtime, handle):
        whole = handle.observe()
        runtime.tools.register(tool("later"))
        vars(runtime.tools).update(catalog=fail, export_state=fail)
        await handle.publish_from(runtime)
        broken = handle.observe()
        del vars(runtime.tools)["catalog"], vars(runtime.tools)["export_state"]
        await handle.publish_from(runtime)
        again = handle.observe()

        assert whole.tool_state is not None
        assert (None, [], "no tools today") == (
            broken.tool_state,
            list(broken.tool_catalog),
            broken.tool_catalog_error,
        )
        assert again.tool_state == runtime.tools.export_state()
        assert (2, None) == (len(again.tool_catalog), again.tool_catalog_error)


async def usage_that_is_not_stored_yet_is_in_ledger_and_report(stores: WatchedStores) -> None:
    """One export feeds both, so they cannot disagree."""
    scene = Scene(stores)
    async with watched(scene) as (runtime, handle):
        runtime.shared_token_ledger.append(TokenLedgerEntry("child", "model-1", usage=TokenUsage(input=3)))
        await handle.publish_from(runtime)
        seen = handle.observe()

        assert 3 == seen.usage_report.usage.input
        assert [3] == [entry.usage.input for entry in seen.persisted_state.token_ledger]
        assert [] == runtime.state.token_ledger
