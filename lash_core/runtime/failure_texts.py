"""Texts and facts of exceptions, bounded so that they can always be stored."""

from __future__ import annotations

from typing import Any

from lash_core.errors import InvalidJsonError
from lash_core.model.canonical_json import canonical_json

MESSAGE_CHARACTERS_MAX = 8_000
RAW_BYTES_MAX = 64 * 1024


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


def storable(raw: Any) -> Any:
    """``raw`` when it is JSON of at most ``RAW_BYTES_MAX``, else a note that says why it is not there."""
    try:
        size = len(canonical_json(raw, field="raw").encode())
    except (InvalidJsonError, RecursionError) as error:
        return {"raw_dropped": bounded(str(error), 500)}
    return raw if size <= RAW_BYTES_MAX else {"raw_dropped": f"{size} bytes; the limit is {RAW_BYTES_MAX}"}
