"""``ctx.step``: once over all attempts, as its annotation says."""

from __future__ import annotations

import asyncio
import datetime
import functools
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from lash_core import Failure, StepFailed, StepRetry
from lash_core.errors import RuntimeFailure, StoreUnreachableError
from lash_core.runtime.process.context import ProcessContext
from tests.app.step_scene import Scene

if TYPE_CHECKING:
    from decimal import Decimal


class Order(BaseModel):
    number: int
    due: datetime.date


@dataclass
class Line:
    name: str
    tags: set[str] = field(default_factory=set[str])


async def test_a_step_runs_once_over_all_attempts(scene: Scene) -> None:
    """Async functions run in the loop, plain ones in a thread of their own."""
    calls: list[str] = []

    async def fetch(name: str) -> str:
        calls.append(threading.current_thread().name)
        return f"{name}!"

    def compute(number: int, *, factor: int = 1) -> int:
        calls.append(threading.current_thread().name)
        return number * factor

    async def body(ctx: ProcessContext) -> list[Any]:
        return [await ctx.step("fetch", fetch, "a"), await ctx.step("compute", compute, 4, factor=3)]

    assert [["a!", 12]] * 3 == [await scene.value(body) for _ in range(3)]
    assert [threading.main_thread().name, "lash-steps-step-1"] == calls


def order(number: int) -> Order:
    return Order(number=number, due=datetime.date(2026, 10, 1))


def line() -> Line:
    return Line("n", {"b", "a"})


def plain() -> Any:
    return {"when": datetime.date(2026, 10, 1), "pair": (1, 2), "line": Line("n")}


def unresolved() -> Decimal:
    return {"price": 1}  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("function", "args", "expected"),
    [
        (order, (7,), Order(number=7, due=datetime.date(2026, 10, 1))),
        (line, (), Line("n", {"b", "a"})),
        (plain, (), {"when": "2026-10-01", "pair": [1, 2], "line": {"name": "n", "tags": []}}),
        (unresolved, (), {"price": 1}),
        (functools.partial(order, 8), (), Order(number=8, due=datetime.date(2026, 10, 1))),
        (lambda: None, (), None),
        (len, ("abc",), 3),
        (Line("bound").tags.copy, (), []),
    ],
)
async def test_a_first_run_gets_what_a_replay_gets(
    scene: Scene, function: Any, args: tuple[Any, ...], expected: Any
) -> None:
    """By way of JSON, as the return annotation says; plain JSON where there is none that can be resolved."""
    seen: list[Any] = []

    async def body(ctx: ProcessContext) -> None:
        seen.append(await ctx.step("s", function, *args))

    await scene.run(body)
    await scene.run(body)

    assert [expected, expected] == seen
    assert type(seen[0]) is type(seen[1])


async def test_a_lambda_around_an_async_function_is_awaited(scene: Scene) -> None:
    """And so is the answer of any function that makes an awaitable."""

    async def fetch() -> int:
        return 5

    async def body(ctx: ProcessContext) -> Any:
        return await ctx.step("s", lambda: fetch())  # noqa: PLW0108 - that is the case

    assert 5 == await scene.value(body)


async def test_a_failed_step_raises_the_same_in_every_attempt(scene: Scene) -> None:
    """Step, code, text and type; the exception itself is the cause on the first run."""
    calls: list[int] = []
    seen: list[Any] = []

    def fail() -> None:
        calls.append(1)
        raise LookupError("gone")

    async def body(ctx: ProcessContext) -> str:
        try:
            await ctx.step("s", fail)
        except StepFailed as error:
            seen.append((error.step, error.code, error.message, error.error_type, type(error.__cause__)))
        return "handled"

    for _ in range(2):
        assert "handled" == await scene.value(body)
    facts = ("s", "step_failed", "LookupError: gone", "LookupError")
    assert ([(*facts, LookupError), (*facts, type(None))], 1) == (seen, len(calls))


async def test_an_unhandled_step_failure_names_the_step(scene: Scene) -> None:
    """In the process's failure."""

    async def body(ctx: ProcessContext) -> None:
        await ctx.step("charge", lambda: 1 / 0)

    failure = await scene.failure(body)
    assert ("execution", "process_failed") == (failure.class_.value, failure.code)
    assert "StepFailed: step `charge` failed (step_failed): ZeroDivisionError: division by zero" == failure.message


async def test_a_raised_failure_stays_a_failure(scene: Scene) -> None:
    """Class, code, message and raw, on the first run and later; it is not tried again."""
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise Failure("permission_denied", "no_key", "the key is missing", {"key": 7})

    async def body(ctx: ProcessContext) -> None:
        await ctx.step("s", fail, retry=StepRetry(5, 1))

    first, later = await scene.failure(body), await scene.failure(body)
    assert first == later
    assert ("permission_denied", "no_key", {"key": 7}, 1) == (first.class_.value, first.code, first.raw, len(calls))


async def test_a_store_error_of_another_fleet_is_the_steps(scene: Scene) -> None:
    """Only the run's own journal makes the worker try again (docs/adr/0062)."""

    def fail() -> None:
        raise StoreUnreachableError("another fleet's server")

    async def body(ctx: ProcessContext) -> None:
        await ctx.step("s", fail)

    assert "step `s` failed (store_unreachable)" in (await scene.failure(body)).message


