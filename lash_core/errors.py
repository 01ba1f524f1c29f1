"""Every error of lash, sorted by what the caller may conclude.

``NotDoneError``: nothing was written. ``OutcomeUnknownError``: maybe written; repeat the same request or read back.
``CorruptRecordError``: what the store holds cannot be decoded. ``SettingsError``: a setting is missing or wrong.

Answers that a caller branches on (``Acquired | Busy``, ``Renewed | Lost``) are return types and not errors.
The substrings quoted in ``docs/contracts/processes.md`` are API: callers match on them.
"""

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


# --- stores -----------------------------------------------------------------------------------


class StoreUnreachableError(NotDoneError):
    """The store could not be reached before the deadline; nothing was sent, or only reads were."""

    code = "store_unreachable"


class StoreRefusedError(NotDoneError):
    """The store answered with a refusal: read-only, full, wrong password, wrong version, evicting, other layout."""

    code = "store_refused"


class StoreFullError(StoreRefusedError):
    """The server is out of memory (``OOM``); reads, completions and prune still work."""

    code = "store_full"


class StoreReadOnlyError(StoreRefusedError):
    """The server is a read-only replica or lost its quorum of replicas."""

    code = "store_read_only"


class ClaimsPausedError(StoreRefusedError):
    """A partition was promoted or restarted: no new leases until ``until_ms`` (DESIGN 3.3 rule 5)."""

    code = "claims_paused"

    def __init__(self, process_id: str, until_ms: int) -> None:
        super().__init__(
            f"no lease of process `{process_id}` is given before {until_ms}: grace after a failover or restart",
            field="until_ms",
            value=until_ms,
            process_id=process_id,
        )
        self.until_ms = until_ms


class StoreAuthError(StoreRefusedError):
    """Wrong password, unknown user or missing permission."""

    code = "store_auth"


class StoreVersionError(StoreRefusedError):
    """The server is older than Redis 7.0 / Valkey 7.2."""

    code = "store_version"


class StoreLayoutError(StoreRefusedError):
    """The namespace has another layout than this client asks for or understands."""

    code = "store_layout"


# --- process registry and worker: one family (contract 0, error model) ---------------------------


class PluginSessionError(NotDoneError):
    """Root of registry and worker errors; the text carries the contract's substring."""

    code = "plugin_session"


class UnknownProcessError(PluginSessionError):
    """No row of that id."""

    code = "unknown_process"

    def __init__(self, process_id: str) -> None:
        super().__init__(f"unknown process `{process_id}`", field="process_id", value=process_id, process_id=process_id)


class InvalidRegistrationError(PluginSessionError, InvalidArgumentError):
    """A registration that breaks a rule of contract 2.1."""

    code = "invalid_registration"


class RegistrationConflictError(PluginSessionError):
    """The id exists with other content."""

    code = "registration_conflict"

    def __init__(self, process_id: str, *, existing_hash: str, new_hash: str) -> None:
        super().__init__(
            f"process `{process_id}` registration hash conflict: existing {existing_hash}, new {new_hash}",
            field="process_id",
            value=process_id,
            process_id=process_id,
        )
        self.existing_hash = existing_hash
        self.new_hash = new_hash


class ExternalRefConflictError(PluginSessionError):
    """The row already has another external reference."""

    code = "external_ref_conflict"

    def __init__(self, process_id: str) -> None:
        super().__init__(f"process `{process_id}` external ref conflict", process_id=process_id)


class HandleNotGrantedError(PluginSessionError):
    """A handle to transfer is not granted to the source scope."""

    code = "handle_not_granted"

    def __init__(self, process_id: str, scope_id: str) -> None:
        super().__init__(
            f"process handle `{process_id}` is not granted to session `{scope_id}`",
            field="scope_id",
            value=scope_id,
            process_id=process_id,
        )
        self.scope_id = scope_id


class ReplayKeyConflictError(PluginSessionError):
    """The replay key exists for this process with other content."""

    code = "replay_key_conflict"

    def __init__(self, process_id: str, replay_key: str) -> None:
        super().__init__(
            f"process `{process_id}` event replay key `{replay_key}` conflicts with an existing event",
            field="replay_key",
            value=replay_key,
            process_id=process_id,
        )
        self.replay_key = replay_key


class UndeclaredEventTypeError(PluginSessionError):
    """The registration does not declare this event type."""

    code = "undeclared_event_type"

    def __init__(self, process_id: str, event_type: str) -> None:
        super().__init__(
            f"process `{process_id}` emitted undeclared event type `{event_type}`",
            field="event_type",
            value=event_type,
            process_id=process_id,
        )


class ReplayKeyRequiredError(PluginSessionError):
    """Terminal events and cancel requests need a replay key."""

    code = "replay_key_required"

    def __init__(self, process_id: str, event_type: str) -> None:
        super().__init__(
            f"process `{process_id}` event `{event_type}` requires a deterministic replay key",
            field="replay_key",
            process_id=process_id,
        )


