"""What the rows of any registry name: a root of the sweep for stores that keep no text of their rows."""

from __future__ import annotations

from lash_core.model.canonical_json import canonical_json
from lash_core.model.process_filter import ProcessFilter
from lash_core.store.content_sweep import ContentRefs, refs_in
from lash_core.store.process_registry import ProcessRegistry

_ANY = ProcessFilter(status="any")


class RegistryRoots:
    """Content that registrations name, terminal rows included."""

    def __init__(self, registry: ProcessRegistry) -> None:
        self._registry = registry

    async def refs_page(self, cursor: str | None, limit: int, *, grace_ms: int) -> ContentRefs:
        """What at most ``limit`` rows name. Raises: InvalidCursorError, CorruptRecordError."""
        page = await self._registry.list_processes_page(_ANY, cursor, limit)
        named = [refs_in(canonical_json(row.to_registration().to_plain_value())) for row in page.items]
        return ContentRefs(refs=frozenset[str]().union(*named), next_cursor=page.next_cursor)
