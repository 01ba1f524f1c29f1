"""All routes in one table: what serves requests and what ``openapi.json`` says are made from it (``web.md`` 1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from starlette.responses import Response

from lash_core.web import forms, login_routes, process_routes, session_routes
from lash_core.web.calls import Body, Call, Query
from lash_core.web.config import WebAction

Handler = Callable[[Call], Awaitable[Response | forms.Answer]]


@dataclass(frozen=True, slots=True)
class RouteEntry:
    """One route.

    Attributes:
        method: GET or POST.
        path: below the app's root; ``{session_id}`` stands for all before the fixed word.
        handler: its docstring is the description.
        action: what is asked for; None: the handler sees to it, or there is nothing to decide.
        answer: the JSON of a 200; a content type where it is no JSON; None: an event of a watch.
        query: its parameters.
        body: what it carries.
    """

    method: Literal["GET", "POST"]
    path: str
    handler: Handler
    action: WebAction | None
    answer: type[forms.Answer] | str | None
    query: type[Query] = Query
    body: type[Body] | None = None

    @property
    def has_session(self) -> bool:
        """Whether its address names a session."""
        return "{session_id}" in self.path


_SESSION = "/sessions/{session_id}"

ROUTES: tuple[RouteEntry, ...] = (
    RouteEntry("GET", "/sessions", session_routes.list_sessions, "list_sessions", forms.SessionPage, forms.PageQuery),
    RouteEntry("GET", f"{_SESSION}/observation", session_routes.observation, "observe", None, forms.ObservationQuery),
    RouteEntry("GET", f"{_SESSION}/events", session_routes.events, "watch", "text/event-stream", forms.EventsQuery),
    RouteEntry(
        "POST", f"{_SESSION}/input", session_routes.send_input, "send_input", forms.InputAnswer, body=forms.InputBody
    ),
    RouteEntry(
        "POST",
        f"{_SESSION}/cancel-input",
        session_routes.cancel_input,
        "cancel_input",
        forms.CancelInputAnswer,
        body=forms.CancelInputBody,
    ),
    RouteEntry(
        "POST",
        f"{_SESSION}/cancel-turn",
        session_routes.cancel_open_turn,
        "cancel_turn",
        forms.CancelTurnAnswer,
        body=forms.CancelTurnBody,
    ),
    RouteEntry(
        "GET",
        f"{_SESSION}/processes",
        process_routes.list_processes,
        "list_processes",
        forms.SessionProcessesAnswer,
        forms.ProcessesQuery,
    ),
    RouteEntry(
        "GET",
        "/processes",
        process_routes.list_fleet_processes,
        "list_fleet_processes",
        forms.FleetAnswer,
        forms.FleetQuery,
    ),
    RouteEntry(
        "POST",
        f"{_SESSION}/processes/cancel",
        process_routes.cancel_processes,
        "cancel_processes",
        forms.CancelProcessesAnswer,
        body=forms.CancelProcessesBody,
    ),
    RouteEntry("GET", "/access", login_routes.access, None, forms.AccessAnswer),
    RouteEntry("POST", "/login", login_routes.login, None, forms.LoginAnswer, body=forms.LoginBody),
    RouteEntry("POST", "/logout", login_routes.logout, None, forms.Nothing, body=forms.LogoutBody),
    RouteEntry("POST", "/ticket", login_routes.ticket, None, forms.TicketAnswer, body=forms.TicketBody),
    RouteEntry("GET", "/healthz", login_routes.healthz, None, forms.Health),
)
