"""``await_terminal``: contract 3.11, DESIGN 3.6."""

from __future__ import annotations

import asyncio

from lash_core.errors import UnknownProcessError
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    SUCCESS,
    completed,
    event,
    note,
    registered,
    running,
    unique,
    unknown_text,
)
from lash_core.testing.conformance.stores import ConformanceStores

WITHIN_S = 10.0


async def an_unknown_process_is_refused(stores: ConformanceStores) -> None:
    """Nobody waits for what is not there."""
    process_id = unique("absent")

    with refused(UnknownProcessError, unknown_text(process_id)):
        await asyncio.wait_for(stores.process_registry.await_terminal(process_id), WITHIN_S)


async def an_ended_row_answers_at_once(stores: ConformanceStores) -> None:
    """Point read first."""
    ended = await completed(stores)

    assert ended == await asyncio.wait_for(stores.process_registry.await_terminal(ended.id), WITHIN_S)


async def a_completion_ends_every_wait(stores: ConformanceStores) -> None:
    """Several waiters see the ended row; plain events do not wake them early."""
    record, lease = await running(stores)
    waiters = [asyncio.ensure_future(stores.process_registry.await_terminal(record.id)) for _ in range(3)]
    await asyncio.sleep(0)
    await stores.process_registry.append_event(record.id, note("working"), lease=lease)
    await asyncio.sleep(0.02)
    assert not any(waiter.done() for waiter in waiters)

    ended = await stores.process_registry.complete_process_with_lease(lease, SUCCESS)

    assert [ended] * 3 == list(await asyncio.wait_for(asyncio.gather(*waiters), WITHIN_S))


async def a_terminal_event_ends_the_wait_too(stores: ConformanceStores) -> None:
    """Whoever writes the end, the waiter hears of it."""
    record = await registered(stores)
    waiter = asyncio.ensure_future(stores.process_registry.await_terminal(record.id))
    await asyncio.sleep(0)

    await stores.process_registry.append_event(record.id, event("broken", {"why": "x"}, "end"))

    assert "failed" == (await asyncio.wait_for(waiter, WITHIN_S)).status.state