# -- names and arguments ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_name_is_used_once_in_a_run(scene: Scene, *, at_once: bool) -> None:
    """Also by steps side by side; keys tell them apart."""

    async def body(ctx: ProcessContext) -> None:
        steps = [ctx.step("s", abs, -1), ctx.step("s", abs, -2)]
        if at_once:
            await asyncio.gather(*steps)
        for step in steps:
            await step

    async def keyed(ctx: ProcessContext) -> Any:
        return await ctx.gather(*(ctx.step("k", abs, -n, key=str(n)) for n in range(3)))

    failure = await scene.failure(body)
    assert "step_name_repeated" in failure.message
    assert "key=" in failure.message
    assert [0, 1, 2] == await scene.value(keyed)


@pytest.mark.parametrize("name", ["", " ", "a#b", "x" * 101, "line\nbreak", "\ud800", 7])
async def test_bad_names_are_refused(scene: Scene, name: Any) -> None:
    """Before anything runs."""

    async def body(ctx: ProcessContext) -> None:
        await ctx.step(name, abs, -1)

    assert "step name" in (await scene.failure(body)).message


async def test_changed_arguments_end_the_process_whatever_it_does(scene: Scene) -> None:
    """A mismatch is never swallowed, and it names the path."""

    async def first(ctx: ProcessContext) -> Any:
        return await ctx.step("s", abs, -1)

    async def second(ctx: ProcessContext) -> Any:
        try:
            return await ctx.step("s", abs, -2)
        except RuntimeFailure:
            return "swallowed"

    await scene.value(first)
    failure = await scene.failure(second)
    assert ("execution", "memory_effect_replay_hash_conflict") == (failure.class_.value, failure.code)
    assert "divergent_paths=[command.args[0]]" in failure.message


async def test_arguments_that_are_no_json_are_not_compared(scene: Scene) -> None:
    """Objects differ in every attempt; models, dataclasses, dates and sets are known again."""

    def use(*args: Any, **kwargs: Any) -> int:
        return len(args) + len(kwargs)

    async def body(ctx: ProcessContext) -> Any:
        # Equal sets whose order differs, as it does from one program to the next.
        order_ = Order(number=1, due=datetime.date(2026, 1, 2))
        return await ctx.step("s", use, object(), {0, 8}, order_, float("nan"), on=datetime.date(2026, 1, 2))

    async def other(ctx: ProcessContext) -> Any:
        order_ = Order(number=2, due=datetime.date(2026, 1, 2))
        return await ctx.step("s", use, object(), {8, 0}, order_, float("inf"), on=datetime.date(2026, 1, 2))

    assert [5, 5] == [await scene.value(body) for _ in range(2)]
    assert "divergent_paths=[command.args[2].number]" in (await scene.failure(other)).message


async def test_a_call_instead_of_a_function_says_how_it_is_meant(scene: Scene) -> None:
    """The coroutine is closed: there is no second warning about it."""

    async def fetch() -> None: ...

    async def body(ctx: ProcessContext) -> None:
        await ctx.step("s", fetch())  # type: ignore[arg-type]

    assert 'ctx.step("s", fetch, url)' in (await scene.failure(body)).message


# -- results ---------------------------------------------------------------------------------------------------------


def wrong() -> int:
    return "text"  # type: ignore[return-value]


def thing() -> threading.Lock:
    return threading.Lock()


@pytest.mark.parametrize("function", [wrong, thing, object, lambda: {1: 2}, lambda: float("nan")])
async def test_a_result_that_does_not_encode_says_what_to_do(scene: Scene, function: Any) -> None:
    """The same in every attempt."""

    async def body(ctx: ProcessContext) -> None:
        await ctx.step("s", function)

    first, later = await scene.failure(body), await scene.failure(body)
    assert first == later
    assert "(step_result_invalid)" in first.message
    assert "Return JSON" in first.message


async def test_a_recorded_result_that_no_longer_fits_is_an_error_that_says_so(scene: Scene) -> None:
    """The function's annotation changed while the process waited."""

    async def first(ctx: ProcessContext) -> Any:
        return await ctx.step("s", lambda: {"n": 1})

    def later() -> Order: ...

    async def second(ctx: ProcessContext) -> Any:
        return await ctx.step("s", later)

    await scene.value(first)
    assert "does not fit the return annotation" in (await scene.failure(second)).message


async def test_a_function_that_will_not_hear_of_a_mismatch_is_cancelled(scene: Scene) -> None:
    """It would keep its worker busy for ever."""

    async def first(ctx: ProcessContext) -> Any:
        return await ctx.step("s", abs, -1)

    async def second(ctx: ProcessContext) -> Any:
        number = 0
        while True:
            try:
                await ctx.step("s", abs, -2, key=None if not number else str(number))
            except RuntimeFailure:
                number += 1

    await scene.value(first)
    async with asyncio.timeout(5):
        assert "memory_effect_replay_hash_conflict" == (await scene.failure(second)).code


async def test_arguments_are_only_looked_at(scene: Scene) -> None:
    """An iterator reaches the function whole."""

    async def body(ctx: ProcessContext) -> Any:
        return await ctx.step("s", list, iter([1, 2]))

    assert [1, 2] == await scene.value(body)


@pytest.mark.parametrize("together", [False, True])
async def test_a_step_that_exits_ends_no_worker(scene: Scene, *, together: bool) -> None:
    """It failed, also in a task of its own."""

    async def leave() -> None:
        raise SystemExit(3)

    async def body(ctx: ProcessContext) -> Any:
        step = ctx.step("s", leave)
        return await (ctx.gather(step) if together else step)

    assert "step `s` failed (step_failed): SystemExit: 3" in (await scene.failure(body)).message
