"""Where a watcher of a session stands (``docs/contracts/observation.md`` 1).

Only the core makes cursors or looks inside; everybody else keeps and hands them back as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from lash_core.errors.observation import MalformedSessionCursorError, WrongSessionCursorError

if TYPE_CHECKING:
    from lash_core.model.session_state import RuntimeSessionState

CURSOR_PREFIX = "lashsc1:"
U64_MAX = 2**64 - 1

_DIGITS = re.compile(r"[0-9]{1,20}", re.ASCII)


class _HasSessionState(Protocol):
    """A runtime, as far as its revision goes."""

    @property
    def state(self) -> RuntimeSessionState:
        """The session in memory."""
        ...


class SessionRevision(int):
    """Which state of a session: its head revision, and before the first commit its turn index. A bare number in JSON.

    Raises:
        ValueError: no whole number, negative or over 2^64 - 1. Nothing is converted: 1.5 would be another revision.
    """

    __slots__ = ()

    def __new__(cls, value: int = 0) -> Self:
        """The number, checked."""
        return super().__new__(cls, _u64(value, "session revision"))

    @classmethod
    def of_state(cls, state: RuntimeSessionState) -> Self:
        """The revision of a session in memory."""
        return cls(state.turn_index if state.head_revision is None else state.head_revision)

    @classmethod
    def from_runtime(cls, runtime: _HasSessionState) -> Self:
        """The revision of the session that a runtime has."""
        return cls.of_state(runtime.state)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(cls, core_schema.int_schema(strict=True, ge=0, le=U64_MAX))


@dataclass(frozen=True, slots=True)
class CursorParts:
    """What a cursor says. ``revision`` is information only: replay is decided by ``live_position``."""

    session_id: str
    revision: SessionRevision
    live_position: int


class SessionCursor(str):
    """``lashsc1:<revision>:<live position>:<session id>``: plain text to keep, nothing to read."""

    __slots__ = ()

    @classmethod
    def new(cls, session_id: str, revision: int, live_position: int) -> Self:
        """The cursor behind an event at ``live_position``; 0 = before the first one.

        Raises:
            ValueError: no whole number, or one that is negative or over 2^64 - 1.
        """
        position = _u64(live_position, "live position")
        return cls(f"{CURSOR_PREFIX}{SessionRevision(revision)}:{position}:{session_id}")

    @classmethod
    def run(cls, session_id: str, revision: SessionRevision, first: int, count: int) -> list[Self]:
        """The cursors of so many positions from ``first`` on. Raises: ValueError: as ``new``."""
        if first < 0 or first + count - 1 > U64_MAX:
            raise ValueError(f"live positions {first} and the {count - 1} behind it are no unsigned 64-bit numbers")
        if count == 1:
            return [cls(f"{CURSOR_PREFIX}{int(revision)}:{first}:{session_id}")]
        head, end = f"{CURSOR_PREFIX}{int(revision)}:", f":{session_id}"
        return [cls(f"{head}{place}{end}") for place in range(first, first + count)]

    @classmethod
    def from_raw_for_testing(cls, raw: str) -> Self:
        """Any text as a cursor."""
        return cls(raw)

    def parse(self) -> CursorParts:
        """What it says.

        Raises:
            MalformedSessionCursorError: prefix, revision, live position or session id is missing or no number.
        """
        raw = str(self)
        if not raw.startswith(CURSOR_PREFIX):
            raise MalformedSessionCursorError(f"it does not begin with `{CURSOR_PREFIX}`", raw)
        parts = raw[len(CURSOR_PREFIX) :].split(":", 2)
        revision = _number(parts, 0, "revision", raw)
        live_position = _number(parts, 1, "live position", raw)
        session_id = parts[2] if len(parts) > 2 else ""
        if not session_id:
            raise MalformedSessionCursorError("it has no session id", raw)
        return CursorParts(session_id, SessionRevision(revision), live_position)

    def parse_for_session(self, session_id: str) -> CursorParts:
        """What it says, if it is of this session.

        Raises:
            MalformedSessionCursorError: as ``parse``. WrongSessionCursorError: it is another session's.
        """
        parts = self.parse()
        if parts.session_id != session_id:
            raise WrongSessionCursorError(session_id, parts.session_id)
        return parts

    def __repr__(self) -> str:
        return "SessionCursor(<opaque>)"

    def __str__(self) -> str:
        return str.__str__(self)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls, core_schema.str_schema(), serialization=core_schema.plain_serializer_function_ser_schema(str)
        )


def _u64(value: object, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= U64_MAX:
        raise ValueError(f"{what} {value} is not an unsigned 64-bit number")
    return int(value)


def _number(parts: list[str], index: int, what: str, raw: str) -> int:
    text = parts[index] if index < len(parts) else ""
    if not _DIGITS.fullmatch(text) or int(text) > U64_MAX:
        raise MalformedSessionCursorError(f"its {what} is missing or no number", raw)
    return int(text)
