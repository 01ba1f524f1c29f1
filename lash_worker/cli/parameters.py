"""Values on the command line: durations, times, JSON (DESIGN 6, signatures)."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import click

_DURATION = re.compile(r"(\d{1,9})(ms|s|m|h|d)")
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_EPOCH_MS = re.compile(r"\d{1,16}")


class Duration(click.ParamType[int]):
    """``90s``, ``10m``, ``7d`` (also ``ms`` and ``h``) → ms."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse, or fail naming the forms."""
        if isinstance(value, int):
            return value
        match = _DURATION.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"{value!r} is not a duration; write 90s, 10m, 12h or 7d", param, ctx)
        return int(match[1]) * _UNIT_MS[match[2]]


class Moment(click.ParamType[int]):
    """RFC 3339 (``2026-10-01T12:00:00Z``) or ms since the epoch → ms since the epoch."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse, or fail naming the forms. A time without an offset is refused: nobody knows which one was meant."""
        text = str(value).strip()
        if _EPOCH_MS.fullmatch(text):
            return int(text)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            self.fail(f"{value!r} is not a time; write 2026-10-01T12:00:00Z or ms since the epoch", param, ctx)
        if moment.tzinfo is None:
            self.fail(f"{value!r} has no offset; add Z or one such as +02:00", param, ctx)
        return int(moment.astimezone(UTC).timestamp() * 1_000)


class JsonText(click.ParamType[Any]):
    """One JSON value."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse, or fail saying where."""
        try:
            return parse_json(str(value))
        except ValueError as error:
            self.fail(f"not JSON: {error}", param, ctx)


def parse_json(text: str) -> Any:
    """One JSON value; NaN, infinities and a key twice are not JSON. Raises: ValueError saying where."""
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object_of)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at line {error.lineno} column {error.colno}") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        # Python would keep the last one without a word.
        names = [name for name, _ in pairs]
        twice = next(name for name in made if names.count(name) > 1)
        raise ValueError(f"the key {twice[:80]!r} appears twice in one object")
    return made


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


DURATION = Duration()
MOMENT = Moment()
JSON = JsonText()
