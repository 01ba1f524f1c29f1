"""``request_abandon``: contract 2.9."""

from __future__ import annotations

from lash_core.errors import TerminalProcessError, UnknownProcessError
from lash_core.model.facts import AbandonRequest
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    completed,
    current,
    feed_end,
    in_feed,
    registered,
    running,
    unique,
    unknown_text,
)
from lash_core.testing.conformance.stores import ConformanceStores, elapse

REQUEST = AbandonRequest(requested_by="ops", requested_at_ms=1_700_000_000_000, reason="host is gone")


async def an_unknown_process_is_refused(stores: ConformanceStores) -> None:
    """There is nothing to give up."""
    process_id = unique("absent")

    with refused(UnknownProcessError, unknown_text(process_id)):
        await stores.process_registry.request_abandon(process_id, REQUEST)


async def a_terminal_row_is_refused(stores: ConformanceStores) -> None:
    """What has ended cannot be abandoned."""
    ended = await completed(stores)

    text = f"terminal process `{ended.id}` cannot accept an abandon request"
    with refused(TerminalProcessError, text):
        await stores.process_registry.request_abandon(ended.id, REQUEST)

    assert ended == await current(stores, ended.id)


async def the_first_request_stays(stores: ConformanceStores) -> None:
    """Who asked first is on record; later requests change nothing, and the process keeps running."""
    record = await registered(stores)
    end = await feed_end(stores)
    await elapse(stores, 5)

    first = await stores.process_registry.request_abandon(record.id, REQUEST)

    assert REQUEST == first.abandon_request
    assert "running" == first.status.state
    assert first.updated_at_ms > record.updated_at_ms
    assert await in_feed(stores, end, record.id)
    end = await feed_end(stores)
    await elapse(stores, 5)

    later = AbandonRequest(requested_by="someone else", requested_at_ms=2)
    assert first == await stores.process_registry.request_abandon(record.id, later)
    assert not await in_feed(stores, end, record.id)
    assert () == await stores.process_registry.events_after(record.id, 0)


async def a_request_without_a_reason_is_kept_as_such(stores: ConformanceStores) -> None:
    """No reason is no empty reason."""
    record = await registered(stores)
    request = AbandonRequest(requested_by="ops", requested_at_ms=5)

    row = await stores.process_registry.request_abandon(record.id, request)

    assert request == row.abandon_request


async def a_held_row_keeps_its_lease(stores: ConformanceStores) -> None:
    """A request takes nothing away from a live owner."""
    record, lease = await running(stores)

    await stores.process_registry.request_abandon(record.id, REQUEST)

    held = await stores.process_registry.get_process_lease(record.id)
    assert held is not None
    assert lease.same_acquisition(held)
