"""Drains of the queue: order, joining, commands, deliveries at checkpoints.

``docs/contracts/sessions.md`` 2.4, 3.1, 3.3.
"""

from __future__ import annotations

import asyncio

from lash_core.model.message import TextPart
from lash_core.model.queued_work import (
    DeliveryPolicy,
    HostEventPayload,
    QueuedWorkDraft,
    SessionCommandPayload,
    SlotPolicy,
    TurnInputPayload,
    session_command_draft,
)
from lash_core.model.turn_input import ActiveTurnIngress, AttachmentInput, TextInput, TurnInput
from lash_core.runtime.turns.turn_messages import UNUSABLE_ATTACHMENT
from lash_core.testing.conformance.session_scene import SessionStores, command_draft, enqueued, leased, put_in
from lash_core.testing.conformance.turns.arrange import adding, finished, scene_of, texts_of, words
from lash_core.testing.scripted_provider import ScriptedReply, calls_tools, says

LATER = DeliveryPolicy.AFTER_CURRENT_TURN_COMMIT


async def a_queued_input_is_answered_once(stores: SessionStores) -> None:
    """Its message has the id of its batch, and the queue is empty with the answer."""
    scene = scene_of(stores, [says("hello")])
    store = await scene.store()
    batch = await enqueued(store, "hi")
    runtime = await scene.runtime(store)
    turn = await runtime.run_next_queued_turn(sender=scene.hear)

    assert "hello" == finished(turn)
    assert f"t_{batch.batch_id}" == (turn and turn.turn_id)
    assert f"m_batch_{batch.batch_id}" == (await scene.history())[0].id
    assert () == await store.list_queued_work(scene.session_id)
    assert "queued_work_started" == scene.heard[0]
    assert await runtime.run_next_queued_turn() is None


async def an_input_that_names_no_good_turn_is_answered(stores: SessionStores) -> None:
    """An illegal trace id, and one that a committed turn has: the turn's id is the batch's then."""
    scene = scene_of(stores, [says("1"), says("2"), says("3"), says("4")])
    store = await scene.store()
    runtime = await scene.runtime(store)
    expected: list[str] = []
    for trace_id in ("good", "b#d", " ", "good"):
        given = TurnInput((TextInput(trace_id),), trace_turn_id=trace_id)
        batch = await enqueued(store, payloads=(TurnInputPayload(given),))
        expected.append("good" if not expected else f"t_{batch.batch_id}")
        turn = await runtime.run_next_queued_turn()
        assert expected[-1] == (turn and turn.turn_id)
    long = await put_in(store, "5", input_id="i" * 200)
    scene.provider.extend(says("5"))

    assert "5" == finished(await runtime.run_next_queued_turn())
    assert 200 == len(long.input_id)
    assert 5 == await scene.revision()


async def a_drain_of_a_busy_session_does_nothing(stores: SessionStores) -> None:
    """Nothing is consumed; a foreground turn is refused instead."""
    scene = scene_of(stores, [says("hello")])
    store = await scene.store()
    await enqueued(store, "hi")
    lease = await leased(store)
    runtime = await scene.runtime()

    assert await runtime.run_next_queued_turn() is None
    assert 1 == len(await store.list_pending_queued_work(scene.session_id))
    await store.release_session_execution_lease(lease.completion)
    assert "hello" == finished(await runtime.run_next_queued_turn())


async def a_lease_of_the_caller_is_used(stores: SessionStores) -> None:
    """Who claimed the session for the fleet hands its lease in; the commit gives it back."""
    scene = scene_of(stores, [says("hello")])
    store = await scene.store()
    await enqueued(store, "hi")
    lease = await leased(store)

    assert "hello" == finished(await (await scene.runtime(store)).run_next_queued_turn(lease=lease))
    assert await store.get_session_execution_lease(scene.session_id) is None


async def joined_inputs_share_a_turn(stores: SessionStores) -> None:
    """Two that may join are one turn of two messages; an exclusive one is a turn of its own."""
    scene = scene_of(stores, [says("both"), says("alone")])
    store = await scene.store()
    await enqueued(store, "1")
    await enqueued(store, "2")
    await enqueued(store, "3", slot_policy=SlotPolicy.EXCLUSIVE, delivery_policy=LATER)
    runtime = await scene.runtime(store)
    for expected in ("both", "alone"):
        assert expected == finished(await runtime.run_next_queued_turn())

    assert ["user: 1", "user: 2", "assistant: both", "user: 3", "assistant: alone"] == texts_of(await scene.history())


