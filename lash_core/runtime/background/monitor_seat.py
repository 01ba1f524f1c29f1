"""Where the monitors of one session stand, and who hears their lines (``docs/contracts/background_tasks.md`` 6)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lash_core.clock import Clock
from lash_core.errors import LashError
from lash_core.model.background_task import BackgroundTaskState, BackgroundTaskUpdate
from lash_core.model.monitor import MonitorSpec, MonitorWakePolicy
from lash_core.runtime.background.async_handles import AsyncToolHandleMap
from lash_core.runtime.background.monitor_queue import MonitorQueue
from lash_core.runtime.background.monitor_run import MonitorBatch
from lash_core.runtime.background.task_host import BackgroundTaskHost

if TYPE_CHECKING:
    from lash_core.runtime.runtime_host import QueuedWorkDriver
    from lash_core.store.runtime_persistence import RuntimePersistence

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MonitorSeat:
    """Where the monitors of a session stand.

    Attributes:
        session_id: the session.
        scope_key: of its tasks at the host.
        host: who runs them; None = there are no monitors.
        handles: the session's table, so that a monitor can be awaited.
        store: takes queued work; None = lines are told to subscribers only.
        driver: told of queued work.
    """

    session_id: str
    scope_key: str
    host: BackgroundTaskHost | None
    handles: AsyncToolHandleMap
    clock: Clock
    store: RuntimePersistence | None = None
    driver: QueuedWorkDriver | None = None


class SeatSink:
    """``MonitorSink`` of one monitor: tells the session's queue, who awaits, and who subscribes."""

    def __init__(self, seat: MonitorSeat, host: BackgroundTaskHost, spec: MonitorSpec) -> None:
        self._seat = seat
        self._host = host
        self._spec = spec
        wakes = spec.wake_policy is MonitorWakePolicy.QUEUE_TURN
        self._queue = MonitorQueue(seat.store, seat.driver) if seat.store is not None and wakes else None

    async def has_room(self) -> bool:
        """See ``MonitorSink``."""
        return self._queue is None or await self._queue.has_room()

    async def deliver(self, batch: MonitorBatch) -> None:
        """See ``MonitorSink``."""
        if self._queue is not None:
            await self._queue.deliver(batch)
        body = batch.to_json_value()
        handle = self._seat.handles.find(self._spec.task_id)
        if handle is not None:
            handle.progress(body)
        try:
            update = BackgroundTaskUpdate(state=BackgroundTaskState.RUNNING, progress=body)
            await self._host.update(self._seat.scope_key, self._spec.task_id, update)
        except (LashError, OSError) as error:
            # Subscribers may miss a line; it is the queue that a session works by.
            _log.info("progress of monitor %s was not told: %s", self._spec.id, error)
