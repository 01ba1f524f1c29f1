"""Apps whose processes wait, over memory and a real server; runs stay in memory, or are parked at every wait."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from lash_core.errors import ProcessFailed
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.registration import RetryPolicy
from lash_core.redis_store.stores import RedisStores
from lash_core.runtime.process.context import ProcessContext
from lash_core.settings import StoreSettings
from lash_core.testing.servers import ValkeyServer
from lash_core.testing.waiting import eventually
from lash_worker.app import App
from lash_worker.services.process_run import ProcessRun
from lash_worker.testing import running_apps

AnyStores = InMemoryStores | RedisStores
DEPTH = 20


@pytest.fixture(params=["memory", "redis"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[AnyStores]:
    """Fresh stores."""
    if request.param == "memory":
        async with InMemoryStores() as stores:
            yield stores
        return
    settings = StoreSettings(partitions=4, failover_grace_ms=0)
    with ValkeyServer() as server:
        async with RedisStores.connect(server.url, "lash", settings) as stores:
            yield stores


@pytest.fixture(params=[5_000, 0], ids=["resident", "parked"])
def park_after_ms(request: pytest.FixtureRequest) -> int:
    """In memory while it waits, or out of it at every wait."""
    return int(request.param)


@dataclass
class Counts:
    """What happened outside of the processes."""

    steps: Counter[str] = field(default_factory=Counter[str])
    runs: Counter[str] = field(default_factory=Counter[str])


def waiting_app(counts: Counts) -> App:
    """Chains, fans, sleepers, waiters, and what fails twice."""
    app = App("waiting", version="7")
    declare_parents(app, counts)
    declare_waiters(app, counts)
    declare_failing(app, counts)
    return app


def declare_parents(app: App, counts: Counts) -> None:
    """What awaits children."""

    @app.process("chain", disposition="rerunnable")
    async def chain(ctx: ProcessContext, params: int) -> int:
        counts.runs["chain"] += 1
        if params == DEPTH:
            return 0
        child = await ctx.start_child("chain", params + 1)
        return 1 + await child.result()

    @app.process("threads", disposition="rerunnable")
    def threads(ctx: ProcessContext, params: int) -> int:
        if params == 5:
            return 0
        child = ctx.blocking.start_child("threads", params + 1)
        return 1 + child.result()

    @app.process("leaf", disposition="rerunnable")
    async def leaf(ctx: ProcessContext, params: int) -> int:
        return params

    @app.process("fan", disposition="rerunnable")
    async def fan(ctx: ProcessContext, params: int) -> int:
        children = [await ctx.start_child("leaf", number) for number in range(params)]
        return sum(await ctx.gather(*(child.result() for child in children)))


def declare_waiters(app: App, counts: Counts) -> None:
    """What awaits times and signals."""

    @app.process("steps", disposition="rerunnable", signals={"go": None})
    async def steps(ctx: ProcessContext) -> list[Any]:
        counts.runs["steps"] += 1

        async def step(name: str) -> str:
            counts.steps[name] += 1
            return name

        first = await ctx.step("first", step, "first")
        await ctx.sleep(20)
        approved = await ctx.wait_signal("go")
        last = await ctx.step("last", step, "last")
        return [first, approved, last]

    @app.process("reminded", disposition="rerunnable", signals={"go": None})
    async def reminded(ctx: ProcessContext) -> Any:
        while True:
            try:
                return await ctx.wait_signal("go", timeout_ms=30)
            except TimeoutError:
                counts.runs["reminders"] += 1


def declare_failing(app: App, counts: Counts) -> None:
    """What fails, and what takes too long."""

    @app.process("flaky", disposition="rerunnable", retry=RetryPolicy(attempts_max=3, backoff_ms=5))
    async def flaky(ctx: ProcessContext) -> int:
        async def once() -> int:
            counts.steps["once"] += 1
            return counts.steps["once"]

        async def third() -> int:
            counts.steps["third"] += 1
            if counts.steps["third"] < 3:
                raise ValueError("not yet")
            return counts.steps["third"]

        return await ctx.step("once", once) * 10 + await ctx.step("third", third)

    @app.process("slow", disposition="rerunnable", timeout_ms=150)
    async def slow(ctx: ProcessContext) -> None:
        for _ in range(100):
            await ctx.sleep(40)


async def test_a_chain_of_parents_ends_with_one_slot(stores: AnyStores, park_after_ms: int) -> None:
    """Twenty deep, one slot: nobody holds the slot that its child needs."""
    async with running_apps((waiting_app(Counts()),), stores, concurrency=1, park_after_ms=park_after_ms) as lash:
        handle = await lash.enqueue("chain", 0)

        assert DEPTH == await handle.result(timeout=60)


async def test_a_chain_of_functions_in_threads_ends_with_one_slot(stores: AnyStores, park_after_ms: int) -> None:
    """A function that waits keeps its thread, and its child finds another one."""
    async with running_apps((waiting_app(Counts()),), stores, concurrency=1, park_after_ms=park_after_ms) as lash:
        handle = await lash.enqueue("threads", 0)

        assert 5 == await handle.result(timeout=60)


async def test_a_fan_of_children_is_gathered(stores: AnyStores, park_after_ms: int) -> None:
    """Three hundred at once, four slots."""
    async with running_apps((waiting_app(Counts()),), stores, concurrency=4, park_after_ms=park_after_ms) as lash:
        handle = await lash.enqueue("fan", 300)

        assert sum(range(300)) == await handle.result(timeout=60)


async def test_steps_run_once_over_parks(stores: AnyStores, park_after_ms: int) -> None:
    """However often the function runs."""
    counts = Counts()
    async with running_apps((waiting_app(counts),), stores, park_after_ms=park_after_ms) as lash:
        handle = await lash.enqueue("steps")
        await eventually(lambda: _waits(handle))
        await handle.signal("go", {"by": "ops"})

        assert ["first", {"by": "ops"}, "last"] == await handle.result(timeout=20)
        assert Counter({"first": 1, "last": 1}) == counts.steps
        assert (counts.runs["steps"] == 1) is (park_after_ms > 0)
        record = await handle.record()
        assert "7" == record.app_version
        assert 0 == record.deaths


async def test_a_wait_with_a_reminder_takes_its_signal_once(stores: AnyStores, park_after_ms: int) -> None:
    """Timed out twice, parked or not; the signal then ends it."""
    counts = Counts()
    async with running_apps((waiting_app(counts),), stores, park_after_ms=park_after_ms) as lash:
        handle = await lash.enqueue("reminded")
        await eventually(lambda: counts.runs["reminders"] >= 2, within_ms=20_000)
        await handle.signal("go", "now")

        assert "now" == await handle.result(timeout=20)


async def test_a_whole_process_is_tried_again_and_keeps_what_succeeded(stores: AnyStores, park_after_ms: int) -> None:
    """The step that failed runs again, the one that succeeded does not."""
    counts = Counts()
    async with running_apps((waiting_app(counts),), stores, park_after_ms=park_after_ms) as lash:
        handle = await lash.enqueue("flaky")

        assert 13 == await handle.result(timeout=20)
        assert Counter({"once": 1, "third": 3}) == counts.steps
        assert 2 == (await handle.record()).retries


async def test_a_timeout_counts_over_parks(stores: AnyStores, park_after_ms: int) -> None:
    """A process that always sleeps a little ends at its deadline."""
    async with running_apps((waiting_app(Counts()),), stores, park_after_ms=park_after_ms) as lash:
        handle = await lash.enqueue("slow")
        with pytest.raises(ProcessFailed) as failed:
            await handle.result(timeout=20)

        assert "process_timeout" == failed.value.code


async def test_a_signal_sent_before_twice_and_to_two_waits_is_counted_by_the_log(
    stores: AnyStores, park_after_ms: int
) -> None:
    """One id is one signal; two ids end two waits in their order, whether they came before the waits or within."""
    app = App("signals")

    @app.process("pair", disposition="rerunnable", signals={"go": None})
    async def pair(ctx: ProcessContext) -> list[Any]:
        return await ctx.gather(ctx.wait_signal("go"), ctx.wait_signal("go"))

    async with running_apps((app,), stores, park_after_ms=park_after_ms) as lash:
        before, within = await lash.enqueue("pair", delay_ms=100), await lash.enqueue("pair")
        await eventually(lambda: _waits(within))
        for handle in (before, within):
            for number in (1, 1, 2, 1):
                await handle.signal("go", number, signal_id=f"s{number}")

        results = await asyncio.gather(*(handle.result(timeout=20) for handle in (before, within)))
        assert [[1, 2], [1, 2]] == results


async def _waits(handle: Any) -> bool:
    return (await handle.record()).wait is not None


async def test_runs_leave_memory_without_the_garbage_collector(stores: AnyStores, park_after_ms: int) -> None:
    """Ended or parked: nothing refers back to a run, or a backlog of sleepers would be megabytes of garbage."""
    async with running_apps((waiting_app(Counts()),), stores, park_after_ms=park_after_ms) as lash:
        gc.collect()
        gc.disable()
        try:
            for number in range(20):
                await (await lash.enqueue("leaf", number)).result(timeout=20)
            sleepers = [await lash.enqueue("steps") for _ in range(20)]
            for handle in sleepers:
                await eventually(partial(_waits, handle))
            for handle in sleepers:
                await handle.cancel()
                await handle.output(timeout=20)
            await eventually(lambda: not _runs_in_memory())
        finally:
            gc.enable()


def _runs_in_memory() -> list[Any]:
    return [item for item in gc.get_objects() if isinstance(item, ProcessRun)]
