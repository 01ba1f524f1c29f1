"""Redeemed tickets over Redis: one zset in the first partition (``docs/contracts/redis_layout.md``)."""

from __future__ import annotations

from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.scripts import Call
from lash_core.store.login_tickets import (
    REDEEMED_TICKETS_MAX,
    TicketExpired,
    TicketRedeemed,
    TicketRedemption,
    TicketsFull,
    TicketSpent,
)

_ANSWERS: dict[str, TicketRedemption] = {
    "redeemed": TicketRedeemed(),
    "spent": TicketSpent(),
    "expired": TicketExpired(),
    "full": TicketsFull(),
}


class RedisLoginTickets:
    """``LoginTickets`` over Redis; times are the server's."""

    def __init__(self, context: RedisContext) -> None:
        self._context = context
        self._key = context.keyspace.login_tickets

    async def redeem_ticket(self, ticket_id: str, expires_at_ms: int) -> TicketRedemption:
        """Redeem a ticket; see ``LoginTickets``."""
        call = Call("redeem_ticket", (self._key,), (ticket_id, expires_at_ms, REDEEMED_TICKETS_MAX))
        reply = (await self._context.scripts.run([call], durable=True, repeatable=False))[0]
        return _ANSWERS[str(reply)]
