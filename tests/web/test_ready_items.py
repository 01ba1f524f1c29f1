"""Taking from a generator what it has ready, and waiting for the rest where it waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from lash_core.web.ready_items import ReadyItems


class Source:
    """Items that a test puts, as a generator with a wait and a cleanup that waits."""

    def __init__(self) -> None:
        self.queue = asyncio.Queue[int | None]()
        self.closed = 0

    async def items(self) -> AsyncGenerator[int]:
        try:
            while True:
                async with asyncio.timeout(60):
                    item = await self.queue.get()
                if item is None:
                    return
                if item < 0:
                    raise ValueError(item)
                yield item
        finally:
            await asyncio.sleep(0)
            self.closed += 1


async def test_what_is_ready_is_taken_without_waiting() -> None:
    """In order, and None where it would have to wait."""
    source = Source()
    ready = ReadyItems(source.items())
    for number in range(3):
        source.queue.put_nowait(number)

    assert 0 == await ready.wait()
    assert [1, 2, None, None] == [ready.take() for _ in range(4)]
    waiting = asyncio.create_task(ready.wait())
    await asyncio.sleep(0)
    source.queue.put_nowait(3)
    source.queue.put_nowait(4)
    assert 3 == await waiting
    assert [4, None] == [ready.take(), ready.take()]
    await ready.aclose()
    assert 1 == source.closed


async def test_closing_ends_a_wait_that_was_begun() -> None:
    """The generator cleans up, also where that waits; twice is once."""
    source = Source()
    ready = ReadyItems(source.items())
    source.queue.put_nowait(1)
    assert 1 == await ready.wait()
    assert ready.take() is None
    await ready.aclose()
    await ready.aclose()
    assert 1 == source.closed


async def test_a_cancel_reaches_the_generator() -> None:
    """Whether its step was begun before or not."""
    for begun in (False, True):
        source = Source()
        ready = ReadyItems(source.items())
        if begun:
            assert ready.take() is None
        waiting = asyncio.create_task(ready.wait())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert 1 == source.closed
        await ready.aclose()


async def test_ends_and_errors_come_where_they_happen() -> None:
    """While taking and while waiting."""
    source = Source()
    ready = ReadyItems(source.items())
    assert ready.take() is None
    source.queue.put_nowait(None)
    with pytest.raises(StopAsyncIteration):
        await ready.wait()

    source = Source()
    ready = ReadyItems(source.items())
    source.queue.put_nowait(1)
    source.queue.put_nowait(-1)
    assert 1 == await ready.wait()
    assert ready.take() is None, "the cleanup waits"
    with pytest.raises(ValueError, match="-1"):
        await ready.wait()
