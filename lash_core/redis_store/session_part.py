"""What every part of ``RedisRuntimePersistence`` has: the namespace, and the session that it is bound to."""

from __future__ import annotations

from lash_core.errors.session import SessionBindingMismatchError
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.keys import PartitionKeys


class SessionPart:
    """Bound to one session. The parts are mixed into ``RedisRuntimePersistence``, which is made by its factory.

    Args:
        context: one namespace.
        session_id: a legal id.
    """

    def __init__(self, context: RedisContext, session_id: str) -> None:
        self._context = context
        self._session_id = session_id
        self._keys: PartitionKeys = context.keyspace.of_session(session_id)

    @property
    def session_id(self) -> str:
        """The session it is bound to."""
        return self._session_id

    def _check_bound(self, session_id: str) -> None:
        """Raises: SessionBindingMismatchError: the call names another session."""
        if session_id != self._session_id:
            raise SessionBindingMismatchError(self._session_id, session_id)
