"""Which ``Host`` and which ``Origin`` a request may have (``docs/contracts/web.md`` 4). Pure: headers in, answers out.

A browser that has been led here by a foreign name, or a foreign page that posts here, names itself in these headers and
cannot lie in them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


def host_name(header: str) -> str | None:
    """The name in a ``Host`` header, in lower case and without its port; None when it is none."""
    text = header.strip().lower()
    if text.startswith("["):
        name, bracket, rest = text.partition("]")
        name = name + bracket if bracket else ""
    else:
        name, colon, rest = text.partition(":")
        rest = colon + rest
    if not name or (rest and (not rest.startswith(":") or not rest[1:].isdigit())):
        return None
    return name.removesuffix(".") or None


def host_allowed(header: str, allowed: Sequence[str], connected_to: str | None = None) -> bool:
    """Whether a ``Host`` header names this server.

    Args:
        header: the header.
        allowed: names besides the loopback's; ``*.example.com`` stands for all below it.
        connected_to: the address of this end of the connection. A page of a foreign name cannot make a browser send it.
    """
    name = host_name(header)
    if name is None:
        return False
    if name in LOOPBACK_NAMES or (connected_to is not None and _same_address(name, connected_to)):
        return True
    lowered = (pattern.lower() for pattern in allowed)
    return any(name.endswith(pattern[1:]) if pattern.startswith("*.") else name == pattern for pattern in lowered)


def origin_allowed(origin: str, scheme: str, host_header: str, others: Sequence[str] = ()) -> bool:
    """Whether an ``Origin`` header is this server's, or one of those that stand for it."""
    mine = f"{scheme}://{host_header}"
    return any(_same_origin(origin, other) for other in (mine, *others))


def is_loopback(address: str | None) -> bool:
    """Whether a client's address is of this machine; None is a Unix socket."""
    if address is None:
        return True
    found = _address(address)
    if found is None:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback


def listens_on_loopback(host: str) -> bool:
    """Whether a server that is told to listen at this name or address is reached from this machine alone."""
    return host == "localhost" or is_loopback(host)


def _same_origin(one: str, other: str) -> bool:
    return _origin_parts(one) is not None and _origin_parts(one) == _origin_parts(other)


def _origin_parts(origin: str) -> tuple[str, str, str] | None:
    scheme, separator, host = origin.strip().lower().partition("://")
    name = host_name(host)
    if not separator or name is None or scheme not in ("http", "https"):
        return None
    port = host.rpartition("]")[2].partition(":")[2] or ("443" if scheme == "https" else "80")
    return scheme, name, port


def _same_address(name: str, address: str) -> bool:
    one, other = _address(name), _address(address)
    return one is not None and one == other


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None
