"""What a caller of triggers branches on by type (``docs/contracts/triggers.md`` 5)."""

from __future__ import annotations

from lash_core.errors.base import InvalidArgumentError, NotDoneError


class UnknownTriggerError(NotDoneError):
    """No subscription of that name or id."""

    code = "unknown_trigger"

    def __init__(self, name: str) -> None:
        super().__init__(f"unknown trigger `{name}`", field="name", value=name)


class TriggerConflictError(NotDoneError):
    """The subscription is not as the caller thinks: another definition, another revision, deleted, or not deleted.

    Attributes:
        reason: ``definition``, ``revision``, ``deleted`` or ``not_deleted``.
        existing_revision: what is there now.
    """

    code = "trigger_conflict"

    def __init__(self, message: str, *, name: str, reason: str, existing_revision: int | None = None) -> None:
        super().__init__(message, field="name", value=name)
        self.reason = reason
        self.existing_revision = existing_revision


class TriggerOperationConflictError(NotDoneError):
    """The operation id was used by this owner for another mutation."""

    code = "trigger_operation_conflict"

    def __init__(self, operation_id: str) -> None:
        super().__init__(
            f"operation id `{operation_id}` was used for another mutation of triggers; take a fresh one",
            field="operation_id",
            value=operation_id,
        )


class OccurrenceConflictError(NotDoneError):
    """The idempotency key was used at this source with another payload."""

    code = "occurrence_conflict"

    def __init__(self, source_type: str, source_key: str, idempotency_key: str) -> None:
        super().__init__(
            f"idempotency key `{idempotency_key}` was used at `{source_type}:{source_key}` with another payload",
            field="idempotency_key",
            value=idempotency_key,
        )


class TriggerPausedError(NotDoneError):
    """A paused or deleted trigger is asked to start something."""

    code = "trigger_paused"

    def __init__(self, name: str) -> None:
        super().__init__(f"trigger `{name}` is paused or deleted; resume it first", field="name", value=name)


class InvalidScheduleError(InvalidArgumentError):
    """A cron expression, a time zone or an interval that cannot be used."""

    code = "invalid_schedule"
