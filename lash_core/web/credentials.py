"""Cookies of a login and tickets: short texts that this app signs and later knows again (``docs/contracts/web.md`` 4).

Pure: the clock and the secrets are given. That a ticket is good once, and that a login was ended before its time, is
the business of ``lash_core.store.login_tickets``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass

from lash_core.store.promise_store import SigningSecrets

TICKET_MS = 60_000
"""How long a ticket may be redeemed: the load of a page, with room for a slow line."""

_TEXT_MAX = 1_024
"""Characters of a cookie or ticket that are looked at; the longest of ours, with an id of 200 bytes, has under 450."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a ticket says: what it is called, until when it is good, and for which session; None: for any."""

    ticket_id: str
    expires_at_ms: int
    session_id: str | None


@dataclass(frozen=True, slots=True)
class Login:
    """What a cookie says: what its login is called, and until when it is good."""

    login_id: str
    expires_at_ms: int


class Credentials:
    """Signs and checks. Two serving processes with the same secret and token know each other's.

    Args:
        signing: of the namespace; ``current`` signs, ``previous`` is still known.
        token: it goes into the keys, so that another token ends what the old one signed. None: there is none.
    """

    def __init__(self, signing: SigningSecrets, token: str | None) -> None:
        used = [secret for secret in (signing.current, signing.previous) if secret is not None]
        self._cookie_keys = [_key(secret, "cookie", token) for secret in used]
        self._ticket_keys = [_key(secret, "ticket", token) for secret in used]
        self._token = None if token is None else token.encode()

    @property
    def cookie_name(self) -> str:
        """Of its own for each token: cookies of one host are shared by its ports."""
        return f"lash_login_{hashlib.sha256(self._cookie_keys[0]).hexdigest()[:8]}"

    def is_token(self, text: str) -> bool:
        """Whether it is the token; takes the same time for all that are not."""
        if self._token is None:
            return False
        return hmac.compare_digest(hashlib.sha256(text.encode(errors="replace")).digest(), _digest(self._token))

    # -- cookies ---------------------------------------------------------------------------------------

    def make_cookie(self, expires_at_ms: int) -> str:
        """The value of a cookie."""
        return _signed(self._cookie_keys[0], f"lwc1.{expires_at_ms}.{secrets.token_urlsafe(12)}")

    def read_cookie(self, text: str, now_ms: int) -> Login | None:
        """The login of a cookie of ours that has not expired; whether it was ended is for the store to say."""
        body = _verified(self._cookie_keys, text)
        parts = [] if body is None else body.split(".")
        if len(parts) != 3 or parts[0] != "lwc1" or int(parts[1]) <= now_ms:
            return None
        return Login(parts[2], int(parts[1]))

    # -- tickets ---------------------------------------------------------------------------------------

    def make_ticket(self, now_ms: int, session_id: str | None = None) -> tuple[str, Ticket]:
        """A ticket's text, and what it says. ``now_ms`` by the store's clock."""
        ticket = Ticket(secrets.token_urlsafe(18), now_ms + TICKET_MS, session_id)
        named = "" if session_id is None else base64.urlsafe_b64encode(session_id.encode()).decode().rstrip("=")
        text = f"lwt1.{ticket.expires_at_ms}.{ticket.ticket_id}.{named}"
        return _signed(self._ticket_keys[0], text), ticket

    def read_ticket(self, text: str) -> Ticket | None:
        """What a ticket says if it is ours; whether it is still good is for the store to say."""
        body = _verified(self._ticket_keys, text)
        parts = [] if body is None else body.split(".")
        if len(parts) != 4 or parts[0] != "lwt1":
            return None
        named = parts[3]
        session_id = base64.urlsafe_b64decode(named + "=" * (-len(named) % 4)).decode() if named else None
        return Ticket(parts[2], int(parts[1]), session_id)


def _key(secret: bytes, purpose: str, token: str | None) -> bytes:
    about = b"" if token is None else _digest(token.encode())
    return hmac.digest(secret, f"lash web {purpose} 1\0".encode() + about, "sha256")


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()


def _signed(key: bytes, body: str) -> str:
    mac = base64.urlsafe_b64encode(hmac.digest(key, body.encode(), "sha256")).decode().rstrip("=")
    return f"{body}.{mac}"


def _verified(keys: list[bytes], text: str) -> str | None:
    """The body of a text that one of the keys has signed: whatever follows may rely on its form."""
    body, dot, mac = text.rpartition(".")
    if not dot or len(text) > _TEXT_MAX or not text.isascii():
        return None
    try:
        given = base64.b64decode(mac + "=" * (-len(mac) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    good = [key for key in keys if hmac.compare_digest(hmac.digest(key, body.encode(), "sha256"), given)]
    return body if good else None
