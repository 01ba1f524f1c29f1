"""What a function's exception is recorded as (DESIGN 6). Texts are bounded, so that a failure can always be stored."""

from __future__ import annotations

import traceback
from typing import Any

from pydantic import ValidationError

from lash_core.errors import Failure
from lash_core.model.await_output import ToolFailureClass
from lash_core.runtime.failure_texts import bounded, storable, text_of

__all__ = ["bounded", "faults_of", "raised_failure", "text_of", "traceback_of"]

TRACEBACK_CHARACTERS_MAX = 32_000
FAULTS_MAX = 8
"""Validation faults that are listed; who has more fixes these first."""


def traceback_of(error: BaseException) -> dict[str, str]:
    """The traceback for ``raw``; its end is kept when it is too long."""
    text = "".join(traceback.format_exception(error))
    return {"traceback": bounded(text[-TRACEBACK_CHARACTERS_MAX:], TRACEBACK_CHARACTERS_MAX)}


def raised_failure(failure: Failure) -> tuple[ToolFailureClass, str, str, Any]:
    """Class, code, message and raw of a ``Failure`` as raised; what cannot be stored of it is named instead."""
    try:
        class_ = ToolFailureClass(failure.class_)
    except ValueError:
        text = bounded(f"Failure: unknown class {failure.class_!r} (code {failure.code}: {failure.message})")
        return ToolFailureClass.EXECUTION, "process_failed", text, None
    return class_, bounded(str(failure.code), 200), bounded(failure.message), storable(failure.raw)


def faults_of(error: ValidationError, root: str) -> tuple[str, dict[str, Any]]:
    """A validation error as text and as ``{"faults": [{"field", "message"}]}``, input values left out."""
    faults = [
        {"field": _path(root, fault["loc"]), "message": bounded(fault["msg"], 500)}
        for fault in error.errors(include_url=False, include_context=False, include_input=False)[:FAULTS_MAX]
    ]
    text = "; ".join(f"{fault['field']}: {fault['message']}" for fault in faults)
    more = error.error_count() - len(faults)
    return bounded(text + (f"; and {more} more" if more > 0 else "")), {"faults": faults}


def _path(root: str, location: tuple[int | str, ...]) -> str:
    return root + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
