"""One request as its handler sees it: checked parameters, a checked body (``docs/contracts/web.md`` 1)."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

from pydantic import ConfigDict, ValidationError
from starlette.requests import ClientDisconnect, Request

from lash_core.client import LashClient
from lash_core.errors import InvalidArgumentError, LimitExceededError
from lash_core.model.base import Model
from lash_core.model.ids import check_id
from lash_core.web.config import WebLimits
from lash_core.web.refusals import BodyTimeoutError, BodyTooLargeError, NotJsonError
from lash_core.web.web_state import WebState

DEPTH_MAX = 32
"""Of a body: ours have one level."""


class Body(Model):
    """What a ``POST`` carries. Values have the types of JSON; nothing is converted."""

    model_config = ConfigDict(strict=True)


class Query(Model):
    """What the address carries behind its question mark."""


NO_BODY = Body()
NO_QUERY = Query()

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class Call:
    """A request that may be answered. ``named_session``: in its address; None where the route has none."""

    request: Request
    state: WebState
    named_session: str | None = None
    query: Any = NO_QUERY
    body: Any = NO_BODY

    @property
    def client(self) -> LashClient:
        """Whom to ask."""
        return self.state.client

    @property
    def session_id(self) -> str:
        """The session of a route that has one. Raises: RuntimeError: it has none."""
        if self.named_session is None:
            raise RuntimeError("this route has no session")
        return self.named_session


def session_id_of(request: Request) -> str | None:
    """The session id in the address. Raises: InvalidArgumentError: it is not legal."""
    given = request.path_params.get("session_id")
    if given is None:
        return None
    try:
        # Servers put a sign of their own where an address is no text: that would be the id of another session.
        unquote_to_bytes(request.scope.get("raw_path") or b"").decode()
    except UnicodeDecodeError as error:
        raise InvalidArgumentError("the session id is not UTF-8", field="session_id") from error
    return check_id(given, field="session_id", subject="session id")


def query_of(request: Request, model: type[M]) -> M:
    """The parameters of a request.

    Raises:
        InvalidArgumentError: one that is unknown, given twice, or not of its type.
    """
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in given:
            raise InvalidArgumentError(f"parameter {name!r} is given twice", field=name)
        given[name] = value
    return _validated(model, given)


async def body_of(request: Request, model: type[M], limits: WebLimits) -> M:
    """The JSON object that a request carries.

    Raises:
        NotJsonError, BodyTooLargeError, BodyTimeoutError. InvalidArgumentError: no JSON, or not what the route takes.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise NotJsonError("the body must be application/json", field="Content-Type", value=kind)
    text = await _read(request, limits)
    try:
        value = json.loads(text.decode(), parse_constant=_refuse_constant, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise InvalidArgumentError(f"the body is not JSON: {error}", field="body") from error
    if not isinstance(value, dict):
        raise InvalidArgumentError("the body must be a JSON object", field="body")
    if _depth(value) > DEPTH_MAX:
        raise LimitExceededError(f"the body is over {DEPTH_MAX} levels deep", field="body", limit=DEPTH_MAX)
    return _validated(model, value)


async def _read(request: Request, limits: WebLimits) -> bytes:
    limit = limits.body_bytes_max
    too_large = BodyTooLargeError(f"the body has over {limit} bytes", field="body", limit=limit)
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced[:20]) > limit:
        raise too_large
    parts = bytearray()
    try:
        async with asyncio.timeout(limits.body_ms_max / 1_000):
            async for part in request.stream():
                parts += part
                if len(parts) > limit:
                    raise too_large
    except TimeoutError as error:
        raise BodyTimeoutError(f"the body did not come within {limits.body_ms_max} ms", field="body") from error
    except ClientDisconnect as error:
        raise InvalidArgumentError("the body broke off", field="body") from error
    return bytes(parts)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are told apart: which of two values was meant is nobody's guess."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found


def _depth(value: Any) -> int:
    """Levels of a value, counted no further than is allowed."""
    depth, level = 0, [value]
    while level and depth <= DEPTH_MAX:
        depth += 1
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    return depth


def _validated(model: type[M], given: dict[str, Any]) -> M:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        name = ".".join(str(part) for part in first["loc"]) or "body"
        value = first["input"] if isinstance(first["input"], str | int | float | bool) else None
        limits = error.errors()[0].get("ctx", {})
        limit = next((limits[key] for key in ("le", "ge", "max_length", "min_length") if key in limits), None)
        secret = name in ("token", "ticket")
        raise InvalidArgumentError(
            f"{name}: {first['msg']}", field=name, value=None if secret else value, limit=limit
        ) from error