async def commands_run_before_what_comes_after_them(stores: SessionStores) -> None:
    """A command is a commit without a model; one that came later does not jump ahead."""
    scene = scene_of(stores, [says("1"), says("2")])
    store = await scene.store()
    await store.enqueue_queued_work(command_draft(scene.session_id, "first"))
    await enqueued(store, "one")
    await store.enqueue_queued_work(
        session_command_draft(scene.session_id, SessionCommandPayload(command="reset_session"), "second")
    )
    await enqueued(store, "two")
    runtime = await scene.runtime(store)
    finished(await runtime.run_next_queued_turn())
    assert 2 == await scene.revision()
    finished(await runtime.run_next_queued_turn())

    assert 4 == await scene.revision()
    assert ["two"] == [message.text for message in scene.provider.requests[-1].messages]
    assert 4 == len(await scene.history())


async def a_queue_of_commands_alone_is_no_turn(stores: SessionStores) -> None:
    """They run, and there is nothing to answer."""
    scene = scene_of(stores, [])
    store = await scene.store()
    await store.enqueue_queued_work(command_draft(scene.session_id))

    assert await (await scene.runtime(store)).run_next_queued_turn() is None
    assert () == await store.list_queued_work(scene.session_id)
    assert 1 == await scene.revision()


async def both_lanes_have_one_order(stores: SessionStores) -> None:
    """What was enqueued first is answered first, whichever lane it waits in."""
    scene = scene_of(stores, [says("1"), says("2"), says("3")])
    store = await scene.store()
    await put_in(store, "lane")
    await enqueued(store, "queue", delivery_policy=LATER)
    await put_in(store, "lane again")
    runtime = await scene.runtime(store)
    turns = [await runtime.run_next_queued_turn() for _ in range(3)]

    assert ["1", "2", None] == [turn and turn.final_text for turn in turns]
    asked = [message.text for message in await scene.history() if message.role == "user"]
    assert ["lane\nlane again", "queue"] == asked
    assert {"completed"} == {row.state for row in await store.list_pending_turn_inputs(scene.session_id)}


async def an_event_of_the_host_says_where_it_comes_from(stores: SessionStores) -> None:
    """It is no user's message, and no blank one is made beside it."""
    scene = scene_of(stores, [says("noted")])
    store = await scene.store()
    await store.enqueue_queued_work(
        QueuedWorkDraft(session_id=scene.session_id, payloads=(HostEventPayload("deployed", {"v": 2}),))
    )
    finished(await (await scene.runtime(store)).run_next_queued_turn())
    history = await scene.history()

    assert [("user", "host_event"), ("assistant", None)] == [(m.role, m.origin) for m in history]


async def what_arrives_while_tools_run_reaches_the_model(stores: SessionStores) -> None:
    """At the checkpoint after them; it is settled by the same commit."""
    scene = scene_of(stores, [calls_tools(("add", {"a": 1, "b": 2})), says("both")])
    store = await scene.store()

    async def arrive(_context: object, _args: object) -> None:
        await enqueued(store, "wait")

    scene.bench.before = arrive
    turn = await (await scene.runtime()).stream_turn(words("add"), sender=scene.hear)

    assert "both" == finished(turn)
    assert "wait" == scene.provider.requests[-1].messages[-1].text
    assert () == await store.list_queued_work(scene.session_id)
    assert "queued_messages_committed" in scene.heard
    started = next(one.event for one in scene.activities if one.event.type == "queued_work_started")
    assert ("active_turn_checkpoint", "after_work") == (started.facts["boundary"], started.facts["checkpoint"])


