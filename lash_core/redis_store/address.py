"""What a server URL says.

========================================  =========================================================================
``redis://[user[:password]@]host[:port][/db]``  one server; a cluster is recognised by what the server says
``rediss://…``                            the same over TLS: certificate and host name are verified
``unix://[user[:password]@]/path[?db=n]`` one server of this machine
``redis+sentinel://h1[:p],h2,h3/master[/db]``   the master that the sentinels name
``redis+cluster://h1[:p],h2``             a cluster, found through any of these nodes
========================================  =========================================================================

``rediss+sentinel`` and ``rediss+cluster`` use TLS; ``valkey`` stands for ``redis`` everywhere. Parameters:
``ssl_ca_certs``, ``ssl_certfile``, ``ssl_keyfile`` (paths), ``sentinel_username``, ``sentinel_password``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, unquote

from lash_core.errors import SettingsError
from lash_core.redis_store.redact import redact_url

Topology = Literal["single", "sentinel", "cluster"]

PORT_DEFAULT = 6379
SENTINEL_PORT_DEFAULT = 26379
DATABASES_MAX = 1_000_000

_SCHEMES: dict[str, tuple[Topology, bool]] = {
    "redis": ("single", False),
    "rediss": ("single", True),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
_PARAMETERS = ("db", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "sentinel_username", "sentinel_password")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server listens: a host and port, or a unix socket."""

    host: str
    port: int = 0

    @property
    def is_unix(self) -> bool:
        """True when ``host`` is the path of a unix socket."""
        return self.port == 0

    def __str__(self) -> str:
        """For messages."""
        return self.host if self.is_unix else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """User and password, kept out of every repr."""

    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of a certificate authority and of a client certificate; None = the system's and none."""

    ca_certs: str | None = None
    certfile: str | None = None
    keyfile: str | None = None


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """A parsed URL; ``where`` is the URL without secrets, for messages."""

    topology: Topology
    endpoints: tuple[Endpoint, ...]
    where: str
    tls: bool = False
    db: int = 0
    master: str = ""
    credentials: Credentials = Credentials()
    sentinel_credentials: Credentials = Credentials()
    tls_files: TlsFiles = TlsFiles()


def parse_url(url: str) -> ServerAddress:
    """Parse a server URL.

    Raises:
        SettingsError: names the part that is wrong; never the password.
    """
    scheme, separator, rest = url.strip().partition("://")
    scheme = scheme.lower().replace("valkeys", "rediss").replace("valkey", "redis")
    if not separator or (scheme != "unix" and scheme not in _SCHEMES):
        allowed = ", ".join([*_SCHEMES, "unix"])
        raise _bad(url, f"its scheme must be one of {allowed}")
    rest, _, query = rest.partition("?")
    parameters = _parameters(url, query)
    authority, _, place = rest.rpartition("@")
    credentials = _credentials(authority)
    if scheme == "unix":
        return _unix_address(url, place, parameters, credentials)
    topology, tls = _SCHEMES[scheme]
    hosts, _, path = place.partition("/")
    default_port = SENTINEL_PORT_DEFAULT if topology == "sentinel" else PORT_DEFAULT
    endpoints = tuple(_endpoint(url, host, default_port) for host in hosts.split(","))
    if topology == "single" and len(endpoints) > 1:
        raise _bad(url, "it names several hosts; use redis+cluster:// or redis+sentinel://")
    master, db_text = "", path
    if topology == "sentinel":
        master, _, db_text = path.partition("/")
        if not master:
            raise _bad(url, "a sentinel URL names its master: redis+sentinel://host1,host2/<master>[/<db>]")
    db = _database(url, parameters.get("db") or db_text.strip("/"))
    if topology == "cluster" and db:
        raise _bad(url, "a cluster has only database 0")
    return ServerAddress(
        topology=topology,
        endpoints=endpoints,
        where=redact_url(url),
        tls=tls,
        db=db,
        master=unquote(master),
        credentials=credentials,
        sentinel_credentials=Credentials(parameters.get("sentinel_username"), parameters.get("sentinel_password")),
        tls_files=TlsFiles(*(parameters.get(name) for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"))),
    )


def _unix_address(url: str, place: str, parameters: dict[str, str], credentials: Credentials) -> ServerAddress:
    if not place.startswith("/"):
        raise _bad(url, "a unix URL names an absolute path: unix:///path/of/socket")
    return ServerAddress(
        topology="single",
        endpoints=(Endpoint(unquote(place)),),
        where=redact_url(url),
        db=_database(url, parameters.get("db", "")),
        credentials=credentials,
    )


def _parameters(url: str, query: str) -> dict[str, str]:
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(set(parameters) - set(_PARAMETERS))
    if unknown:
        raise _bad(url, f"parameter {unknown[0]!r} is unknown; known are {', '.join(_PARAMETERS)}")
    return parameters


def _credentials(authority: str) -> Credentials:
    if not authority:
        return Credentials()
    username, separator, password = authority.partition(":")
    return Credentials(unquote(username) or None, unquote(password) if separator else None)


def _endpoint(url: str, text: str, default_port: int) -> Endpoint:
    host, port_text = text, ""
    if text.startswith("["):  # an IPv6 address
        host, _, tail = text[1:].partition("]")
        port_text = tail.removeprefix(":")
    elif ":" in text:
        host, _, port_text = text.rpartition(":")
    if port_text and not (port_text.isascii() and port_text.isdigit() and 0 < int(port_text) < 65_536):
        raise _bad(url, "a port is a number from 1 to 65535")
    return Endpoint(unquote(host) or "localhost", int(port_text or default_port))


def _database(url: str, text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and int(text) < DATABASES_MAX):
        raise _bad(url, "the database is a number")
    return int(text)


def _bad(url: str, why: str) -> SettingsError:
    # Somebody who forgot the scheme has put a password into the text all the same.
    shown = redact_url(url) if "://" in url else redact_url(f"://{url}").removeprefix("://")
    return SettingsError(f"server URL {shown!r}: {why}", field="LASH_REDIS_URL", value=shown)
