"""What subscriptions name: a root of the sweep for stores that keep no text of them."""

from __future__ import annotations

from typing import Protocol

from lash_core.model.canonical_json import canonical_json
from lash_core.store.content_sweep import ContentRefs, refs_in
from lash_core.store.trigger_store import TriggerFilter, TriggerPage


class ListedSubscriptions(Protocol):
    """The part of a trigger store that is used."""

    async def list_trigger_subscriptions(
        self, filter: TriggerFilter | None = None, cursor: str | None = None, limit: int = 100
    ) -> TriggerPage:
        """A page."""
        ...


class TriggerRoots:
    """Environments and other content that live subscriptions start processes with."""

    def __init__(self, triggers: ListedSubscriptions) -> None:
        self._triggers = triggers

    async def refs_page(self, cursor: str | None, limit: int, *, grace_ms: int) -> ContentRefs:
        """What at most ``limit`` subscriptions name. Raises: InvalidCursorError."""
        page = await self._triggers.list_trigger_subscriptions(None, cursor, limit)
        named = [refs_in(canonical_json(subscription.to_plain_value())) for subscription in page.items]
        return ContentRefs(refs=frozenset[str]().union(*named), next_cursor=page.next_cursor)