async def what_both_lanes_deliver_keeps_its_order(stores: SessionStores) -> None:
    """By when it was enqueued; an attachment that is none does not end the turn that was running."""
    scene = scene_of(stores, [calls_tools(("add", {"a": 1, "b": 2})), says("all")])
    store = await scene.store()

    async def arrive(_context: object, _args: object) -> None:
        await enqueued(store, "1")
        await put_in(store, "2", ActiveTurnIngress("turn-1"))
        odd = TurnInputPayload(TurnInput((TextInput("3"), AttachmentInput("no reference"))))
        await enqueued(store, payloads=(odd,))

    scene.bench.before = arrive
    turn = await (await scene.runtime()).stream_turn(words("add"), turn_id="turn-1")

    assert "all" == finished(turn)
    assert ["1", "2", f"3\n{UNUSABLE_ATTACHMENT}"] == [
        "\n".join(part.text for part in message.parts if isinstance(part, TextPart))
        for message in scene.provider.requests[-1].messages[-3:]
    ]
    assert () == await store.list_queued_work(scene.session_id)


async def large_inputs_reach_the_running_turn(stores: SessionStores) -> None:
    """Together they are over the bound of one recorded outcome: the rows are named, not copied."""
    scene = scene_of(stores, [calls_tools(("add", {"a": 1, "b": 2})), says("read")])
    store = await scene.store()

    async def arrive(_context: object, _args: object) -> None:
        for letter in "ab":
            await enqueued(store, letter * 200_000)

    scene.bench.before = arrive
    turn = await (await scene.runtime()).stream_turn(words("add"))

    assert "read" == finished(turn)
    assert [200_000, 200_000] == [len(message.text) for message in await scene.history() if len(message.text) > 10]


async def what_is_for_after_the_turn_waits(stores: SessionStores) -> None:
    """A checkpoint does not take it."""
    scene = scene_of(stores, [calls_tools(("add", {"a": 1, "b": 2})), says("done"), says("later")])
    store = await scene.store()

    async def arrive(_context: object, _args: object) -> None:
        await enqueued(store, "wait", delivery_policy=LATER)

    scene.bench.before = arrive
    runtime = await scene.runtime()

    assert "done" == finished(await runtime.stream_turn(words("add")))
    assert 1 == len(await store.list_queued_work(scene.session_id))
    assert "later" == finished(await runtime.run_next_queued_turn())


async def an_input_just_before_the_end_makes_another_round(stores: SessionStores) -> None:
    """The checkpoint before the completion delivers it, and the model is asked again."""
    scene = scene_of(stores, [])
    store = await scene.store()
    gate = asyncio.Event()
    scene.provider.extend(ScriptedReply(says("first").events, gate=gate), says("second"))
    turn = asyncio.ensure_future((await scene.runtime()).stream_turn(words("hi")))
    await enqueued(store, "and?")
    gate.set()

    assert "second" == finished(await turn)
    assert ["user: hi", "assistant: first", "user: and?", "assistant: second"] == texts_of(await scene.history())


async def inputs_for_the_running_turn_are_accepted_or_wait(stores: SessionStores) -> None:
    """One that the turn takes is completed with it; one for a later boundary that never came goes to the next turn."""
    scene = scene_of(stores, [calls_tools(("add", {"a": 1, "b": 2})), calls_tools(("finish", {"value": 1}))])
    store = await scene.store()

    async def arrive(_context: object, _args: object) -> None:
        await put_in(store, "now", ActiveTurnIngress("turn-1", "after_work"))
        await put_in(store, "at the end", ActiveTurnIngress("turn-1", "before_completion"))

    scene.bench.before = arrive
    turn = await (await scene.runtime()).stream_turn(words("add"), turn_id="turn-1")
    rows = await store.list_pending_turn_inputs(scene.session_id)

    assert "finished" == turn.outcome.type
    assert ["completed", "deferred_next_turn"] == [row.state for row in rows]
    assert "now" in [message.text for message in await scene.history()]
    scene.provider.extend(says("late"))
    assert "late" == finished(await (await scene.runtime()).run_next_queued_turn())


async def ten_inputs_are_ten_answers_or_fewer(stores: SessionStores) -> None:
    """Whatever joins, every input is in the history once, in its order."""
    scene = scene_of(stores, adding)
    store = await scene.store()
    for number in range(10):
        slot = SlotPolicy.EXCLUSIVE if number % 3 == 0 else SlotPolicy.JOIN
        await enqueued(store, f"n{number}", slot_policy=slot)
    runtime = await scene.runtime(store)
    for _ in range(11):
        if await runtime.run_next_queued_turn() is None:
            break

    asked = [message.text for message in await scene.history() if message.role == "user" and message.text]
    assert [f"n{number}" for number in range(10)] == asked
