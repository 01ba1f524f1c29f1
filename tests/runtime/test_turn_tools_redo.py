"""Tool calls of a turn that is redone, cancelled, or loses its lease: what runs again and what does not (3.3, 3.4)."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from lash_core.errors import RuntimeFailure, StoreBehindError, StoreFullError, StoreUnreachableError
from lash_core.model.tool_output import ToolCancelled, ToolFailure, ToolSuccess
from lash_core.model.tool_retry import ToolRetryDisposition, ToolRetryPolicy
from lash_core.runtime import tools as tools_module
from lash_core.runtime.session.lease_guard import SessionLeaseLostError
from lash_core.runtime.tools import ToolContext
from lash_core.testing.waiting import eventually
from tests.runtime.tool_kit import Turn, call, failure, tool

SAFE = ToolRetryDisposition("safe")


class Counted:
    """A tool that counts its calls."""

    def __init__(self, value: Any = "ok") -> None:
        self.calls = 0
        self._value = value

    async def __call__(self, context: ToolContext, args: Any) -> Any:
        self.calls += 1
        return self._value


# -- redo ---------------------------------------------------------------------------------------------


async def test_a_recorded_attempt_is_answered_and_streams_nothing() -> None:
    counted = Counted()
    first = Turn([tool("t", counted)])
    answered = await first.dispatch(call("t"))
    redo = Turn([tool("t", counted)], journal=first.journal)
    assert answered == await redo.dispatch(call("t")), "records and all"
    assert (1, []) == (counted.calls, redo.live)


async def test_a_tool_that_vanished_answers_what_was_recorded() -> None:
    first = Turn([tool("t", Counted("then"))])
    await first.dispatch(call("t"))
    redo = Turn([], journal=first.journal)
    assert [ToolSuccess("then")] == await redo.outputs(call("t"))


async def test_a_tool_that_came_later_does_not_change_what_was_recorded() -> None:
    first = Turn([])
    missing = await first.outputs(call("t"))
    redo = Turn([tool("t", Counted())], journal=first.journal)
    assert missing == await redo.outputs(call("t"))


async def test_a_redo_goes_on_with_the_next_attempt() -> None:
    async def flaky(context: ToolContext, args: Any) -> Any:
        attempts.append(context.attempt)
        if context.attempt == 1:
            return failure(retry=SAFE)
        first.token.cancel("worker gone")
        return await asyncio.Event().wait()

    async def well(context: ToolContext, args: Any) -> Any:
        attempts.append(context.attempt)
        return "ok"

    attempts: list[int] = []
    # The wait before the second attempt is not waited for again.
    policy = ToolRetryPolicy(3, 0, 0)
    first = Turn([tool("t", flaky, retry=policy)])
    await first.dispatch(call("t"))
    redo = Turn([tool("t", well, retry=ToolRetryPolicy(3, 60_000, 60_000))], journal=first.journal)
    results, (record,) = await redo.dispatch(call("t"))
    assert ([1, 2, 2], (ToolSuccess("ok"),), 2) == (attempts, results.outputs, record.attempts)


async def test_a_redo_does_not_wait_again() -> None:
    async def fails_once(context: ToolContext, args: Any) -> Any:
        return failure(retry=SAFE) if context.attempt == 1 else "ok"

    tools = [tool("t", fails_once, retry=ToolRetryPolicy(3, 60_000, 60_000))]
    first = Turn(tools)
    round_ = asyncio.create_task(first.dispatch(call("t")))
    await eventually(lambda: bool(first.journal.entries))
    first.token.cancel("worker gone")
    await round_
    redo = Turn(tools, journal=first.journal)
    assert [ToolSuccess("ok")] == await asyncio.wait_for(redo.outputs(call("t")), 5)


async def test_another_policy_does_not_change_what_was_decided() -> None:
    async def fails(context: ToolContext, args: Any) -> Any:
        return failure(retry=SAFE)

    first = Turn([tool("t", fails, retry=ToolRetryPolicy(2, 0, 0))])
    answered = await first.dispatch(call("t"))
    redo = Turn([tool("t", fails, retry=ToolRetryPolicy(5, 0, 0))], journal=first.journal)
    assert answered == await redo.dispatch(call("t"))
    assert 2 == len(redo.journal.entries)


async def test_another_request_under_a_recorded_id_ends_the_turn() -> None:
    counted = Counted()
    first = Turn([tool("t", counted)])
    await first.dispatch(call("t", args={"q": 1}))
    redo = Turn([tool("t", counted)], journal=first.journal)
    with pytest.raises(RuntimeFailure, match="replay_hash_conflict"):
        await redo.dispatch(call("t", args={"q": 2}))
    assert 1 == counted.calls


# -- cancellation -------------------------------------------------------------------------------------


async def test_a_cancel_tells_the_tools_and_records_nothing_of_them() -> None:
    seen: list[str | None] = []

    async def listens(context: ToolContext, args: Any) -> Any:
        seen.append(await context.cancellation.wait())
        return ToolCancelled("stopped")

    turn = Turn([tool("listens", listens), tool("quick", Counted())])
    round_ = asyncio.create_task(turn.dispatch(call("listens", "a"), call("quick", "b")))
    await eventually(lambda: "tool:b:attempt:1" in turn.journal.effect_ids)
    turn.token.cancel("user said stop")
    results, _ = await round_
    assert (["user said stop"], True) == (seen, results.cancelled)
    assert (ToolCancelled("user said stop"), ToolSuccess("ok")) == results.outputs
    assert ["tool:b:attempt:1"] == turn.journal.effect_ids, "a redo runs the other one again"


@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_tool_that_does_not_listen_is_ended(stubborn: bool) -> None:
    ended = asyncio.Event()

    async def deaf(context: ToolContext, args: Any) -> Any:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if not stubborn or ended.is_set():
                    raise
                ended.set()

    turn = Turn([tool("deaf", deaf)])
    round_ = asyncio.create_task(turn.dispatch(call("deaf")))
    await eventually(lambda: bool(turn.live))
    began = time.monotonic()
    turn.token.cancel("stop")
    results, _ = await round_
    assert (True, True) == (results.cancelled, time.monotonic() - began < 2)


async def test_a_tool_that_finishes_in_its_grace_has_answered() -> None:
    async def finishes(context: ToolContext, args: Any) -> Any:
        await context.cancellation.wait()
        return "done all the same"

    turn = Turn([tool("t", finishes)])
    round_ = asyncio.create_task(turn.dispatch(call("t")))
    await eventually(lambda: bool(turn.live))
    turn.token.cancel("stop")
    results, _ = await round_
    assert ((ToolSuccess("done all the same"),), False) == (results.outputs, results.cancelled)
    assert ["tool:c:attempt:1"] == turn.journal.effect_ids


async def test_the_token_may_fire_in_any_thread() -> None:
    async def listens(context: ToolContext, args: Any) -> Any:
        await context.cancellation.wait()
        raise LookupError("interrupted")

    turn = Turn([tool("t", listens)])
    round_ = asyncio.create_task(turn.dispatch(call("t")))
    await eventually(lambda: bool(turn.live))
    thread = threading.Thread(target=turn.token.cancel, args=("stop",))
    thread.start()
    results, _ = await round_
    thread.join()
    assert results.cancelled
    assert {} == turn.journal.entries


async def test_nothing_begins_after_a_cancel_but_what_is_recorded_is_answered() -> None:
    counted = Counted()
    first = Turn([tool("t", counted)])
    await first.dispatch(call("t", "a"))
    redo = Turn([tool("t", counted)], journal=first.journal)
    redo.token.cancel("stop")
    results, _ = await redo.dispatch(call("t", "a"), call("t", "b"))
    assert (ToolSuccess("ok"), ToolCancelled("stop")) == results.outputs
    assert (1, True, []) == (counted.calls, results.cancelled, redo.live)


async def test_a_cancel_ends_the_wait_before_an_attempt() -> None:
    async def fails(context: ToolContext, args: Any) -> Any:
        return failure(retry=SAFE)

    turn = Turn([tool("t", fails, retry=ToolRetryPolicy(3, 60_000, 60_000))])
    round_ = asyncio.create_task(turn.dispatch(call("t")))
    await eventually(lambda: bool(turn.journal.entries))
    turn.token.cancel("stop")
    results, _ = await round_
    assert ((ToolCancelled("stop"),), True) == (results.outputs, results.cancelled)


async def test_a_cancelled_dispatch_leaves_no_task_behind() -> None:
    ended = asyncio.Event()

    async def waits(context: ToolContext, args: Any) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    turn = Turn([tool("t", waits)])
    round_ = asyncio.create_task(turn.dispatch(call("t", "a"), call("t", "b")))
    await eventually(lambda: len(turn.live) == 2)
    round_.cancel()
    with pytest.raises(asyncio.CancelledError):
        await round_
    assert ended.is_set()
    assert 1 == len([task for task in asyncio.all_tasks() if not task.done()])


# -- the store ----------------------------------------------------------------------------------------


async def test_a_lost_lease_is_no_answer_of_a_tool() -> None:
    async def works(context: ToolContext, args: Any) -> Any:
        turn.run_of.lose("taken")
        return "done"

    turn = Turn([tool("t", works)])
    with pytest.raises(SessionLeaseLostError):
        await turn.dispatch(call("t"))
    assert {} == turn.journal.entries


async def test_a_store_error_of_the_journal_is_no_answer_of_a_tool() -> None:
    turn = Turn([tool("t", Counted())])
    turn.journal.failing.append(StoreBehindError("s", acknowledged=2, stored=1))
    with pytest.raises(StoreBehindError):
        await turn.dispatch(call("t"))


async def test_a_store_error_inside_a_tool_is_its_failure() -> None:
    async def asks_its_own_store(context: ToolContext, args: Any) -> Any:
        raise StoreUnreachableError("the tool's own")

    turn = Turn([tool("t", asks_its_own_store)])
    (output,) = await turn.outputs(call("t"))
    assert isinstance(output, ToolFailure)


class FullStart:
    """``start_kind`` of a store that has no room at first."""

    def __init__(self) -> None:
        self.room = False

    async def __call__(self, *_: Any, **__: Any) -> str:
        if not self.room:
            raise StoreFullError("s")
        return "p1"


async def test_a_start_that_the_sessions_store_refuses_is_no_answer_of_its_tool(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The worker redoes the turn, and the tool starts its process then."""

    async def orders(context: ToolContext, args: Any) -> Any:
        return await context.start_process("deliver")

    start = FullStart()
    monkeypatch.setattr(tools_module, "start_kind", start)
    turn = Turn([tool("t", orders)])
    with pytest.raises(StoreFullError):
        await turn.dispatch(call("t"))
    assert {} == turn.journal.entries

    start.room = True
    redo = Turn([tool("t", orders)], journal=turn.journal)
    assert [ToolSuccess("p1")] == await redo.outputs(call("t"))


async def test_a_tool_that_goes_on_over_a_refused_start_has_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def orders(context: ToolContext, args: Any) -> Any:
        try:
            return await context.start_process("deliver")
        except StoreFullError:
            return "later"

    monkeypatch.setattr(tools_module, "start_kind", FullStart())
    assert [ToolSuccess("later")] == await Turn([tool("t", orders)]).outputs(call("t"))
