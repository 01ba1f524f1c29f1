"""That a ticket is good once, in whatever process it is shown (``docs/contracts/web.md`` 4).

Only what was redeemed is kept, and only until it would have expired anyway. Who shows a ticket has checked its
signature before a store is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

REDEEMED_TICKETS_MAX = 100_000
"""Redeemed and not yet expired: with tickets of a minute, over 1,600 logins a second. More are refused."""


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


TicketRedemption = TicketRedeemed | TicketSpent | TicketExpired | TicketsFull


@runtime_checkable
class LoginTickets(Protocol):
    """Which tickets were redeemed."""

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
