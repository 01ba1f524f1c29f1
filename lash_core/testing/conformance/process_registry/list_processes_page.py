"""``list_processes_page``: DESIGN 3.2; bounded pages in no stated order."""

from __future__ import annotations

from lash_core.errors import InvalidArgumentError, InvalidCursorError
from lash_core.model.process_filter import ProcessFilter
from lash_core.model.process_input import ProcessIdentity
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import completed, registration, unique
from lash_core.testing.conformance.stores import ConformanceStores

PAGES_MAX = 10_000


async def pages_cover_every_row_once(stores: ConformanceStores) -> None:
    """Following the cursor to its end gives every matching row; pages are at most ``limit`` long."""
    kind = unique("kind")
    wanted = [registration(identity=ProcessIdentity(kind=kind)) for _ in range(25)]
    await stores.process_registry.register_processes(wanted)
    await completed(stores, registration(identity=ProcessIdentity(kind=kind)))
    found: list[str] = []
    cursor: str | None = None

    for _ in range(PAGES_MAX):
        page = await stores.process_registry.list_processes_page(ProcessFilter(identity_kind=kind), cursor, 7)
        assert len(page.items) <= 7
        found.extend(row.id for row in page.items)
        cursor = page.next_cursor
        if cursor is None:
            break

    assert sorted(item.id for item in wanted) == sorted(found)


async def a_page_of_nothing_is_refused(stores: ConformanceStores) -> None:
    """Whoever follows its cursor would never come to the end."""
    for limit in (0, -1):
        with refused(InvalidArgumentError, "limit"):
            await stores.process_registry.list_processes_page(limit=limit)


async def a_foreign_cursor_is_refused(stores: ConformanceStores) -> None:
    """A cursor that this store did not issue is an error with its text, never a silent start from the beginning."""
    for cursor in ("nonsense", "-1", "1:2:3:4", "é"):
        with refused(InvalidCursorError):
            await stores.process_registry.list_processes_page(None, cursor, 5)
