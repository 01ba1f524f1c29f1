"""URLs without their secrets: what may stand in a log, an error or on a screen."""

from __future__ import annotations

import re

_CREDENTIALS = re.compile(r"(?<=://)[^\s'\"]*@")
_SECRET_PARAMETER = re.compile(r"(?i)([?&][a-z0-9_]*(?:password|username|secret|token)=)[^&#\s]*")


def redact_url(text: str) -> str:
    """Replace user and password of every URL in ``text``, and secret query parameters, by ``***``.

    Works on any text, also on a malformed URL, and on a password that contains ``@``.
    """
    return _SECRET_PARAMETER.sub(r"\1***", _CREDENTIALS.sub("***@", text))
