"""The scopes that a runtime's sessions have at its host of background tasks: found, taken over, handed on, closed.

``docs/contracts/background_tasks.md`` 2 and 4. What hosts and tools do with the tasks in them is in ``capability``.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from lash_core.errors import LashError
from lash_core.errors.background_task import BackgroundTaskError
from lash_core.model.background_task import BackgroundTaskFilter, BackgroundTaskRecord, ClosePolicy
from lash_core.model.background_task_rules import TASK_OWNER_LOST
from lash_core.runtime.background.async_handles import AsyncToolHandleMap
from lash_core.runtime.background.scope_closing import close_soon
from lash_core.runtime.background.scope_keys import background_scope_key
from lash_core.runtime.background.task_host import BackgroundTaskHost

if TYPE_CHECKING:
    from lash_core.runtime.lash_runtime import LashRuntime

NO_REGISTRY = "background task registry is unavailable in this runtime"

_log = logging.getLogger(__name__)


class RuntimeScopes:
    """The scopes of one runtime: of its session and of the children that it manages.

    Args:
        runtime: whose they are. Its scope id is in the key of every scope, so that another runtime of the same
            session has tasks of its own.
    """

    def __init__(self, runtime: LashRuntime) -> None:
        self._runtime = runtime
        self._adopted: tuple[str, int] | None = None
        self._is_closed = False

    @property
    def host(self) -> BackgroundTaskHost | None:
        """Who runs and keeps the tasks."""
        return self._runtime.host.core.background_task_host

    def background_scope_key(self, session_id: str) -> str:
        """Under which key the host has the tasks of a session of this runtime."""
        return background_scope_key(self._runtime.background_scope_id, session_id)

    async def adopt_background_tasks(self, generation: int) -> tuple[BackgroundTaskRecord, ...]:
        """Take over the current session's rows of older generations (decision 4). Once a generation; safe to repeat.

        Turns call it when they have the lease. It never fails them: what fails is logged, and tried with the next.

        Returns:
            The records that came, as they are now. Without a host none.
        """
        session_id = self._runtime.session_id
        if self.host is None or self._adopted == (session_id, generation):
            return ()
        try:
            records = await self.host.adopt(self.background_scope_key(session_id), generation)
        except (LashError, OSError):
            _log.warning("background tasks of %s are not taken over yet", session_id, exc_info=True)
            return ()
        self._adopted = (session_id, generation)
        lost = [task.id for task in records if task.failure is not None and task.failure.code == TASK_OWNER_LOST]
        if lost and self._runtime.host.core.monitors:
            await self._runtime.monitors.restart_lost(lost)
        return records

    async def hand_over_background_tasks(self, session_id: str, successor_session_id: str) -> None:
        """Before a session leaves the runtime: live tasks whose close policy says so become the successor's.

        Raises:
            BackgroundTaskError: ``… already exists in successor session``: nothing moved.
        """
        if self.host is None:
            return
        from_key, to_key = self.background_scope_key(session_id), self.background_scope_key(successor_session_id)
        tasks = await self.host.list(from_key, BackgroundTaskFilter())
        leaving = [task.id for task in tasks if task.close_policy is ClosePolicy.TRANSFER]
        await self.host.transfer_managed(from_key, to_key, leaving)

    async def close_background_tasks(self, session_id: str) -> None:
        """A session left the runtime: its tasks are cancelled or go on, by their close policy."""
        if self.host is not None:
            await self.host.close_scope(self.background_scope_key(session_id))

    def close(self) -> None:
        """The runtime goes away, now; its tasks are closed at the loop's next turn. May be called twice."""
        self._is_closed = True
        close_soon(self.host, self.background_scope_key(self._runtime.session_id))

    # -- inside ----------------------------------------------------------------------------------------

    def _registry(self) -> BackgroundTaskHost:
        if self.host is None:
            raise BackgroundTaskError(NO_REGISTRY, field="background_task_host")
        return self.host

    def _leave_what_came_late(self, scope_key: str) -> None:
        """Code that outlives its runtime, as a kept task's, began another one: that is who comes next's, too."""
        if self._is_closed and self.host is not None:
            self.host.leave_scope(scope_key)

    def _runtime_of(self, session_id: str) -> LashRuntime | None:
        """Who has the session in memory here; None: it is neither the runtime's own nor one that it manages."""
        if session_id == self._runtime.session_id:
            return self._runtime
        managed = self._runtime.managed_sessions
        return managed.get(session_id).runtime if session_id in managed.session_ids else None

    def _async_handles(self, session_id: str) -> AsyncToolHandleMap | None:
        runtime = self._runtime_of(session_id)
        return None if runtime is None else runtime.async_handles
