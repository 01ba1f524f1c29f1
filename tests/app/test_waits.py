"""Sleeps, signals, promises and children of process functions under a worker, parked at every wait and not at all."""

from __future__ import annotations

import asyncio
import datetime
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from pydantic import BaseModel

from lash_core import LashClient, ProcessFailed
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.await_event import Accepted, AwaitEventKey, Resolution
from lash_core.model.record import ProcessRecord
from lash_core.runtime.process.context import ProcessContext
from lash_core.testing.waiting import eventually
from lash_worker import App

RunApps = Callable[..., AbstractAsyncContextManager[LashClient]]
DEADLINE_SECONDS = 20.0


class Approval(BaseModel):
    """A signal's payload."""

    by: str
    on: datetime.date


@pytest.fixture(params=[0, 60_000], ids=["parked at every wait", "never parked"])
def park_after_ms(request: pytest.FixtureRequest) -> int:
    return request.param


async def record_of(lash: LashClient, process_id: str) -> ProcessRecord:
    return await lash.handle(process_id).record()


async def value_of(lash: LashClient, process_id: str) -> Any:
    return await lash.handle(process_id).result(timeout=DEADLINE_SECONDS)


async def test_a_sleep_lasts_its_time_over_parks(lash_app: RunApps, park_after_ms: int) -> None:
    """Several at once each have their own."""
    app = App("sleeps")

    @app.process("p", disposition="rerunnable")
    async def process(ctx: ProcessContext) -> int:
        began = await ctx.now_ms()
        await ctx.gather(ctx.sleep(30), ctx.sleep(datetime.timedelta(milliseconds=60)), ctx.sleep(0, key="named"))
        return await ctx.now_ms() - began

    async with lash_app(app, park_after_ms=park_after_ms) as lash:
        handle = await lash.enqueue("p")
        assert await handle.result(timeout=DEADLINE_SECONDS) >= 60


async def test_signals_are_handed_out_in_the_order_of_the_log(lash_app: RunApps, park_after_ms: int) -> None:
    """Also those that came before anybody waited; as the declared type; the row shows what is waited for."""
    app = App("signals")

    @app.process("p", disposition="rerunnable", signals={"approve": Approval, "go": None})
    async def process(ctx: ProcessContext) -> list[Any]:
        first = await ctx.wait_signal("go")
        approval = await ctx.wait_signal("approve")
        assert isinstance(approval, Approval)
        return [first, await ctx.wait_signal("go"), approval.by, approval.on.year]

    async with lash_app(app, park_after_ms=park_after_ms) as lash:
        handle = await lash.enqueue("p", process_id="p")
        await handle.signal("go", 1)
        await handle.signal("go", 2)

        async def waits_for_approval() -> bool:
            wait = (await record_of(lash, "p")).wait
            return wait is not None and ("approve", 1) == (wait.kind.name, wait.kind.ordinal)

        await eventually(waits_for_approval)
        await handle.signal("approve", Approval(by="ops", on=datetime.date(2026, 10, 1)))
        assert [1, 2, "ops", 2026] == await value_of(lash, "p")
        assert (await record_of(lash, "p")).wait is None


async def test_a_wait_that_ran_out_of_time_does_not_use_the_signal_up(
    lash_app: RunApps, lash_stores: InMemoryStores, park_after_ms: int
) -> None:
    """The next wait of the name gets it; a replay sees the same timeouts."""
    app, timeouts = App("timeouts"), list[str]()

    @app.process("p", disposition="rerunnable", signals={"go": None})
    async def process(ctx: ProcessContext) -> Any:
        for _ in range(2):
            try:
                await ctx.wait_signal("go", timeout_ms=20)
            except TimeoutError as error:
                if not ctx.is_replaying:
                    timeouts.append(str(error))
        await ctx.step("told", lambda: None)
        return await ctx.wait_signal("go")

    async with lash_app(app, park_after_ms=park_after_ms) as lash:
        handle = await lash.enqueue("p", process_id="p")

        async def waits_without_limit() -> bool:
            return "process:p:step:told" in await lash_stores.effect_journal.load_effects("p")

        await eventually(waits_without_limit)
        await handle.signal("go", "at last")
        assert "at last" == await value_of(lash, "p")
        assert "signal `go` number 1 did not come within 20 ms" in timeouts


