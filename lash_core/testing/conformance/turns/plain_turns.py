"""A turn over a caller's input: what it stores, answers and counts (``docs/contracts/sessions.md`` 3.1 to 3.3)."""

from __future__ import annotations

from typing import Any

from lash_core.errors import RuntimeFailure
from lash_core.model.message import AttachmentPart, Message, TextPart
from lash_core.model.session_commit import TurnStampRecord
from lash_core.model.session_node import PluginPayload
from lash_core.model.turn_input import AttachmentInput, TextInput, TurnInput
from lash_core.model.turn_outcome import FinalValueFinish, FinishedOutcome
from lash_core.model.usage import TokenLedgerEntry, TokenUsage
from lash_core.runtime.plugin.hooks import BeforeTurn, PluginTurn, TurnAbort
from lash_core.runtime.plugins import PluginLifecycleEvent, SessionPlugin
from lash_core.runtime.residency import Residency
from lash_core.runtime.session.lease_guard import SessionLeaseGuard
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.session_scene import SessionStores, enqueued, leased
from lash_core.testing.conformance.turns.arrange import adding, finished, scene_of, stopped, texts_of, words
from lash_core.testing.scripted_provider import DEFAULT_USAGE, ScriptedProvider, calls_tools, fails, says


async def an_answer_is_stored_with_its_question(stores: SessionStores) -> None:
    """One commit: history, counters, usage, the lease given back."""
    scene = scene_of(stores, [says("hello")])
    runtime = await scene.runtime()
    turn = await runtime.stream_turn(words("hi"), sender=scene.hear)

    assert "hello" == finished(turn)
    assert ["user: hi", "assistant: hello"] == texts_of(await scene.history())
    store = await scene.store()
    read = await store.load_session()
    assert read is not None
    assert (1, turn.session_revision) == (read.head_revision, 1)
    assert (1, turn.usage) == (read.checkpoint.turn_state.turn_index, read.checkpoint.turn_state.token_usage)
    assert [("turn", "model-1", turn.usage)] == [(e.source, e.model, e.usage) for e in read.token_ledger]
    assert await store.get_session_execution_lease(scene.session_id) is None
    assert await store.load_open_turn(scene.session_id) is None
    assert "assistant_prose_delta" in scene.heard
    assert "usable" == turn.assistant_output.state


