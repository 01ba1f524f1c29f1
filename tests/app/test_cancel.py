"""Cancel and timeout of coroutines and of functions in threads (DESIGN 6)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from lash_core.model.await_output import AnyAwaitOutput, ProcessAwaitOutput, Success
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.process.context import ProcessContext
from lash_core.testing.waiting import eventually
from lash_worker import App
from tests.app.kit import Bench

DEADLINE_SECONDS = 5.0


@dataclass
class Scene:
    """What the functions of a test saw, and the gates that let them go on."""

    begun: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    cancels: list[str] = field(default_factory=list[str])
    running: int = 0


def make(scene: Scene) -> App:
    app = App("cancel")

    @app.process("sleeps", disposition="rerunnable")
    async def sleeps(ctx: ProcessContext) -> str:
        scene.begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            scene.cancels.append(str(ctx.reason))
            raise
        return "slept"

    @app.process("answers", disposition="rerunnable")
    async def answers(ctx: ProcessContext) -> str:
        scene.begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            scene.cancels.append(str(ctx.reason))
            await asyncio.sleep(0)
        return "answered anyway"

    @app.process("cleanup-fails", disposition="rerunnable")
    async def cleanup_fails(ctx: ProcessContext) -> str:
        scene.begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            raise ValueError("cleanup")

    @app.process("thread", disposition="rerunnable")
    def thread(ctx: ProcessContext, params: str) -> str:
        scene.running += 1
        scene.begun.set()
        assert scene.go_on.wait(DEADLINE_SECONDS)
        scene.running -= 1
        scene.cancels.append(f"{ctx.cancelled} {ctx.reason}")
        if params == "raise":
            ctx.raise_if_cancelled()
        return threading.current_thread().name.rsplit("-", 1)[0]

    return app


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def bench(scene: Scene) -> Iterator[Bench]:
    with Bench(make(scene)) as bench:
        yield bench
        scene.go_on.set()


async def ends(task: asyncio.Task[AnyAwaitOutput]) -> AnyAwaitOutput:
    async with asyncio.timeout(DEADLINE_SECONDS):
        return await task


async def started(
    bench: Bench, scene: Scene, kind: str, token: CancellationToken, params: Any = None, **facts: Any
) -> asyncio.Task[AnyAwaitOutput]:
    task = asyncio.create_task(bench.run(kind, params, token=token, **facts))
    await eventually(scene.begun.is_set)
    return task


async def test_a_cancelled_coroutine_ends_as_cancelled_with_the_reason(bench: Bench, scene: Scene) -> None:
    """Its task is cancelled once, however often the token is fired."""
    token = CancellationToken()
    task = await started(bench, scene, "sleeps", token)
    token.cancel("enough")
    token.cancel("more than enough")

    assert ProcessAwaitOutput.cancelled("enough") == await ends(task)
    assert ["enough"] == scene.cancels
    assert 0 == task.cancelling()


async def test_a_cancel_from_another_thread_arrives(bench: Bench, scene: Scene) -> None:
    """The lease keeper's thread fires it, for one."""
    token = CancellationToken()
    task = await started(bench, scene, "sleeps", token)
    await asyncio.to_thread(token.cancel, "from a thread")

    assert ProcessAwaitOutput.cancelled("from a thread") == await ends(task)


async def test_a_value_returned_anyway_is_the_outcome(bench: Bench, scene: Scene) -> None:
    """And the task it ran in is not left cancelled."""
    token = CancellationToken()
    task = await started(bench, scene, "answers", token)
    token.cancel("enough")

    assert Success(value="answered anyway") == await ends(task)
    assert 0 == task.cancelling()


async def test_an_exception_after_the_cancel_is_a_failure(bench: Bench, scene: Scene) -> None:
    """What was being cleaned up may be half done, so it is not called cancelled."""
    token = CancellationToken()
    task = await started(bench, scene, "cleanup-fails", token)
    token.cancel("enough")

    assert ProcessAwaitOutput.failure("execution", "process_failed", "ValueError: cleanup") == await ends(task)


@pytest.mark.parametrize("kind", ["sleeps", "thread"])
async def test_a_token_fired_before_means_the_function_is_not_called(bench: Bench, scene: Scene, kind: str) -> None:
    """A cancel recorded before a crash cancels the rerun at once."""
    token = CancellationToken()
    token.cancel("before")

    assert ProcessAwaitOutput.cancelled("before") == await bench.run(
        kind, "x" if kind == "thread" else None, token=token
    )
    assert not scene.begun.is_set()


async def test_the_workers_own_cancel_records_nothing(bench: Bench, scene: Scene) -> None:
    """Lease loss and drain cancel the task; CancelledError is theirs."""
    task = await started(bench, scene, "sleeps", CancellationToken())
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await ends(task)


async def test_a_lost_lease_fires_the_token_and_cancels_the_task(bench: Bench, scene: Scene) -> None:
    """Both at once: the task's cancel wins, and nothing is recorded."""
    token = CancellationToken()
    task = await started(bench, scene, "sleeps", token)
    token.cancel("lease lost")
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await ends(task)


# -- timeouts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sleeps"])
async def test_a_timeout_fails_the_process(bench: Bench, scene: Scene, kind: str) -> None:
    """It works as a cancel does and ends as failed."""
    output = await bench.run(kind, timeout_ms=20)

    expected = "process `p` ran longer than 20 ms"
    assert ProcessAwaitOutput.failure("timeout", "process_timeout", expected) == output
    assert ["timeout"] == scene.cancels


