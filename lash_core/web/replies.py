"""Answers of the web app: JSON, and errors as JSON."""

from __future__ import annotations

import json
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from lash_core.web.refusals import (
    LoginRequiredError,
    MethodRefusedError,
    NoRouteError,
    NotPermittedError,
    WebRefusal,
    error_facts,
    status_of,
)

KEPT_TO_ITSELF = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
"""Headers that keep an answer out of caches, frames and foreign pages."""

_OF_STATUS: dict[int, type[WebRefusal]] = {401: LoginRequiredError, 403: NotPermittedError}


def json_reply(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A value as JSON. A lone surrogate, which no UTF-8 has, becomes its JSON escape."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Response(text.encode("utf-8", "backslashreplace"), status, headers, "application/json")


def error_reply(error: BaseException) -> Response:
    """An error as JSON, under the status that it has."""
    headers = error.headers if isinstance(error, WebRefusal) else None
    return json_reply({"error": error_facts(error)}, status_of(error), headers)


def http_error_reply(request: Request, error: Exception) -> Response:
    """What the router says: no such address, not with this method. Or what ``authorize`` raised, with its status."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 405:
        reply = error_reply(MethodRefusedError(f"{request.method} is not for this address", value=request.method))
        allowed = (error.headers or {}).get("Allow") if isinstance(error, HTTPException) else None
        if allowed:
            reply.headers["Allow"] = allowed
        return reply
    if status == 404:
        return error_reply(NoRouteError("there is nothing at this address"))
    detail = error.detail if isinstance(error, HTTPException) else str(error)
    reply = error_reply(_OF_STATUS.get(status, WebRefusal)(str(detail)))
    reply.status_code = status
    return reply
