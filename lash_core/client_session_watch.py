"""What a client tells those who watch a session of its queue and its processes. Best effort: nothing fails for it."""

from __future__ import annotations

import asyncio
import logging

from lash_core.errors import LashError
from lash_core.model.session_observation import (
    ProcessChangedPayload,
    QueueChangedPayload,
    SessionObservationEventPayload,
    SessionProcessEventKind,
    SessionQueueEventKind,
)
from lash_core.store.client_stores import ClientStores

TELL_WITHIN_MS = 1_000
"""Whoever sends an input waits no longer than this for those who watch."""

_log = logging.getLogger(__name__)


async def tell_queue_changed(
    stores: ClientStores, session_id: str, kind: SessionQueueEventKind, batch_ids: tuple[str, ...]
) -> None:
    """Append a ``queue_changed`` at the revision of the last published commit; a failure is logged."""
    await _tell(stores, session_id, QueueChangedPayload(kind, batch_ids))


async def tell_process_changed(
    stores: ClientStores, session_id: str, kind: SessionProcessEventKind, process_ids: tuple[str, ...]
) -> None:
    """Append a ``process_changed``, as ``tell_queue_changed`` does."""
    await _tell(stores, session_id, ProcessChangedPayload(kind, process_ids))


async def _tell(stores: ClientStores, session_id: str, payload: SessionObservationEventPayload) -> None:
    live_replay = stores.live_replay
    try:
        async with asyncio.timeout(TELL_WITHIN_MS / 1_000):
            revision, _ = await live_replay.last_commit(session_id)
            await live_replay.append(session_id, revision, payload)
    except (LashError, OSError, TimeoutError) as error:
        _log.info("session %s: who watches is not told of a change (%s): %s", session_id, payload.type, error)
