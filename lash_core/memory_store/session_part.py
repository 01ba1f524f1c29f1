"""What every part of the in-memory session store has."""

from __future__ import annotations

from lash_core.errors.session import SessionBindingMismatchError
from lash_core.memory_store.session_rows import StoredSession
from lash_core.memory_store.sessions_state import SessionsState
from lash_core.model.session_lease import SessionExecutionLeaseFence


class SessionPart:
    """Bound to one session of a shared state."""

    def __init__(self, state: SessionsState, session_id: str) -> None:
        self._state = state
        self._session_id = session_id

    @property
    def session_id(self) -> str:
        """The session it is bound to."""
        return self._session_id

    def _check_bound(self, session_id: str) -> None:
        if session_id != self._session_id:
            raise SessionBindingMismatchError(self._session_id, session_id)

    def _leased(self, lease: SessionExecutionLeaseFence) -> StoredSession:
        """The session under this live lease. Raises: SessionBindingMismatchError, SessionExecutionLeaseExpiredError."""
        self._check_bound(lease.session_id)
        return self._state.require_lease(self._session_id, lease)

    def _found(self) -> StoredSession | None:
        return self._state.sessions.get(self._session_id)

    def _required(self) -> StoredSession:
        return self._state.require(self._session_id)
