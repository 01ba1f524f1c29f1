"""Tries and time limits of steps, and what stands beside steps: recorded values, events, log, gather."""

from __future__ import annotations

import asyncio
import datetime
import threading
from typing import Any

import pytest

from lash_core import StepFailed, StepRetry
from lash_core.errors import StoreUnreachableError
from lash_core.model.await_output import Success
from lash_core.model.registration import RetryPolicy
from lash_core.runtime.journal import writer as journaled_writer
from lash_core.runtime.process.context import ProcessContext
from lash_worker import App
from tests.app.kit import Bench
from tests.app.step_scene import Body, Scene


async def test_tries_end_with_the_first_success(scene: Scene) -> None:
    """A later attempt does not try again."""
    calls: list[int] = []

    def flaky() -> int:
        calls.append(1)
        if len(calls) < 3:
            raise ConnectionResetError("reset")
        return len(calls)

    async def body(ctx: ProcessContext) -> Any:
        return await ctx.step("s", flaky, retry=StepRetry(5, 1))

    assert [3, 3] == [await scene.value(body) for _ in range(2)]
    assert 3 == len(calls)


async def test_the_last_try_is_the_failure(scene: Scene) -> None:
    """lash's own retry policy is accepted too."""
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise ValueError(len(calls))

    async def body(ctx: ProcessContext) -> None:
        await ctx.step("s", fail, retry=RetryPolicy(attempts_max=3, backoff_ms=1))

    assert "ValueError: 3" in (await scene.failure(body)).message


async def test_a_taken_over_step_goes_on_with_the_next_try(scene: Scene) -> None:
    """Failed tries are in the journal, and a changed policy is no mismatch."""
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        raise ValueError

    async def body(ctx: ProcessContext) -> None:
        await ctx.step("s", fail, retry=StepRetry(5, 1))

    with pytest.raises(KeyboardInterrupt):
        await scene.run(body)

    async def changed(ctx: ProcessContext) -> None:
        await ctx.step("s", fail, retry=StepRetry(4, 2))

    await scene.failure(changed)
    assert 5 == len(calls)


async def test_a_step_that_takes_too_long_fails(scene: Scene) -> None:
    """In the loop it is cancelled; a thread goes on and its result is dropped."""
    gate, cancelled = threading.Event(), list[str]()

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append("cancelled")
            raise

    async def body(ctx: ProcessContext) -> list[str]:
        codes: list[str] = []
        for name, function in (("loop", slow), ("thread", gate.wait)):
            try:
                await ctx.step(name, function, timeout_ms=datetime.timedelta(milliseconds=20))
            except StepFailed as error:
                codes.append(f"{error.code} {error.error_type} {isinstance(error, TimeoutError)}")
        return codes

    try:
        assert ["step_timeout TimeoutError True"] * 2 == await scene.value(body)
    finally:
        gate.set()
    assert ["cancelled"] == cancelled


async def test_a_timeout_of_the_functions_own_is_an_ordinary_failure(scene: Scene) -> None:
    """Only the step's own limit is ``step_timeout``."""

    def fail() -> None:
        raise TimeoutError("a server of the user's")

    async def body(ctx: ProcessContext) -> None:
        await ctx.step("s", fail, timeout_ms=60_000)

    assert "(step_failed): TimeoutError: a server of the user's" in (await scene.failure(body)).message


# -- beside steps ----------------------------------------------------------------------------------------------------


async def test_recorded_values_are_the_same_in_every_attempt(scene: Scene) -> None:
    """Time, random numbers and UUIDs, each in the order in which they are asked for."""

    async def body(ctx: ProcessContext) -> list[Any]:
        return [await ctx.now_ms(), await ctx.random(), await ctx.random(), await ctx.uuid()]

    first = await scene.value(body)
    assert first == await scene.value(body)
    assert first[1] != first[2]


