"""Turns of child sessions: started, awaited, counted in the parent's ledger (``docs/contracts/sessions.md`` 2.11)."""

from __future__ import annotations

import asyncio

from lash_core.errors import RuntimeFailure
from lash_core.errors.session import SessionError
from lash_core.model.turn_activity import TurnActivity
from lash_core.model.usage import TokenUsage
from lash_core.runtime.session.child_starts import CreateSessionRequest, CurrentSessionStart, ExistingSessionStart
from lash_core.testing.conformance.lifecycle.arrange import refused
from lash_core.testing.conformance.session_scene import SessionStores, factory_of, loaded
from lash_core.testing.conformance.turns.arrange import adding, finished, scene_of, words
from lash_core.testing.scripted_provider import says

USAGE = TokenUsage(input=5, output=2)


async def a_childs_turn_is_its_own(stores: SessionStores) -> None:
    """It is in the child's history, not in the parent's."""
    scene = scene_of(stores, [says("of the child")])
    parent = await scene.runtime()
    child = await parent.create_session(CreateSessionRequest())
    turn_id = child.start_turn(words("hi"), turn_id="t-1")
    turn = await child.await_turn()
    store = await factory_of(stores).open_existing_store(child.session_id)
    assert store is not None
    read = await loaded(store)

    assert (turn_id, turn.turn_id, finished(turn)) == ("t-1", "t-1", "of the child")
    assert [message.text for message in read.graph.read_model().messages] == ["hi", "of the child"]
    assert await scene.history() == []


async def a_fork_remembers_what_the_parent_said(stores: SessionStores) -> None:
    """The model of the child sees it."""
    scene = scene_of(stores, [says("one"), says("two")])
    parent = await scene.runtime()
    await parent.stream_turn(words("hi"))
    child = await parent.create_session(CreateSessionRequest(start=CurrentSessionStart()))
    child.start_turn(words("and now?"))
    finished(await child.await_turn())

    assert [message.text for message in scene.provider.requests[-1].messages] == ["hi", "one", "and now?"]


async def a_childs_tokens_are_in_the_parents_ledger(stores: SessionStores) -> None:
    """Under its usage source, live as they are spent, and stored by the parent's next commit."""
    scene = scene_of(stores, [says("child", usage=USAGE), says("parent", usage=TokenUsage(input=1))])
    parent = await scene.runtime()
    child = await parent.create_session(CreateSessionRequest(usage_source="subagent:scout"))
    heard: list[TurnActivity] = []

    async def hear(activity: TurnActivity) -> None:
        heard.append(activity)

    child.start_turn(words("hi"), sender=hear)
    await child.await_turn()
    before = parent.usage_report()
    await parent.stream_turn(words("hello"))
    ledger = {entry.source: entry.usage for entry in (await loaded(await scene.store())).token_ledger}

    assert before.by_source == {"subagent:scout": USAGE}
    assert ledger["subagent:scout"] == USAGE
    assert sum(usage.input for usage in ledger.values()) == USAGE.input + 1
    (event,) = [activity.event.facts for activity in heard]
    assert (event["session_id"], event["source"], event["model"]) == (child.session_id, "subagent:scout", "model-1")
    assert event["delta"] == event["cumulative"] == USAGE.to_json_value()


async def a_child_that_is_opened_again_keeps_its_usage_source(stores: SessionStores) -> None:
    """It is stored with the child; whoever opens it may say another one."""
    scene = scene_of(stores, [says("one", usage=USAGE), says("two", usage=USAGE)])
    parent = await scene.runtime()
    child = await parent.create_session(CreateSessionRequest(usage_source="subagent:scout"))
    for asked in (None, "errand"):
        await parent.close_session(child.session_id)
        again = CreateSessionRequest(start=ExistingSessionStart(child.session_id), usage_source=asked)
        opened = await parent.create_session(again)
        opened.start_turn(words("hi"))
        await opened.await_turn()

    assert parent.usage_report().by_source == {"errand": USAGE, "subagent:scout": USAGE}


async def a_running_child_is_neither_closed_nor_given_another_turn(stores: SessionStores) -> None:
    """Nor activated; afterwards all of it works."""
    scene, reached, go_on = scene_of(stores, adding), asyncio.Event(), asyncio.Event()

    async def hold(*_: object) -> None:
        reached.set()
        await go_on.wait()

    scene.bench.before = hold
    parent = await scene.runtime()
    child = await parent.create_session(CreateSessionRequest())
    async with refused(SessionError, "was given no turn"):
        await child.await_turn()
    child.start_turn(words("hi"))
    async with asyncio.timeout(30):
        await reached.wait()
    async with refused(SessionError, "it runs a turn"):
        child.start_turn(words("again"))
    async with refused(SessionError, "it runs a turn"):
        await parent.close_session(child.session_id)
    async with refused(SessionError, "it runs a turn"):
        parent.activate_managed_session(child.session_id)
    async with refused(SessionError, "it runs a turn"):
        await parent.park()
    go_on.set()
    finished(await child.await_turn())
    await parent.close_session(child.session_id)

    assert parent.managed_sessions.session_ids == ()


async def while_a_turn_runs_the_session_is_neither_edited_nor_parked(stores: SessionStores) -> None:
    """The turn works on a copy: what is changed beside it would be lost, or make its commit fail."""
    scene, reached, go_on = scene_of(stores, adding), asyncio.Event(), asyncio.Event()

    async def hold(*_: object) -> None:
        reached.set()
        await go_on.wait()

    scene.bench.before = hold
    runtime = await scene.runtime()
    running = asyncio.create_task(runtime.stream_turn(words("hi")))
    async with asyncio.timeout(30):
        await reached.wait()
    async with refused(RuntimeFailure, "busy"):
        await runtime.append_session_nodes([])
    async with refused(RuntimeFailure, "busy"):
        await runtime.update_session_config(max_turns=7)
    async with refused(RuntimeFailure, "busy"):
        await runtime.park()
    go_on.set()
    finished(await running)
    assert await runtime.update_session_config(max_turns=7)
    await runtime.park()

    assert len(await scene.history()) == 4


async def a_childs_turn_is_cancelled_by_its_parent(stores: SessionStores) -> None:
    """It ends with a commit of its own."""
    scene, reached = scene_of(stores, adding), asyncio.Event()

    async def hold(context: object, _args: object) -> None:
        reached.set()
        await asyncio.Event().wait()

    scene.bench.before = hold
    parent = await scene.runtime()
    child = await parent.create_session(CreateSessionRequest())
    child.start_turn(words("hi"))
    async with asyncio.timeout(30):
        await reached.wait()
        child.cancel_turn("enough")
        turn = await child.await_turn()

    assert getattr(turn.outcome, "reason", None) == "cancelled"
    assert turn.cancellation is not None
