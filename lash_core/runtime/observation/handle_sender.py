"""What a turn streams to when it runs on a shared runtime (``docs/contracts/observation.md`` 5)."""

from __future__ import annotations

import asyncio

from lash_core.model.session_cursor import SessionRevision
from lash_core.model.session_observation import (
    ProcessChangedPayload,
    SessionObservationEventPayload,
    SessionProcessEventKind,
    TurnActivityPayload,
)
from lash_core.model.turn_activity import TurnActivity
from lash_core.runtime.observation.activity_writer import PUBLISH_WITHIN_MS
from lash_core.runtime.observation.retraction import retract
from lash_core.runtime.observation.shared_runtime import SharedRuntime
from lash_core.runtime.turn_activities import TurnFollower
from lash_core.store.live_replay_store import FleetLiveReplayStore


class HandleSender(TurnFollower):
    """Follows turns that a host runs in the writer: it records, and publishes nothing."""

    def __init__(self, shared: SharedRuntime) -> None:
        self._shared = shared
        self._generation = 0
        self._revision = SessionRevision(0)

    async def __call__(self, activity: TurnActivity) -> None:
        """Record one activity, under the generation of the turn; waits for nothing."""
        self._record(TurnActivityPayload(activity))

    async def turn_begins(self, turn_id: str, *, generation: int, is_redo: bool) -> None:
        """Before a redo, take back what an earlier run told.

        Raises:
            LiveReplayStoreError, TimeoutError: watchers may see a text twice until the next commit.
        """
        del turn_id
        self._generation = generation
        store, seen, runtime = self._shared.live_replay, self._shared.observation, self._shared.runtime
        # What the host has not published yet was committed all the same, and may be told by who watches.
        self._revision = seen.revision if runtime is None else SessionRevision.of_state(runtime.state)
        if is_redo and isinstance(store, FleetLiveReplayStore):
            await self._shared.writer.flush(seen.session_id)
            async with asyncio.timeout(PUBLISH_WITHIN_MS / 1_000):
                await retract(store, seen.session_id, self._revision, generation)

    async def turn_committed(self, turn_id: str) -> None:
        """The host publishes, when people are to see it."""

    async def process_changed(self, kind: SessionProcessEventKind, process_id: str) -> None:
        """Record a change of the session's processes, under the generation of the turn."""
        self._record(ProcessChangedPayload(kind, (process_id,)))

    def _record(self, payload: SessionObservationEventPayload) -> None:
        seen = self._shared.observation
        revision = max(seen.revision, self._revision)
        self._shared.writer.record(seen.session_id, revision, payload, generation=self._generation)
