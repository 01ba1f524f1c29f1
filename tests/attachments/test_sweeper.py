"""The worker's side: whose turn a sweep is, how much of it one round does, and what a process function stores."""

from __future__ import annotations

from typing import Any

from lash_core.clock import VirtualClock
from lash_core.errors import StoreUnreachableError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.await_output import Success
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.runtime.content_sweep import ContentSweep, content_sweep_of
from lash_core.runtime.process.context import ProcessContext
from lash_core.store.content_sweep import GRACE_MS, ContentRefs
from lash_worker.app import App
from lash_worker.services.content_sweeper import PASS_EVERY_MS, STEPS_A_ROUND, ContentSweeper
from lash_worker.services.fleet_view import FleetView
from lash_worker.services.partition_hints import rank_partitions
from tests.app.kit import Bench


class Pauses:
    """Counts pauses instead of waiting, and is a clock that a test moves."""

    def __init__(self) -> None:
        self.count = 0
        self.own_ms = 0.0

    async def pause(self, delay_ms: float) -> None:
        self.count += 1

    def now_ms(self) -> float:
        return self.own_ms


def never() -> bool:
    """The worker does not stop."""
    return False


def view_of(name: str, *others: str) -> FleetView:
    """What a worker knows when these are alive."""
    view = FleetView(LeaseOwnerIdentity.opaque(name, "1"), 1)
    view.hints = rank_partitions(name, others, 1)
    return view


def sweeper(sweep: ContentSweep, view: FleetView, pauses: Pauses) -> ContentSweeper:
    """A sweeper without real waits."""
    return ContentSweeper(sweep, view, pauses.pause, pauses.now_ms)


async def old_artifact(stores: InMemoryStores, data: bytes) -> str:
    """An artifact that nobody names, put more than a day ago."""
    ref = await stores.artifacts.put_artifact(data)
    await stores.advance_clock(GRACE_MS + 1_000)
    return ref


async def test_one_worker_of_a_fleet_sweeps() -> None:
    """The one that is first in line; when it leaves, another one is."""
    names = ("a", "b", "c")
    first = next(name for name in names if view_of(name, *names).hints.ranks[0] == 0)
    stores = InMemoryStores(VirtualClock())
    ref = await old_artifact(stores, b"old")

    for name in names:
        if name != first:
            assert await sweeper(content_sweep_of(stores), view_of(name, *names), Pauses()).round(never) is None
    assert await stores.artifacts.get_artifact(ref) is not None
    report = await sweeper(content_sweep_of(stores), view_of(first, *names), Pauses()).round(never)

    assert report is not None
    assert 1 == report.deleted


async def test_a_pass_comes_every_six_hours() -> None:
    """Between passes a round costs nothing."""
    stores, pauses = InMemoryStores(VirtualClock()), Pauses()
    found = sweeper(content_sweep_of(stores), view_of("a"), pauses)
    assert await found.round(never) is not None
    ref = await old_artifact(stores, b"later")

    assert await found.round(never) is None
    pauses.own_ms += PASS_EVERY_MS
    assert await found.round(never) is not None

    assert await stores.artifacts.get_artifact(ref) is None


class SlowRoot:
    """Names nothing, in many pages; the store may be away for some of them."""

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self.broken = False
        self.seen: list[str | None] = []

    async def refs_page(self, cursor: str | None, limit: int, *, grace_ms: int) -> ContentRefs:
        if self.broken:
            raise StoreUnreachableError("no route")
        self.seen.append(cursor)
        at = int(cursor or "0") + 1
        return ContentRefs(next_cursor=str(at) if at < self.pages else None)


async def test_a_round_is_bounded_and_the_next_goes_on() -> None:
    """A long walk takes several rounds, pauses in between, and looks at no page twice, also over a store failure."""
    stores, pauses, root = InMemoryStores(VirtualClock()), Pauses(), SlowRoot(STEPS_A_ROUND + 10)
    await old_artifact(stores, b"old")
    sweep = ContentSweep([stores.artifacts], [root], stores.process_registry.server_time_ms)
    found = sweeper(sweep, view_of("a"), pauses)

    assert await found.round(never) is None
    assert STEPS_A_ROUND == pauses.count
    root.broken = True
    try:
        await found.round(never)
    except StoreUnreachableError:
        root.broken = False
    report = await found.round(never)

    assert report is not None
    assert 1 == report.deleted
    assert len(root.seen) == len(set(root.seen)) == root.pages


async def test_a_worker_that_stops_leaves_the_walk() -> None:
    """It ends with the step under way."""
    stores, pauses, root = InMemoryStores(VirtualClock()), Pauses(), SlowRoot(10)
    await old_artifact(stores, b"old")
    sweep = ContentSweep([stores.artifacts], [root], stores.process_registry.server_time_ms)

    assert await sweeper(sweep, view_of("a"), pauses).round(lambda: True) is None

    assert 1 == len(root.seen)
    assert 0 == pauses.count


app = App("files", version="1")


@app.process("files.make", disposition="rerunnable")
async def make(ctx: ProcessContext) -> dict[str, Any]:
    """Put a file in a step and read it back."""

    async def draw() -> dict[str, Any]:
        ref = await ctx.attachments.put(b"picture", media_type="image/png", name="p.png")
        return ref.to_json_value()

    ref = await ctx.step("draw", draw)
    return {"ref": ref, "size": len(await ctx.attachments.get(ref["attachment_id"]))}


async def test_a_process_function_has_attachments_of_its_own() -> None:
    """In the process's session, kept as long as its row."""
    with Bench(app) as bench:
        output = await bench.run("files.make")
        (intent,) = await bench.stores.attachment_manifest.list_refs("process-env:p")

    assert isinstance(output, Success)
    assert 7 == output.value["size"]
    assert ("process", "p") == (intent.owner_kind, intent.owner_id)
    assert output.value["ref"]["attachment_id"] == intent.attachment_id
