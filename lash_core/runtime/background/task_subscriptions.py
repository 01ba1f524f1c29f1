"""Who listens to the tasks of a scope (``docs/contracts/background_tasks.md`` 7)."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterator

from lash_core.model.background_task import BackgroundTaskEvent, BackgroundTaskFilter
from lash_core.model.background_task_rules import told

EVENTS_KEPT_MAX = 256
"""Events that wait for a slow subscriber; older ones are lost to it, silently: it can list what is."""


class TaskSubscription(AsyncIterator[BackgroundTaskEvent]):
    """One listener: an endless iterator over events since it was made. Dropping it ends it.

    Several readers share its events; belongs to the event loop that reads it.
    """

    def __init__(self, filter: BackgroundTaskFilter) -> None:
        self._filter = filter
        self._events: deque[BackgroundTaskEvent] = deque(maxlen=EVENTS_KEPT_MAX)
        self._wake = asyncio.Event()
        self._closed = False

    def __aiter__(self) -> TaskSubscription:
        return self

    async def __anext__(self) -> BackgroundTaskEvent:
        while not self._events:
            if self._closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        return self._events.popleft()

    def tell(self, event: BackgroundTaskEvent) -> None:
        """Take an event, if the filter lets it pass."""
        if not self._closed and told(event, self._filter):
            self._events.append(event)
            self._wake.set()

    async def aclose(self) -> None:
        """Hear no more: what came before is still read. Safe to repeat."""
        self.close()

    def close(self) -> None:
        """As ``aclose``."""
        self._closed = True
        self._wake.set()


class TaskSubscriptions:
    """The listeners of many scopes. A listener that nobody holds any more is forgotten."""

    def __init__(self) -> None:
        self._by_scope: dict[str, weakref.WeakSet[TaskSubscription]] = {}

    def subscribe(self, scope_key: str, filter: BackgroundTaskFilter) -> TaskSubscription:
        """A new listener, from now on."""
        subscription = TaskSubscription(filter)
        self._by_scope.setdefault(scope_key, weakref.WeakSet()).add(subscription)
        return subscription

    def publish(self, scope_key: str, *events: BackgroundTaskEvent) -> None:
        """Tell the listeners of a scope, in order."""
        listeners = self._by_scope.get(scope_key)
        if listeners is None:
            return
        if not listeners:
            del self._by_scope[scope_key]
            return
        for subscription in tuple(listeners):
            for event in events:
                subscription.tell(event)

    def close_scope(self, scope_key: str) -> None:
        """End the listeners of a scope."""
        for subscription in tuple(self._by_scope.pop(scope_key, ())):
            subscription.close()

    def close(self) -> None:
        """End all."""
        for scope_key in tuple(self._by_scope):
            self.close_scope(scope_key)
