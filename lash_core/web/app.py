"""The web app: the route table as a Starlette app (``docs/contracts/web.md``)."""

from __future__ import annotations

import logging
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lash_core.clock import Clock
from lash_core.errors import LashError
from lash_core.web import forms
from lash_core.web.calls import NO_BODY, Call, body_of, query_of, session_id_of
from lash_core.web.config import WebConfig
from lash_core.web.doors import Shield, admit, check_site
from lash_core.web.openapi import openapi_route
from lash_core.web.page_files import page_routes
from lash_core.web.refusals import WebRefusal
from lash_core.web.replies import KEPT_TO_ITSELF, error_reply, http_error_reply, json_reply
from lash_core.web.route_table import ROUTES, RouteEntry
from lash_core.web.web_state import Lash, WebState

_log = logging.getLogger(__name__)


def session_app(
    source: Lash | Callable[[], Lash], config: WebConfig | None = None, *, clock: Clock | None = None
) -> Starlette:
    """An ASGI app that shows sessions live and steers them, to be mounted or served.

    Args:
        source: a connected client, the stores of a server, or a function that answers one of them when a request
            comes. The app closes nothing that it was given.
        config: who may ask; by default clients on this machine, and they may change nothing.
        clock: of logins.
    """
    settings = config or WebConfig()
    state = WebState(source, settings, clock)
    routes = [_route(entry, state) for entry in ROUTES]
    pages = page_routes() if settings.page else []
    app = Starlette(
        routes=[*routes, openapi_route(), *pages],
        middleware=[Middleware(Shield, config=settings)],
        exception_handlers={
            HTTPException: http_error_reply,
            LashError: _error,
            TimeoutError: _error,
            Exception: _error,
        },
    )
    # An id may end in a slash: no address is another one's.
    app.router.redirect_slashes = False
    app.state.lash_web = state
    return app


def end_streams(app: Starlette) -> None:
    """Tell all who watch that this process stops, and take no more. Safe to repeat; call it in the app's event loop."""
    state: WebState = app.state.lash_web
    state.watchers.end_all()


def _route(entry: RouteEntry, state: WebState) -> Route:
    async def serve(request: Request) -> Response:
        check_site(request, state.config, entry.action)
        session_id = session_id_of(request)
        if entry.action is not None:
            await admit(request, state, entry.action, session_id)
        query = query_of(request, entry.query)
        body = NO_BODY if entry.body is None else await body_of(request, entry.body, state.config.limits)
        answer = await entry.handler(Call(request, state, session_id, query, body))
        return json_reply(answer.model_dump(mode="json")) if isinstance(answer, forms.Answer) else answer

    name = f"{entry.method} {entry.path}"
    return Route(entry.path.replace("{session_id}", "{session_id:path}"), serve, methods=[entry.method], name=name)


async def _error(request: Request, error: Exception) -> Response:
    reply = error_reply(error)
    if reply.status_code >= 500 and isinstance(error, LashError) and not isinstance(error, WebRefusal):
        # Without the query, which may hold a ticket.
        _log.warning("%s %r is answered %d: %s", request.method, request.url.path, reply.status_code, error)
    # Of a bug it goes out without passing the shield.
    for name, value in KEPT_TO_ITSELF.items():
        reply.headers.setdefault(name, value)
    return reply
