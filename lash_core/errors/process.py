"""Errors of the process registry and the worker: one family (contract 0)."""

from __future__ import annotations

from lash_core.errors.base import InvalidArgumentError, NotDoneError


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

    def __init__(self, process_id: str, session_id: str, agent_frame_id: str | None = None) -> None:
        frame = f" in frame `{agent_frame_id}`" if agent_frame_id else ""
        super().__init__(
            f"process handle `{process_id}` is not granted to session `{session_id}`{frame}",
            field="session_id",
            value=session_id,
            process_id=process_id,
        )
        self.session_id = session_id
        self.agent_frame_id = agent_frame_id


class HandleNotVisibleError(PluginSessionError):
    """A scope asks about a process that it has no handle on, or, for a signal, no live one."""

    code = "handle_not_visible"

    def __init__(self, process_id: str) -> None:
        super().__init__(
            f"process handle `{process_id}` is not live or visible in this session",
            field="process_id",
            value=process_id,
            process_id=process_id,
        )


class UnknownSessionError(PluginSessionError):
    """No session of that id."""

    code = "unknown_session"

    def __init__(self, session_id: str) -> None:
        super().__init__(f"unknown session `{session_id}`", field="session_id", value=session_id)
        self.session_id = session_id


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


class NotRetryableError(PluginSessionError):
    """A retry was asked for a process that has not ended, has a retry under way, or has succeeded."""

    code = "not_retryable"


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
