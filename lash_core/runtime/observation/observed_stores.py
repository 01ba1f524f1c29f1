"""What watching reads: stores of one server, and what a stored session says."""

from __future__ import annotations

from typing import Protocol

from lash_core.model.session_commit import ActivePath
from lash_core.model.session_state import RuntimeSessionState, SessionReadView
from lash_core.runtime.state_loading import state_of_read
from lash_core.store.live_replay_store import FleetLiveReplayStore
from lash_core.store.runtime_persistence import RuntimePersistence, SessionStoreFactory
from lash_core.store.session_notices import SessionNotices


class ObservedStores(Protocol):
    """What watching needs of the stores of one server; ``RedisStores`` and ``InMemoryStores`` both have it."""

    @property
    def session_store_factory(self) -> SessionStoreFactory:
        """Sessions."""
        ...

    @property
    def session_notices(self) -> SessionNotices:
        """Hearing that a session changed."""
        ...

    @property
    def live_replay(self) -> FleetLiveReplayStore:
        """Rings of sessions."""
        ...


async def view_of_store(store: RuntimePersistence) -> tuple[SessionReadView, int]:
    """What the stored session says, and its revision; an empty view and 0 before the first commit.

    Raises:
        Store errors.
    """
    read = await store.load_session(ActivePath())
    if read is None:
        return SessionReadView.from_persisted_state(RuntimeSessionState(session_id=store.session_id)), 0
    return SessionReadView.from_persisted_state(state_of_read(read)), read.head_revision
