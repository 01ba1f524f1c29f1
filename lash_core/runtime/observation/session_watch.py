"""One endless watch: it begins, it goes on behind what it saw, and it says so where it cannot."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from lash_core.errors.observation import (
    LiveReplayClosedError,
    LiveReplayFailedError,
    LiveReplayStoreError,
    SessionCursorError,
    SubscriberLaggedError,
)
from lash_core.model.session_cursor import SessionCursor
from lash_core.model.session_observation import (
    CommittedPayload,
    LiveReplayGapReason,
    SessionGap,
    SessionObservation,
    SessionObservationEvent,
    TurnActivityPayload,
    WatchItem,
)
from lash_core.runtime.journal.errors import STORE_ERRORS
from lash_core.runtime.observation.commit_repair import WatchPlace, watched
from lash_core.runtime.observation.observed_stores import ObservedStores
from lash_core.store.live_replay_store import LiveGap, SubscriptionItem

if TYPE_CHECKING:
    from lash_core.runtime.observation.session_observer import SessionObserver

RETRY_DELAY_MS = 100
RETRY_DELAY_MAX_MS = 2_000
"""Under a watch a store that fails is asked again: promptly at first, every two seconds while it stays away."""

_FAILURES = (LiveReplayStoreError, *STORE_ERRORS, OSError)

_log = logging.getLogger(__name__)


class SessionWatch:
    """A watch of one reader. Belongs to its event loop.

    Args:
        observer: of the session.
        stores: as the observer's.
    """

    def __init__(self, observer: SessionObserver, stores: ObservedStores) -> None:
        self._observer = observer
        self._stores = stores
        self._live = stores.live_replay
        self._place = WatchPlace()
        self._history_until = 0
        self._vain_ends = 0
        self._was_closed = False

    async def items(self, cursor: SessionCursor | None) -> AsyncGenerator[WatchItem]:
        """See ``SessionObserver.watch``."""
        async with watched(self._observer.session_id, self._stores) as self._place:
            try:
                item: WatchItem | None = await (self._begin() if cursor is None else self._resume(cursor))
                while True:
                    if item is not None:
                        yield item
                    while isinstance(event := await self._next(), SessionObservationEvent):
                        if self._take(event):
                            yield event
                    item = await self._go_on_after(event)
            finally:
                await self._leave()

    # -- where it stands -------------------------------------------------------------------------------

    async def _begin(self) -> SessionObservation:
        """Stand at the last commit where the ring still has what came behind it, else at its tail."""
        observer, live = self._observer, self._live
        committed, position = await live.last_commit(observer.session_id)
        observation = await observer.observation_at(position)
        subscribed = await live.subscribe_after_cursor(observation.cursor)
        if isinstance(subscribed, LiveGap):
            committed, observation = 0, await observer.current_session_observation()
            subscribed = await live.subscribe_after_cursor(observation.cursor)
        if isinstance(subscribed, LiveGap):
            raise LiveReplayFailedError(f"the ring of session `{observer.session_id}` lost events while it was read")
        place, view = self._place, observation.read_view
        place.subscription, place.cursor = subscribed.subscription, observation.cursor
        place.revision, place.frame_id = observation.cursor.parse().revision, view.current_agent_frame_id
        self._history_until = 0
        if place.revision > committed:
            # Its history is ahead of the ring: activities up to here may be of turns that it has already.
            tail = await live.current_cursor(observer.session_id, place.revision)
            self._history_until = tail.parse().live_position
        return observation

    async def _resume(self, cursor: SessionCursor) -> SessionGap | None:
        """Stand at a cursor."""
        # What a cursor says of commits is believed as far as the ring has told them: it may be of another life.
        # Asked before the session is: of stores that were closed here the rings alone say so, and for ever.
        committed, _ = await self._live.last_commit(self._observer.session_id)
        await self._observer.store()
        subscribed = await self._live.subscribe_after_cursor(cursor)
        if isinstance(subscribed, LiveGap):
            return await self._fresh(cursor, subscribed.reason)
        place = self._place
        place.subscription, place.cursor = subscribed.subscription, cursor
        place.revision = max(place.revision, min(committed, cursor.parse().revision))
        return None

    async def _fresh(self, cursor: SessionCursor, reason: LiveReplayGapReason) -> SessionGap:
        return self._observer.gap(cursor, reason, await self._begin())

    def _take(self, event: SessionObservationEvent) -> bool:
        """Note where it stands now; False for an activity that is history already."""
        place, payload = self._place, event.payload
        place.cursor, self._vain_ends, self._was_closed = event.cursor, 0, False
        if isinstance(payload, CommittedPayload):
            place.revision = max(place.revision, event.revision)
            place.frame_id = payload.read_view.current_agent_frame_id
        elif self._history_until and isinstance(payload, TurnActivityPayload):
            if event.position > self._history_until:
                self._history_until = 0
            elif event.revision < place.revision:
                return False
        return True

    # -- the stream ------------------------------------------------------------------------------------

    async def _next(self) -> SubscriptionItem | None:
        """The next item; None where the stream was interrupted or failed."""
        subscription = self._place.subscription
        if subscription is None:
            return None
        try:
            return await anext(subscription, None)
        except _FAILURES as error:
            _log.warning("session %s: its live events cannot be read: %s", self._observer.session_id, error)
            return None

    async def _go_on_after(self, end: SubscriberLaggedError | LiveReplayClosedError | None) -> SessionGap | None:
        """Subscribe again, for as long as it takes; a gap where events are lost.

        Raises:
            UnknownSessionError: the session was deleted. LiveReplayClosedError: the stores were closed.
        """
        await self._leave()
        tries = self._vain_ends
        self._vain_ends += 1
        if isinstance(end, LiveReplayClosedError) and self._was_closed:
            raise end
        # The first time it may be that the session was deleted, whatever ended the stream before: the session is asked.
        self._was_closed = isinstance(end, LiveReplayClosedError)
        while True:
            if tries:
                await asyncio.sleep(min(RETRY_DELAY_MS * 2 ** min(tries - 1, 8), RETRY_DELAY_MAX_MS) / 1_000)
            tries += 1
            try:
                return await self._go_on(has_lagged=isinstance(end, SubscriberLaggedError))
            except (SessionCursorError, LiveReplayClosedError):
                raise
            except _FAILURES as error:
                _log.warning("session %s: its watch waits for the store: %s", self._observer.session_id, error)

    async def _go_on(self, *, has_lagged: bool) -> SessionGap | None:
        place, cursor = self._place, self._place.cursor
        if has_lagged:
            return await self._fresh(cursor, LiveReplayGapReason.TRIMMED)
        if place.is_behind:
            gap = await self._fresh(cursor, LiveReplayGapReason.UNAVAILABLE)
            place.is_behind = False
            return gap
        return await self._resume(cursor)

    async def _leave(self) -> None:
        subscription, self._place.subscription = self._place.subscription, None
        if subscription is not None:
            await subscription.aclose()
