"""A cancel or timeout that was there before an attempt arrives where the last one was interrupted (ADR 0107)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lash_core.model.await_event import Resolution
from lash_core.model.await_output import ProcessAwaitOutput, Success
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.journal.run import RunEffects
from lash_core.runtime.process.context import ProcessContext
from lash_core.runtime.process.execution_context import ProcessExecutionContext
from lash_core.testing.waiting import eventually
from lash_worker import App
from tests.app.kit import Bench

DEADLINE_SECONDS = 5.0


class Interrupted:
    """A process that was interrupted at some place, and its next attempt with a cancel from before."""

    def __init__(self, bench: Bench, context: ProcessExecutionContext) -> None:
        self.bench = bench
        self.context = context

    async def first_attempt(self, kind: str, reached: Any, params: Any = None) -> None:
        """Run until ``reached()``; then the worker takes the run out of memory."""
        task = asyncio.create_task(self.bench.run(kind, params, context=await self.bench.attempt(self.context)))
        await eventually(reached)
        # As the worker does it: what the function does while it is unwound is no part of the process.
        assert isinstance(self.bench.effects, RunEffects)
        self.bench.effects.refuse()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def cancelled_attempt(self, kind: str, params: Any = None) -> Any:
        """The next attempt; its cancel is known before it starts."""
        token = CancellationToken()
        token.cancel("enough")
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await self.bench.run(kind, params, context=await self.bench.attempt(self.context), token=token)


async def interrupted(app: App, kind: str, params: Any = None) -> Interrupted:
    bench = Bench(app)
    return Interrupted(bench, await bench.claim(kind, params))


async def test_compensation_runs_where_the_function_was() -> None:
    """Recorded steps are answered first; steps of the handler run, and the cancel is delivered once."""
    app, done = App("saga"), list[str]()

    @app.process("p", disposition="rerunnable")
    async def process(ctx: ProcessContext) -> str:
        stage = "nothing"
        try:
            await ctx.step("reserve", done.append, "reserve")
            stage = "reserved"
            await ctx.step("charge", done.append, "charge")
            stage = "charged"
            await ctx.sleep(60_000)
            stage = "slept"
        except asyncio.CancelledError:
            await ctx.step("undo", done.append, f"undo {stage}")
            await ctx.sleep(1)
            raise
        return stage

    scene = await interrupted(app, "p")
    await scene.first_attempt("p", lambda: done == ["reserve", "charge"])
    assert ProcessAwaitOutput.cancelled("enough") == await scene.cancelled_attempt("p")
    assert ["reserve", "charge", "undo charged"] == done


async def test_it_arrives_at_the_first_step_that_is_not_recorded() -> None:
    """Which is not run."""
    app, done = App("saga"), list[str]()

    async def stuck() -> None:
        done.append("stuck")
        await asyncio.sleep(60)

    @app.process("p", disposition="rerunnable")
    async def process(ctx: ProcessContext) -> str:
        await ctx.step("a", done.append, "a")
        seen = [ctx.cancelled, ctx.reason]
        try:
            await ctx.step("b", stuck)
        except asyncio.CancelledError:
            done.append(f"{seen} {ctx.cancelled} {ctx.reason}")
            return "handled"
        return "not cancelled"

    scene = await interrupted(app, "p")
    await scene.first_attempt("p", lambda: "stuck" in done)
    done.clear()
    assert Success(value="handled") == await scene.cancelled_attempt("p")
    assert ["[False, None] True enough"] == done


async def test_it_arrives_in_what_is_not_lashs() -> None:
    """The function waited for something of its own after its last recorded step."""
    app, done = App("plain"), list[str]()

    @app.process("p", disposition="rerunnable")
    async def process(ctx: ProcessContext) -> None:
        await ctx.step("a", done.append, "a")
        done.append("waiting")
        await asyncio.sleep(60)

    scene = await interrupted(app, "p")
    await scene.first_attempt("p", lambda: "waiting" in done)
    assert ProcessAwaitOutput.cancelled("enough") == await scene.cancelled_attempt("p")
    assert ["a", "waiting", "waiting"] == done


async def test_it_arrives_in_a_signal_wait() -> None:
    """Which leaves no journal entry but the wait that the row shows."""
    app, seen = App("waits"), list[str]()

    @app.process("p", disposition="rerunnable", signals={"go": None})
    async def process(ctx: ProcessContext) -> str:
        try:
            await ctx.wait_signal("go")
        except asyncio.CancelledError:
            seen.append("cancelled")
            return "cleaned up"
        return "signalled"

    scene = await interrupted(app, "p")

    async def shows_the_wait() -> bool:
        record = await scene.bench.process_registry.get_process("p")
        return record is not None and record.wait is not None

    await scene.first_attempt("p", shows_the_wait)
    seen.clear()
    assert Success(value="cleaned up") == await scene.cancelled_attempt("p")
    assert ["cancelled"] == seen


async def test_a_resolved_promise_is_answered_before_the_cancel() -> None:
    """It is part of what the earlier attempt had; the next wait is not."""
    app, keys = App("promises"), dict[str, Any]()

    @app.process("p", disposition="rerunnable")
    async def process(ctx: ProcessContext) -> Any:
        first, second = ctx.await_event("first"), ctx.await_event("second")
        keys.update(first=first.key)
        found = [await first]
        try:
            await second
        except asyncio.CancelledError:
            found.append("cancelled")
        return found

    scene = await interrupted(app, "p")

    async def waits_for_first() -> bool:
        return "process:p:await_event:first" in await scene.bench.stores.effect_journal.load_effects("p")

    await scene.first_attempt("p", waits_for_first)
    await scene.bench.stores.effect_host.resolve_await_event(keys["first"], Resolution.ok(1))
    assert Success(value=[1, "cancelled"]) == await scene.cancelled_attempt("p")


@pytest.mark.parametrize("blocking", [False, True])
async def test_a_process_that_recorded_nothing_ends_without_a_call(*, blocking: bool) -> None:
    """There is nothing to make up for."""
    app, calls = App("nothing"), list[str]()

    @app.process("loop", disposition="rerunnable")
    async def in_loop(ctx: ProcessContext) -> None:
        calls.append("loop")

    @app.process("thread", disposition="rerunnable")
    def in_thread(ctx: ProcessContext) -> None:
        calls.append("thread")

    kind = "thread" if blocking else "loop"
    scene = await interrupted(app, kind)
    assert ProcessAwaitOutput.cancelled("enough") == await scene.cancelled_attempt(kind)
    assert [] == calls


async def test_a_thread_gets_it_at_its_next_call() -> None:
    """Once; its handler's steps run."""
    app, done = App("threads"), list[str]()

    @app.process("p", disposition="rerunnable")
    def process(ctx: ProcessContext) -> str:
        lash = ctx.blocking
        try:
            lash.step("a", done.append, "a")
            lash.sleep(60_000)
        except asyncio.CancelledError:
            lash.step("undo", done.append, f"undo {ctx.cancelled}")
            return "undone"
        return "slept"

    scene = await interrupted(app, "p")

    async def sleeps() -> bool:
        return "process:p:sleep:1" in await scene.bench.stores.effect_journal.load_effects("p")

    await scene.first_attempt("p", sleeps)
    done.clear()
    assert Success(value="undone") == await scene.cancelled_attempt("p")
    assert ["undo True"] == done