async def test_a_promise_is_resolved_from_outside_by_its_token(
    lash_app: RunApps, lash_stores: InMemoryStores, park_after_ms: int
) -> None:
    """Once; the token is there before anybody waits."""
    app, tokens = App("promises"), list[str]()

    @app.process("p", disposition="rerunnable")
    async def process(ctx: ProcessContext) -> Any:
        pending = ctx.await_event("approval")
        tokens.append(pending.token)
        assert pending.token not in repr(pending)
        return await pending

    async with lash_app(app, park_after_ms=park_after_ms) as lash:
        await lash.enqueue("p", process_id="p")
        await eventually(lambda: bool(tokens))
        key = AwaitEventKey.from_token(tokens[0])
        assert Accepted() == await lash_stores.effect_host.resolve_await_event(key, Resolution.ok({"by": "ops"}))
        assert {"by": "ops"} == await value_of(lash, "p")
        assert 1 == len(set(tokens))


async def test_promises_end_by_time_and_by_error(
    lash_app: RunApps, lash_stores: InMemoryStores, park_after_ms: int
) -> None:
    """A value that comes after the time is refused."""
    app, tokens = App("promises"), dict[str, str]()

    @app.process("p", disposition="rerunnable")
    async def process(ctx: ProcessContext) -> list[str]:
        late, broken = ctx.await_event("late", timeout_ms=20), ctx.await_event("broken")
        tokens.update(late=late.token, broken=broken.token)
        found = await ctx.gather(late, broken, return_exceptions=True)
        return [f"{type(error).__name__}: {error}" for error in found]

    async with lash_app(app, park_after_ms=park_after_ms) as lash:
        await lash.enqueue("p", process_id="p")
        await eventually(lambda: bool(tokens))
        late = AwaitEventKey.from_token(tokens["late"])

        async def is_over() -> bool:
            return await lash_stores.effect_host.peek_await_event(late) is not None

        await eventually(is_over)
        broken = AwaitEventKey.from_token(tokens["broken"])
        await lash_stores.effect_host.resolve_await_event(broken, Resolution.err("no_stock", "there is none"))
        assert [
            "TimeoutError: nobody resolved `late` of process `p` in time",
            "RuntimeFailure: no_stock: there is none",
        ] == await value_of(lash, "p")


async def test_children_are_started_once_and_their_results_are_kept(lash_app: RunApps, park_after_ms: int) -> None:
    """Default ids say where they belong; they inherit the parent's chain."""
    app, runs = App("family"), list[str]()

    @app.process("child", disposition="rerunnable", queue="default")
    async def child(ctx: ProcessContext, params: int) -> int:
        runs.append(ctx.process_id)
        await ctx.sleep(5)
        return params * 10

    @app.process("parent", disposition="rerunnable")
    async def parent(ctx: ProcessContext) -> list[Any]:
        children = [await ctx.start_child("child", n, label=f"number {n}") for n in (1, 2)]
        named = await ctx.start_child("child", 3, process_id="third", delay_ms=10)
        return [*await ctx.gather(*children, named), children[0].id]

    async with lash_app(app, park_after_ms=park_after_ms) as lash:
        await lash.enqueue("parent", process_id="p")
        assert [10, 20, 30, "p/child/1"] == await value_of(lash, "p")
        rows = [await record_of(lash, name) for name in ("p/child/1", "p/child/2", "third")]
        assert {"p/child/1", "p/child/2", "third"} == set(runs)
        assert ["number 1", "number 2", None] == [row.identity.label for row in rows]
        causes = [row.provenance.caused_by for row in rows]
        assert [("process", "p")] * 3 == [(cause.kind, cause.process_id) for cause in causes if cause is not None]


