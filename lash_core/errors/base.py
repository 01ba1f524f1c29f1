"""The roots: what the caller may conclude, and the errors that belong to no part."""

from __future__ import annotations

from typing import Literal

Outcome = Literal["not_done", "unknown"]


class LashError(Exception):
    """Root of all lash errors; carries what a program needs to decide.

    Attributes:
        code: stable snake_case word for programs (``--json`` errors print it).
        field: name of the offending field, or None.
        value: the offending value, shortened to 200 characters, or None.
        limit: the limit that was passed, or None.
        process_id: the process the error is about, or None.
        outcome: ``not_done`` or ``unknown``.
    """

    code: str = "lash_error"
    outcome: Outcome = "not_done"

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        value: object = None,
        limit: object = None,
        process_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.value = _shortened(value)
        self.limit = limit
        self.process_id = process_id


def _shortened(value: object) -> object:
    if isinstance(value, str) and len(value) > 200:
        return value[:200] + "…"
    return value


class NotDoneError(LashError):
    """Nothing was written."""

    code = "not_done"


class OutcomeUnknownError(LashError):
    """The reply was lost: maybe written. Repeat the same request, or read back."""

    code = "outcome_unknown"
    outcome: Outcome = "unknown"


class CorruptRecordError(LashError):
    """What the store holds cannot be decoded by this release; carries the key."""

    code = "corrupt_record"

    def __init__(self, message: str, *, key: str | None = None, process_id: str | None = None) -> None:
        super().__init__(message, field="key", value=key, process_id=process_id)
        self.key = key


class NewerRecordError(CorruptRecordError):
    """A record of a newer release: a worker declines it and never rewrites it (DESIGN 3.3 rule 12)."""

    code = "newer_record"


class SettingsError(LashError):
    """A setting is missing, malformed or contradicts another one; ``field`` names the variable."""

    code = "settings_invalid"


class InvalidArgumentError(NotDoneError):
    """Bad input: ``field``, ``value`` and ``limit`` say which, what and how much."""

    code = "invalid_argument"


class InvalidJsonError(InvalidArgumentError):
    """A value that is not canonical JSON; ``field`` is its path (DESIGN 8)."""

    code = "invalid_json"


class LimitExceededError(InvalidArgumentError):
    """A bound of DESIGN 3.3 rule 11 was passed."""

    code = "limit_exceeded"


class UnknownKindError(NotDoneError):
    """No manifest for the kind is known and no disposition was given."""

    code = "unknown_kind"


class UnknownSignalError(InvalidArgumentError):
    """The process does not declare this signal."""

    code = "unknown_signal"
