"""Which ``Host`` and ``Origin`` headers are this server's."""

from __future__ import annotations

import pytest

from lash_core.web.origins import host_allowed, host_name, is_loopback, origin_allowed


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Chat.Example.com", "chat.example.com"),
        ("chat.example.com:8443", "chat.example.com"),
        ("chat.example.com.", "chat.example.com"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("[::1]:8080", "[::1]"),
        ("[::1]", "[::1]"),
        *[(broken, None) for broken in ("", ":80", "a:b", "a:80:90", "[::1", "[::1]x", "::1")],
    ],
)
def test_the_name_of_a_host_header(header: str, name: str | None) -> None:
    """In lower case, without port and last dot; None for what is no name."""
    assert name == host_name(header)


@pytest.mark.parametrize(
    ("header", "allowed"),
    [
        *[(name, True) for name in ("localhost", "localhost:1", "127.0.0.1:8470", "[::1]:8470", "LOCALHOST")],
        *[(name, True) for name in ("chat.example.com", "CHAT.example.com:443", "a.b.test", "x.b.test")],
        *[(name, True) for name in ("192.0.2.7:8470", "192.0.2.7")],
        *[(name, False) for name in ("", "evil.test", "example.com", "b.test", "chat.example.com.evil.test")],
        *[(name, False) for name in ("xchat.example.com", "192.0.2.8", "localhost.evil.test", "127.0.0.1.evil.test")],
        *[(name, False) for name in ("localhost:80:evil", "localhost/evil", "localhost@evil.test", "notb.test")],
    ],
)
def test_hosts(header: str, allowed: bool) -> None:
    """The loopback, what was configured, and the address that was connected to; nothing that looks alike."""
    assert allowed == host_allowed(header, ("chat.example.com", "*.b.test"), "192.0.2.7")


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:8470", True),
        ("HTTP://LOCALHOST:8470", True),
        ("https://chat.example.com", True),
        ("https://chat.example.com:443", True),
        *[(origin, False) for origin in ("null", "", "localhost:8470", "http://localhost", "https://localhost:8470")],
        *[(origin, False) for origin in ("http://chat.example.com", "http://evil.test", "file://localhost:8470")],
        *[(origin, False) for origin in ("http://localhost:8470.evil.test", "http://localhost:8470@evil.test")],
    ],
)
def test_origins(origin: str, allowed: bool) -> None:
    """Scheme, name and port must be this server's, or an origin that was configured."""
    assert allowed == origin_allowed(origin, "http", "localhost:8470", ("https://chat.example.com",))


def test_a_default_port_may_be_left_out() -> None:
    """As browsers do."""
    assert origin_allowed("http://chat.test", "http", "chat.test:80")
    assert origin_allowed("https://chat.test:443", "https", "chat.test")
    assert not origin_allowed("http://chat.test:443", "https", "chat.test")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        *[(address, True) for address in (None, "127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1")],
        *[(address, False) for address in ("192.0.2.7", "::ffff:192.0.2.7", "fe80::1", "localhost", "", "testclient")],
    ],
)
def test_the_loopback(address: str | None, expected: bool) -> None:
    """Addresses of this machine, and Unix sockets; a name proves nothing."""
    assert expected == is_loopback(address)
