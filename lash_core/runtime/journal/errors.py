"""Errors of effects as a journal keeps them, and how they are raised again: alike on the first run and on replay."""

from __future__ import annotations

from typing import Any

from lash_core.errors import (
    Failure,
    LashError,
    LeaseLostError,
    OutcomeUnknownError,
    RuntimeFailure,
    StepFailed,
    StepTimedOut,
    StoreBehindError,
    StoreRefusedError,
    StoreUnreachableError,
)
from lash_core.runtime.failure_texts import bounded, storable

EFFECT_FAILED = "effect_failed"
STEP_TIMEOUT = "step_timeout"
OUTCOME_TOO_LARGE = "effect_outcome_too_large"
JOURNAL_FULL = "process_journal_full"

STORE_ERRORS = (LeaseLostError, StoreBehindError, StoreUnreachableError, OutcomeUnknownError, StoreRefusedError)
"""Not the effect's fault: never recorded, so that the effect runs again."""


class NotRecordedError(Exception):
    """Leaves an executor that wants nothing to be recorded: a failed attempt that will be repeated."""


def recorded_error(error: Exception) -> dict[str, Any]:
    """The facts of an error as JSON: ``code``, ``message``, ``type`` and what its class needs to be made again."""
    facts: dict[str, Any] = {"message": bounded(_text(error)), "type": type(error).__name__}
    match error:
        case StepFailed():
            own = {"code": error.code, "step": error.step, "error_type": error.error_type, "type": "StepFailed"}
        case Failure():
            own = {"code": error.code, "class": error.class_, "raw": storable(error.raw), "type": "Failure"}
        case RuntimeFailure():
            own = {"code": error.code, "raw": storable(error.raw), "type": "RuntimeFailure"}
        case LashError():
            own = {"code": error.code}
        case _:
            own = {"code": EFFECT_FAILED}
    own["code"] = bounded(str(own["code"]), 200)
    return facts | own


def raised_again(facts: Any) -> LashError:
    """The error of recorded facts. What is neither a step's nor a ``Failure`` comes back as ``RuntimeFailure``."""
    known: dict[str, Any] = facts if isinstance(facts, dict) else {}
    code, message = str(known.get("code", EFFECT_FAILED)), str(known.get("message", ""))
    match known.get("type"):
        case "StepFailed":
            failed = StepTimedOut if code == STEP_TIMEOUT else StepFailed
            return failed(str(known.get("step")), code, message, error_type=str(known.get("error_type")))
        case "Failure":
            return Failure(str(known.get("class")), code, message, known.get("raw"))
        case "RuntimeFailure":
            return RuntimeFailure(code, message, raw=known.get("raw"))
        case type_name:
            return RuntimeFailure(code, message, raw={"type": type_name})


def _text(error: Exception) -> str:
    try:
        if isinstance(error, RuntimeFailure):
            return error.detail
        return error.message if isinstance(error, LashError) else str(error)
    except Exception as broken:  # noqa: BLE001 - an exception's own __str__ is user code
        return f"(its text cannot be made: {type(broken).__name__})"