class InvalidPayloadError(PluginSessionError, InvalidArgumentError):
    """The payload does not match the event type's schema."""

    code = "invalid_payload"

    def __init__(self, event_type: str, reason: str, *, process_id: str | None = None, field: str = "payload") -> None:
        super().__init__(f"invalid `{event_type}` payload: {reason}", field=field, process_id=process_id)


class SelectorError(PluginSessionError):
    """A selector of the event type does not match the payload."""

    code = "selector"


class AlreadyTerminalError(PluginSessionError):
    """The row has its one terminal event already."""

    code = "already_terminal"

    def __init__(self, process_id: str, status: str | None = None) -> None:
        super().__init__(f"process `{process_id}` is already terminal", process_id=process_id)
        self.status = status


class TerminalProcessError(PluginSessionError):
    """The operation is refused on a terminal row (abandon request, wait state)."""

    code = "terminal_process"


class CompletionAuthorityError(PluginSessionError):
    """The authority does not fit the row's disposition (contract 2.7)."""

    code = "completion_authority"

    def __init__(self, process_id: str, label: str, why: str) -> None:
        super().__init__(
            f"process `{process_id}` cannot be completed with {label} authority: {why}", process_id=process_id
        )


class LeaseLostError(PluginSessionError):
    """The lease is gone: another owner, another fence, expired or released. Nothing was written."""

    code = "lease_lost"

    def __init__(self, process_id: str, reason: str = "") -> None:
        suffix = f" ({reason})" if reason else ""
        super().__init__(f"process lease for `{process_id}` is missing or expired{suffix}", process_id=process_id)
        self.reason = reason


class StoreBehindError(PluginSessionError):
    """The store has forgotten fenced writes that it acknowledged (a failover): reload and replay."""

    code = "behind"

    def __init__(self, process_id: str, *, acknowledged: int, stored: int) -> None:
        super().__init__(
            f"process `{process_id}`: the store is behind, {stored} of {acknowledged} acknowledged writes are there",
            process_id=process_id,
        )
        self.acknowledged = acknowledged
        self.stored = stored


class HandoverConflictError(PluginSessionError):
    """The segment ordinal exists with other data."""

    code = "handover_conflict"

    def __init__(self, process_id: str, ordinal: int) -> None:
        super().__init__(
            f"process `{process_id}` segment handover conflict at ordinal {ordinal}", process_id=process_id
        )


class InvalidFilterError(PluginSessionError, InvalidArgumentError):
    """A list filter that cannot be decoded (contract 1.12)."""

    code = "invalid_filter"


class InvalidCursorError(PluginSessionError, InvalidArgumentError):
    """A cursor that this store did not issue."""

    code = "invalid_cursor"


class MissingEnvironmentError(PluginSessionError):
    """The captured environment is not in the store."""

    code = "missing_environment"


class WorkerBoundaryError(PluginSessionError):
    """A check of ``run_process`` failed before any side effect (contract 3.2)."""

    code = "worker_boundary"


class NotAvailableError(PluginSessionError):
    """A part of the contract that this release does not have yet."""

    code = "not_available"


# --- results ----------------------------------------------------------------------------------


class RuntimeFailure(LashError):
    """A runtime or effect-controller error: ``code: message`` (contract 0, error model)."""

    def __init__(self, code: str, message: str, *, raw: object = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.detail = message
        self.raw = raw


class Failure(LashError):
    """Raise it in a process function to end the process as failed with these facts.

    Args:
        class_: one of ``lash_core.model.ToolFailureClass``'s values.
        code: snake_case word.
        message: text for people.
        raw: any JSON value, or None.
    """

    def __init__(self, class_: str, code: str, message: str, raw: object = None) -> None:
        super().__init__(message)
        self.class_ = class_
        self.code = code
        self.raw = raw


class ProcessFailed(LashError):
    """``handle.result()`` of a failed process."""

    def __init__(
        self, class_: str, code: str, message: str, raw: object = None, *, process_id: str | None = None
    ) -> None:
        super().__init__(message, process_id=process_id)
        self.class_ = class_
        self.code = code
        self.raw = raw


class ProcessCancelled(LashError):
    """``handle.result()`` of a cancelled process; the message is the reason."""

    code = "process_cancelled"

    def __init__(self, message: str, raw: object = None, *, process_id: str | None = None) -> None:
        super().__init__(message, process_id=process_id)
        self.raw = raw


class ProcessAbandoned(LashError):
    """``handle.result()`` of an abandoned process; carries the evidence."""

    code = "process_abandoned"

    def __init__(self, message: str, evidence: object = None, *, process_id: str | None = None) -> None:
        super().__init__(message, process_id=process_id)
        self.evidence = evidence
