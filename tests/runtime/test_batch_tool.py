"""The ``batch`` tool and calls that tools make (``docs/contracts/sessions.md`` 3.3)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lash_core.errors import StoreBehindError
from lash_core.model.tool_control import FinishControl
from lash_core.model.tool_output import ToolFailure, ToolSuccess
from lash_core.runtime.batch_tool import BATCH_RESULT_BYTES_MAX, batch_tool
from lash_core.runtime.tools import ToolContext
from lash_core.testing.waiting import eventually
from tests.runtime.tool_kit import Turn, call, failure, tool


async def shout(context: ToolContext, args: Any) -> Any:
    return str(args["text"]).upper()


async def fails(context: ToolContext, args: Any) -> Any:
    return failure("not today")


async def gate(context: ToolContext, args: Any) -> Any:
    await context.cancellation.wait()
    return ToolSuccess("late") if args.get("late") else failure("stopped")


def turn_of(*more: Any, **facts: Any) -> Turn:
    return Turn([batch_tool(), tool("shout", shout), tool("fails", fails), tool("gate", gate), *more], **facts)


def batch(*calls: Any) -> Any:
    return call("batch", "b", {"calls": list(calls)})


def shouts(count: int) -> list[dict[str, Any]]:
    return [{"tool": "shout", "args": {"text": f"t{n}"}} for n in range(count)]


async def entries_of(turn: Turn, *calls: Any) -> list[dict[str, Any]]:
    (output,) = await turn.outputs(batch(*calls))
    assert isinstance(output, ToolSuccess), output
    for entry in output.value:
        assert isinstance(entry.pop("duration_ms"), int)
    return output.value


async def test_each_call_has_its_own_result_or_error_by_index() -> None:
    calls = [*shouts(1), {"tool": "fails"}, {"tool": "nobody"}, {"tool": "batch", "args": {"calls": shouts(1)}}, {}, 3]
    assert [
        {"index": 0, "tool": "shout", "success": True, "result": "T0"},
        {"index": 1, "tool": "fails", "success": False, "error": "not today"},
        {"index": 2, "tool": "nobody", "success": False, "error": "unknown tool `nobody`"},
        {"index": 3, "tool": "batch", "success": False, "error": "A batch cannot be called within a batch"},
        {"index": 4, "tool": "", "success": False, "error": "the call names no tool"},
        {"index": 5, "tool": "", "success": False, "error": "the call names no tool"},
    ] == await entries_of(turn_of(), *calls)


@pytest.mark.parametrize("count", [1, 25, 26, 30])
async def test_up_to_25_calls_run(count: int) -> None:
    turn = turn_of()
    entries = await entries_of(turn, *shouts(count))
    assert list(range(count)) == [entry["index"] for entry in entries]
    assert [True] * min(count, 25) + [False] * (count - 25) == [entry["success"] for entry in entries]
    assert all(entry["error"] == "Maximum of 25 tool calls allowed in batch" for entry in entries[25:])
    ran = {f"tool:b:{n:02d}:attempt:1" for n in range(min(count, 25))}
    assert ran | {"tool:b:attempt:1"} == set(turn.journal.effect_ids)


@pytest.mark.parametrize("args", [{}, {"calls": []}, {"calls": 3}, [], {"calls": [{}] * 501}])
async def test_a_batch_without_calls_is_refused(args: Any) -> None:
    turn = turn_of()
    (output,) = await turn.outputs(call("batch", "b", args))
    assert isinstance(output, ToolFailure)
    assert "tool_args_invalid" == output.code
    assert ["tool:b:attempt:1"] == turn.journal.effect_ids


async def test_calls_of_a_batch_run_beside_each_other() -> None:
    both = asyncio.Barrier(3)

    async def meets(context: ToolContext, args: Any) -> Any:
        await both.wait()
        return "met"

    entries = await entries_of(turn_of(tool("meets", meets)), *[{"tool": "meets"}] * 3)
    assert ["met"] * 3 == [entry["result"] for entry in entries]


async def test_the_first_control_inside_is_the_batchs() -> None:
    async def ends(context: ToolContext, args: Any) -> Any:
        return ToolSuccess("end", control=FinishControl(args["n"]).to_json_value())

    turn = turn_of(tool("ends", ends))
    calls = [{"tool": "fails"}, {"tool": "ends", "args": {"n": 1}}, {"tool": "ends", "args": {"n": 2}}]
    (output,) = await turn.outputs(batch(*calls))
    assert FinishControl(1).to_json_value() == output.control


async def test_results_that_are_too_large_together_say_so() -> None:
    async def long(context: ToolContext, args: Any) -> Any:
        return "x" * args["size"]

    sizes = [BATCH_RESULT_BYTES_MAX - 2_000, 5_000, 10]
    calls = [{"tool": "long", "args": {"size": size}} for size in sizes]
    entries = await entries_of(turn_of(tool("long", long)), *calls)
    assert [False, True, True] == [entry["success"] for entry in entries]
    assert "Call this tool by itself" in entries[0]["error"]


async def test_a_redone_batch_runs_only_what_was_not_recorded() -> None:
    async def counted(context: ToolContext, args: Any) -> Any:
        ran.append(context.call_id)
        if args["n"] == 1 and len(ran) == 2:
            first.token.cancel("worker gone")
            await context.cancellation.wait()
            await asyncio.Event().wait()
        return args["n"]

    ran: list[str] = []
    first = Turn([batch_tool(), tool("counted", counted)])
    calls = [{"tool": "counted", "args": {"n": n}} for n in range(2)]
    results, _ = await first.dispatch(batch(*calls))
    assert results.cancelled
    assert ["tool:b:00:attempt:1"] == first.journal.effect_ids, "neither the batch nor the call that was cut short"
    redo = Turn([batch_tool(), tool("counted", counted)], journal=first.journal)
    assert [0, 1] == [entry["result"] for entry in await entries_of(redo, *calls)]
    assert ["b:00", "b:01", "b:01"] == ran


async def test_a_cancel_reaches_the_calls_inside() -> None:
    turn = turn_of()
    round_ = asyncio.create_task(turn.dispatch(batch({"tool": "gate"}, {"tool": "gate", "args": {"late": True}})))
    await eventually(lambda: len(turn.live) == 3)
    turn.token.cancel("stop")
    results, _ = await round_
    assert results.cancelled
    assert "cancelled" == results.outputs[0].type


async def test_a_call_inside_that_cannot_be_recorded_is_no_answer() -> None:
    turn = turn_of()
    turn.journal.failing.append(StoreBehindError("s", acknowledged=2, stored=1))
    with pytest.raises(StoreBehindError):
        await turn.dispatch(batch(*shouts(1)))
    assert {} == turn.journal.entries


async def test_a_tool_may_call_others_under_ids_of_its_own() -> None:
    async def asks(context: ToolContext, args: Any) -> Any:
        (answer,) = await context.call_tools((call("shout", args["id"], {"text": "x"}),))
        return answer.output

    turn = turn_of(tool("asks", asks))
    assert [ToolSuccess("X")] == await turn.outputs(call("asks", "a", {"id": "a:one"}))
    (output,) = await turn.outputs(call("asks", "c", {"id": "a:one"}), iteration=1)
    assert isinstance(output, ToolFailure)
    assert "must begin with `c:`" in output.message


async def test_calls_do_not_nest_deeper() -> None:
    async def asks(context: ToolContext, args: Any) -> Any:
        (answer,) = await context.call_tools((call(args["tool"], f"{context.call_id}:x", {"tool": "shout"}),))
        return answer.output

    turn = turn_of(tool("asks", asks))
    (output,) = await turn.outputs(call("asks", "a", {"tool": "asks"}))
    assert isinstance(output, ToolFailure)
    assert "another tool called" in output.message
