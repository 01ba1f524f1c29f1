"""Whether a request may come in, who asks, and whether they may (``docs/contracts/web.md`` 4).

In this order: the name it was sent to, the site it comes from, who asks, ``authorize``. Nothing is read of a session
before all of them agree.
"""

from __future__ import annotations

import inspect
import logging

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lash_core.errors import LashError
from lash_core.store.login_tickets import TicketRedeemed
from lash_core.web.config import WRITES, WebAction, WebConfig
from lash_core.web.credentials import Login
from lash_core.web.origins import host_allowed, is_loopback, origin_allowed
from lash_core.web.refusals import (
    AuthorizeFailedError,
    HostRefusedError,
    LoginRequiredError,
    NotPermittedError,
    OriginRefusedError,
    ReadOnlyError,
)
from lash_core.web.replies import KEPT_TO_ITSELF, error_reply
from lash_core.web.web_state import WebState

OPEN_ADDRESSES = ("/healthz",)
"""Asked by load balancers, by whatever name they have for this server."""

_OF_PROXIES = ("forwarded", "x-real-ip", "via", "x-forwarded-", "cf-", "x-client-ip", "true-client-ip")
"""How headers begin that a proxy puts on what it passes on."""

_log = logging.getLogger(__name__)


class Shield:
    """Refuses requests that were sent to another name, and puts the headers on that keep answers to themselves.

    Args:
        app: what answers.
        config: the names.
    """

    def __init__(self, app: ASGIApp, config: WebConfig) -> None:
        self._app = app
        self._allowed = config.allowed_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in KEPT_TO_ITSELF.items():
                    headers.setdefault(name, value)
            await send(message)

        asked = Headers(scope=scope).get("host", "")
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        server = scope.get("server")
        if path in OPEN_ADDRESSES or host_allowed(asked, self._allowed, server[0] if server else None):
            await self._app(scope, receive, guarded)
        else:
            await error_reply(
                HostRefusedError(f"{asked[:100]!r} is not a name of this server", field="Host", value=asked)
            )(scope, receive, guarded)


def check_site(request: Request, config: WebConfig, action: WebAction | None = None) -> None:
    """A request that a browser makes for a page of another site is refused; programs say who they are instead.

    Raises:
        OriginRefusedError: a wrong ``Origin``; none for a ``POST`` without a bearer header; a cross-site request.
    """
    brings_proof = _bearer(request) is not None or (action == "watch" and "ticket" in request.query_params)
    origin = request.headers.get("origin")
    if origin is not None and not origin_allowed(
        origin, request.url.scheme, request.headers.get("host", ""), config.origins
    ):
        raise OriginRefusedError("this origin is not this server's", field="Origin", value=origin)
    if origin is None and request.method == "POST" and _bearer(request) is None:
        raise OriginRefusedError("a POST without a bearer header needs the Origin of its page", field="Origin")
    if origin is None and not brings_proof and request.headers.get("sec-fetch-site") == "cross-site":
        raise OriginRefusedError("a page of another site asks", field="Sec-Fetch-Site", value="cross-site")


async def is_known(request: Request, state: WebState) -> bool:
    """Whether the caller has said who they are by header or cookie, where that is needed.

    Raises:
        Store errors: there is a login, and nobody can say whether it was ended.
    """
    if state.config.token is None:
        return not state.config.is_open or _is_of_this_machine(request)
    bearer = _bearer(request)
    if bearer is not None:
        return state.credentials.is_token(bearer)
    login = login_of(request, state)
    return login is not None and not await state.tickets.is_login_ended(login.login_id)


def login_of(request: Request, state: WebState) -> Login | None:
    """The login that a request goes by: of its cookie, unless that has expired or a bearer header speaks for it."""
    if state.config.token is None or _bearer(request) is not None:
        return None
    cookie = request.cookies.get(state.credentials.cookie_name)
    return None if cookie is None else state.credentials.read_cookie(cookie, state.clock.now_ms())


async def admit(request: Request, state: WebState, action: WebAction, session_id: str | None) -> None:
    """Let a request do something to a session, or to the fleet.

    Raises:
        LoginRequiredError, NotPermittedError, ReadOnlyError. What ``authorize`` raises.
    """
    if is_by_ticket(request, action):
        await _redeem_for(request, state, session_id)
        return
    if not await is_known(request, state):
        if state.config.is_open:
            raise NotPermittedError("without a token only clients on this machine are answered")
        raise LoginRequiredError("log in, or send the token as a bearer header")
    if action in WRITES and not state.config.writes:
        raise ReadOnlyError("this app is read-only", field="action", value=action)
    if not await is_authorized(request, state, action, session_id):
        raise NotPermittedError(f"you may not {action.replace('_', ' ')} here", field="action", value=action)


def is_by_ticket(request: Request, action: WebAction) -> bool:
    """Whether a ticket speaks for the request, and nothing else does."""
    return action == "watch" and request.method == "GET" and "ticket" in request.query_params


async def is_authorized(request: Request, state: WebState, action: WebAction, session_id: str | None) -> bool:
    """What the host's own callback says; yes without one.

    Raises:
        AuthorizeFailedError: it raised something else than an ``HTTPException`` or an error of lash.
    """
    authorize = state.config.authorize
    if authorize is None:
        return True
    try:
        answer = authorize(request, session_id, action)
        if inspect.isawaitable(answer):
            answer = await answer
    except (HTTPException, LashError):
        raise
    except Exception as error:
        # Of the host's making, and for its log alone: nothing was done.
        _log.exception("authorize failed for %s of session %r", action, session_id)
        raise AuthorizeFailedError("it cannot be said whether you may") from error
    # Only True permits: a callback that forgot to answer did not say yes.
    return answer is True


async def redeem(state: WebState, text: str, session_id: str | None) -> None:
    """Use a ticket up. It must name the session, or none where nobody decides about single sessions.

    Raises:
        LoginRequiredError: forged, of another session, old or spent. Store errors.
    """
    ticket = state.credentials.read_ticket(text)
    named = (session_id,) if state.config.authorize is not None else (None, session_id)
    if ticket is None or ticket.session_id not in named:
        raise LoginRequiredError("this ticket is not good here")
    redemption = await state.tickets.redeem_ticket(ticket.ticket_id, ticket.expires_at_ms)
    if redemption != TicketRedeemed():
        raise LoginRequiredError("this ticket was used, or is too old: take another one")


async def _redeem_for(request: Request, state: WebState, session_id: str | None) -> None:
    """Who made it was asked then: ``authorize`` saw that request, and this one brings nothing else."""
    await redeem(state, request.query_params["ticket"], session_id)


def _is_of_this_machine(request: Request) -> bool:
    """By its address. What a proxy passes on has the proxy's own, and comes from wherever."""
    through_a_proxy = any(name.startswith(_OF_PROXIES) for name in request.headers)
    return not through_a_proxy and is_loopback(request.client.host if request.client else None)


def _bearer(request: Request) -> str | None:
    kind, _, text = request.headers.get("authorization", "").partition(" ")
    return text.strip() if kind.lower() == "bearer" and text.strip() else None
