"""Keys of scopes: ``<runtime scope id>:<session id>`` (``docs/contracts/background_tasks.md`` 2).

Two runtimes of one session have keys of their own, so neither sees the other's tasks. A session id may contain colons,
a runtime's scope id does not.
"""

from __future__ import annotations

from lash_core.errors.background_task import BackgroundTaskError


def background_scope_key(runtime_scope_id: str, session_id: str) -> str:
    """The key of a session's tasks in one runtime."""
    return f"{runtime_scope_id}:{session_id}"


def session_of(scope_key: str) -> str:
    """The session in a key.

    Raises:
        BackgroundTaskError: it is no key of a scope.
    """
    runtime_scope_id, colon, session_id = scope_key.partition(":")
    if not colon or not runtime_scope_id or not session_id:
        raise BackgroundTaskError(
            "a scope key is `<runtime scope id>:<session id>`", field="scope_key", value=scope_key
        )
    return session_id


def runtime_scope_of(scope_key: str) -> str:
    """The runtime's scope id in a key."""
    return scope_key.partition(":")[0]


def sibling_scope(scope_key: str, session_id: str) -> str:
    """The key of another session in the same runtime."""
    return background_scope_key(runtime_scope_of(scope_key), session_id)
