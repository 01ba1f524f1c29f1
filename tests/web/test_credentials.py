"""Cookies and tickets: signed, bound to secret and token, of limited life."""

from __future__ import annotations

import base64

import pytest

from lash_core.errors import SettingsError
from lash_core.store.promise_store import SigningSecrets
from lash_core.web.config import WebConfig, WebLimits
from lash_core.web.credentials import TICKET_MS, Credentials, Ticket

OLD, NEW = b"o" * 32, b"n" * 32
TOKEN = "0123456789abcdef"
NOW = 1_800_000_000_000


def credentials(current: bytes = NEW, previous: bytes | None = None, token: str | None = TOKEN) -> Credentials:
    return Credentials(SigningSecrets(current, previous), token)


def test_a_cookie_is_good_until_it_expires() -> None:
    """To the millisecond, at every process with the same secret and token."""
    cookie = credentials().make_cookie(NOW)
    assert credentials().read_cookie(cookie, NOW - 1) is not None
    assert credentials().read_cookie(cookie, NOW) is None
    assert cookie != credentials().make_cookie(NOW)


def test_what_another_secret_or_token_signed_is_not_known() -> None:
    """Another token ends all logins; a rotated secret is known until it is dropped."""
    cookie = credentials(OLD).make_cookie(NOW)
    assert credentials(NEW, OLD).read_cookie(cookie, 0) is not None
    assert credentials(NEW).read_cookie(cookie, 0) is None
    assert credentials(OLD, token=TOKEN + "x").read_cookie(cookie, 0) is None
    assert credentials(OLD, token=None).read_cookie(cookie, 0) is None
    assert credentials(OLD).cookie_name != credentials(OLD, token=TOKEN + "x").cookie_name
    assert credentials(OLD).cookie_name == credentials(OLD).cookie_name


def test_a_cookie_is_no_ticket_and_the_other_way_round() -> None:
    """Each has a key of its own."""
    both = credentials()
    ticket, _ = both.make_ticket(NOW)
    assert both.read_ticket(both.make_cookie(NOW + TICKET_MS)) is None
    assert both.read_cookie(ticket, 0) is None


@pytest.mark.parametrize("session_id", [None, "chat", "a/b:c.d é日本", "x" * 200])
def test_a_ticket_says_what_it_was_made_for(session_id: str | None) -> None:
    """Session and time; a name of its own."""
    text, made = credentials().make_ticket(NOW, session_id)
    assert made == credentials().read_ticket(text)
    assert (NOW + TICKET_MS, session_id) == (made.expires_at_ms, made.session_id)
    assert made.ticket_id != credentials().make_ticket(NOW, session_id)[1].ticket_id
    assert len(text) < 450


@pytest.mark.parametrize("change", ["time", "session", "cut", "longer", "mac", "case"])
def test_a_changed_ticket_is_none(change: str) -> None:
    """Whoever has one cannot make another one of it."""
    text, _ = credentials().make_ticket(NOW, "chat")
    version, expires, name, session, mac = text.split(".")
    other = base64.urlsafe_b64encode(b"other").decode().rstrip("=")
    forged = {
        "time": f"{version}.{int(expires) + 1}.{name}.{session}.{mac}",
        "session": f"{version}.{expires}.{name}.{other}.{mac}",
        "cut": text[:-1],
        "longer": f"{text}A",
        "mac": f"{version}.{expires}.{name}.{session}.{'A' * len(mac)}",
        "case": f"{version}.{expires}.{name}.{session}.{mac.swapcase()}",
    }[change]
    assert credentials().read_ticket(forged) is None


@pytest.mark.parametrize("text", ["", ".", "a.b", "lwt1.1.a..", "é.é", "\ud800.x", "x" * 2_000, "lwt1.1.a.b.!!!!"])
def test_nonsense_is_neither(text: str) -> None:
    """And no error."""
    assert credentials().read_ticket(text) is None
    assert credentials().read_cookie(text, 0) is None


def test_the_token() -> None:
    """Only itself; and nothing where there is none."""
    assert credentials().is_token(TOKEN)
    for text in ("", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "é", "\ud800"):
        assert not credentials().is_token(text)
    assert not credentials(token=None).is_token("")


def test_a_config_says_what_is_wrong_with_it() -> None:
    """And never shows the token."""
    for facts, field in (
        ({"token": "short"}, "token"),
        ({"token": "é" * 20}, "token"),
        ({"allowed_hosts": ("http://x",)}, "allowed_hosts"),
        ({"allowed_hosts": "example.com"}, "allowed_hosts"),
        ({"origins": "https://example.com"}, "origins"),
        ({"allowed_hosts": ("x:80",)}, "allowed_hosts"),
        ({"origins": ("chat.example.com",)}, "origins"),
        ({"origins": ("https://chat.example.com/",)}, "origins"),
    ):
        with pytest.raises(SettingsError) as caught:
            WebConfig(**facts)  # pyright: ignore[reportArgumentType]
        assert field == caught.value.field
        assert "short" not in str(caught.value)
    with pytest.raises(SettingsError, match="watchers_max is 0"):
        WebLimits(watchers_max=0)
    assert TOKEN not in repr(WebConfig(token=TOKEN))


def test_who_may_write_by_default() -> None:
    """Nobody, where nobody has to say who they are; it may be told otherwise."""
    assert not WebConfig().writes
    assert WebConfig(allow_write=True).writes
    assert WebConfig(token=TOKEN).writes
    assert not WebConfig(token=TOKEN, allow_write=False).writes
    assert WebConfig(authorize=lambda request, session_id, action: True).writes
    assert WebConfig().is_open
    assert Ticket("a", 1, None) == Ticket("a", 1, None)
