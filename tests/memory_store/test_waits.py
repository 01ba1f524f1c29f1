"""Waits of the in-memory registry: no polling, nothing missed, nothing left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from lash_core.clock import VirtualClock
from lash_core.errors import UnknownProcessError
from lash_core.memory_store import InMemoryStores
from lash_core.memory_store.registry import MemoryProcessRegistry
from lash_core.model.await_output import ProcessAwaitOutput
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.event_type import ProcessEventType
from lash_core.model.owner import LeaseOwnerIdentity
from tests.model.registrations import engine

TYPES = (ProcessEventType("note"), ProcessEventType("other"))


@pytest.fixture
async def registry() -> AsyncIterator[MemoryProcessRegistry]:
    """A registry with one row."""
    async with InMemoryStores(VirtualClock()) as stores, asyncio.timeout(10):
        await stores.process_registry.register_process(engine(event_types=TYPES))
        yield stores.process_registry


async def complete(registry: MemoryProcessRegistry) -> None:
    """Claim the row and complete it."""
    (claimed,) = await registry.claim_ready_processes(LeaseOwnerIdentity("w", "i"), 1, 60_000)
    await registry.complete_process_with_lease(claimed.lease, ProcessAwaitOutput.success(1))


async def test_other_events_do_not_end_a_wait(registry: MemoryProcessRegistry) -> None:
    """Only the first event of the type after the sequence does."""
    await registry.append_event("p", ProcessEventAppendRequest("note", 1))
    waiting = asyncio.create_task(registry.wait_event_after("p", "note", 1))
    await asyncio.sleep(0)

    await registry.append_event("p", ProcessEventAppendRequest("other", 2))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    await registry.append_events("p", [ProcessEventAppendRequest("note", n) for n in (3, 4)])

    assert 3 == (await waiting).payload


async def test_many_waiters_are_all_woken(registry: MemoryProcessRegistry) -> None:
    """One end, every waiter; a late one reads it at once."""
    waiting = [asyncio.create_task(registry.await_terminal("p")) for _ in range(20)]
    await asyncio.sleep(0)

    await complete(registry)

    records = await asyncio.gather(*waiting, registry.await_terminal("p"))
    assert {"completed"} == {record.status.state for record in records}


async def test_a_cancelled_wait_leaves_nothing(registry: MemoryProcessRegistry) -> None:
    """The subscription goes with its waiter."""
    waiting = asyncio.create_task(registry.await_terminal("p"))
    await asyncio.sleep(0)
    assert ("p",) == registry.waited_for()

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert () == registry.waited_for()


async def test_a_wait_ends_when_its_row_is_pruned(registry: MemoryProcessRegistry) -> None:
    """What will never come is not waited for: the id is unknown then."""
    await complete(registry)
    waiting = asyncio.create_task(registry.wait_event_after("p", "note", 0))
    await asyncio.sleep(0)

    await registry.prune_terminal_processes(2**53)

    with pytest.raises(UnknownProcessError):
        await waiting


async def test_a_refused_batch_leaves_no_trace(registry: MemoryProcessRegistry) -> None:
    """All or nothing: the row, its log, its replay keys and its due time are as before."""
    before = await registry.get_process("p")
    good = ProcessEventAppendRequest("note", 1).with_replay_key("k")

    with pytest.raises(Exception, match="undeclared"):
        await registry.append_events("p", [good, ProcessEventAppendRequest("nope", 1)])

    assert before == await registry.get_process("p")
    assert () == await registry.events_after("p", 0)
    assert not (await registry.append_event("p", good.with_payload(2))).replayed
