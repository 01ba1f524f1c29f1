"""Tool calls of a turn: concurrency and order, failures as answers, retries, records, live events.

``docs/contracts/sessions.md`` 3.3.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lash_core.model.chronological_projection import ChronologicalProjection
from lash_core.model.message import Message, ToolResultPart
from lash_core.model.session_graph import SessionGraph
from lash_core.model.tool_output import ToolCancelled, ToolFailure, ToolSuccess
from lash_core.model.tool_retry import ToolRetryDisposition, ToolRetryPolicy
from lash_core.model.tool_state import ToolArgumentProjectionPolicy, ToolScheduling
from lash_core.runtime.tools import ToolContext
from lash_core.runtime.turns.call_order import run_in_order
from lash_core.runtime.turns.tool_attempt import OUTPUT_BYTES_MAX
from tests.runtime.tool_kit import Odd, Turn, call, failure, tool

SAFE = ToolRetryDisposition("safe")
THREE = ToolRetryPolicy(3, 0, 0)


# -- order --------------------------------------------------------------------------------------------


async def test_calls_run_at_once_and_answer_in_call_order() -> None:
    both = asyncio.Barrier(2)
    order: list[str] = []

    async def slow(context: ToolContext, args: Any) -> str:
        await both.wait()
        await first_done.wait()
        order.append("slow")
        return "slow"

    async def fast(context: ToolContext, args: Any) -> str:
        await both.wait()
        order.append("fast")
        first_done.set()
        return "fast"

    first_done = asyncio.Event()
    turn = Turn([tool("slow", slow), tool("fast", fast)])
    assert [ToolSuccess("slow"), ToolSuccess("fast")] == await turn.outputs(call("slow", "a"), call("fast", "b"))
    assert ["fast", "slow"] == order


async def test_a_serial_call_runs_alone_and_in_its_place() -> None:
    running: set[str] = set()
    seen: dict[str, set[str]] = {}

    async def work(context: ToolContext, args: Any) -> None:
        running.add(context.call_id)
        for _ in range(5):
            await asyncio.sleep(0)
            seen.setdefault(context.call_id, set()).update(running)
        running.discard(context.call_id)

    turn = Turn([tool("read", work), tool("write", work, scheduling=ToolScheduling.SERIAL)])
    await turn.outputs(call("read", "a"), call("read", "b"), call("write", "c"), call("write", "d"), call("read", "e"))
    assert {"a", "b"} == seen["a"] | seen["b"]
    assert [{"c"}, {"d"}, {"e"}] == [seen[one] for one in "cde"]


async def test_a_round_holds_no_more_than_its_bound() -> None:
    now, most = 0, 0

    async def work(context: ToolContext, args: Any) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1

    turn = Turn([tool("t", work)], parallel_max=3)
    await turn.outputs(*(call("t", f"c{n}") for n in range(20)))
    assert 3 == most


async def test_the_first_error_ends_the_others_of_its_group() -> None:
    ended: list[int] = []

    async def work(index: int) -> int:
        try:
            if index == 1:
                raise LookupError("one")
            await asyncio.Event().wait()
        finally:
            ended.append(index)
        return index

    with pytest.raises(LookupError):
        await run_in_order([False] * 3, work)
    assert [0, 1, 2] == sorted(ended)


# -- failures -----------------------------------------------------------------------------------------


async def test_whatever_is_wrong_with_a_call_is_its_answer() -> None:
    async def raises(context: ToolContext, args: Any) -> None:
        raise LookupError("inside")

    async def odd(context: ToolContext, args: Any) -> Any:
        return Odd()

    async def no_json(context: ToolContext, args: Any) -> Any:
        return {"x": float("nan")}

    async def huge(context: ToolContext, args: Any) -> Any:
        return "x" * OUTPUT_BYTES_MAX

    async def misled(context: ToolContext, args: Any) -> Any:
        return ToolSuccess(1, control={"type": "jump"})

    async def ends_itself(context: ToolContext, args: Any) -> Any:
        raise asyncio.CancelledError

    async def fails(context: ToolContext, args: Any) -> Any:
        return failure("declared")

    makers = {f.__name__: f for f in (raises, odd, no_json, huge, misled, ends_itself, fails)}
    turn = Turn([tool(name, run) for name, run in makers.items()])
    names = ["unknown", *makers]
    outputs = await turn.outputs(*(call(name, name) for name in names))
    found = {
        name: f"{output.class_.value} {output.code}" if isinstance(output, ToolFailure) else output.type
        for name, output in zip(names, outputs, strict=True)
    }
    assert {
        "unknown": "unavailable tool_unavailable",
        "raises": "execution tool_failed",
        "odd": "internal tool_output_invalid",
        "no_json": "internal tool_output_invalid",
        "huge": "resource_limit tool_output_too_large",
        "misled": "internal tool_control_invalid",
        "ends_itself": "cancelled",
        "fails": "external x",
    } == found
    assert "LookupError: inside" == getattr(outputs[1], "message", "")


async def test_a_tool_that_is_no_member_is_unavailable() -> None:
    turn = Turn([tool("t")])
    state = turn.registry.export_state()
    entry = state.tools["id-t"].model_copy(update={"member": False})
    turn.registry.apply_state(state.model_copy(update={"tools": {"id-t": entry}}))
    (output,) = await turn.outputs(call("t"))
    assert isinstance(output, ToolFailure)
    assert "tool_unavailable" == output.code


async def test_an_attempt_has_a_time_limit() -> None:
    async def stands(context: ToolContext, args: Any) -> None:
        await context.cancellation.wait()
        await asyncio.sleep(0)
        raise RuntimeError("told")

    async def returns(context: ToolContext, args: Any) -> str:
        await context.cancellation.wait()
        return "just in time"

    turn = Turn([tool("stands", stands, timeout_ms=20), tool("returns", returns, timeout_ms=20)])
    late, value = await turn.outputs(call("stands", "a"), call("returns", "b"))
    assert isinstance(late, ToolFailure)
    assert ("timeout", "tool_timeout") == (late.class_.value, late.code)
    assert ToolSuccess("just in time") == value


async def test_results_of_a_round_fit_one_message() -> None:
    async def long(context: ToolContext, args: Any) -> Any:
        return "x" * args["size"]

    turn = Turn([tool("t", long)])
    sizes = [190_000] * 5 + [10]
    results, records = await turn.dispatch(*(call("t", f"c{n}", {"size": size}) for n, size in enumerate(sizes)))
    codes = [getattr(output, "code", "ok") for output in results.outputs]
    assert ["tool_output_too_large"] * 5 + ["ok"] == codes
    assert [output.to_json_value() for output in results.outputs] == [record.output for record in records]
    redo = Turn([tool("t", long)], journal=turn.journal)
    again, _ = await redo.dispatch(*(call("t", f"c{n}", {"size": size}) for n, size in enumerate(sizes)))
    assert results == again


async def test_calls_over_the_bound_of_a_round_fail_and_do_not_run() -> None:
    turn = Turn([tool("t")])
    results, records = await turn.dispatch(*(call("t", f"c{n}", n) for n in range(502)))
    assert ["success"] * 500 + ["failure"] * 2 == [output.type for output in results.outputs]
    assert (502, 500) == (len(records), len(turn.journal.entries))


# -- retries ------------------------------------------------------------------------------------------


async def test_only_failures_that_are_declared_safe_are_tried_again() -> None:
    async def never(context: ToolContext, args: Any) -> Any:
        attempts.append(("never", context.attempt))
        return failure()

    async def safe(context: ToolContext, args: Any) -> Any:
        attempts.append(("safe", context.attempt))
        return failure(retry=SAFE) if context.attempt < 3 else "at last"

    async def hopeless(context: ToolContext, args: Any) -> Any:
        return failure(retry=ToolRetryDisposition("safe", after_ms=1))

    attempts: list[tuple[str, int]] = []
    turn = Turn(
        [tool("never", never, retry=THREE), tool("safe", safe, retry=THREE), tool("hopeless", hopeless, retry=THREE)]
    )
    results, records = await turn.dispatch(call("never", "a"), call("safe", "b"), call("hopeless", "c"))
    assert [("never", 1), ("safe", 1), ("safe", 2), ("safe", 3)] == sorted(attempts)
    assert [failure(), ToolSuccess("at last")] == list(results.outputs[:2])
    assert failure(retry=ToolRetryDisposition("exhausted", after_ms=1)) == results.outputs[2]
    assert [1, 3, 3] == [record.attempts for record in records]
    assert {"tool:c:attempt:1", "tool:c:attempt:2", "tool:c:attempt:3"} <= set(turn.journal.effect_ids)


@pytest.mark.parametrize("disposition", ["never", "exhausted"])
async def test_a_failure_that_says_so_is_not_tried_again(disposition: Any) -> None:
    async def fails(context: ToolContext, args: Any) -> Any:
        return failure(retry=ToolRetryDisposition(disposition))

    turn = Turn([tool("t", fails, retry=THREE)])
    assert [failure(retry=ToolRetryDisposition(disposition))] == await turn.outputs(call("t"))
    assert ["tool:c:attempt:1"] == turn.journal.effect_ids


async def test_without_a_policy_a_safe_failure_is_not_tried_again() -> None:
    async def safe(context: ToolContext, args: Any) -> Any:
        return failure(retry=SAFE)

    turn = Turn([tool("t", safe)])
    assert [failure(retry=SAFE)] == await turn.outputs(call("t"))


# -- arguments ----------------------------------------------------------------------------------------


def history() -> ChronologicalProjection:
    graph = SessionGraph()
    graph.append_message(Message.user("hello", message_id="m1"))
    result = ToolResultPart("old", "t", ToolSuccess({"rows": [1, 2]}).to_json_value())
    graph.append_message(Message(id="m2", role="user", parts=(result,)))
    return ChronologicalProjection.of_nodes(graph.read_model().active_events)


async def test_projected_values_are_replaced_but_in_the_field_that_keeps_them() -> None:
    keeps = ToolArgumentProjectionPolicy.preserve_projected_refs_in_field("source")
    turn = Turn([tool("t"), tool("keeps", argument_projection=keeps)], history=history())
    await turn.outputs(call("t", "now", {"v": 5}))
    old, now = {"__projected__": "call:old"}, {"__projected__": "call:now"}
    (plain, kept) = await turn.outputs(
        call("t", "a", {"source": old, "deep": [{"x": now}]}),
        call("keeps", "b", {"source": old, "other": old}),
        iteration=1,
    )
    assert ToolSuccess({"source": {"rows": [1, 2]}, "deep": [{"x": {"v": 5}}]}) == plain
    assert ToolSuccess({"source": old, "other": {"rows": [1, 2]}}) == kept


@pytest.mark.parametrize("ref", ["call:nobody", "history:9", "history:x", "what", ""])
async def test_a_reference_to_nothing_is_a_failure_of_the_call(ref: str) -> None:
    turn = Turn([tool("t")], history=history())
    (output,) = await turn.outputs(call("t", args={"q": {"__projected__": ref}}))
    assert isinstance(output, ToolFailure)
    assert ("invalid_request", "tool_args_invalid") == (output.class_.value, output.code)


async def test_an_entry_of_the_history_can_be_named() -> None:
    turn = Turn([tool("t")], history=history())
    (output,) = await turn.outputs(call("t", args={"__projected__": "history:0"}))
    assert isinstance(output, ToolSuccess)
    assert {"type": "text", "text": "hello"} == output.value["message"]["parts"][0]


async def test_too_many_references_are_refused() -> None:
    turn = Turn([tool("t")], history=history())
    (output,) = await turn.outputs(call("t", args=[{"__projected__": "history:0"}] * 21))
    assert isinstance(output, ToolFailure)


# -- what is told and kept ----------------------------------------------------------------------------


async def test_a_call_is_streamed_under_its_id() -> None:
    async def works(context: ToolContext, args: Any) -> str:
        await context.progress({"done": 1})
        return "ok"

    turn = Turn([tool("t", works)])
    await turn.outputs(call("t", "c7", {"q": 1}))
    assert ["c7"] * 3 == [correlation for _, correlation, _ in turn.live]
    started, progress, completed = turn.live
    assert ("tool_call_started", {"call_id": "c7", "tool_name": "t", "args": {"q": 1}}) == (started[0], started[2])
    assert ("plugin_runtime", "tool_progress", {"done": 1}) == (
        progress[0],
        progress[2]["event"],
        progress[2]["progress"],
    )
    assert "tool_call_completed" == completed[0]
    assert ({"type": "success", "value": "ok"}, 1) == (completed[2]["output"], completed[2]["attempts"])


async def test_a_record_says_what_was_asked_and_answered() -> None:
    turn = Turn([tool("t")])
    _, (record,) = await turn.dispatch(call("t", "c", {"q": 1}))
    assert ("c", "t", {"q": 1}, {"type": "success", "value": {"q": 1}}, 1) == (
        record.call_id,
        record.tool_name,
        record.args,
        record.output,
        record.attempts,
    )


async def test_a_tool_sees_its_turn() -> None:
    async def looks(context: ToolContext, args: Any) -> Any:
        return [
            context.session_id,
            context.turn_id,
            context.read_view,
            len(context.history.entries),
            context.attachments is turn.stores.attachments,
            context.execution.parent_invocation.effect_id if context.execution.parent_invocation else None,
        ]

    turn = Turn([tool("t", looks)], history=history)
    assert [ToolSuccess(["s", "t", None, 2, True, "tool:c:attempt:1"])] == await turn.outputs(call("t"))


async def test_a_tool_that_answers_cancelled_by_itself_is_an_answer() -> None:
    async def gives_up(context: ToolContext, args: Any) -> Any:
        return ToolCancelled("not now")

    turn = Turn([tool("t", gives_up)])
    results, _ = await turn.dispatch(call("t"))
    assert (ToolCancelled("not now"), False) == (results.outputs[0], results.cancelled)
