"""Log lines of long-running commands: text for people, JSON for programs, both on stderr."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal

LogFormat = Literal["text", "json"]

LOG_FORMATS: tuple[LogFormat, ...] = ("text", "json")

_TALKATIVE = ("httpx", "httpx2", "openai")
"""Loggers of model clients: a line for each request says nothing that a metric does not."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""Attributes that every record has; the others are the fields that a caller gave with ``extra=``."""


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``ts``, ``level``, ``logger``, ``message``, and the fields given with ``extra=``."""

    def format(self, record: logging.LogRecord) -> str:
        """Encode one record; a field that is not JSON becomes its text."""
        line: dict[str, Any] = {
            "ts": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """Time, level, message, then the fields as ``name=value``."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record on one line, its traceback after it."""
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items() if value is not None)
        text = f"{_time(record)} {record.levelname:<7} {record.getMessage()}{fields}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def start_logging(form: LogFormat, level: int = logging.INFO) -> None:
    """Send all log records to stderr in this form; replaces what was set up before."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}
