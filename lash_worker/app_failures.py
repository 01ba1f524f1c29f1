"""What a function's exception is recorded as (DESIGN 6). Texts are bounded, so that a failure can always be stored."""

from __future__ import annotations

import traceback
from typing import Any

from pydantic import ValidationError

from lash_core.errors import Failure, InvalidJsonError
from lash_core.model.await_output import ToolFailureClass
from lash_core.model.canonical_json import canonical_json

MESSAGE_CHARACTERS_MAX = 8_000
TRACEBACK_CHARACTERS_MAX = 32_000
RAW_BYTES_MAX = 64 * 1024
FAULTS_MAX = 8
"""Validation faults that are listed; who has more fixes these first."""


def text_of(error: BaseException) -> str:
    """``<Type>: <text>``, at most ``MESSAGE_CHARACTERS_MAX`` long and always encodable."""
    try:
        text = str(error)
    except Exception as broken:  # noqa: BLE001 - an exception's own __str__ is user code
        text = f"(its text cannot be made: {type(broken).__name__})"
    return bounded(f"{type(error).__name__}: {text}")


def bounded(text: str, characters_max: int = MESSAGE_CHARACTERS_MAX) -> str:
    """``text`` without lone surrogates, cut at the limit."""
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= characters_max else text[: characters_max - 1] + "…"


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
    return class_, bounded(str(failure.code), 200), bounded(failure.message), _storable(failure.raw)


def _storable(raw: Any) -> Any:
    try:
        size = len(canonical_json(raw, field="raw").encode())
    except (InvalidJsonError, RecursionError) as error:
        return {"raw_dropped": bounded(str(error), 500)}
    return raw if size <= RAW_BYTES_MAX else {"raw_dropped": f"{size} bytes; the limit is {RAW_BYTES_MAX}"}


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
