"""Whoever watches a session makes up for a commit that nobody published (``docs/contracts/observation.md`` 6).

A worker publishes right after its commit. If it dies in between, the history has what no watcher was told: those who
watch compare the two and append what is missing, once, whoever is first.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from lash_core.errors import LashError
from lash_core.model.session_cursor import SessionCursor
from lash_core.model.session_observation import CommittedPayload
from lash_core.runtime.observation.observed_stores import ObservedStores, view_of_store
from lash_core.store.live_replay_store import FleetLiveReplayStore, LiveReplaySubscription
from lash_core.store.runtime_persistence import RuntimePersistence

GRACE_MS = 1_000
"""After a notice of a commit its worker has this long to publish it: it does so within milliseconds."""
LOOK_MS = 15_000
"""Without a notice a watched session is looked at this often: one small read, for the notice that was lost."""
STOP_MS = 1_000
"""A store that is away does not keep a reader from leaving."""

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class WatchPlace:
    """Where one watch stands, as far as its keeper has to know.

    Attributes:
        revision: the newest commit that its reader was told of.
        cursor: of the newest event that it took.
        frame_id: the current frame, as far as it knows.
        subscription: what it waits at; closed to interrupt it.
        is_behind: it was interrupted because the ring does not say what the history does.
    """

    revision: int = 0
    cursor: SessionCursor = field(default_factory=lambda: SessionCursor(""))
    frame_id: str | None = None
    subscription: LiveReplaySubscription | None = None
    is_behind: bool = False

    @property
    def position(self) -> int:
        """Its live position."""
        return self.cursor.parse().live_position if self.cursor else 0

    async def interrupt(self, *, is_behind: bool) -> None:
        """End its wait, so that it looks where it stands."""
        self.is_behind = self.is_behind or is_behind
        if self.subscription is not None:
            await self.subscription.aclose()


class CommitKeeper:
    """Looks after the commits of one session while it is watched in this program. Belongs to one event loop.

    Args:
        session_id: the session.
        stores: where its history, its ring and its notices are.
    """

    def __init__(self, session_id: str, stores: ObservedStores) -> None:
        self.places: set[WatchPlace] = set()
        self._session_id = session_id
        self._stores = stores
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look. Safe to repeat."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep(), name="lash-commit-keeper")

    async def stop(self) -> None:
        """Look no more. Safe to repeat."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            # Its subscription is given back before whoever closes the stores does so.
            await asyncio.wait([task], timeout=STOP_MS / 1_000)

    async def check(self) -> bool:
        """Compare the ring with the history once; True when a commit was missing and is there now.

        Raises:
            Store errors.
        """
        store = await self._stores.session_store_factory.open_existing_store(self._session_id)
        if store is None:
            await self._interrupt(self.places, is_behind=False)
            return False
        tail = (await self._stores.live_replay.current_cursor(self._session_id, 0)).parse().live_position
        # A ring that is behind what was taken from it has lost events: whoever waits for the next one waits for ever.
        await self._interrupt([place for place in self.places if place.position > tail], is_behind=False)
        head = await store.load_session_head()
        # Nothing is remembered beyond what each reader knows: a session that is deleted and made again counts anew.
        if head is None or all(place.revision >= head.head_revision for place in self.places):
            return False
        return await self._repair(store, head.head_revision)

    async def _repair(self, store: RuntimePersistence, revision: int) -> bool:
        live = self._stores.live_replay
        try:
            if (await live.last_commit(self._session_id))[0] >= revision:
                return False
            view, revision = await view_of_store(store)
            frames = {place.frame_id for place in self.places} - {None}
            changed = bool(frames) and view.current_agent_frame_id not in {*frames, ""}
            appended = await live.append_commit_once(
                self._session_id,
                revision,
                CommittedPayload(view),
                frame_id=view.current_agent_frame_id if changed else None,
            )
        except (LashError, OSError) as error:
            # Who may only read tells its own watchers, with a gap.
            _log.info("session %s: revision %d is not in its ring: %s", self._session_id, revision, error)
            await self._interrupt([place for place in self.places if place.revision < revision], is_behind=True)
            return False
        if appended is not None:
            _log.info("session %s: revision %d was committed and not published; it is now", self._session_id, revision)
        return appended is not None

    async def _interrupt(self, places: set[WatchPlace] | list[WatchPlace], *, is_behind: bool) -> None:
        for place in list(places):
            await place.interrupt(is_behind=is_behind)

    async def _keep(self) -> None:
        while True:
            try:
                async with self._stores.session_notices.listening(self._session_id) as heard:
                    # Whatever was committed before this watch began is compared, too.
                    heard.set()
                    while True:
                        await self._heard(heard)
                        await self.check()
            except (LashError, OSError) as error:
                _log.debug("session %s: its ring could not be compared: %s", self._session_id, error)
                await asyncio.sleep(GRACE_MS / 1_000)

    async def _heard(self, heard: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(LOOK_MS / 1_000):
                await heard.wait()
        except TimeoutError:
            return
        heard.clear()
        await asyncio.sleep(GRACE_MS / 1_000)


# -- one keeper a session, store and event loop -----------------------------------------------------------------

_Keepers = dict[tuple[asyncio.AbstractEventLoop, str], CommitKeeper]
_KEEPERS: weakref.WeakKeyDictionary[FleetLiveReplayStore, _Keepers] = weakref.WeakKeyDictionary()


@asynccontextmanager
async def watched(session_id: str, stores: ObservedStores) -> AsyncGenerator[WatchPlace]:
    """Have a session's commits looked after while a watch runs; all watches of it here share one keeper."""
    keepers = _KEEPERS.setdefault(stores.live_replay, {})
    key = (asyncio.get_running_loop(), session_id)
    keeper = keepers.get(key)
    if keeper is None:
        keeper = keepers[key] = CommitKeeper(session_id, stores)
    place = WatchPlace()
    keeper.places.add(place)
    keeper.start()
    try:
        yield place
    finally:
        keeper.places.discard(place)
        if not keeper.places:
            keepers.pop(key, None)
            await keeper.stop()
