"""Why the web app does not answer a request, and which status each error has (``docs/contracts/web.md`` 1)."""

from __future__ import annotations

from typing import Any

from lash_core.errors import (
    ExternalRefConflictError,
    InvalidArgumentError,
    LashError,
    NotDoneError,
    NotRetryableError,
    OutcomeUnknownError,
    ReplayKeyConflictError,
    StoreRefusedError,
    StoreUnreachableError,
    UnknownProcessError,
    UnknownSessionError,
)
from lash_core.errors.observation import LiveReplayClosedError, LiveReplayFailedError
from lash_core.errors.session import InputNotFoundError, PendingTurnInputSourceKeyConflictError


class WebRefusal(NotDoneError):
    """The request was refused before anything was done."""

    status = 400
    code = "bad_request"

    @property
    def headers(self) -> dict[str, str]:
        """Of the answer."""
        return {}


class LoginRequiredError(WebRefusal):
    """Nobody knows who asks."""

    status = 401
    code = "login_required"

    @property
    def headers(self) -> dict[str, str]:
        """How a program says who it is."""
        return {"WWW-Authenticate": "Bearer"}


class NotPermittedError(WebRefusal):
    """Who asks may not do that."""

    status = 403
    code = "not_permitted"


class AuthorizeFailedError(WebRefusal):
    """The host's callback failed: that is no yes."""

    status = 500
    code = "authorize_failed"


class ReadOnlyError(WebRefusal):
    """This app changes nothing."""

    status = 403
    code = "read_only"


class OriginRefusedError(WebRefusal):
    """The request comes from a page of another site, or does not say from where."""

    status = 403
    code = "origin_refused"


class HostRefusedError(WebRefusal):
    """The name in ``Host`` is not this server's."""

    status = 421
    code = "host_refused"


class NoRouteError(WebRefusal):
    """There is nothing at this address."""

    status = 404
    code = "no_route"


class MethodRefusedError(WebRefusal):
    """Not with this method."""

    status = 405
    code = "method_refused"


class BodyTimeoutError(WebRefusal):
    """The body did not come in time."""

    status = 408
    code = "body_timeout"


class BodyTooLargeError(WebRefusal):
    """The body is over its limit."""

    status = 413
    code = "body_too_large"


class NotJsonError(WebRefusal):
    """The body is not ``application/json``."""

    status = 415
    code = "not_json"


class TooManyWatchersError(WebRefusal):
    """All places for watchers are taken."""

    status = 429
    code = "too_many_watchers"

    @property
    def headers(self) -> dict[str, str]:
        """When to try again: a watcher that left is noticed within that time."""
        return {"Retry-After": "5"}


class TooManyLogoutsError(WebRefusal):
    """All places for logins that ended before their time are taken."""

    status = 503
    code = "too_many_logouts"


class StoppingError(WebRefusal):
    """This process takes nothing more."""

    status = 503
    code = "stopping"

    @property
    def headers(self) -> dict[str, str]:
        """When to try again: its successor is there within that time."""
        return {"Retry-After": "1"}


_STATUS: tuple[tuple[tuple[type[BaseException], ...], int], ...] = (
    ((UnknownSessionError, UnknownProcessError, InputNotFoundError), 404),
    (
        (
            PendingTurnInputSourceKeyConflictError,
            ReplayKeyConflictError,
            ExternalRefConflictError,
            NotRetryableError,
        ),
        409,
    ),
    ((StoreUnreachableError, StoreRefusedError, LiveReplayFailedError, LiveReplayClosedError), 503),
    ((OutcomeUnknownError, TimeoutError), 504),
    ((InvalidArgumentError,), 400),
)
"""The first row that fits decides; anything else is 500."""


def status_of(error: BaseException) -> int:
    """The status of an error."""
    if isinstance(error, WebRefusal):
        return error.status
    return next((status for classes, status in _STATUS if isinstance(error, classes)), 500)


_OF_THE_STORE: tuple[tuple[type[LashError], str], ...] = (
    (StoreRefusedError, "the store refuses"),
    (StoreUnreachableError, "the store does not answer"),
    (LiveReplayFailedError, "the store of live events does not answer"),
    (OutcomeUnknownError, "the store did not say whether it is done: repeat the same request"),
)
"""Where the store is, and what it said, is for the log alone: who asks may be a guest."""


def error_facts(error: BaseException) -> dict[str, Any]:
    """The JSON form of an error, as the command line prints it. Of one that is a bug nothing is told."""
    if isinstance(error, LashError):
        for kind, message in _OF_THE_STORE:
            if isinstance(error, kind):
                facts = {"code": error.code, "message": message, "field": None, "value": None, "limit": None}
                return {**facts, "outcome": error.outcome}
        return {
            "code": error.code,
            "message": error.message,
            "field": error.field,
            "value": error.value if isinstance(error.value, str | int | float | bool | None) else str(error.value),
            "limit": error.limit if isinstance(error.limit, str | int | float | bool | None) else str(error.limit),
            "outcome": error.outcome,
        }
    code, message = ("timeout", str(error) or "timed out") if isinstance(error, TimeoutError) else ("bug", "failed")
    outcome = "unknown"
    return {"code": code, "message": message, "field": None, "value": None, "limit": None, "outcome": outcome}
