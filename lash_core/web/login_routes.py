"""Who asks: access, login, logout, tickets; and whether the app serves (``docs/contracts/web.md`` 4)."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

from starlette.responses import Response

from lash_core.errors import InvalidArgumentError, LashError, StoreUnreachableError
from lash_core.model.ids import check_id
from lash_core.store.login_tickets import LoginEnded
from lash_core.web import forms
from lash_core.web.calls import Call
from lash_core.web.doors import admit, is_known, login_of, redeem
from lash_core.web.refusals import LoginRequiredError, TooManyLogoutsError
from lash_core.web.replies import json_reply

CLOCKS_APART_MS_MAX = 3_600_000
"""A cookie expires by the clock of who is shown it, its end is forgotten by the store's: so far apart may they be."""

HEALTH_MS_MAX = 2_000
"""A load balancer gives up after two to five seconds."""


async def access(call: Call) -> forms.AccessAnswer:
    """Who the caller is to this app. Never refused."""
    config = call.state.config
    try:
        async with asyncio.timeout(HEALTH_MS_MAX / 1_000):
            known = await is_known(call.request, call.state)
    except (LashError, OSError, TimeoutError):
        # Nothing is shown here; whatever shows something asks the store again.
        known = login_of(call.request, call.state) is not None
    return forms.AccessAnswer(authenticated=known, login=config.token is not None, writes=config.writes)


async def login(call: Call) -> Response:
    """Exchange the token, or a ticket, for a cookie that scripts cannot read."""
    body: forms.LoginBody = call.body
    state = call.state
    if state.config.token is None:
        raise InvalidArgumentError("there is no token to log in with", field="token")
    if body.token is not None and not state.credentials.is_token(body.token):
        raise LoginRequiredError("this is not the token")
    if body.ticket is not None:
        await redeem(state, body.ticket, None)
    lasts_ms = state.config.limits.cookie_ms
    expires_at_ms = state.clock.now_ms() + lasts_ms
    reply = json_reply(forms.LoginAnswer(expires_at_ms=expires_at_ms).to_json_value())
    reply.set_cookie(
        state.credentials.cookie_name,
        state.credentials.make_cookie(expires_at_ms),
        max_age=lasts_ms // 1_000,
        path=_cookie_path(call),
        secure=_is_https(call),
        httponly=True,
        samesite="strict",
    )
    return reply


async def logout(call: Call) -> Response:
    """End the login, at all serving processes, and drop the cookie.

    Raises:
        TooManyLogoutsError; store errors. Nothing was done: the cookie stays, so that it can be tried again.
    """
    state, login = call.state, login_of(call.request, call.state)
    if login is not None:
        if await state.tickets.end_login(login.login_id, login.expires_at_ms + CLOCKS_APART_MS_MAX) != LoginEnded():
            raise TooManyLogoutsError("too many logins were ended today; another token ends all of them")
        state.watchers.ask_again_of(login.login_id)
    reply = json_reply({})
    reply.delete_cookie(
        call.state.credentials.cookie_name,
        path=_cookie_path(call),
        secure=_is_https(call),
        httponly=True,
        samesite="strict",
    )
    return reply


async def ticket(call: Call) -> forms.TicketAnswer:
    """A ticket for one event stream: of one session, or of any where nobody decides about single ones."""
    body: forms.TicketBody = call.body
    session_id = body.session_id
    if session_id is not None:
        check_id(session_id, field="session_id", subject="session id")
    elif call.state.config.authorize is not None:
        raise InvalidArgumentError("a ticket of this app must name its session", field="session_id")
    await admit(call.request, call.state, "watch", session_id)
    text, made = call.state.credentials.make_ticket(await call.state.ticket_time_ms(), session_id)
    return forms.TicketAnswer(ticket=text, expires_at_ms=made.expires_at_ms)


async def healthz(call: Call) -> forms.Health:
    """Whether the store answers."""
    try:
        async with asyncio.timeout(HEALTH_MS_MAX / 1_000):
            await call.client.stores.process_registry.server_time_ms()
    except (LashError, OSError, TimeoutError) as error:
        raise StoreUnreachableError("the store does not answer") from error
    return forms.Health()


def _cookie_path(call: Call) -> str:
    # As it stands in an address: a browser compares the two letter by letter.
    return quote(call.request.scope.get("root_path", ""), safe="/:@!$&'()*+,=~") or "/"


def _is_https(call: Call) -> bool:
    origins = call.state.config.origins
    return call.request.url.scheme == "https" or (bool(origins) and all(o.startswith("https:") for o in origins))
