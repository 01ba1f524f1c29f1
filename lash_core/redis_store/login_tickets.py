"""Redeemed tickets and ended logins over Redis: one zset in the first partition (``redis_layout.md``)."""

from __future__ import annotations

from lash_core.redis_store.commands import Command
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.scripts import Call
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

_ANSWERS: dict[str, TicketRedemption] = {
    "redeemed": TicketRedeemed(),
    "spent": TicketSpent(),
    "expired": TicketExpired(),
    "full": TicketsFull(),
}

_ENDS: dict[str, LoginEnd] = {"ended": LoginEnded(), "full": LoginsFull()}


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

    async def end_login(self, login_id: str, expires_at_ms: int) -> LoginEnd:
        """End a login; see ``LoginTickets``."""
        call = Call("end_login", (self._key,), (_member(login_id), expires_at_ms, ENDED_LOGINS_MAX))
        reply = (await self._context.scripts.run([call], durable=True))[0]
        return _ENDS[str(reply)]

    async def is_login_ended(self, login_id: str) -> bool:
        """Whether a login was ended; see ``LoginTickets``."""
        command = Command(self._key, ("ZSCORE", self._key, _member(login_id)))
        return (await self._context.connection.read([command]))[0] is not None


def _member(login_id: str) -> str:
    # No ticket has a colon.
    return f"login:{login_id}"
