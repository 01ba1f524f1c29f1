"""The conformance suite of ``lash_core.store.login_tickets.LoginTickets`` (``docs/contracts/web.md`` 4)."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Iterator
from typing import Protocol

from lash_core.store.login_tickets import LoginEnded, LoginTickets, TicketExpired, TicketRedeemed, TicketSpent
from lash_core.store.process_maintenance import ProcessMaintenance
from lash_core.testing.conformance.suite import AnyCase, cases_in


class TicketStores(Protocol):
    """Stores with tickets."""

    @property
    def process_registry(self) -> ProcessMaintenance:
        """What tells the store's time."""
        ...

    @property
    def login_tickets(self) -> LoginTickets:
        """The store under test."""
        ...


def cases() -> Iterator[tuple[str, AnyCase]]:
    """Every case as ``(login_tickets.<function>, function)``. One set of stores serves all of them."""
    return cases_in(sys.modules[__name__])


async def _in_a_minute(stores: TicketStores) -> int:
    return await stores.process_registry.server_time_ms() + 60_000


async def a_ticket_is_good_once(stores: TicketStores) -> None:
    """The second one who shows it is refused, and another ticket is another one."""
    ticket, expires_at_ms = secrets.token_urlsafe(18), await _in_a_minute(stores)
    assert TicketRedeemed() == await stores.login_tickets.redeem_ticket(ticket, expires_at_ms)
    assert TicketSpent() == await stores.login_tickets.redeem_ticket(ticket, expires_at_ms)
    assert TicketRedeemed() == await stores.login_tickets.redeem_ticket(secrets.token_urlsafe(18), expires_at_ms)
    assert TicketSpent() == await stores.login_tickets.redeem_ticket(ticket, expires_at_ms)


async def of_many_who_show_it_at_once_one_is_let_in(stores: TicketStores) -> None:
    """Whoever is first, in whatever process."""
    ticket, expires_at_ms = secrets.token_urlsafe(18), await _in_a_minute(stores)
    answers = await asyncio.gather(*(stores.login_tickets.redeem_ticket(ticket, expires_at_ms) for _ in range(8)))
    assert 1 == answers.count(TicketRedeemed())
    assert 7 == answers.count(TicketSpent())


async def an_old_ticket_is_never_good(stores: TicketStores) -> None:
    """Its time is over by the store's clock, to the millisecond; nothing is noted of it."""
    now_ms = await stores.process_registry.server_time_ms()
    assert TicketExpired() == await stores.login_tickets.redeem_ticket(secrets.token_urlsafe(18), now_ms)
    assert TicketExpired() == await stores.login_tickets.redeem_ticket(secrets.token_urlsafe(18), now_ms - 60_000)


async def a_login_that_is_ended_stays_so(stores: TicketStores) -> None:
    """Whoever asks; saying it again changes nothing, and another login goes on."""
    login, other, expires_at_ms = secrets.token_urlsafe(12), secrets.token_urlsafe(12), await _in_a_minute(stores)
    assert not await stores.login_tickets.is_login_ended(login)
    for _ in range(2):
        assert LoginEnded() == await stores.login_tickets.end_login(login, expires_at_ms)
        assert await stores.login_tickets.is_login_ended(login)
    assert not await stores.login_tickets.is_login_ended(other)


async def a_login_that_has_expired_is_over(stores: TicketStores) -> None:
    """There is nothing to end, and nothing is noted."""
    login, now_ms = secrets.token_urlsafe(12), await stores.process_registry.server_time_ms()
    assert LoginEnded() == await stores.login_tickets.end_login(login, now_ms)
    assert not await stores.login_tickets.is_login_ended(login)


async def logins_and_tickets_have_names_of_their_own(stores: TicketStores) -> None:
    """What one is called says nothing of the other."""
    name, expires_at_ms = secrets.token_urlsafe(18), await _in_a_minute(stores)
    await stores.login_tickets.end_login(name, expires_at_ms)
    assert TicketRedeemed() == await stores.login_tickets.redeem_ticket(name, expires_at_ms)
    other = secrets.token_urlsafe(18)
    await stores.login_tickets.redeem_ticket(other, expires_at_ms)
    assert not await stores.login_tickets.is_login_ended(other)
