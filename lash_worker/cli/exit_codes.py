"""One table: which error ends ``lash`` with which exit code, and how it is printed on stderr (DESIGN 6)."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import click

from lash_core.errors import (
    ExternalRefConflictError,
    HandoverConflictError,
    InvalidArgumentError,
    LashError,
    NotRetryableError,
    OccurrenceConflictError,
    OutcomeUnknownError,
    RegistrationConflictError,
    ReplayKeyConflictError,
    SettingsError,
    StoreRefusedError,
    StoreUnreachableError,
    TriggerConflictError,
    TriggerOperationConflictError,
    UnknownKindError,
    UnknownProcessError,
    UnknownSessionError,
    UnknownTriggerError,
)
from lash_core.errors.session import (
    HeadRevisionConflictError,
    InputNotFoundError,
    PendingTurnInputSourceKeyConflictError,
    RuntimeTurnCommitConflictError,
)

DONE = 0
FAILED = 1
BAD_INPUT = 2
NOT_FOUND = 3
CONFLICT = 4
STORE = 5
OUTCOME_UNKNOWN = 6
TIMED_OUT = 7

EXIT_CODES: tuple[tuple[tuple[type[Exception], ...], int], ...] = (
    ((UnknownProcessError, UnknownTriggerError, UnknownSessionError, InputNotFoundError), NOT_FOUND),
    (
        (
            RegistrationConflictError,
            ReplayKeyConflictError,
            ExternalRefConflictError,
            HandoverConflictError,
            NotRetryableError,
            TriggerConflictError,
            TriggerOperationConflictError,
            OccurrenceConflictError,
            HeadRevisionConflictError,
            PendingTurnInputSourceKeyConflictError,
            RuntimeTurnCommitConflictError,
        ),
        CONFLICT,
    ),
    ((StoreUnreachableError, StoreRefusedError), STORE),
    ((OutcomeUnknownError,), OUTCOME_UNKNOWN),
    ((InvalidArgumentError, UnknownKindError, SettingsError, click.UsageError), BAD_INPUT),
    ((TimeoutError,), TIMED_OUT),
    ((LashError, click.ClickException, OSError), FAILED),
)
"""The first row that fits decides."""


class NotFoundError(LashError):
    """A worker, kind or projector that is not there."""

    code = "not_found"


def exit_code(error: BaseException) -> int | None:
    """The exit code of an error, None for one that is a bug."""
    if isinstance(error, NotFoundError):
        return NOT_FOUND
    for classes, code in EXIT_CODES:
        if isinstance(error, classes):
            return code
    return None


def report(error: Exception, *, as_json: bool) -> int:
    """Print an error on stderr and return its exit code; a bug is raised again with its traceback."""
    if isinstance(error, BrokenPipeError):
        # The reader of our output has gone (`lash process ls | head`): that is no failure of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    code = exit_code(error)
    if code is None:
        raise error
    if as_json:
        click.echo(json.dumps({"error": error_facts(error)}, ensure_ascii=False, default=str), err=True)
    elif isinstance(error, click.UsageError):
        error.show()
    else:
        click.echo(f"lash: {_text(error)}", err=True)
    return code


def error_facts(error: Exception) -> dict[str, Any]:
    """The JSON form of an error."""
    if isinstance(error, LashError):
        return {
            "code": error.code,
            "message": error.message,
            "field": error.field,
            "value": error.value,
            "limit": error.limit,
            "outcome": error.outcome,
        }
    field = None
    if isinstance(error, click.UsageError):
        parameter = getattr(error, "param", None)
        field = getattr(parameter, "name", None) or getattr(error, "option_name", None)
    code = (
        "usage" if isinstance(error, click.UsageError) else "timeout" if isinstance(error, TimeoutError) else "failed"
    )
    return {
        "code": code,
        "message": _text(error),
        "field": field,
        "value": None,
        "limit": None,
        "outcome": "not_done",
    }


def _text(error: Exception) -> str:
    if isinstance(error, click.ClickException):
        return error.format_message()
    return str(error) or type(error).__name__
