"""Batches of a monitor as queued work of its session (``docs/contracts/background_tasks.md`` 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lash_core.model.monitor import monitor_task_id
from lash_core.model.queued_work import HostEventPayload, MergeKey, QueuedWorkDraft
from lash_core.runtime.background.monitor_run import MonitorBatch
from lash_core.runtime.turn_activities import poke_work_driver
from lash_core.store.runtime_persistence import RuntimePersistence

if TYPE_CHECKING:
    from lash_core.runtime.runtime_host import QueuedWorkDriver

QUEUED_BATCHES_OF_MONITOR_MAX = 4
"""Batches of one monitor in the queue at once: a session that is busy hears of the newest lines later."""
MONITOR_EVENT = "monitor"
"""Name of the host event that a batch becomes; also the reason of the poke, and the tool of a monitor's handle."""


class MonitorQueue:
    """``MonitorSink`` into the queue of a session, for one run of one monitor.

    Args:
        store: of the session.
        driver: told of queued work; None = nobody here.
    """

    def __init__(self, store: RuntimePersistence, driver: QueuedWorkDriver | None) -> None:
        self._store = store
        self._driver = driver
        self._queued: set[str] = set()

    async def has_room(self) -> bool:
        """See ``MonitorSink``; asks the queue only when it may be full of this monitor's batches."""
        if len(self._queued) < QUEUED_BATCHES_OF_MONITOR_MAX:
            return True
        queued = await self._store.list_queued_work(self._store.session_id)
        self._queued &= {batch.batch_id for batch in queued}
        return len(self._queued) < QUEUED_BATCHES_OF_MONITOR_MAX

    async def deliver(self, batch: MonitorBatch) -> None:
        """See ``MonitorSink``. Safe to repeat: run and sequence are the batch's source key.

        Raises:
            UnknownSessionError: the session was deleted. Store errors.
        """
        session_id = self._store.session_id
        draft = QueuedWorkDraft(
            session_id=session_id,
            payloads=(HostEventPayload(MONITOR_EVENT, batch.to_json_value()),),
            merge_key=MergeKey.of_group(MONITOR_EVENT),
            source_key=f"{monitor_task_id(batch.monitor_id)}:{batch.run_id}:{batch.sequence}",
        )
        self._queued.add((await self._store.enqueue_queued_work(draft)).batch_id)
        await poke_work_driver(self._driver, session_id, MONITOR_EVENT)