async def test_a_cancel_while_a_thread_waits_interrupts_the_wait() -> None:
    """As it does in the loop."""
    app = App("threads")

    @app.process("p", disposition="rerunnable")
    def process(ctx: ProcessContext) -> str:
        try:
            ctx.blocking.sleep(60_000)
        except asyncio.CancelledError:
            ctx.blocking.sleep(1)
            return f"cleaned up: {ctx.reason}"
        return "slept"

    scene, token = await interrupted(app, "p"), CancellationToken()
    context = await scene.bench.attempt(scene.context)
    task = asyncio.create_task(scene.bench.run("p", context=context, token=token))

    async def sleeps() -> bool:
        return "process:p:sleep:1" in await scene.bench.stores.effect_journal.load_effects("p")

    await eventually(sleeps)
    token.cancel("stop it")

    async with asyncio.timeout(DEADLINE_SECONDS):
        assert Success(value="cleaned up: stop it") == await task


async def test_a_run_taken_out_of_memory_ends_its_thread() -> None:
    """Every call raises from then on, so that the function cannot record anything by mistake."""
    app, ends = App("threads"), list[str]()

    @app.process("p", disposition="rerunnable")
    def process(ctx: ProcessContext) -> None:
        for call in (lambda: ctx.blocking.sleep(60_000), lambda: ctx.blocking.step("b", ends.append, "ran")):
            try:
                call()
            except asyncio.CancelledError:
                ends.append("cancelled")

    scene = await interrupted(app, "p")

    async def sleeps() -> bool:
        return "process:p:sleep:1" in await scene.bench.stores.effect_journal.load_effects("p")

    await scene.first_attempt("p", sleeps)

    # Its thread hears of the end a moment after the attempt is over.
    await eventually(lambda: ends == ["cancelled", "cancelled"])


