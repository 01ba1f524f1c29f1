"""Listing and counting."""

from __future__ import annotations

import pytest

from lash_core.client import LashClient
from lash_core.errors import InvalidArgumentError, InvalidCursorError
from lash_core.model.await_output import ProcessAwaitOutput
from tests.client.app_stub import finish
from tests.client.conftest import AnyStores


async def fill(stores: AnyStores, lash: LashClient) -> None:
    """Thirty rows of kind k, two of kind other; five of them completed."""
    await lash.enqueue_many("k", [None] * 30, ids=[f"p{n:02}" for n in range(30)], disposition="rerunnable")
    await lash.enqueue_many("other", [1, 2], ids=["o1", "o2"], disposition="rerunnable", label="L", queue="q")
    for n in range(5):
        await finish(stores, f"p{n:02}", ProcessAwaitOutput.success(n))


async def test_pages_are_full_and_end(stores: AnyStores, lash: LashClient) -> None:
    """Every row comes once; the last page has no cursor."""
    await fill(stores, lash)
    found: list[str] = []
    cursor, pages = None, 0
    while cursor is not None or pages == 0:
        page = await lash.list(limit=10, cursor=cursor)
        found += [record.id for record in page.items]
        cursor, pages = page.next_cursor, pages + 1

    assert 32 == len(found) == len(set(found))
    assert pages <= 5


async def test_facets_and_together(stores: AnyStores, lash: LashClient) -> None:
    """Status, kind, label, queue; a rare match fills the page from many."""
    await fill(stores, lash)

    completed = await lash.list(status="completed", limit=50)
    labelled = await lash.list(kind="other", label="L", queue="q", status="running")

    assert {f"p{n:02}" for n in range(5)} == {record.id for record in completed.items}
    assert {"o1", "o2"} == {record.id for record in labelled.items}
    assert 27 == await lash.count(status="running")
    assert 5 == await lash.count(status="completed")
    assert 32 == await lash.count()
    assert 2 == await lash.count(kind="other")


async def test_bad_listings_are_refused(lash: LashClient) -> None:
    """Limit, status, facet and cursor are checked."""
    with pytest.raises(InvalidArgumentError):
        await lash.list(limit=0)
    with pytest.raises(InvalidArgumentError):
        await lash.list(status="done")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidCursorError):
        await lash.list(cursor="made up")
    with pytest.raises(TypeError):
        await lash.list(colour="blue")  # pyright: ignore[reportCallIssue]
