"""Scopes whose runtime went away while they had tasks: whoever has the session next takes them over."""

from __future__ import annotations

from collections import OrderedDict

from lash_core.runtime.background.scope_keys import session_of

LEFT_SCOPES_MAX = 10_000
"""The oldest are forgotten then: their work goes on, and nobody here lists it any more."""


class LeftScopes:
    """Keys of such scopes, oldest first."""

    def __init__(self) -> None:
        self._keys: OrderedDict[str, None] = OrderedDict()
        self._by_session: dict[str, dict[str, None]] = {}

    def __contains__(self, scope_key: object) -> bool:
        return scope_key in self._keys

    def add(self, scope_key: str) -> str | None:
        """Note one; answers the one that is forgotten for it."""
        self._keys[scope_key] = None
        self._by_session.setdefault(session_of(scope_key), {})[scope_key] = None
        if len(self._keys) <= LEFT_SCOPES_MAX:
            return None
        oldest = next(iter(self._keys))
        self.discard(oldest)
        return oldest

    def discard(self, scope_key: str) -> None:
        """It is somebody's again, or has no tasks any more."""
        if self._keys.pop(scope_key, self) is self:
            return
        session_id = session_of(scope_key)
        of_session = self._by_session[session_id]
        del of_session[scope_key]
        if not of_session:
            del self._by_session[session_id]

    def of_session(self, session_id: str) -> tuple[str, ...]:
        """Those of a session, oldest first."""
        return tuple(self._by_session.get(session_id, ()))
