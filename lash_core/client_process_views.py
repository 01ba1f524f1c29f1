"""Processes for people and projectors: a session's, the fleet's, the feed (``docs/contracts/observation.md`` 7)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import TypeVar

from lash_core.client_patience import patiently
from lash_core.errors import InvalidArgumentError
from lash_core.model.ids import check_projector_name
from lash_core.model.process_filter import FilterStatus
from lash_core.model.reports import ChangeCursor, ProcessChanges
from lash_core.runtime.observation.process_views import (
    FleetProcessSnapshot,
    SessionProcesses,
    fleet_snapshot,
    session_processes,
)
from lash_core.store.client_stores import ClientStores

FEED_PAGE = 200
"""Rows of a page of the feed: a few ms of reading."""

FEED_PAUSE_MS = 500
"""Pause when nothing changed: one read per partition each time."""

PROJECTOR_SEEN_EVERY_MS = 60_000
"""How often an idle follower says that it is alive; ``doctor`` reports one that was silent for 7 days."""


T = TypeVar("T")


class SessionProcessReads:
    """What a session's handle knows of processes."""

    session_id: str
    _stores: ClientStores

    async def processes(self, *, live_only: bool = False, limit: int = 50, events: int = 5) -> SessionProcesses:
        """Processes that the session has handles on or is woken by, newest first; see ``session_processes``.

        Raises:
            InvalidArgumentError: a bound.
        """
        registry = self._stores.process_registry
        return await session_processes(registry, self.session_id, live_only=live_only, limit=limit, events=events)


class FleetReads:
    """What a client knows of the fleet."""

    stores: ClientStores

    async def fleet(self, *, limit: int = 50, events: int = 0, status: FilterStatus = "any") -> FleetProcessSnapshot:
        """The fleet at a glance; see ``fleet_snapshot``. Raises: InvalidArgumentError: a bound."""
        registry, directory = self.stores.process_registry, self.stores.directory
        return await fleet_snapshot(registry, directory, limit=limit, events=events, status=status)

    def changes(
        self,
        cursor: ChangeCursor | str | None = None,
        *,
        name: str | None = None,
        follow: bool = False,
        limit: int | None = None,
    ) -> AsyncGenerator[ProcessChanges, None]:
        """Pages of rows that changed, latest state once per row; nothing that committed is ever skipped.

        With a ``name`` the fleet remembers the position: it moves when the next page is asked for, so a reader that
        dies sees its last page again, never less. Rows past it are not pruned until ``forget_projector``.

        Args:
            cursor: start here; else at the name's position, else at the beginning.
            name: the projector's.
            follow: wait for more, until the caller stops, also for a store that goes away meanwhile (the log says
                so); else the last page, maybe empty, is where nothing is left.
            limit: rows at most, at least 1; None = no bound.

        Raises:
            InvalidArgumentError: the limit, the name, at once. InvalidCursorError. LimitExceededError: too many
                projectors. Store errors: of the first reading, and of all without ``follow``. StoreClosedError: this
                program closed the stores.
        """
        if name is not None:
            check_projector_name(name)
        if limit is not None and limit < 1:
            raise InvalidArgumentError(f"limit is {limit}; it must be at least 1", field="limit", value=limit, limit=1)
        at = ChangeCursor(token=cursor) if isinstance(cursor, str) else cursor
        return _ChangeFeed(self.stores, name).pages(at, limit, follow=follow)

    async def forget_projector(self, name: str) -> bool:
        """Forget a position; retention no longer waits for it. False: there is none of that name.

        Raises:
            InvalidArgumentError: the name.
        """
        return await self.stores.directory.forget_projector(name)


class _ChangeFeed:
    def __init__(self, stores: ClientStores, name: str | None) -> None:
        self._registry = stores.process_registry
        self._directory = stores.directory
        self._name = name

    async def pages(
        self, cursor: ChangeCursor | None, limit: int | None, *, follow: bool
    ) -> AsyncGenerator[ProcessChanges, None]:
        at = cursor or await self._remembered()
        # Retention waits for a name from its first read on, not from its first page.
        await self._remember(at)
        left, idle_ms, ask = limit, 0, self._once
        while left is None or left > 0:
            wanted = FEED_PAGE if left is None else min(FEED_PAGE, left)
            page = await ask(partial(self._registry.processes_changed_since, at, wanted))
            ask = self._patiently if follow else self._once
            if page.records or not follow:
                yield page
            if page.cursor != at or idle_ms >= PROJECTOR_SEEN_EVERY_MS:
                await ask(partial(self._remember, page.cursor))
                idle_ms = 0
            at = page.cursor
            left = None if left is None else left - len(page.records)
            if not page.records:
                if not follow:
                    return
                await asyncio.sleep(FEED_PAUSE_MS / 1_000)
                idle_ms += FEED_PAUSE_MS

    async def _once(self, ask: Callable[[], Awaitable[T]]) -> T:
        return await ask()

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        return await patiently("the feed of changes", ask)

    async def _remembered(self) -> ChangeCursor:
        known = await self._directory.projectors() if self._name is not None else {}
        return known[self._name][0] if self._name is not None and self._name in known else ChangeCursor.initial()

    async def _remember(self, at: ChangeCursor) -> None:
        if self._name is not None:
            await self._directory.put_projector(self._name, at)