async def tools_run_between_two_model_calls(stores: SessionStores) -> None:
    """Results go back to the model in the order of the calls, and stand in the history."""
    scene = scene_of(stores, [calls_tools(("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4})), says("done")])
    turn = await (await scene.runtime()).stream_turn(words("add"))

    assert "done" == finished(turn)
    assert [3, 7] == [call.output["value"] for call in turn.tool_calls]
    assert ["user", "assistant", "user", "assistant"] == [message.role for message in await scene.history()]
    assert 2 == len(turn.llm_calls) == turn.execution.iterations


async def a_failing_tool_is_feedback(stores: SessionStores) -> None:
    """The turn goes on: the model hears of it."""
    scene = scene_of(stores, [calls_tools(("broken", {})), says("sorry")])
    turn = await (await scene.runtime()).stream_turn(words("do"))

    assert "sorry" == finished(turn)
    assert "failure" == turn.tool_calls[0].output["type"]


async def a_repeat_under_one_id_answers_the_first(stores: SessionStores) -> None:
    """From any program: nothing is run again, nothing is stored again."""
    scene = scene_of(stores, [says("hello")])
    first = await (await scene.runtime()).stream_turn(words("hi"), turn_id="turn-1")
    again = await (await scene.runtime()).stream_turn(words("hi"), turn_id="turn-1")

    assert first.outcome == again.outcome
    assert (1, 1) == (again.session_revision, len(scene.provider.requests))


async def a_repeat_that_comes_too_late_is_told(stores: SessionStores) -> None:
    """The turn is not run again, though its result is not kept any more."""
    scene = scene_of(stores, [says("hello")])
    store = await scene.store()
    await (await scene.runtime(store)).stream_turn(words("hi"), turn_id="turn-1")
    stamp = await store.find_turn_stamp(store.session_id, "turn-1")
    assert stamp is not None
    forgetful: Any = store

    async def faded(*_: str) -> TurnStampRecord:
        return stamp.model_copy(update={"turn_result": None})

    forgetful.find_turn_stamp = faded
    late = await scene.runtime(store)

    with refused(RuntimeFailure) as caught:
        await late.stream_turn(words("hi"), turn_id="turn-1")

    assert ("turn_result_forgotten", 1) == (caught.error.code, len(scene.provider.requests))


async def a_repeat_needs_no_free_session(stores: SessionStores) -> None:
    """Somebody else writes the session: what was committed is answered all the same."""
    scene = scene_of(stores, [says("hello")])
    await (await scene.runtime()).stream_turn(words("hi"), turn_id="turn-1")
    lease = await leased(await scene.store())

    assert "hello" == finished(await (await scene.runtime()).stream_turn(words("hi"), turn_id="turn-1"))
    assert await (await scene.store()).release_session_execution_lease(lease.completion)


async def a_turn_has_the_id_of_its_trace(stores: SessionStores) -> None:
    """The input's trace id is the turn's; another one is refused before anything happens."""
    scene = scene_of(stores, [says("hello")])
    runtime = await scene.runtime()
    given = TurnInput((TextInput("hi"),), trace_turn_id="trace-1")
    with refused(RuntimeFailure, "execution_scope_turn_id_mismatch"):
        await runtime.stream_turn(given, turn_id="turn-1")
    turn = await runtime.stream_turn(given)

    assert "trace-1" == turn.turn_id
    assert ["m_turn_trace-1"] == [message.id for message in await scene.history()][:1]


async def adjacent_texts_become_one(stores: SessionStores) -> None:
    """An attachment between two texts keeps them apart, and the commit stamps its reference."""
    scene = scene_of(stores, [says("seen")])
    runtime = await scene.runtime()
    attachments: Any = runtime.attachments
    reference = (await attachments.put(b"bytes", media_type="text/plain")).to_json_value()
    given = TurnInput((TextInput("a"), TextInput("b"), AttachmentInput(reference), TextInput("c")))
    finished(await runtime.stream_turn(given))
    parts = (await scene.history())[0].parts

    assert [TextPart("a\nb"), TextPart("c")] == [part for part in parts if isinstance(part, TextPart)]
    assert [AttachmentPart(reference)] == [part for part in parts if isinstance(part, AttachmentPart)]
    assert [True] == [intent.is_committed for intent in await attachments.refs()]


async def what_a_tool_brings_in_is_the_turns(stores: SessionStores) -> None:
    """Its reference is an intent of the turn, which the commit stamps."""
    scene = scene_of(stores, [calls_tools(("add", {"a": 1, "b": 2})), says("done")])

    async def put(context: Any, _args: object) -> None:
        await context.attachments.put(b"from a tool")

    scene.bench.before = put
    runtime = await scene.runtime()
    finished(await runtime.stream_turn(words("add"), turn_id="turn-1"))
    attachments: Any = runtime.attachments

    assert [("turn-1", True)] == [(intent.owner_id, intent.is_committed) for intent in await attachments.refs()]


async def an_input_that_cannot_be_used_is_committed_as_stopped(stores: SessionStores) -> None:
    """No reference, or one of another session: no model is called."""
    other: Any = (await scene_of(stores, []).runtime()).attachments
    theirs = (await other.put(b"theirs")).to_json_value()
    for reference, code in (({"no": "reference"}, "invalid_argument"), (theirs, "attachment_not_found")):
        scene = scene_of(stores, [says("never")])
        turn = await (await scene.runtime()).stream_turn(TurnInput((AttachmentInput(reference),)))

        assert [("input", code)] == [(issue.kind, issue.code) for issue in stopped(turn, "invalid_input").errors]
        assert (1, 0) == (await scene.revision(), len(scene.provider.requests))


async def an_input_of_nothing_is_an_empty_text(stores: SessionStores) -> None:
    """There is nothing else that could be said."""
    scene = scene_of(stores, [says("yes?")])
    await (await scene.runtime()).stream_turn(TurnInput())

    assert (TextPart(""),) == (await scene.history())[0].parts


async def a_provider_error_is_committed_as_stopped(stores: SessionStores) -> None:
    """With the issue typed, and without a checkpoint."""
    scene = scene_of(stores, [fails("auth", "no key")])
    turn = stopped(await (await scene.runtime()).stream_turn(words("hi")), "provider_error")

    assert [("llm_provider", "auth")] == [(issue.kind, issue.provider_failure_kind) for issue in turn.errors]
    assert ["user: hi"] == texts_of(await scene.history())


async def an_unsupported_effort_calls_no_provider(stores: SessionStores) -> None:
    """It is refused before."""
    scene = scene_of(stores, [says("never")])
    scene.provider = ScriptedProvider([says("never")], efforts=("low",))
    model = scene.policy.model.model_copy(update={"variant": "enormous"})
    scene.policy = scene.policy.model_copy(update={"model": model})
    turn = stopped(await (await scene.runtime()).stream_turn(words("hi")), "provider_error")

    assert [("model_unsupported", False)] == [(issue.code, issue.retryable) for issue in turn.errors]
    assert [] == scene.provider.requests


async def a_missing_provider_is_an_error_before_the_turn(stores: SessionStores) -> None:
    """Nothing is stored: another program may have it."""
    scene = scene_of(stores, [says("never")])
    scene.policy = scene.policy.model_copy(update={"provider_id": "elsewhere"})
    with refused(RuntimeFailure, "model_provider_unknown", "elsewhere"):
        await (await scene.runtime()).stream_turn(words("hi"))
    store = await scene.store()
    await enqueued(store, "hi")
    with refused(RuntimeFailure, "model_provider_unknown", "elsewhere"):
        await (await scene.runtime()).run_next_queued_turn()

    assert 1 == len(await store.list_pending_queued_work(scene.session_id))
    assert (0, None) == (await scene.revision(), await store.load_open_turn(scene.session_id))
    assert await store.get_session_execution_lease(scene.session_id) is None


async def a_turn_limit_stops_after_the_tools(stores: SessionStores) -> None:
    """One model call, one round of tools, no checkpoint."""
    scene = scene_of(stores, [calls_tools(("add", {"a": 1, "b": 2})), says("never")], max_turns=1)
    stopped(await (await scene.runtime()).stream_turn(words("add")), "max_turns")

    assert (1, 1) == (len(scene.provider.requests), len(scene.bench.calls))
    assert "Turn limit reached (1)" in (await scene.history())[-1].text


async def a_control_tool_ends_the_turn(stores: SessionStores) -> None:
    """Its value is the turn's."""
    scene = scene_of(stores, [calls_tools(("finish", {"value": {"n": 1}})), says("never")])
    turn = await (await scene.runtime()).stream_turn(words("finish"))

    assert {"type": "final_value", "value": {"n": 1}} == turn.outcome.to_json_value()["finish"]


async def the_second_turn_reads_nothing_under_one_lease(stores: SessionStores) -> None:
    """A guard that the caller keeps: the runtime that committed last goes on without reading."""
    scene = scene_of(stores, [says("one"), says("two")])
    store = await scene.store()
    runtime = await scene.runtime(store)
    guard = await SessionLeaseGuard.acquire(store, runtime.runtime_lease_owner)
    try:
        await runtime.stream_turn(words("1"), lease=guard)
        loads: list[object] = []
        load, head = store.load_session, store.load_session_head

        async def counted(*args: Any) -> Any:
            loads.append(args)
            return await load(*args)

        async def counted_head() -> Any:
            loads.append(())
            return await head()

        store.load_session = counted  # type: ignore[method-assign]
        store.load_session_head = counted_head
        assert "two" == finished(await runtime.stream_turn(words("2"), lease=guard))
        assert [] == loads
        assert not guard.is_lost
    finally:
        assert await guard.release()


async def a_turn_sees_what_others_committed(stores: SessionStores) -> None:
    """Another runtime spoke in between: the next turn reads it."""
    scene = scene_of(stores, [says("one"), says("two"), says("three")])
    one = await scene.runtime()
    await one.stream_turn(words("1"))
    await (await scene.runtime()).stream_turn(words("2"))
    await one.stream_turn(words("3"))

    seen = [message.text for message in scene.provider.requests[-1].messages]
    assert ["1", "one", "2", "two", "3"] == seen


class _Hooks(SessionPlugin):
    """Injects a message, and aborts when it is asked to."""

    told: list[PluginLifecycleEvent]

    def __init__(self, told: list[PluginLifecycleEvent]) -> None:
        self.told = told

    async def before_turn(self, turn: PluginTurn) -> BeforeTurn | None:
        abort = TurnAbort("not today", "closed") if turn.messages[-1].text == "abort" else None
        return BeforeTurn((Message.system("be brief"),), abort)

    async def on_event(self, event: PluginLifecycleEvent, facts: dict[str, Any]) -> None:
        self.told.append(event)


async def plugins_speak_before_the_model(stores: SessionStores) -> None:
    """What they inject is stored after the input; they are told of the end and of its commit."""
    told: list[PluginLifecycleEvent] = []
    scene = scene_of(stores, [says("ok")], plugin=lambda: _Hooks(told))
    await (await scene.runtime()).stream_turn(words("hi"))

    assert ["user: hi", "system: be brief", "assistant: ok"] == texts_of(await scene.history())
    assert "plugin:bench" == (await scene.history())[1].origin
    assert [PluginLifecycleEvent.TURN_FINALIZED, PluginLifecycleEvent.TURN_PERSISTED] == told[-2:]


async def a_plugin_can_abort(stores: SessionStores) -> None:
    """Committed as stopped, the injected message stays, no model is called."""
    scene = scene_of(stores, [says("never")], plugin=lambda: _Hooks([]))
    turn = stopped(await (await scene.runtime()).stream_turn(words("abort")), "plugin_abort")

    assert [("plugin", "closed")] == [(issue.kind, issue.code) for issue in turn.errors]
    assert ["user: abort", "system: be brief"] == texts_of(await scene.history())
    assert [] == scene.provider.requests


async def usage_of_others_joins_the_ledger(stores: SessionStores) -> None:
    """What children and direct completions used is stored with the next turn, once, under their source."""
    scene = scene_of(stores, [says("one"), says("two")])
    runtime = await scene.runtime()
    theirs = TokenLedgerEntry("subagent:search", "model-2", TokenUsage(cache_read=3))
    runtime.shared_token_ledger.append(theirs)
    await runtime.stream_turn(words("1"))
    assert [] == runtime.shared_token_ledger
    await runtime.stream_turn(words("2"))
    read = await (await scene.store()).load_session()

    assert read is not None
    found = {(entry.source, entry.model): entry.usage for entry in read.token_ledger}
    own = DEFAULT_USAGE + DEFAULT_USAGE
    assert {("turn", "model-1"): own, (theirs.source, theirs.model): theirs.usage} == found
    assert own == runtime.state.token_usage == read.checkpoint.turn_state.token_usage
    assert DEFAULT_USAGE == read.checkpoint.turn_state.last_prompt_usage


async def a_session_with_only_its_path_in_memory_loses_nothing(stores: SessionStores) -> None:
    """Turns append to the path; what is not resident stays in the store."""
    scene = scene_of(stores, adding)
    first = await scene.runtime()
    finished(await first.stream_turn(words("1")))
    await first.branch_to_node((await scene.history())[0].id)
    await first.park()
    scene.residency = Residency.ACTIVE_PATH_ONLY
    runtime = await scene.runtime()
    assert 1 == len(runtime.state.session_graph.nodes)
    finished(await runtime.stream_turn(words("2")))
    read = await (await scene.store()).load_session()

    assert read is not None
    assert (8, 5) == (len(read.nodes), len(read.graph.active_path_nodes()))


async def an_answer_after_tools_may_be_long_ago(stores: SessionStores) -> None:
    """Three turns of one runtime: history, ids and counters go on."""
    scene = scene_of(stores, adding)
    runtime = await scene.runtime()
    for number in range(3):
        finished(await runtime.stream_turn(words(str(number))))
    history = await scene.history()

    assert len({message.id for message in history}) == len(history) == 12
    assert 3 == runtime.state.turn_index == await scene.revision()


async def a_turn_that_finishes_with_null_is_answered_again(stores: SessionStores) -> None:
    """Null is a value: whoever redoes the turn gets it from the stamp."""
    scene = scene_of(stores, [calls_tools(("finish", {"value": None}))])
    turn = await (await scene.runtime()).stream_turn(words("finish"), turn_id="turn-1")
    again = await (await scene.runtime()).stream_turn(words("finish"), turn_id="turn-1")

    assert FinishedOutcome(FinalValueFinish(None)) == turn.outcome == again.outcome
    assert turn.session_revision == again.session_revision


async def null_in_queue_and_history_leaves_the_session_readable(stores: SessionStores) -> None:
    """An attachment without a reference is bad input, and a plugin may note that there is nothing."""
    scene = scene_of(stores, [says("here")])
    runtime = await scene.runtime()
    await runtime.append_session_nodes([PluginPayload("notes", None)])
    await runtime.enqueue_turn_input(TurnInput((AttachmentInput(None),)))
    stopped(await runtime.run_next_queued_turn(), "invalid_input")

    assert "here" == finished(await (await scene.runtime()).stream_turn(words("are you there?")))
