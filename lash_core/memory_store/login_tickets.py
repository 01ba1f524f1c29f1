"""Redeemed tickets in memory: the model of the Redis ones."""

from __future__ import annotations

from lash_core.clock import Clock
from lash_core.store.login_tickets import (
    REDEEMED_TICKETS_MAX,
    TicketExpired,
    TicketRedeemed,
    TicketRedemption,
    TicketsFull,
    TicketSpent,
)


class MemoryLoginTickets:
    """``LoginTickets`` of one OS process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._redeemed: dict[str, int] = {}

    async def redeem_ticket(self, ticket_id: str, expires_at_ms: int) -> TicketRedemption:
        """Redeem a ticket; see ``LoginTickets``."""
        now_ms = self._clock.now_ms()
        if expires_at_ms <= now_ms:
            return TicketExpired()
        if ticket_id in self._redeemed:
            return TicketSpent()
        if len(self._redeemed) >= REDEEMED_TICKETS_MAX:
            self._redeemed = {name: at_ms for name, at_ms in self._redeemed.items() if at_ms > now_ms}
        if len(self._redeemed) >= REDEEMED_TICKETS_MAX:
            return TicketsFull()
        self._redeemed[ticket_id] = expires_at_ms
        return TicketRedeemed()