async def test_a_signal_that_came_is_answered_before_the_cancel() -> None:
    """It is in the log; what the function did not have yet is where the cancel arrives."""
    app, seen = App("signals"), list[str]()

    @app.process("p", disposition="rerunnable", signals={"go": None})
    async def process(ctx: ProcessContext) -> Any:
        await ctx.step("a", seen.append, "a")
        seen.append(await ctx.wait_signal("go"))
        try:
            await ctx.sleep(60_000)
        except asyncio.CancelledError:
            return "cancelled while it slept"
        return "slept"

    scene = await interrupted(app, "p")
    request = ProcessEventAppendRequest.signal("p", "go", "gone", signal_id="1")
    await scene.bench.process_registry.append_event("p", request)

    async def sleeps() -> bool:
        return "process:p:sleep:1" in await scene.bench.stores.effect_journal.load_effects("p")

    await scene.first_attempt("p", sleeps)
    assert Success(value="cancelled while it slept") == await scene.cancelled_attempt("p")
    assert ["a", "gone", "gone"] == seen


class Reading:
    """Waits whose first look at the log is the moment in which something happens."""

    def __init__(self, waits: Any, happens: Any) -> None:
        self._waits = waits
        self._happens = happens

    async def logged(self, event_type: str) -> Any:
        self._happens()
        for _ in range(5):
            await asyncio.sleep(0)
        return await self._waits.logged(event_type)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._waits, name)


async def test_a_cancel_that_comes_while_the_run_replays_waits_for_its_end() -> None:
    """What the function had is answered first, though it suspends meanwhile."""
    app, seen = App("signals"), list[str]()

    @app.process("p", disposition="rerunnable", signals={"go": None})
    async def process(ctx: ProcessContext) -> Any:
        stage = "nothing"
        try:
            await ctx.step("a", seen.append, "a")
            await ctx.wait_signal("go")
            stage = "signalled"
            await ctx.step("b", seen.append, "b")
            stage = "b"
            await ctx.sleep(60_000)
        except asyncio.CancelledError:
            return f"cancelled after {stage}"
        return "slept"

    scene, token = await interrupted(app, "p"), CancellationToken()
    request = ProcessEventAppendRequest.signal("p", "go", None, signal_id="1")
    await scene.bench.process_registry.append_event("p", request)

    async def sleeps() -> bool:
        return "process:p:sleep:1" in await scene.bench.stores.effect_journal.load_effects("p")

    await scene.first_attempt("p", sleeps)
    context = await scene.bench.attempt(scene.context)
    waits: Any = Reading(context.waits, lambda: token.cancel("enough"))
    async with asyncio.timeout(DEADLINE_SECONDS):
        output = await scene.bench.run("p", context=context.with_waits(waits), token=token)

    assert Success(value="cancelled after b") == output
    assert ["a", "b"] == seen