async def test_a_childs_end_is_the_parents_to_handle(lash_app: RunApps, park_after_ms: int) -> None:
    """Failures come as they do to a client; a child can be cancelled and signalled."""
    app = App("family")

    @app.process("fails", disposition="rerunnable")
    async def fails(ctx: ProcessContext) -> None:
        raise LookupError("gone")

    @app.process("waits", disposition="rerunnable", signals={"go": int})
    async def waits(ctx: ProcessContext) -> Any:
        return await ctx.wait_signal("go")

    @app.process("parent", disposition="rerunnable")
    async def parent(ctx: ProcessContext) -> list[Any]:
        found: list[Any] = []
        try:
            await (await ctx.start_child("fails"))
        except ProcessFailed as error:
            found.append((error.code, error.message))
        signalled, cancelled = await ctx.start_child("waits"), await ctx.start_child("waits")
        await signalled.signal("go", 5)
        await cancelled.cancel("not needed")
        found.append(await signalled.result())
        found.append((await cancelled.output()).state)
        return found

    async with lash_app(app, park_after_ms=park_after_ms) as lash:
        await lash.enqueue("parent", process_id="p")
        assert [["process_failed", "LookupError: gone"], 5, "cancelled"] == await value_of(lash, "p")


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        ("nobody", {}, "no app of this worker declares it"),
        ("child", {"disposition": "owner_bound"}, "contradicts the manifest"),
        ("child", {"bogus": 1}, "start_child() has no option bogus"),
        ("child", {"process_id": "p"}, "cannot be its own child"),
        ("child", {"process_id": "a#b"}, "reserved segment separator"),
        ("child", {"delay_ms": -1}, "delay_ms is -1"),
    ],
)
async def test_bad_starts_start_nothing(lash_app: RunApps, kind: str, options: dict[str, Any], says: str) -> None:
    """And say why."""
    app = App("family")

    @app.process("child", disposition="rerunnable")
    async def child(ctx: ProcessContext) -> None: ...

    @app.process("parent", disposition="rerunnable")
    async def parent(ctx: ProcessContext) -> None:
        await ctx.start_child(kind, **options)

    async with lash_app(app) as lash:
        await lash.enqueue("parent", process_id="p")
        with pytest.raises(ProcessFailed) as caught:
            await value_of(lash, "p")
        assert says in caught.value.message
        assert 1 == await lash.count()


async def test_a_taken_id_with_other_content_is_a_conflict(lash_app: RunApps) -> None:
    """The parent hears of it, also on replay."""
    app = App("family")

    @app.process("child", disposition="rerunnable")
    async def child(ctx: ProcessContext, params: int) -> None: ...

    @app.process("parent", disposition="rerunnable")
    async def parent(ctx: ProcessContext) -> None:
        await ctx.start_child("child", 2, process_id="c")

    async with lash_app(app) as lash:
        await (await lash.enqueue("child", 1, process_id="c")).result(timeout=DEADLINE_SECONDS)
        await lash.enqueue("parent", process_id="p")
        with pytest.raises(ProcessFailed, match="process_registration_conflict"):
            await value_of(lash, "p")


async def test_an_unknown_signal_is_an_error_at_once(lash_app: RunApps) -> None:
    """A wait for it would never end."""
    app = App("signals")

    @app.process("p", disposition="rerunnable")
    async def process(ctx: ProcessContext) -> None:
        await ctx.wait_signal("go")

    async with lash_app(app) as lash:
        await lash.enqueue("p", process_id="p")
        with pytest.raises(ProcessFailed, match="declares no signal `go`"):
            await value_of(lash, "p")


