"""What every session store refuses, in the same words (``docs/contracts/sessions.md`` 1.8, 2.1, 2.2)."""

from __future__ import annotations

from typing import Literal

from lash_core.errors import InvalidArgumentError
from lash_core.errors.session import (
    QueuedWorkClaimSupersededError,
    RuntimeTurnCommitConflictError,
    SessionExecutionLeaseExpiredError,
    TurnInputClaimSupersededError,
)

LeaseFault = Literal["missing", "released", "taken", "expired"]
"""Nothing names a lease; nobody holds the session; somebody else does; the lease is over."""


def session_lease_lost(session_id: str, why: LeaseFault | str) -> SessionExecutionLeaseExpiredError:
    """A fenced call was refused."""
    return SessionExecutionLeaseExpiredError(
        f"the execution lease of session `{session_id}` is not live: {why}", field="session_execution_lease", value=why
    )


def turn_committed_otherwise(session_id: str, turn_id: str) -> RuntimeTurnCommitConflictError:
    """The turn has a stamp with another hash."""
    return RuntimeTurnCommitConflictError(
        f"turn `{turn_id}` of session `{session_id}` was committed before with other content",
        field="turn_commit",
        value=turn_id,
    )


def batch_not_held(session_id: str, batch_id: str) -> QueuedWorkClaimSupersededError:
    """A commit settles a batch that its claim does not have."""
    return QueuedWorkClaimSupersededError(
        f"batch `{batch_id}` of session `{session_id}` is not held by the claim that settles it",
        field="completed_queue_claims",
        value=batch_id,
    )


def input_not_held(session_id: str, input_id: str) -> TurnInputClaimSupersededError:
    """A commit settles an input that its claim does not have."""
    return TurnInputClaimSupersededError(
        f"input `{input_id}` of session `{session_id}` is not held by the claim that settles it",
        field="completed_turn_input_claims",
        value=input_id,
    )


def blob_not_stored(session_id: str, name: str, ref: str) -> InvalidArgumentError:
    """A checkpoint names a blob that is neither brought nor stored."""
    return InvalidArgumentError(
        f"the checkpoint's {name} refers to a blob that session `{session_id}` has not stored",
        field=f"checkpoint.{name}_ref",
        value=ref,
    )


def unknown_leaf(session_id: str, node_id: str) -> InvalidArgumentError:
    """An explicit leaf that does not exist (decision 24)."""
    return InvalidArgumentError(
        f"session node `{node_id}` does not exist in session `{session_id}`", field="leaf_node_id", value=node_id
    )
