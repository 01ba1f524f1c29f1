"""The background tasks of a session, for people and programs (``docs/contracts/background_tasks.md`` 8)."""

from __future__ import annotations

from lash_core.runtime.background.task_views import SessionTasksView, session_tasks
from lash_core.store.client_stores import ClientStores


class SessionTaskReads:
    """What a session's handle knows of its background tasks."""

    session_id: str
    _stores: ClientStores

    async def tasks(self, *, live_only: bool = False, limit: int = 50) -> SessionTasksView:
        """Stored background tasks, of all runtimes of the session, newest first; see ``session_tasks``.

        Raises:
            InvalidArgumentError: the limit.
        """
        return await session_tasks(self._stores.background_tasks, self.session_id, live_only=live_only, limit=limit)