async def test_a_replay_is_silent(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """A line is written once for what happened once; ``is_replaying`` says where the function is."""
    caplog.set_level("INFO", logger="lash.process")
    seen: list[bool] = []

    def body(steps: int) -> Body:
        async def run(ctx: ProcessContext) -> None:
            for number in range(steps):
                ctx.log.info("before %d", number)
                seen.append(ctx.is_replaying)
                await ctx.step("s", abs, number, key=str(number))

        return run

    await scene.run(body(2))
    await scene.run(body(3))

    assert ["before 0", "before 1", "before 2"] == [record.getMessage() for record in caplog.records]
    assert [False, False, True, True, False] == seen


async def test_an_event_without_a_key_is_the_nth_of_its_type(scene: Scene) -> None:
    """What the first attempt said of a point stands, also when the next would say it otherwise."""

    def body(number: int) -> Body:
        async def run(ctx: ProcessContext) -> Any:
            return [(await ctx.emit("note", {"n": number + more})).payload["n"] for more in range(2)]

        return run

    assert [[1, 2], [1, 2]] == [await scene.value(body(1)), await scene.value(body(9))]
    assert 2 == len(await scene.bench.process_registry.events_after("p", 0))


async def test_which_failure_of_several_was_first_is_recorded(scene: Scene) -> None:
    """A replay, where all are there at once, raises the same one; the others were recorded as well."""
    gate = asyncio.Event()

    async def slow() -> None:
        await gate.wait()
        raise ValueError("slow")

    async def quick() -> None:
        raise ValueError("quick")

    async def body(ctx: ProcessContext) -> str:
        slowly = asyncio.ensure_future(ctx.step("slow", slow))
        try:
            await ctx.gather(slowly, ctx.step("quick", quick))
        except StepFailed as error:
            gate.set()
            await asyncio.wait([slowly])
            slowly.exception()
            return error.step
        return "none"

    assert ["quick", "quick"] == [await scene.value(body) for _ in range(2)]


async def test_gather_keeps_the_order_and_may_answer_errors(scene: Scene) -> None:
    """As asyncio's."""

    async def body(ctx: ProcessContext) -> list[str]:
        found = await ctx.gather(
            ctx.step("a", abs, -1), ctx.step("b", lambda: 1 / 0), ctx.step("c", abs, -3), return_exceptions=True
        )
        return [str(one) for one in found] + [str(await ctx.gather())]

    first = await scene.value(body)
    assert ["1", "step `b` failed (step_failed): ZeroDivisionError: division by zero", "3", "[]"] == first
    assert first == await scene.value(body)


async def test_what_the_function_left_running_starts_nothing(scene: Scene) -> None:
    """A step that begins after the function returned is refused."""
    tasks: list[asyncio.Task[Any]] = []

    async def later(ctx: ProcessContext) -> Any:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return await ctx.step("late", abs, -1)

    async def body(ctx: ProcessContext) -> str:
        tasks.append(asyncio.create_task(later(ctx)))
        return "done"

    assert "done" == await scene.value(body)
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]


async def test_a_direct_run_runs_its_steps_and_writes_nothing() -> None:
    """Without row and lease (decision 27); waits that need a row say so."""
    app = App("direct")

    @app.process("steps", disposition="rerunnable", signals={"go": None})
    async def steps(ctx: ProcessContext) -> list[Any]:
        await ctx.sleep(datetime.timedelta(milliseconds=1))
        tries = iter([ValueError("first"), None])

        def flaky() -> str:
            error = next(tries)
            if error is not None:
                raise error
            return "ok"

        found: list[Any] = [await ctx.step("s", flaky, retry=StepRetry(2, 1)), ctx.is_replaying]
        for wait in (ctx.wait_signal("go"), ctx.await_event("e").result()):
            try:
                await wait
            except Exception as error:  # noqa: BLE001 - its text is looked at
                found.append(str(error))
        return found

    with Bench(app) as bench:
        output = await bench.run("steps")
        assert isinstance(output, Success)
        assert ["ok", False] == output.value[:2]
        assert "wait_signal needs a row and a worker" in output.value[2]
        assert "await_event needs a row" in output.value[3]


def test_retries_may_be_given_by_position() -> None:
    """Tries, first wait, longest wait."""
    policy = StepRetry(4, 10, 100)

    assert (4, 10, 100) == (policy.attempts_max, policy.backoff_ms, policy.backoff_max_ms)


@pytest.mark.parametrize("handled", [False, True])
async def test_a_journal_that_cannot_be_written_is_the_workers_business(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, *, handled: bool
) -> None:
    """When the error leaves the function: the run is tried again and its outcome is not this (docs/adr/0062)."""
    monkeypatch.setattr(journaled_writer, "PATIENCE_MS", 0)
    monkeypatch.setattr(journaled_writer, "RETRY_DELAY_MS", 1)

    async def away(*_: Any, **__: Any) -> Any:
        raise StoreUnreachableError("no route")

    async def body(ctx: ProcessContext) -> str:
        try:
            await ctx.step("s", abs, -1)
        except StoreUnreachableError:
            if not handled:
                raise
        return "handled"

    monkeypatch.setattr(scene.bench.stores.effect_journal, "record_effects", away)
    if handled:
        assert "handled" == await scene.value(body)
    else:
        with pytest.raises(StoreUnreachableError):
            await scene.run(body)
