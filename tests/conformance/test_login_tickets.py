"""A ticket is good once on every store; what was redeemed is forgotten when it has expired, and bounded."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lash_core.clock import VirtualClock
from lash_core.memory_store import login_tickets as in_memory
from lash_core.memory_store.stores import InMemoryStores
from lash_core.redis_store import login_tickets as in_redis
from lash_core.redis_store.stores import RedisStores
from lash_core.store.login_tickets import LoginEnded, LoginsFull, TicketExpired, TicketRedeemed, TicketsFull
from lash_core.testing.conformance.login_tickets import cases
from tests.conformance.suites import failures_on_plain_stores, over_all_backends, run_case, without_a_promise

CASES = dict(cases())


@pytest.mark.parametrize(("backend", "name"), over_all_backends(CASES))
async def test_the_contract_is_kept(backend: str, name: str, server_url: Callable[[str], str]) -> None:
    """Each promise of ``lash_core.testing.conformance.login_tickets``."""
    await run_case(CASES[name], backend, server_url, "tickets")


@pytest.mark.in_memory
async def test_the_suite_runs_on_plain_stores() -> None:
    """Also where nobody can move the clock."""
    assert [] == await failures_on_plain_stores(CASES)


def test_every_case_states_its_promise() -> None:
    """A case without a docstring tells its reader nothing."""
    assert [] == without_a_promise(CASES)


@pytest.mark.in_memory
async def test_what_is_remembered_is_bounded_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the bound tickets are refused, until some have expired."""
    monkeypatch.setattr(in_memory, "REDEEMED_TICKETS_MAX", 2)
    monkeypatch.setattr(in_memory, "ENDED_LOGINS_MAX", 1)
    async with InMemoryStores(VirtualClock()) as stores:
        await _over_the_bound(stores)


async def test_what_is_remembered_is_bounded_in_redis(
    monkeypatch: pytest.MonkeyPatch, server_url: Callable[[str], str]
) -> None:
    """As in memory; and the key shrinks."""
    monkeypatch.setattr(in_redis, "REDEEMED_TICKETS_MAX", 2)
    monkeypatch.setattr(in_redis, "ENDED_LOGINS_MAX", 1)
    stores = RedisStores.connect(server_url("valkey"), namespace="tickets-full", test_clock=True)
    async with stores as opened:
        await _over_the_bound(opened)
        assert 2 == await opened.context.connection.execute("", "ZCARD", opened.context.keyspace.login_tickets)


async def _over_the_bound(stores: InMemoryStores | RedisStores) -> None:
    now_ms = await stores.process_registry.server_time_ms()
    redeem = stores.login_tickets.redeem_ticket
    assert [TicketRedeemed(), TicketRedeemed(), TicketsFull()] == [
        await redeem(name, now_ms + 60_000) for name in ("one", "two", "three")
    ]
    await stores.advance_clock(60_001)
    assert TicketExpired() == await redeem("one", now_ms + 60_000)
    assert TicketRedeemed() == await redeem("three", now_ms + 120_000)
    end, is_ended = stores.login_tickets.end_login, stores.login_tickets.is_login_ended
    assert LoginsFull() == await end("four", now_ms + 180_000)
    assert not await is_ended("four")
    await stores.advance_clock(60_000)
    assert [LoginEnded(), LoginsFull(), LoginEnded()] == [
        await end(name, now_ms + 180_000) for name in ("four", "five", "four")
    ]
    assert [True, False] == [await is_ended(name) for name in ("four", "five")]
    # A ticket has the places that no login takes.
    assert TicketRedeemed() == await redeem("six", now_ms + 180_000)
