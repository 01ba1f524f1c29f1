"""What every store of bytes by content address promises of lists, ages and deletes: the bodies of three suites."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable

from lash_core.errors import InvalidCursorError
from lash_core.store.content_sweep import StoredContent, SweptContent
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.stores import ConformanceStores, elapse

Put = Callable[[bytes], Awaitable[str]]
Get = Callable[[str], Awaitable[bytes | None]]
AGE_MS = 1_000


def fresh_bytes() -> bytes:
    """Bytes that no other case stores."""
    return b'{"x": "' + secrets.token_hex(16).encode() + b'"}'


async def listed(store: SweptContent, limit: int = 50, *, min_age_ms: int = 0) -> list[StoredContent]:
    """Everything that is listed, page by page."""
    found: list[StoredContent] = []
    cursor: str | None = None
    while True:
        page = await store.list_stored(cursor, limit, min_age_ms=min_age_ms)
        assert len(page.items) <= limit
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return found


async def one(store: SweptContent, ref: str) -> StoredContent:
    """The entry of an address."""
    (found,) = [item for item in await listed(store) if item.ref == ref]
    return found


async def check_listed_once(store: SweptContent, put: Put) -> None:
    """Each in exactly one page, whatever the pages' size, and in the order of their digests."""
    refs = {await put(fresh_bytes()) for _ in range(7)}
    again = next(iter(refs))

    for limit in (1, 3, 100):
        found = [item.ref for item in await listed(store, limit)]
        assert len(found) == len(set(found))
        assert refs <= set(found)
        assert sorted(found) == found or limit == 100
    assert again in refs


async def check_ages(stores: ConformanceStores, store: SweptContent, put: Put) -> None:
    """A minimal age leaves out what was put within it; a second put makes young again."""
    old, renewed = await put(fresh_bytes()), fresh_bytes()
    renewed_ref = await put(renewed)
    before = await one(store, renewed_ref)
    await elapse(stores, AGE_MS)
    young = await put(fresh_bytes())
    await put(renewed)

    aged = {item.ref for item in await listed(store, min_age_ms=AGE_MS)}

    assert old in aged
    assert aged.isdisjoint({young, renewed_ref})
    after = await one(store, renewed_ref)
    assert after.put_at_ms >= before.put_at_ms + AGE_MS
    assert (await one(store, old)).put_at_ms <= after.put_at_ms - AGE_MS


async def check_delete_unchanged(store: SweptContent, put: Put, get: Get) -> None:
    """What nobody put since it was listed goes; a put in between keeps it; a repeat is False."""
    data, other = fresh_bytes(), fresh_bytes()
    ref, other_ref = await put(data), await put(other)
    stored = await one(store, ref)
    await put(data)

    assert not await store.delete_unchanged(stored)
    assert data == await get(ref)
    assert await store.delete_unchanged(await one(store, ref))
    assert await get(ref) is None
    assert not await store.delete_unchanged(stored)
    assert other == await get(other_ref)
    assert ref == await put(data)
    assert data == await get(ref)


async def check_bad_cursor(store: SweptContent) -> None:
    """A cursor of something else is refused."""
    for cursor in ("", "x", "7", "zz" * 32):
        with refused(InvalidCursorError):
            await store.list_stored(cursor)
