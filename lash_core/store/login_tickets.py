"""That a ticket is good once and a login is over once it was ended, in whatever process (``docs/contracts/web.md`` 4).

Only what was redeemed or ended is kept, and only until it would have expired anyway. Who shows a ticket or a cookie
has checked its signature before a store is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

REDEEMED_TICKETS_MAX = 100_000
"""Redeemed and not yet expired: with tickets of a minute, over 1,600 logins a second. More are refused."""

ENDED_LOGINS_MAX = 50_000
"""A login is not ended while so many of the places above are taken: logouts leave room for tickets."""


@dataclass(frozen=True, slots=True)
class TicketRedeemed:
    """It was good, and is no more."""


@dataclass(frozen=True, slots=True)
class TicketSpent:
    """Somebody redeemed it before."""


@dataclass(frozen=True, slots=True)
class TicketExpired:
    """Its time is over by the store's clock."""


@dataclass(frozen=True, slots=True)
class TicketsFull:
    """Too many are remembered; nothing was written. Try again in a minute."""


@dataclass(frozen=True, slots=True)
class LoginEnded:
    """The login is over; so it was if it had ended or expired before."""


@dataclass(frozen=True, slots=True)
class LoginsFull:
    """Too many are remembered; nothing was written. Another token ends all logins."""


LoginEnd = LoginEnded | LoginsFull

TicketRedemption = TicketRedeemed | TicketSpent | TicketExpired | TicketsFull


@runtime_checkable
class LoginTickets(Protocol):
    """Which tickets were redeemed, and which logins ended before their time."""

    async def redeem_ticket(self, ticket_id: str, expires_at_ms: int) -> TicketRedemption:
        """Redeem a ticket. Atomic; not safe to repeat: the second answer is ``TicketSpent``.

        Args:
            ticket_id: random, of whoever made it.
            expires_at_ms: by the store's clock.

        Raises:
            OutcomeUnknownError: the reply was lost; take another ticket.
            StoreUnreachableError, StoreRefusedError: nothing was written.
        """
        ...

    async def end_login(self, login_id: str, expires_at_ms: int) -> LoginEnd:
        """Note that a login is over. Safe to repeat.

        Args:
            login_id: random, of whoever made the cookie.
            expires_at_ms: by the store's clock: no cookie of this login is taken from then on anyway.

        Raises:
            OutcomeUnknownError: the reply was lost; say it again.
            StoreUnreachableError, StoreRefusedError: nothing was written.
        """
        ...

    async def is_login_ended(self, login_id: str) -> bool:
        """Whether a login was ended, and has not expired long ago. Raises: store errors."""
        ...
