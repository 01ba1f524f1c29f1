"""Watching a session from any program of the fleet, without its runtime (``docs/contracts/observation.md`` 6)."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from lash_core.errors import UnknownSessionError
from lash_core.model.queued_work import QueuedWorkBatch
from lash_core.model.session_cursor import SessionCursor
from lash_core.model.session_observation import (
    LiveReplayGap,
    LiveReplayGapReason,
    SessionGap,
    SessionObservation,
    SessionReplayed,
    SessionResume,
    WatchItem,
)
from lash_core.runtime.observation.observed_stores import ObservedStores, view_of_store
from lash_core.runtime.observation.session_watch import SessionWatch
from lash_core.store.live_replay_store import LiveGap, SessionObservationSubscription
from lash_core.store.runtime_persistence import RuntimePersistence


class SessionObserver:
    """One session, read and followed. Cheap to make; it holds an id and stores, never state.

    Args:
        session_id: the session.
        stores: of the server: sessions, notices and rings.
    """

    def __init__(self, session_id: str, stores: ObservedStores) -> None:
        self.session_id = session_id
        self._stores = stores
        self._live = stores.live_replay

    def __repr__(self) -> str:
        return f"SessionObserver({self.session_id!r})"

    async def current_session_observation(self) -> SessionObservation:
        """The whole session as it is stored, and the cursor to go on from.

        The cursor is read first: what happens in between is told again, and never missed.

        Raises:
            UnknownSessionError: no such session. LiveReplayStoreError, store errors.
        """
        tail = (await self._live.current_cursor(self.session_id, 0)).parse().live_position
        return await self.observation_at(tail)

    async def resume_session_observation(self, cursor: SessionCursor | str) -> SessionResume:
        """The events behind a cursor, or a gap with a fresh observation. Nothing is awaited but the stores.

        Raises:
            SessionCursorError: malformed or another session's; nothing was read. UnknownSessionError: a gap, and no
                such session. LiveReplayStoreError, store errors.
        """
        asked = self.checked(cursor)
        replayed = await self._live.replay_after_cursor(asked)
        if isinstance(replayed, LiveGap):
            return self.gap(asked, replayed.reason, await self.current_session_observation())
        return SessionReplayed(replayed.events)

    async def subscribe_session_observation(self, cursor: SessionCursor | str) -> SessionObservationSubscription:
        """The events behind a cursor and those to come, or a gap with a fresh observation.

        Raises:
            As ``resume_session_observation``.
        """
        asked = self.checked(cursor)
        subscribed = await self._live.subscribe_after_cursor(asked)
        if isinstance(subscribed, LiveGap):
            return self.gap(asked, subscribed.reason, await self.current_session_observation())
        return subscribed

    async def queued(self) -> tuple[QueuedWorkBatch, ...]:
        """What is in the session's queue and not settled, in its order. Raises: UnknownSessionError, store errors."""
        return await (await self.store()).list_queued_work(self.session_id)

    def watch(self, cursor: SessionCursor | str | None = None) -> AsyncGenerator[WatchItem]:
        """Follow the session for as long as it exists.

        Without a cursor the first item is an observation whose cursor is that of the last commit, so that the turn
        under way is told from its beginning. With one, its events go on behind it. What could not be replayed, a
        reader that did not keep up, a server that lost its rings: a ``SessionGap`` with a fresh observation, from
        which it goes on. A store that is away is waited for. Activities of a turn that the observation already has in
        its history are left out.

        Args:
            cursor: of any item that was seen before.

        Returns:
            A generator of items; ``aclose`` it.

        Raises:
            SessionCursorError: at once, before anything is read. By the generator: UnknownSessionError: there is no
                such session, or it was deleted. LiveReplayClosedError: the stores were closed in this program. Errors
                of the stores before its first item.
        """
        return SessionWatch(self, self._stores).items(None if cursor is None else self.checked(cursor))

    # -- for the watch -----------------------------------------------------------------------------------

    def checked(self, cursor: SessionCursor | str) -> SessionCursor:
        """The cursor, if it is one of this session. Raises: SessionCursorError."""
        asked = SessionCursor(cursor)
        asked.parse_for_session(self.session_id)
        return asked

    async def store(self) -> RuntimePersistence:
        """The session's store. Raises: UnknownSessionError, store errors."""
        store = await self._stores.session_store_factory.open_existing_store(self.session_id)
        if store is None:
            raise UnknownSessionError(self.session_id)
        return store

    async def observation_at(self, position: int) -> SessionObservation:
        """The stored session with the cursor of a live position that was read before. Raises: as ``store``."""
        view, revision = await view_of_store(await self.store())
        return SessionObservation(view, SessionCursor.new(self.session_id, revision, position))

    def gap(self, requested: SessionCursor, reason: LiveReplayGapReason, observation: SessionObservation) -> SessionGap:
        """The gap between a cursor and an observation."""
        latest = observation.cursor
        gap = LiveReplayGap(self.session_id, requested, latest, latest.parse().revision, reason)
        return SessionGap(observation, gap)
