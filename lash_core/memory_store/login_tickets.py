"""Redeemed tickets and ended logins in memory: the model of the Redis ones."""

from __future__ import annotations

from lash_core.clock import Clock
from lash_core.store.login_tickets import (
    ENDED_LOGINS_MAX,
    REDEEMED_TICKETS_MAX,
    LoginEnd,
    LoginEnded,
    LoginsFull,
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
        self._ended: dict[str, int] = {}

    async def redeem_ticket(self, ticket_id: str, expires_at_ms: int) -> TicketRedemption:
        """Redeem a ticket; see ``LoginTickets``."""
        now_ms = self._clock.now_ms()
        if expires_at_ms <= now_ms:
            return TicketExpired()
        if ticket_id in self._redeemed:
            return TicketSpent()
        if self._kept(now_ms, REDEEMED_TICKETS_MAX) >= REDEEMED_TICKETS_MAX:
            return TicketsFull()
        self._redeemed[ticket_id] = expires_at_ms
        return TicketRedeemed()

    async def end_login(self, login_id: str, expires_at_ms: int) -> LoginEnd:
        """End a login; see ``LoginTickets``."""
        now_ms = self._clock.now_ms()
        if expires_at_ms <= now_ms or login_id in self._ended:
            return LoginEnded()
        if self._kept(now_ms, ENDED_LOGINS_MAX) >= ENDED_LOGINS_MAX:
            return LoginsFull()
        self._ended[login_id] = expires_at_ms
        return LoginEnded()

    async def is_login_ended(self, login_id: str) -> bool:
        """Whether a login was ended; see ``LoginTickets``."""
        return login_id in self._ended

    def _kept(self, now_ms: int, limit: int) -> int:
        """How many are remembered; what has expired is forgotten where they are too many."""
        if len(self._redeemed) + len(self._ended) >= limit:
            self._redeemed = {name: at_ms for name, at_ms in self._redeemed.items() if at_ms > now_ms}
            self._ended = {name: at_ms for name, at_ms in self._ended.items() if at_ms > now_ms}
        return len(self._redeemed) + len(self._ended)
