"""Names of sources: a type and a key, and the key by which an occurrence is known again. Pure."""

from __future__ import annotations

import re
import unicodedata

from lash_core.errors import InvalidArgumentError
from lash_core.model.canonical_json import sha256_hex

SOURCE_TEXT_BYTES_MAX = 512
"""Longest source key and idempotency key, in bytes of UTF-8: a URL or a message id fits."""

_SOURCE_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_source(source_type: object, source_key: object) -> None:
    """Refuse a type that is not 1-64 of letters, digits, ``.``, ``_``, ``-``, and a key that is not plain text.

    Raises:
        InvalidArgumentError: naming field, value and limit.
    """
    if not isinstance(source_type, str) or not _SOURCE_TYPE.fullmatch(source_type):
        raise InvalidArgumentError(
            f"source type {str(source_type)[:80]!r} must be 1-64 letters, digits, '.', '_' or '-', the first a letter "
            "or digit",
            field="source_type",
            value=str(source_type),
            limit=64,
        )
    check_source_text(source_key, field="source_key", subject="source key")


def check_source_text(value: object, *, field: str, subject: str) -> str:
    """Return ``value`` when it is 1-512 bytes of text without control characters. Raises: InvalidArgumentError."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidArgumentError(f"{subject} must be a non-empty string", field=field, value=value)
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"{subject} must be text without lone surrogates", field=field) from error
    if size > SOURCE_TEXT_BYTES_MAX:
        raise InvalidArgumentError(
            f"{subject} has {size} bytes; the limit is {SOURCE_TEXT_BYTES_MAX}",
            field=field,
            value=value,
            limit=SOURCE_TEXT_BYTES_MAX,
        )
    if any(unicodedata.category(char) == "Cc" for char in value):
        raise InvalidArgumentError(f"{subject} {value[:80]!r} has control characters", field=field, value=value)
    return value


def source_digest(source_type: str, source_key: str) -> str:
    """Hex SHA-256 of a source: what stores match by."""
    return sha256_hex([source_type, source_key])
