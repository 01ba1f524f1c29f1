"""Work-horses without a fleet: what an order may name, what happens when the queue or its server is away."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio
from rq import Callback

from lash_core.settings import Settings
from lash_core.testing.waiting import eventually
from lash_worker.app import load_app
from lash_worker.isolation import horses as horses_module
from lash_worker.isolation.faces import RqCall
from lash_worker.isolation.horses import Horses, HorseStop, HorseUnavailableError
from lash_worker.isolation.job_queue import JobQueue
from lash_worker.isolation.opening import open_horses
from lash_worker.isolation.order import HorseEnd, HorseOrder
from lash_worker.isolation.private_server import PrivateServer
from tests.isolation.conftest import APP_PATH

pytestmark = [pytest.mark.faults, pytest.mark.asyncio(loop_scope="module")]


class Stable:
    """One horse, its queue and its server."""

    def __init__(self, horses: Horses, jobs: JobQueue, server: PrivateServer) -> None:
        self.horses = horses
        self.jobs = jobs
        self.server = server
        self.number = 0

    async def run(
        self, kind: str, params: Any = None, *, app: str = APP_PATH, rq_call: RqCall | None = None
    ) -> HorseEnd:
        self.number += 1
        order = HorseOrder(job_id=f"job-{self.number}", app=app, kind=kind, process_id="p", params=params)
        async with asyncio.timeout(20):
            return await self.horses.run(order, rq_call, HorseStop())


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stable() -> AsyncGenerator[Stable]:
    horses = await open_horses(1, [load_app(APP_PATH)], Settings())
    await horses.start()
    try:
        jobs, server = horses._jobs, horses._server
        assert isinstance(jobs, JobQueue)
        assert isinstance(server, PrivateServer)
        yield Stable(horses, jobs, server)
    finally:
        await horses.stop()


async def test_an_order_names_no_function(stable: Stable) -> None:
    """Only kinds that the app isolates run, whatever import path the job carries."""
    system: RqCall = ("os.system", ["exit 7"], {})

    for app, kind in ((APP_PATH, "plain"), (APP_PATH, "os.system"), ("os:path", "sum")):
        end = await stable.run(kind, app=app, rq_call=system)
        assert end.outcome is not None
        assert "failure" == end.outcome["type"]
        assert "does not isolate" in end.outcome["message"]


async def test_a_foreign_job_in_the_queue_runs_nothing(stable: Stable) -> None:
    """It has no order, so it ends before any function of its is looked up."""
    queue = stable.jobs._queue
    job = queue.enqueue_call("os.mkdir", args=["/tmp/never"], timeout=-1)
    await eventually(lambda: job.get_status(refresh=True).value == "failed", within_ms=10_000)

    assert not os.path.exists("/tmp/never")  # noqa: PTH110
    assert {"type": "success", "value": 3} == (await stable.run("sum", {"a": 1, "b": 2})).outcome


async def test_callbacks_of_a_job_are_not_called(stable: Stable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their import paths would come from data."""
    queue, enqueue = stable.jobs._queue, stable.jobs._queue.enqueue_call
    callback = Callback("tests.isolation.legacy_jobs.explode")

    def with_callback(*args: Any, **options: Any) -> Any:
        return enqueue(*args, **options, on_success=callback)

    monkeypatch.setattr(queue, "enqueue_call", with_callback)
    end = await stable.run("sum", {"a": 1, "b": 2})

    assert ({"type": "success", "value": 3}, 0) == (end.outcome, end.exit_code)
    assert f"job-{stable.number}" not in queue.failed_job_registry.get_job_ids(cleanup=False)


async def test_a_horse_that_nobody_asked_for_is_killed(stable: Stable) -> None:
    """Whoever can write to the queue still gets nothing run for long."""
    order = HorseOrder(job_id="forged", app=APP_PATH, kind="doze", process_id="p", params=600)
    job = stable.jobs._queue.enqueue_call(
        "lash_worker.isolation.horse.ended",
        timeout=-1,
        job_id=order.job_id,
        meta={"lash": order.to_json_value()},
    )

    await eventually(lambda: job.get_status(refresh=True).value == "failed", within_ms=10_000)


async def test_a_server_that_dies_is_started_again_and_jobs_go_on(stable: Stable) -> None:
    """A horse that runs does not notice; the next one waits for the new server."""
    process = stable.server._process
    assert process is not None
    running = asyncio.create_task(stable.run("doze", 1.0))
    await eventually(lambda: any(job.started.is_set() for job in stable.horses._running.values()), within_ms=10_000)
    process.kill()

    assert {"type": "success", "value": 1.0} == (await running).outcome
    await eventually(lambda: stable.server.is_running, within_ms=10_000)
    assert {"type": "success", "value": 3} == (await stable.run("sum", {"a": 1, "b": 2})).outcome


async def test_a_frozen_runner_is_killed_when_its_horse_must_end(
    stable: Stable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot obey or report; the kernel ends the horse with it."""
    monkeypatch.setattr(horses_module, "KILL_MS_MAX", 200)
    stop = HorseStop()
    order = HorseOrder(job_id="frozen", app=APP_PATH, kind="doze", process_id="p", params=600)
    running = asyncio.create_task(stable.horses.run(order, None, stop))
    await eventually(lambda: any(job.started.is_set() for job in stable.horses._running.values()), within_ms=10_000)
    pid = stable.horses.runners[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    stop.ask(0)

    assert "lost its runner" in (await running).detail
    assert {"type": "success", "value": 3} == (await stable.run("sum", {"a": 1, "b": 2})).outcome


class NoRunner:
    """A queue that nobody reads."""

    def __init__(self) -> None:
        self.taken_back: list[str] = []

    def put(self, order: HorseOrder, rq_call: RqCall | None) -> None:
        """Lose it."""

    def take_back(self, job_id: str) -> bool:
        self.taken_back.append(job_id)
        return True

    def close(self) -> None:
        """Nothing to close."""


async def test_horses_are_ready_when_one_runner_is(stable: Stable) -> None:
    """What ``/readyz`` says; stopping twice is harmless."""
    idle = Horses(2, NoRunner(), {})

    assert "no work-horse runner is ready" == idle.trouble
    await idle.stop()
    await idle.stop()
    async with asyncio.timeout(20):
        await stable.horses.ready()
    assert stable.horses.trouble is None


async def test_a_run_that_nobody_starts_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the bound, as something that another try may cure: nothing was run."""
    monkeypatch.setattr(horses_module, "START_MS_MAX", 50)
    jobs = NoRunner()
    horses = Horses(1, jobs, {})
    order = HorseOrder(job_id="j", app=APP_PATH, kind="sum", process_id="p")

    with pytest.raises(HorseUnavailableError, match="within 50 ms"):
        await horses.run(order, None, HorseStop())
    assert ["j"] == jobs.taken_back


async def test_a_run_that_waits_for_a_horse_can_be_stopped() -> None:
    """In the queue, and before it has a place there; nothing is left behind."""
    jobs = NoRunner()
    horses = Horses(1, jobs, {})
    stops = [HorseStop(), HorseStop()]
    runs = [
        asyncio.create_task(
            horses.run(HorseOrder(job_id=f"j{n}", app=APP_PATH, kind="sum", process_id="p"), None, stops[n])
        )
        for n in range(2)
    ]
    await eventually(lambda: len(horses._running) == 1)
    stops[1].ask(1_000)
    assert HorseEnd(stopped=True) == await runs[1]
    stops[0].ask(1_000)
    assert HorseEnd(stopped=True) == await runs[0]
    assert ["j0"] == jobs.taken_back
    assert 1 == horses._places._value
