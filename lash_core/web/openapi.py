"""``openapi.json``: the route table as OpenAPI 3.1 (``docs/contracts/web.md`` 1)."""

from __future__ import annotations

from functools import cache
from inspect import getdoc
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lash_core.web import forms
from lash_core.web.calls import Query
from lash_core.web.replies import json_reply
from lash_core.web.route_table import ROUTES, RouteEntry
from lash_core.web.watch_schema import WATCH_EVENT

OPENAPI = "3.1.0"
DOCUMENT_VERSION = "1"
"""Raised when a route changes so that an old caller would not understand it."""

_STATUSES = {
    "400": "Bad input",
    "401": "Nobody knows who asks",
    "403": "Not permitted",
    "404": "Not there",
    "421": "Sent to another name",
    "503": "The store is unreachable, or the process stops",
}
_OF_POST = {
    "408": "The body did not come in time",
    "409": "Conflict",
    "413": "The body is too large",
    "415": "The body is not application/json",
    "504": "Outcome unknown: maybe done; repeat with the same source_key or request_id",
}
_OF_WATCH = {"429": "Too many watchers"}


@cache
def openapi_document() -> dict[str, Any]:
    """The description of all routes."""
    schemas: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for entry in ROUTES:
        paths.setdefault(entry.path, {})[entry.method.lower()] = _operation(entry, schemas)
    _schema_of(forms.ErrorAnswer, schemas)
    schemas["WatchEvent"] = WATCH_EVENT
    return {
        "openapi": OPENAPI,
        "info": {
            "title": "lash sessions",
            "version": DOCUMENT_VERSION,
            "description": "Sessions over HTTP: watched, given input, cancelled.",
        },
        "servers": [{"url": "."}],
        "security": [{}, {"bearer": []}, {"cookie": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "lash_login_<key>"},
            },
        },
    }


def openapi_route() -> Route:
    """Serves the description, to anybody: it says what may be asked, not what is there."""

    async def serve(request: Request) -> Response:
        return json_reply(openapi_document())

    return Route("/openapi.json", serve, methods=["GET"], name="GET /openapi.json")


def _operation(entry: RouteEntry, schemas: dict[str, Any]) -> dict[str, Any]:
    statuses = dict(_STATUSES)
    if entry.method == "POST":
        statuses |= _OF_POST
    if entry.action == "watch":
        statuses |= _OF_WATCH
    answers: dict[str, Any] = {"200": {"description": "Done", "content": _content(entry, schemas)}}
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}}}
    answers |= {status: {"description": text, "content": error} for status, text in sorted(statuses.items())}
    text = getdoc(entry.handler) or ""
    operation: dict[str, Any] = {
        "operationId": getattr(entry.handler, "__name__", entry.path),
        "summary": text.partition("\n")[0],
        "parameters": _parameters(entry),
        "responses": answers,
    }
    if entry.action is not None:
        operation["x-action"] = entry.action
    if entry.body is not None:
        schema = _schema_of(entry.body, schemas)
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _content(entry: RouteEntry, schemas: dict[str, Any]) -> dict[str, Any]:
    if isinstance(entry.answer, str):
        return {entry.answer: {"schema": {"type": "string"}, "itemSchema": {"$ref": "#/components/schemas/WatchEvent"}}}
    if entry.answer is None:
        return {"application/json": {"schema": {"$ref": "#/components/schemas/WatchEvent"}}}
    return {"application/json": {"schema": _schema_of(entry.answer, schemas)}}


def _parameters(entry: RouteEntry) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if entry.has_session:
        found.append(
            {
                "name": "session_id",
                "in": "path",
                "required": True,
                "description": "1 to 200 bytes; percent-encode it, a slash too.",
                "schema": {"type": "string", **forms.ID_SCHEMA},
            }
        )
    found += _of_query(entry.query)
    if entry.action == "watch":
        found.append(
            {
                "name": "Last-Event-ID",
                "in": "header",
                "required": False,
                "description": "The cursor of the last event that was seen; comes before the parameter.",
                "schema": {"type": "string"},
            }
        )
    return found


def _of_query(model: type[Query]) -> list[dict[str, Any]]:
    schema = model.model_json_schema()
    return [
        {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": facts}
        for name, facts in schema.get("properties", {}).items()
    ]


def _schema_of(model: type[BaseModel], schemas: dict[str, Any]) -> dict[str, Any]:
    schema = model.model_json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
    for name, inner in schema.pop("$defs", {}).items():
        schemas[name] = inner
    schemas[model.__name__] = schema
    return {"$ref": f"#/components/schemas/{model.__name__}"}
