"""Names of tools as every provider takes them: letters, digits, ``_`` and ``-``, at most 64. Pure."""

from __future__ import annotations

import hashlib
import re

WIRE_NAME_MAX = 64
"""The strictest of the known providers."""

_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]")
_DIGEST_CHARACTERS = 8


def wire_name(name: str) -> str:
    """The name itself where it is legal, else a legal one that only this name has; the same in every request."""
    safe = _ILLEGAL.sub("_", name)
    if safe == name and 0 < len(name) <= WIRE_NAME_MAX:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "backslashreplace")).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{safe[: WIRE_NAME_MAX - _DIGEST_CHARACTERS - 1]}_{digest}"
