"""Logs of a worker: text for people, or one JSON object a line with process id, fence and owner as fields."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal, TextIO

LogFormat = Literal["text", "json"]

FIELDS = ("process_id", "fence", "owner", "kind", "queue", "service", "reason")
"""Facts that a log call may pass as ``extra=`` and that programs filter by."""


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time`` (RFC 3339), ``level``, ``logger``, ``message``, then the known fields."""

    def __init__(self, owner: str | None = None) -> None:
        super().__init__()
        self._owner = owner

    def format(self, record: logging.LogRecord) -> str:
        """Encode one record."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if self._owner is not None:
            line["owner"] = self._owner
        line.update({name: getattr(record, name) for name in FIELDS if hasattr(record, name)})
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def configure_logs(
    log_format: LogFormat = "text", *, level: int = logging.INFO, owner: str | None = None, stream: TextIO | None = None
) -> None:
    """Send the records of lash to ``stream`` (stderr by default). A second call replaces the first.

    Args:
        log_format: ``text`` or ``json``.
        level: lowest level shown.
        owner: the worker's id, a field of every JSON line.
        stream: where to.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    if log_format == "json":
        handler.setFormatter(JsonFormatter(owner))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    for name in ("lash_core", "lash_worker"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False
