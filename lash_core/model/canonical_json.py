"""Canonical JSON: one text for one value, so that bytes can be compared and hashed (DESIGN 8)."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

from lash_core.errors import InvalidJsonError

DEPTH_MAX = 200
"""Deeper values are refused: parsers of other languages on the same data give up at about this depth."""

_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
"""Made once: ``json.dumps`` with these arguments builds an encoder for every call."""


def canonical_json(value: Any, *, field: str = "value") -> str:
    """Encode ``value`` with sorted keys and no white space.

    Args:
        value: None, bool, int, float, str, list, tuple or dict with str keys, nested at most ``DEPTH_MAX`` deep.
        field: the name that error paths start with.

    Raises:
        InvalidJsonError: NaN, an infinity, a lone surrogate, a key that is not a string, or a type that JSON does
            not have; the error's ``field`` is the path of the value.
    """
    _check(value, field, 0)
    return _ENCODE(value)


def check_json(value: Any, *, field: str = "value") -> None:
    """Check that ``value`` has a canonical JSON, without making it. Raises: InvalidJsonError."""
    _check(value, field, 0)


def canonical_json_bytes(value: Any, *, field: str = "value") -> bytes:
    """``canonical_json`` in UTF-8."""
    return canonical_json(value, field=field).encode()


def sha256_hex(value: Any) -> str:
    """Hex SHA-256 of the canonical JSON of ``value``."""
    return hashlib.sha256(canonical_json_bytes(value)).hexdigest()


def _check(value: Any, path: str, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise InvalidJsonError(f"{path}: nested deeper than {DEPTH_MAX}", field=path, limit=DEPTH_MAX)
    kind = type(value)
    if kind is str:
        _check_text(value, path)
    elif value is None or kind is bool or kind is int:
        return
    elif kind is float:
        if not math.isfinite(value):
            raise InvalidJsonError(f"{path}: {value} is not JSON", field=path, value=str(value))
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidJsonError(f"{path}: key {key!r} is not a string", field=path, value=repr(key))
            _check_text(key, path)
            _check(item, f"{path}.{key}", depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check(item, f"{path}[{index}]", depth + 1)
    elif not isinstance(value, str | int):
        raise InvalidJsonError(
            f"{path}: a value of type {type(value).__name__} is not JSON", field=path, value=type(value).__name__
        )


def _check_text(text: str, path: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidJsonError(f"{path}: lone surrogate in text", field=path) from error
