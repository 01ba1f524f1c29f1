"""What follows a write before it counts as done (DESIGN 3.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from lash_core.redis_store.server_checks import ServerReport
from lash_core.settings import StoreSettings


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A command that waits until the connection's writes are safe, and what it must answer.

    Attributes:
        command: WAITAOF or WAIT with its time limit.
        wanted: at least this many confirmations.
        what: for people.
    """

    command: tuple[str, ...]
    wanted: int
    what: str

    def shortfall(self, reply: Any) -> str | None:
        """Why the reply is no confirmation, or None when it is one."""
        if isinstance(reply, ResponseError):
            return f"{self.what} was not confirmed: {reply}"
        count = int(reply[0] if isinstance(reply, list) else reply)
        if count < self.wanted:
            return f"{self.what} was not confirmed in time: {count} of {self.wanted}"
        return None


def confirmation(settings: StoreSettings, report: ServerReport | None) -> Confirmation | None:
    """What the level asks for on this server; None when the reply of the write itself is enough."""
    limit_ms = str(settings.call_timeout_ms)
    match settings.durability:
        case "fast":
            return None
        case "fsync" if report is not None and (report.appendfsync == "always" or not report.has_waitaof):
            return None
        case "fsync":
            return Confirmation(("WAITAOF", "1", "0", limit_ms), 1, "the write to disk")
        case "replicated":
            wanted = settings.replicas_min
            return Confirmation(("WAIT", str(wanted), limit_ms), wanted, "the copy on a replica")
