"""How a wait for a promise ends, whoever keeps the promise (contract 5.5)."""

from __future__ import annotations

from lash_core.errors import RuntimeFailure
from lash_core.model.await_event import (
    UNKNOWN_OR_REVOKED,
    Accepted,
    AlreadyResolved,
    Resolution,
    ResolveOutcome,
    UnknownOrRevoked,
)


def standing(outcome: ResolveOutcome, asked: Resolution) -> Resolution:
    """What stands after a waiter resolved its promise with ``asked``: that, or what was faster.

    Raises:
        RuntimeFailure: ``await_event_unknown_or_revoked``.
    """
    match outcome:
        case Accepted():
            return asked
        case AlreadyResolved(terminal):
            return terminal
        case UnknownOrRevoked():
            raise unknown_or_revoked()


def unknown_or_revoked() -> RuntimeFailure:
    """The refusal of a key that nobody here signed, or whose session is gone."""
    return RuntimeFailure(UNKNOWN_OR_REVOKED, "the await-event key is unknown or its session was deleted")


def turn_wait_ended(why: str) -> RuntimeFailure:
    """The end of a wait of turn control, whose promise no waiter ends. ``why``: ``timeout`` or ``cancelled``."""
    return RuntimeFailure(f"turn_control_wait_{why}", "the wait for a turn ended before the turn")
