"""Processes of steps and waits on both stores, under workers that come and go."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from lash_core import LashClient, ProcessCancelled, ProcessFailed, StepFailed
from lash_core.model.registration import RetryPolicy
from lash_core.runtime.process.context import ProcessContext
from lash_core.testing.waiting import eventually
from lash_worker import App
from lash_worker.testing import running_apps
from tests.steps.conftest import Stores

DEADLINE_SECONDS = 20.0


async def value_of(lash: LashClient, process_id: str) -> Any:
    return await lash.handle(process_id).result(timeout=DEADLINE_SECONDS)


async def test_a_process_goes_on_under_the_next_worker(stores: Stores) -> None:
    """Each worker is stopped while the process waits; every step ran once."""
    app, done = App("relay"), Counter[str]()

    @app.process("p", disposition="rerunnable", signals={"go": None})
    async def process(ctx: ProcessContext) -> list[Any]:
        found: list[Any] = []
        for round_ in range(3):
            found.append(await ctx.step("work", count, round_, key=str(round_)))
            found.append(await ctx.wait_signal("go"))
        return found

    def count(round_: int) -> int:
        done[f"work {round_}"] += 1
        return round_

    for round_ in range(3):
        async with running_apps((app,), stores, park_after_ms=60_000) as lash:
            if round_ == 0:
                await lash.enqueue("p", process_id="p")

            async def waits(lash: LashClient = lash, ordinal: int = round_ + 1) -> bool:
                wait = (await lash.handle("p").record()).wait
                return wait is not None and ordinal == wait.kind.ordinal

            await eventually(waits)
        await LashClient(stores).handle("p").signal("go", f"signal {round_}")
    async with running_apps((app,), stores) as lash:
        assert [0, "signal 0", 1, "signal 1", 2, "signal 2"] == await value_of(lash, "p")
        types = [event.event_type async for event in lash.handle("p").events()]

    assert {"work 0": 1, "work 1": 1, "work 2": 1} == dict(done)
    assert [3, 3, 3] == [types.count(name) for name in ("process.waiting", "signal.go", "process.resumed")]


async def test_a_cancelled_process_makes_up_for_what_it_did(stores: Stores) -> None:
    """Though it was out of memory when the cancel came."""
    app, done = App("saga"), list[str]()

    @app.process("p", disposition="rerunnable")
    async def process(ctx: ProcessContext) -> None:
        number = await ctx.step("reserve", reserve)
        try:
            await ctx.sleep(3_600_000)
        except asyncio.CancelledError:
            await ctx.step("release", done.append, f"release {number}")
            raise

    def reserve() -> int:
        done.append("reserve")
        return 42

    async with running_apps((app,), stores, park_after_ms=0) as lash:
        await lash.enqueue("p", process_id="p")

        async def is_parked() -> bool:
            return await stores.process_registry.get_process_lease("p") is None and bool(done)

        await eventually(is_parked)
        await lash.handle("p").cancel("changed my mind")
        with pytest.raises(ProcessCancelled, match="changed my mind"):
            await value_of(lash, "p")

    assert ["reserve", "release 42"] == done


async def test_a_journal_ends_and_says_what_to_do(stores: Stores) -> None:
    """Its process fails, whatever it does, and is not tried again."""
    app, runs = App("long"), list[int]()

    @app.process("p", disposition="rerunnable", retry=RetryPolicy(attempts_max=3, backoff_ms=1))
    async def process(ctx: ProcessContext) -> None:
        runs.append(1)
        for number in range(100):
            try:
                await ctx.step("s", abs, number, key=str(number))
            except Exception:  # noqa: BLE001 - a function that will not hear of it
                return

    async with running_apps((app,), stores) as lash:
        await lash.enqueue("p", process_id="p")
        with pytest.raises(ProcessFailed, match="go on in a child process") as caught:
            await value_of(lash, "p")

    assert ("resource_limit", "process_journal_full", 1) == (caught.value.class_, caught.value.code, len(runs))


async def test_large_outcomes_are_kept_up_to_the_limit(stores: Stores) -> None:
    """Beyond 16 KB in the blob store; over the payload limit they are a recorded failure."""
    app, runs = App("large"), Counter[int]()

    @app.process("p", disposition="rerunnable", signals={"go": None})
    async def process(ctx: ProcessContext) -> list[Any]:
        found: list[Any] = []
        for size in (100, 20_000, 60_000, 70_000):
            try:
                found.append(len(await ctx.step("s", make, size, key=str(size))))
            except Exception as error:  # noqa: BLE001 - its code is looked at
                found.append(getattr(error, "code", ""))
        await ctx.wait_signal("go")
        return found

    def make(size: int) -> str:
        runs[size] += 1
        return "é" * (size // 2)

    async with running_apps((app,), stores, park_after_ms=0) as lash:
        await lash.enqueue("p", process_id="p")

        async def waits() -> bool:
            return (await lash.handle("p").record()).wait is not None

        await eventually(waits)
        await lash.handle("p").signal("go")
        assert [50, 10_000, 30_000, "effect_outcome_too_large"] == await value_of(lash, "p")

    assert {100: 1, 20_000: 1, 60_000: 1, 70_000: 1} == dict(runs)


async def test_a_retry_of_the_process_runs_its_failed_steps_again(stores: Stores) -> None:
    """And no other."""
    app, runs = App("again"), Counter[str]()

    @app.process("p", disposition="rerunnable", retry=RetryPolicy(attempts_max=3, backoff_ms=1))
    async def process(ctx: ProcessContext) -> str:
        await ctx.step("good", runs.update, ["good"])
        try:
            await ctx.step("bad", bad)
        except StepFailed as error:
            raise LookupError(error.message) from error
        return "made it"

    def bad() -> None:
        runs["bad"] += 1
        if runs["bad"] < 3:
            raise ConnectionResetError("reset")

    async with running_apps((app,), stores) as lash:
        await lash.enqueue("p", process_id="p")
        assert "made it" == await value_of(lash, "p")

    assert {"good": 1, "bad": 3} == dict(runs)


@pytest.mark.parametrize("steps", [1, 25])
async def test_steps_side_by_side_share_writes(stores: Stores, steps: int) -> None:
    """Fenced writes of the row: one for the steps, one for the end."""
    app = App("fan")

    @app.process("p", disposition="rerunnable")
    async def process(ctx: ProcessContext) -> int:
        return sum(await ctx.gather(*(ctx.step("s", one, key=str(n)) for n in range(steps))))

    async def one() -> int:
        await asyncio.sleep(0)
        return 1

    async with running_apps((app,), stores) as lash:
        await lash.enqueue("p", process_id="p")
        assert steps == await value_of(lash, "p")
        assert (await lash.handle("p").record()).fenced_writes <= 2
