"""One process kind for each kind of effect, with what the outside does for it. Steps count their calls outside lash."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from lash_core.client import LashClient
from lash_core.errors import ProcessCancelled
from lash_core.model.event_type import WAKE_TYPE
from lash_core.model.registration import RetryPolicy
from lash_core.runtime.process.context import ProcessContext
from lash_worker.app import App

HOUR_MS = 3_600_000

app = App("crashes", version="1")
calls: Counter[str] = Counter()
"""Step function calls by process and step: what an outside service would have seen."""
tokens: dict[str, str] = {}
"""Process id → token that a step handed to the outside."""


async def count(process_id: str, name: str, answer: Any = None) -> Any:
    """The outside service."""
    calls[f"{process_id}:{name}"] += 1
    return answer


async def hand_out(process_id: str, token: str) -> None:
    """Give a token to the outside."""
    calls[f"{process_id}:hand-out"] += 1
    tokens[process_id] = token


@app.process("steps", disposition="rerunnable")
async def steps(ctx: ProcessContext) -> int:
    """A step, then two beside each other."""
    pid = ctx.process_id
    first = await ctx.step("first", count, pid, "first", 1)
    both = await ctx.gather(ctx.step("left", count, pid, "left", 2), ctx.step("right", count, pid, "right", 3))
    return first + sum(both)


@app.process("sleeps", disposition="rerunnable")
async def sleeps(ctx: ProcessContext) -> int:
    """A step on each side of a sleep."""
    before = await ctx.step("before", count, ctx.process_id, "before", 1)
    await ctx.sleep(HOUR_MS)
    return before + await ctx.step("after", count, ctx.process_id, "after", 2)


@app.process("approved", disposition="rerunnable", signals={"approve": None})
async def approved(ctx: ProcessContext) -> list[Any]:
    """A reminder when nobody answers, then two signals."""
    reminders = 0
    while True:
        try:
            first = await ctx.wait_signal("approve", timeout_ms=HOUR_MS)
            break
        except TimeoutError:
            reminders += 1
            await ctx.step("remind", count, ctx.process_id, "remind", key=str(reminders))
    second = await ctx.wait_signal("approve")
    return [reminders, first, second]


@app.process("paid", disposition="rerunnable")
async def paid(ctx: ProcessContext) -> Any:
    """A promise that the outside resolves by its token."""
    payment = ctx.await_event("payment")
    await ctx.step("hand-out", hand_out, ctx.process_id, payment.token)
    return await payment


@app.process("parent", disposition="rerunnable")
async def parent(ctx: ProcessContext) -> int:
    """Two children beside each other, then a step."""
    children = [await ctx.start_child("child", {"n": n}, process_id=f"{ctx.process_id}.{n}") for n in (1, 2)]
    total = sum(await ctx.gather(*children))
    return await ctx.step("total", count, ctx.process_id, "total", total)


@app.process("parent-of-one", disposition="rerunnable")
async def parent_of_one(ctx: ProcessContext) -> int:
    """One child, so that nobody else's end can wake its parent."""
    only = await ctx.start_child("child", {"n": 1}, process_id=f"{ctx.process_id}.1")
    return await only.result()


@app.process("child", disposition="rerunnable")
async def child(ctx: ProcessContext, params: dict[str, int]) -> int:
    """Counts itself."""
    return await ctx.step("child", count, ctx.process_id, "child", params["n"])


@app.process("emits", disposition="rerunnable", event_types=["progress", WAKE_TYPE])
async def emits(ctx: ProcessContext) -> str:
    """Two events in the log, one of which wakes a session."""
    await ctx.emit("progress", {"done": 1})
    await ctx.emit("process.wake", {"text": "half way"})
    await ctx.emit("progress", {"done": 2})
    return "done"


@app.process("retried", disposition="rerunnable", retry=RetryPolicy(attempts_max=5, backoff_ms=1_000))
async def retried(ctx: ProcessContext) -> str:
    """Fails until the outside has seen it twice; what its step recorded stays."""
    await ctx.step("once", count, ctx.process_id, "once")
    await count(ctx.process_id, "attempt")
    if calls[f"{ctx.process_id}:attempt"] < 2:
        raise RuntimeError("not yet")
    return "at last"


@app.process("compensated", disposition="rerunnable")
async def compensated(ctx: ProcessContext) -> None:
    """Is cancelled while it sleeps and takes back what it did."""
    await ctx.step("book", count, ctx.process_id, "book")
    try:
        await ctx.sleep(HOUR_MS)
    except asyncio.CancelledError:
        await ctx.step("unbook", count, ctx.process_id, "unbook")
        raise


HOUR_PASSES = True
"""What the outside answers when it has done nothing and an hour is to pass."""

Outside = Callable[[LashClient, str], Awaitable[bool]]
"""Does what the outside does for a process now, safe to repeat. True when an hour is to pass instead."""


async def nothing(lash: LashClient, process_id: str) -> bool:
    """The outside does nothing."""
    del lash, process_id
    return False


async def time_passes(lash: LashClient, process_id: str) -> bool:
    """Nobody does anything for an hour."""
    del lash, process_id
    return HOUR_PASSES


async def approve(lash: LashClient, process_id: str) -> bool:
    """Approves twice when it was reminded; each signal has an id, so that it may be sent again."""
    if not calls[f"{process_id}:remind"]:
        return HOUR_PASSES
    for n in (1, 2):
        await lash.handle(process_id).signal("approve", {"n": n}, signal_id=str(n))
    return False


async def pay(lash: LashClient, process_id: str) -> bool:
    """Resolves the token once it was handed out."""
    if process_id in tokens:
        await lash.resolve(tokens[process_id], {"paid": True})
    return False


async def cancel(lash: LashClient, process_id: str) -> bool:
    """Cancels."""
    await lash.handle(process_id).cancel("changed my mind")
    return False


@dataclass(frozen=True)
class Scenario:
    """A kind, what the outside does, and what must be there in the end, whatever happened.

    Attributes:
        answer: the result, or the class of what ``result()`` raises.
        steps: steps that count their calls.
        children: ids below the process's own.
        events: emitted ones, in order, when nothing else but the terminal event is in the log.
    """

    kind: str
    answer: Any
    steps: tuple[str, ...] = ()
    outside: Outside = nothing
    children: tuple[str, ...] = ()
    events: tuple[str, ...] = ()


SCENARIOS = (
    Scenario("steps", 6, ("first", "left", "right")),
    Scenario("sleeps", 3, ("before", "after"), time_passes),
    Scenario("approved", [1, {"n": 1}, {"n": 2}], ("remind",), approve),
    Scenario("paid", {"paid": True}, ("hand-out",), pay),
    Scenario("parent", 3, ("total",), children=("1", "2")),
    Scenario("parent-of-one", 1, children=("1",)),
    Scenario("retried", "at last", ("once",), time_passes),
    Scenario("compensated", ProcessCancelled, ("book", "unbook"), cancel),
    Scenario("emits", "done", events=("progress", "process.wake", "progress")),
)