async def test_plain_functions_have_the_same_verbs(
    lash_app: RunApps, lash_stores: InMemoryStores, park_after_ms: int
) -> None:
    """In a thread each; a park ends the thread's call, and the function begins anew."""
    app, tokens, threads = App("threads"), list[str](), list[str]()

    @app.process("child", disposition="rerunnable")
    def child(ctx: ProcessContext, params: int) -> int:
        ctx.blocking.sleep(5)
        return params

    @app.process("p", disposition="rerunnable", signals={"go": None}, event_types=["note"])
    def process(ctx: ProcessContext) -> list[Any]:
        lash = ctx.blocking
        found: list[Any] = [lash.step("s", lambda: threads.append(threading.current_thread().name) or 1)]
        lash.emit("note", {"n": 1})
        children = [lash.start_child("child", n) for n in (1, 2)]
        found += [lash.gather(*children), children[0].result(), lash.now_ms() > 0, 0 <= lash.random() < 1]
        found.append(lash.wait_signal("go"))
        pending = lash.await_event("e")
        tokens.append(pending.token)
        found.append(pending.result())
        return [*found, threading.current_thread().name.rsplit("-", 1)[0] == threads[0].rsplit("-", 1)[0]]

    async with lash_app(app, park_after_ms=park_after_ms, concurrency=1) as lash:
        handle = await lash.enqueue("p", process_id="p")
        await handle.signal("go", "gone")
        await eventually(lambda: bool(tokens))
        await lash_stores.effect_host.resolve_await_event(AwaitEventKey.from_token(tokens[0]), Resolution.ok("e"))
        assert [1, [1, 2], 1, True, True, "gone", "e", True] == await value_of(lash, "p")
        assert 1 == len(threads)


async def test_the_context_of_a_plain_function_blocks(lash_app: RunApps) -> None:
    """A verb that answered a coroutine would do nothing, and nobody would notice."""
    app = App("threads")

    @app.process("plain", disposition="rerunnable", event_types=["note"])
    def plain(ctx: Any) -> list[Any]:
        ctx.sleep(1)
        ctx.emit("note", 1)
        return [ctx.step("s", lambda: 3), ctx.process_id, ctx.fence > 0, ctx.cancelled, ctx.blocking.step("t", int)]

    async with lash_app(app, park_after_ms=0) as lash:
        handle = await lash.enqueue("plain", process_id="p")
        assert [3, "p", True, False, 0] == await handle.result(timeout=DEADLINE_SECONDS)
        assert ["note", "process.completed"] == [event.event_type async for event in handle.events()]


async def test_blocking_verbs_are_for_threads(lash_app: RunApps) -> None:
    """In the loop they would stop everything."""
    app = App("threads")

    @app.process("async", disposition="rerunnable")
    async def in_loop(ctx: ProcessContext) -> None:
        ctx.blocking.sleep(1)

    @app.process("callback", disposition="rerunnable")
    def in_step(ctx: ProcessContext) -> Any:
        async def misuse() -> None:
            ctx.blocking.sleep(1)

        return ctx.blocking.step("s", misuse)

    async with lash_app(app) as lash:
        for kind, says in (("async", "is for plain process functions"), ("callback", "would stop the event loop")):
            handle = await lash.enqueue(kind)
            with pytest.raises(ProcessFailed, match=says):
                await handle.result(timeout=DEADLINE_SECONDS)


async def test_a_waiting_fleet_is_not_stuck(lash_app: RunApps) -> None:
    """Parents that wait give their slots to their children, with one slot too."""
    app = App("deep")

    @app.process("p", disposition="rerunnable")
    async def process(ctx: ProcessContext, params: int) -> int:
        if params == 0:
            return 0
        return 1 + await (await ctx.start_child("p", params - 1))

    async with lash_app(app, concurrency=1) as lash:
        await lash.enqueue("p", 5, process_id="p")
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert 5 == await value_of(lash, "p")
