"""What a host decides about the web app: who may ask, by which names, and how much (``docs/contracts/web.md``)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from starlette.requests import Request

from lash_core.errors import SettingsError

WebAction = Literal[
    "list_sessions",
    "observe",
    "watch",
    "send_input",
    "cancel_input",
    "cancel_turn",
    "list_processes",
    "cancel_processes",
    "list_fleet_processes",
]
"""What ``authorize`` is asked about."""

WRITES: frozenset[WebAction] = frozenset(("send_input", "cancel_input", "cancel_turn", "cancel_processes"))
"""Actions that change something."""

Authorize = Callable[[Request, str | None, WebAction], bool | Awaitable[bool]]
"""``authorize(request, session_id, action)``: may this request do that? ``session_id`` None: of no one session."""

TOKEN_LENGTH_MIN = 16
"""Characters: what a person invents is shorter, what a program makes is longer."""

_ORIGIN = re.compile(r"https?://[^/?#@\s]+", re.IGNORECASE)
_HOST = re.compile(r"(\*\.)?[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebLimits:
    """How much one serving process takes (``docs/contracts/web.md`` 5).

    Attributes:
        body_bytes_max: of a request.
        body_ms_max: until it has come, and for the head of a request before it where ``lash serve`` listens.
        watchers_max: event streams at once.
        alive_ms: silence on a stream after which it says that it is alive.
        stall_ms: a reader that takes nothing for this long is given up.
        cookie_ms: how long a login lasts.
        ask_again_ms: how often it is asked again whether who opened a stream may still watch.
        ticket_stream_ms: how long a stream lasts that a ticket opened.
    """

    body_bytes_max: int = 1024 * 1024
    body_ms_max: int = 30_000
    watchers_max: int = 2_000
    alive_ms: int = 15_000
    stall_ms: int = 60_000
    cookie_ms: int = 12 * 3_600_000
    ask_again_ms: int = 60_000
    ticket_stream_ms: int = 15 * 60_000

    def __post_init__(self) -> None:
        """Raises: SettingsError: a bound below 1."""
        for name in self.__slots__:
            if getattr(self, name) < 1:
                raise SettingsError(
                    f"{name} is {getattr(self, name)}; it must be at least 1",
                    field=name,
                    value=getattr(self, name),
                    limit=1,
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """Who may ask the web app, and by which names it is asked.

    Attributes:
        token: who has it may do all that ``authorize`` permits; None: there is no login.
        authorize: decides about each session; None: whoever may ask may do everything.
        allow_write: whether ``POST`` may change something. None: with a token or ``authorize`` yes, without both no.
        allowed_hosts: names in ``Host`` besides the loopback's; ``*.example.com`` stands for all below it.
        origins: origins of pages that may ``POST``, besides this server's own: what a proxy makes of it, as
            ``https://chat.example.com``.
        page: whether the page that ships with lash is served.
        limits: how much it takes.

    Raises:
        SettingsError: a token under 16 characters, a host or an origin that is none.
    """

    token: str | None = field(default=None, repr=False)
    authorize: Authorize | None = None
    allow_write: bool | None = None
    allowed_hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    page: bool = True
    limits: WebLimits = field(default_factory=WebLimits)

    def __post_init__(self) -> None:
        """See the class."""
        if self.token is not None and (len(self.token) < TOKEN_LENGTH_MIN or not self.token.isascii()):
            # Never the token itself.
            raise SettingsError(
                f"the token of the web app must have at least {TOKEN_LENGTH_MIN} ASCII characters",
                field="token",
                limit=TOKEN_LENGTH_MIN,
            )
        for name in ("allowed_hosts", "origins"):
            if isinstance(getattr(self, name), str):
                # Each of its letters would be a name.
                raise SettingsError(f"{name} is one text; it is a tuple of them", field=name)
        for host in self.allowed_hosts:
            if not _HOST.fullmatch(host):
                raise SettingsError(
                    f"allowed host {host!r} is no name; it has neither scheme nor port",
                    field="allowed_hosts",
                    value=host,
                )
        for origin in self.origins:
            if not _ORIGIN.fullmatch(origin):
                raise SettingsError(
                    f"origin {origin!r} is none; it looks like https://chat.example.com", field="origins", value=origin
                )

    @property
    def writes(self) -> bool:
        """Whether ``POST`` may change something."""
        if self.allow_write is None:
            return self.token is not None or self.authorize is not None
        return self.allow_write

    @property
    def is_open(self) -> bool:
        """Nobody has to say who they are: only the loopback is answered."""
        return self.token is None and self.authorize is None