async def test_a_value_returned_after_the_timeout_counts(bench: Bench) -> None:
    """As it does after a cancel."""
    assert Success(value="answered anyway") == await bench.run("answers", timeout_ms=20)


async def test_a_cancel_before_the_timeout_is_a_cancel(bench: Bench, scene: Scene) -> None:
    """Whatever came first names the end."""
    token = CancellationToken()
    task = await started(bench, scene, "sleeps", token, timeout_ms=60_000)
    token.cancel("enough")

    assert ProcessAwaitOutput.cancelled("enough") == await ends(task)


async def test_the_declared_timeout_counts_for_rows_without_one(scene: Scene) -> None:
    """A row's own wins."""
    app = App("timeout")

    @app.process("slow", disposition="rerunnable", timeout_ms=20)
    async def slow(ctx: ProcessContext) -> None:
        await asyncio.sleep(0.1)

    with Bench(app) as bench:
        assert "failed" == (await bench.run("slow")).state
        assert "completed" == (await bench.run("slow", timeout_ms=60_000)).state


# -- threads ---------------------------------------------------------------------------------------------------------


async def test_a_synchronous_function_runs_beside_the_loop(bench: Bench, scene: Scene) -> None:
    """In a thread of the app's own pool, so that it blocks no renewal."""
    task = await started(bench, scene, "thread", CancellationToken(), "return")
    await asyncio.sleep(0)
    assert not task.done()
    scene.go_on.set()

    assert Success(value="lash-cancel") == await ends(task)
    assert ["False None"] == scene.cancels


async def test_a_cancelled_thread_keeps_its_slot_until_it_returns(bench: Bench, scene: Scene) -> None:
    """It sees the cancel; what it returns is the outcome."""
    token = CancellationToken()
    task = await started(bench, scene, "thread", token, "return")
    token.cancel("enough")
    await asyncio.sleep(0.02)
    assert not task.done()
    scene.go_on.set()

    assert "completed" == (await ends(task)).state
    assert ["True enough"] == scene.cancels


async def test_a_thread_may_end_as_cancelled(bench: Bench, scene: Scene) -> None:
    """By letting CancelledError out."""
    token = CancellationToken()
    task = await started(bench, scene, "thread", token, "raise")
    token.cancel("enough")
    scene.go_on.set()

    assert ProcessAwaitOutput.cancelled("enough") == await ends(task)


async def test_a_thread_that_times_out_sees_it(bench: Bench, scene: Scene) -> None:
    """And ends as failed when it gives up."""
    token = CancellationToken()
    task = await started(bench, scene, "thread", token, "raise", timeout_ms=20)
    await eventually(lambda: token.cancelled)
    scene.go_on.set()

    assert "process_timeout" == getattr(await ends(task), "code", None)


async def test_the_workers_cancel_waits_for_the_thread(bench: Bench, scene: Scene) -> None:
    """The function is told through its token; a second cancel gives the thread up."""
    token = CancellationToken()
    task = await started(bench, scene, "thread", token, "return")
    task.cancel()
    await eventually(lambda: token.cancelled)
    assert not task.done()
    scene.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await ends(task)
    assert 0 == scene.running

    scene.go_on.clear()
    scene.begun.clear()
    stuck = await started(bench, scene, "thread", CancellationToken(), "return")
    stuck.cancel()
    await asyncio.sleep(0)
    stuck.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ends(stuck)
    assert 1 == scene.running


async def test_threads_are_bounded(scene: Scene) -> None:
    """No more functions at once than threads; the others wait and run."""
    with Bench(make(scene), threads_max=2) as bench:
        tasks = [asyncio.create_task(bench.run("thread", "return")) for _ in range(5)]
        await eventually(lambda: scene.running == 2)
        await asyncio.sleep(0.02)
        assert 2 == scene.running
        scene.go_on.set()
        outputs = [await ends(task) for task in tasks]

    assert ["completed"] * 5 == [output.state for output in outputs]


async def test_stop_iteration_from_a_thread_is_an_ordinary_failure() -> None:
    """Futures refuse it and coroutines rename it; the run must end all the same."""
    app = App("stop")

    @app.process("stop", disposition="rerunnable")
    def stop(ctx: ProcessContext) -> None:
        raise StopIteration("end")

    with Bench(app) as bench:
        output = await bench.run("stop")

    expected = "RuntimeError: coroutine raised StopIteration"
    assert ProcessAwaitOutput.failure("execution", "process_failed", expected) == output


async def test_a_thread_can_emit() -> None:
    """``emit_from_thread`` waits for the loop; in the loop's own thread it is refused."""
    app = App("emits")

    @app.process("sync", disposition="rerunnable", event_types=["note"])
    def sync(ctx: ProcessContext) -> int:
        return ctx.emit_from_thread("note", {"n": 1}, key="k").sequence

    @app.process("async", disposition="rerunnable", event_types=["note"])
    async def in_loop(ctx: ProcessContext) -> int:
        return ctx.emit_from_thread("note").sequence

    with Bench(app) as bench:
        context = await bench.claim("sync")
        assert Success(value=1) == await bench.run("sync", context=context)
        assert "failed" == (await bench.run("async", context=context)).state
