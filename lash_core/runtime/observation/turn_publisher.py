"""Tells whoever watches what the turns of one runtime do, and what they left (``docs/contracts/observation.md`` 6)."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from lash_core.model.session_cursor import SessionRevision
from lash_core.model.session_observation import (
    CommittedPayload,
    ProcessChangedPayload,
    SessionProcessEventKind,
    TurnActivityPayload,
)
from lash_core.model.turn_activity import TurnActivity
from lash_core.runtime.observation.activity_writer import PUBLISH_WITHIN_MS, LiveActivityWriter, writer_of
from lash_core.runtime.observation.retraction import retract, retract_taken_over
from lash_core.store.live_replay_store import FleetLiveReplayStore

if TYPE_CHECKING:
    from lash_core.runtime.runtime_core import RuntimeCore


def publisher_of(runtime: RuntimeCore) -> TurnPublisher | None:
    """The publisher of a runtime's turns, to be given to them as their sender; None where its host has no rings."""
    live_replay = runtime.host.core.live_replay
    if live_replay is None:
        return None
    writer = writer_of(live_replay)
    if writer.on_takeover is None:
        writer.on_takeover = partial(retract_taken_over, live_replay)
    return TurnPublisher(runtime, live_replay, writer)


class TurnPublisher:
    """``TurnFollower`` of a runtime in the fleet: a turn is given it as its ``sender``.

    Nothing here fails a turn or holds it back: activities are queued, a commit waits for its ring for a bounded time.

    Args:
        runtime: whose turns it follows.
        live_replay: the rings.
        writer: of these rings.
    """

    def __init__(self, runtime: RuntimeCore, live_replay: FleetLiveReplayStore, writer: LiveActivityWriter) -> None:
        self._runtime = runtime
        self._live_replay = live_replay
        self._writer = writer
        self._session_id = runtime.session_id
        self._generation = 0
        self._revision = SessionRevision.of_state(runtime.state)
        self._frame_id = runtime.state.current_agent_frame_id

    async def __call__(self, activity: TurnActivity) -> None:
        """Record one activity; it is in the ring some milliseconds later."""
        payload = TurnActivityPayload(activity)
        self._writer.record(self._session_id, self._revision, payload, generation=self._generation)

    async def turn_begins(self, turn_id: str, *, generation: int, is_redo: bool) -> None:
        """Publish what was committed beside turns; before a redo take back what an earlier run told.

        Raises:
            LiveReplayStoreError, TimeoutError: watchers may see a text twice until the turn's commit.
        """
        del turn_id
        await self.publish()
        self._generation, session_id = generation, self._session_id
        if not is_redo:
            return
        await self.flush()
        async with asyncio.timeout(PUBLISH_WITHIN_MS / 1_000):
            await retract(self._live_replay, session_id, self._revision, self._generation)

    async def flush(self) -> None:
        """Wait until what was told is in the ring, or never will be; for a bounded time."""
        await self._writer.flush(self._session_id)

    async def turn_committed(self, turn_id: str) -> None:
        """Publish the commit."""
        del turn_id
        await self.publish()

    async def process_changed(self, kind: SessionProcessEventKind, process_id: str) -> None:
        """Record it among the turn's activities."""
        payload = ProcessChangedPayload(kind, (process_id,))
        self._writer.record(self._session_id, self._revision, payload, generation=self._generation)

    async def publish(self) -> None:
        """Publish the runtime's state, unless it is the one that was published last."""
        state = self._runtime.state
        revision, frame_id = SessionRevision.of_state(state), state.current_agent_frame_id
        if revision == self._revision:
            return
        changed = frame_id != self._frame_id and bool(frame_id)
        self._revision, self._frame_id = revision, frame_id
        await self._writer.publish_once(
            self._session_id,
            revision,
            CommittedPayload(self._runtime.read_view()),
            frame_id=frame_id if changed else None,
        )
