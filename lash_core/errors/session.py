"""What a session's store refuses. Every one is ``NotDoneError``: nothing was written.

``docs/contracts/sessions.md`` 1.8.
"""

from __future__ import annotations

from lash_core.errors.base import CorruptRecordError, NewerRecordError, NotDoneError
from lash_core.errors.process import PluginSessionError


class SessionError(PluginSessionError):
    """A session cannot be built, stored, read or edited as asked; nothing was written."""

    code = "session_error"


class StaleBranchError(SessionError):
    """The node that an edit builds on is not on the active path; ``current_leaf`` is where the session stands."""

    code = "stale_branch"

    def __init__(self, session_id: str, required_ancestor: str, current_leaf: str | None) -> None:
        super().__init__(
            f"node `{required_ancestor}` is not on the active path of session `{session_id}`; its leaf is "
            f"`{current_leaf}`",
            field="requires_ancestor",
            value=required_ancestor,
        )
        self.current_leaf = current_leaf


class UnknownManagedSessionError(SessionError):
    """This runtime has no child of that id."""

    code = "unknown_managed_session"

    def __init__(self, session_id: str) -> None:
        super().__init__(f"unknown session `{session_id}`", field="session_id", value=session_id)


class SessionStoreError(NotDoneError):
    """A session's store refused; nothing was written."""

    code = "session_store_error"


class SessionBindingMismatchError(SessionStoreError):
    """A store bound to one session was asked for another."""

    code = "session_binding_mismatch"

    def __init__(self, bound: str, asked: str) -> None:
        super().__init__(
            f"session store is bound to session `{bound}`, not to `{asked}`", field="session_id", value=asked
        )
        self.bound = bound
        self.asked = asked


class UnsupportedReadScopeError(SessionStoreError):
    """The store cannot read a session this way; nobody falls back to another one silently."""

    code = "unsupported_read_scope"


class HeadRevisionConflictError(SessionStoreError):
    """Somebody else committed in between; read the head again. 0 = there is no head."""

    code = "head_revision_conflict"

    def __init__(self, session_id: str, expected: int, actual: int) -> None:
        super().__init__(
            f"session `{session_id}` head revision conflict: expected {expected}, it is {actual}",
            field="expected_head_revision",
            value=expected,
            limit=actual,
        )
        self.expected = expected
        self.actual = actual


class RuntimeTurnCommitConflictError(SessionStoreError):
    """The turn was committed before with another content, or its stamp names another session."""

    code = "runtime_turn_commit_conflict"


class QueuedWorkClaimSupersededError(SessionStoreError):
    """Somebody else has the batch now, or it is gone: this claim settles nothing."""

    code = "queued_work_claim_superseded"


class TurnInputClaimSupersededError(SessionStoreError):
    """Somebody else has the input now: this claim settles nothing."""

    code = "turn_input_claim_superseded"


class UnsettledQueuedWorkClaimError(SessionStoreError):
    """A final commit has content of a claim that it does not settle."""

    code = "unsettled_queued_work_claim"


class UnsettledTurnInputClaimError(SessionStoreError):
    """As ``UnsettledQueuedWorkClaimError``, of the lane of pending inputs."""

    code = "unsettled_turn_input_claim"


class PendingTurnInputSourceKeyConflictError(SessionStoreError):
    """The source key stands for another input."""

    code = "pending_turn_input_source_key_conflict"

    def __init__(self, session_id: str, source_key: str, existing_input_id: str) -> None:
        super().__init__(
            f"source key `{source_key}` of session `{session_id}` stands for input `{existing_input_id}` with other "
            "content",
            field="source_key",
            value=source_key,
        )
        self.session_id = session_id
        self.source_key = source_key
        self.existing_input_id = existing_input_id


class SessionExecutionLeaseExpiredError(SessionStoreError):
    """The lease is missing, over, or somebody else's: nothing may be written under it."""

    code = "session_execution_lease_expired"


class InputNotFoundError(NotDoneError):
    """The session has no such input: it was cancelled, or never there."""

    code = "input_not_found"

    def __init__(self, session_id: str, input_id: str) -> None:
        super().__init__(
            f"session `{session_id}` has no input `{input_id}`: it was cancelled, or never there",
            field="input_id",
            value=input_id,
        )
        self.session_id = session_id
        self.input_id = input_id


class MissingRecordSchemaVersionError(CorruptRecordError):
    """A stored record has no version."""

    code = "missing_record_schema_version"


class InvalidRecordSchemaVersionError(CorruptRecordError):
    """A stored record's version is no whole number."""

    code = "invalid_record_schema_version"


class UnsupportedRecordSchemaVersionError(NewerRecordError):
    """A stored record has a version that this release does not know; it is declined and left as it is."""

    code = "unsupported_record_schema_version"
