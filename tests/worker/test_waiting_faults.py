"""Clocks that jump, leases that end and stores that fail under waiting runs, over memory and a real server."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from lash_core.clock import VirtualClock
from lash_core.errors import OutcomeUnknownError, StoreUnreachableError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.redis_store.stores import RedisStores
from lash_core.runtime import held_run_waits
from lash_core.runtime.process.context import ProcessContext
from lash_core.settings import StoreSettings
from lash_core.testing.servers import ValkeyServer
from lash_core.testing.waiting import eventually
from lash_worker.app import App
from lash_worker.testing import running_apps

AnyStores = InMemoryStores | RedisStores
Advance = Callable[[int], Awaitable[None]]
HOUR_MS = 3_600_000


class Moved:
    """Stores whose clock the test moves."""

    def __init__(self, stores: AnyStores, advance: Advance) -> None:
        self.stores = stores
        self.advance = advance


@pytest.fixture(params=["memory", "redis"])
async def moved(request: pytest.FixtureRequest) -> AsyncIterator[Moved]:
    """Fresh stores."""
    if request.param == "memory":
        clock = VirtualClock()

        async def advance(ms: int) -> None:
            clock.advance_ms(ms)

        async with InMemoryStores(clock) as stores:
            yield Moved(stores, advance)
        return
    settings = StoreSettings(partitions=4, failover_grace_ms=0)
    with ValkeyServer() as server:
        async with RedisStores.connect(server.url, "lash", settings, test_clock=True) as stores:
            yield Moved(stores, stores.advance_clock)


def sleepers(steps: Counter[str]) -> App:
    """Processes that sleep an hour between two steps."""
    app = App("sleepers")

    @app.process("sleeper", disposition="rerunnable")
    async def sleeper(ctx: ProcessContext) -> str:
        async def step(name: str) -> str:
            steps[name] += 1
            return name

        await ctx.step("before", step, "before")
        await ctx.sleep(HOUR_MS)
        return await ctx.step("after", step, "after")

    return app


@pytest.mark.parametrize("park_after_ms", [60_000, 0], ids=["resident", "parked"])
async def test_a_clock_that_jumps_ends_the_sleeps_it_jumped_over(moved: Moved, park_after_ms: int) -> None:
    """Resident ones lose their lease by it and replay, parked ones are found by a sweep; no step is done twice."""
    steps: Counter[str] = Counter()
    async with running_apps((sleepers(steps),), moved.stores, park_after_ms=park_after_ms, lease_ttl_ms=3_000) as lash:
        handles = [await lash.enqueue("sleeper") for _ in range(10)]

        async def all_sleep() -> bool:
            asleep = [await _sleeps(moved.stores, handle.process_id) for handle in handles]
            parked = [await _unheld(moved.stores, handle.process_id) for handle in handles]
            return all(asleep) and parked == [park_after_ms == 0] * 10

        await eventually(all_sleep)
        await moved.advance(HOUR_MS)

        assert ["after"] * 10 == [await handle.result(timeout=20) for handle in handles]
        assert Counter({"before": 10, "after": 10}) == steps


async def test_a_sleep_is_not_over_before_its_time(moved: Moved) -> None:
    """A jump of half of it leaves the other half, by the server's clock."""
    steps: Counter[str] = Counter()
    async with running_apps((sleepers(steps),), moved.stores, park_after_ms=0) as lash:
        handle = await lash.enqueue("sleeper")
        registry = moved.stores.process_registry

        async def parked() -> bool:
            return await _sleeps(moved.stores, handle.process_id) and await _unheld(moved.stores, handle.process_id)

        await eventually(parked)
        await moved.advance(HOUR_MS // 2)
        due_ms = await registry.ready_at_ms(handle.process_id)
        assert due_ms is not None
        assert HOUR_MS / 2 - 10_000 < due_ms - await registry.server_time_ms() < HOUR_MS / 2 + 1_000
        await moved.advance(HOUR_MS // 2)

        assert "after" == await handle.result(timeout=20)
        assert Counter({"before": 1, "after": 1}) == steps


async def test_a_step_whose_lease_ended_in_the_store_is_refused_and_done_again(moved: Moved) -> None:
    """The worker still believes in its lease; the fence does not. The step is recorded once, by the next attempt."""
    app = App("late")
    fences: list[int] = []

    @app.process("late", disposition="rerunnable")
    async def late(ctx: ProcessContext) -> int:
        async def step() -> int:
            fences.append(ctx.fence)
            if len(fences) == 1:
                await moved.advance(60_000)
            return ctx.fence

        return await ctx.step("step", step)

    async with running_apps((app,), moved.stores) as lash:
        handle = await lash.enqueue("late")
        result = await handle.result(timeout=20)

        assert 2 == len(fences)
        assert fences[1] == result > fences[0]
        entries = await moved.stores.effect_journal.load_effects(handle.process_id)
        assert [result] == [entry.outcome for entry in entries.values()]


@pytest.mark.parametrize("verb", ["look_at_run", "watch_processes", "get_processes", "release_process_leases"])
async def test_a_store_that_fails_under_a_wait_costs_time_and_nothing_else(moved: Moved, verb: str) -> None:
    """Every second call fails, before or after it did its work: the parent ends with its children's results."""
    app = App("family")

    @app.process("parent", disposition="rerunnable", signals={"go": None})
    async def parent(ctx: ProcessContext) -> list[Any]:
        children = [await ctx.start_child("child", number) for number in range(3)]
        results = await ctx.gather(*(child.result() for child in children))
        return [*results, await ctx.wait_signal("go")]

    @app.process("child", disposition="rerunnable")
    async def child(ctx: ProcessContext, params: int) -> int:
        await ctx.sleep(10)
        return params

    registry = moved.stores.process_registry
    call, calls = getattr(registry, verb), list[int]()

    async def failing(*args: Any, **facts: Any) -> Any:
        calls.append(1)
        if len(calls) % 4 == 1:
            raise StoreUnreachableError("no route")
        answer = await call(*args, **facts)
        if len(calls) % 4 == 3:
            raise OutcomeUnknownError("the reply was lost")
        return answer

    setattr(registry, verb, failing)
    async with running_apps((app,), moved.stores, park_after_ms=0, concurrency=2) as lash:
        handle = await lash.enqueue("parent")
        await eventually(lambda: _waits(handle), within_ms=30_000)
        await handle.signal("go", "now")

        assert [0, 1, 2, "now"] == await handle.result(timeout=30)
        assert calls
        assert 0 == (await handle.record()).deaths


async def test_a_run_that_ignores_its_end_holds_up_nobody(moved: Moved, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that catches every refusal leaves the loop to others and is ended by force."""
    monkeypatch.setattr(held_run_waits, "REFUSALS_MAX", 20)
    app = App("stubborn")

    @app.process("sleeps", disposition="rerunnable")
    async def sleeps(ctx: ProcessContext) -> None:
        while True:
            with suppress(asyncio.CancelledError):
                await ctx.sleep(HOUR_MS)

    @app.process("steps", disposition="rerunnable")
    async def steps(ctx: ProcessContext) -> None:
        with suppress(asyncio.CancelledError):
            await ctx.sleep(HOUR_MS)
        for number in itertools.count():
            with suppress(asyncio.CancelledError):
                await ctx.step("step", str, key=str(number))

    @app.process("quick", disposition="rerunnable")
    async def quick(ctx: ProcessContext) -> str:
        return "done"

    async with running_apps((app,), moved.stores, park_after_ms=0, concurrency=2) as lash:
        for kind in ("sleeps", "steps"):
            await lash.enqueue(kind, process_id=kind)
        for _ in range(20):
            assert "done" == await (await lash.enqueue("quick")).result(timeout=5)
        for kind in ("sleeps", "steps"):
            await eventually(partial(_parked_once, moved.stores, kind), within_ms=20_000)


async def _waits(handle: Any) -> bool:
    return (await handle.record()).wait is not None


async def _sleeps(stores: AnyStores, process_id: str) -> bool:
    """True once the due time of its sleep is recorded."""
    entries = await stores.effect_journal.load_effects(process_id)
    return any(entry.state == "waiting" for entry in entries.values())


async def _parked_once(stores: AnyStores, process_id: str) -> bool:
    entries = await stores.process_registry.audit_entries(process_id)
    return "park" in [entry.kind for entry in entries]


async def _unheld(stores: AnyStores, process_id: str) -> bool:
    return await stores.process_registry.get_process_lease(process_id) is None
