"""The event loop of a client that blocks, in a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Coroutine, Generator
from concurrent.futures import CancelledError, wait
from contextlib import suppress
from typing import Any, TypeVar

from lash_core.errors import LashError, OutcomeUnknownError, StoreClosedError

T = TypeVar("T")

_log = logging.getLogger(__name__)

STOP_SECONDS = 5.0
"""How long a stop waits for the thread; by then only a call that never returns is left in it."""

GRACE_SECONDS = 0.5
"""For calls of other threads that are under way when the client is closed: what ends by itself says best how."""


class LoopThread:
    """An event loop in a daemon thread; calls from any thread but its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._lock = threading.RLock()
        """Nothing is handed to the loop any more once it was told to end: nobody would answer. Taken again where the
        garbage collector closes an iteration in the middle of a call."""
        self._is_ending = False
        self._open: dict[int, AsyncGenerator[Any, None]] = {}
        """What is iterated over, by its id."""
        self._closing: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lash-client", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` to its end; a KeyboardInterrupt here cancels it there.

        Raises:
            StoreClosedError: the client is closed. OutcomeUnknownError: another thread closed it meanwhile. What
                the work raises.
        """
        with self._lock:
            if self._is_ending:
                work.close()
                raise StoreClosedError("the client was closed by this process")
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except CancelledError:
            if not self._is_ending:
                raise
            raise OutcomeUnknownError("the client was closed by this process while the call was under way") from None
        except BaseException:
            future.cancel()
            raise

    def iterate(self, items: AsyncGenerator[T, None]) -> Generator[T]:
        """The items, each step a ``call``. Closing this closes them, unless the client is closed: then they are."""

        async def take() -> T | None:
            return await anext(items, None)

        self._open[id(items)] = items
        try:
            while (item := self.call(take())) is not None:
                yield item
        finally:
            self._close(items)

    def stop(self) -> None:
        """End what is under way, then the loop and its thread. May be called twice."""
        with self._lock:
            if self._is_ending:
                return
            self._is_ending = True
            ended = asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        wait([ended], STOP_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()

    def _close(self, items: AsyncGenerator[Any, None]) -> None:
        if self._open.pop(id(items), None) is None:
            return
        if threading.current_thread() is self._thread:
            # The garbage collector found it there: the loop cannot wait for itself.
            task = self._loop.create_task(_closed(items))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
            return
        with suppress(StoreClosedError):
            self.call(items.aclose())

    async def _end(self) -> None:
        """Whoever waits for a call is told: a thread that waits for a loop that stands still would wait for ever."""
        under_way = asyncio.all_tasks() - {asyncio.current_task()}
        if under_way:
            _, left = await asyncio.wait(under_way, timeout=GRACE_SECONDS)
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left, timeout=GRACE_SECONDS)
        for name in tuple(self._open):
            items = self._open.pop(name, None)
            if items is not None:
                await _closed(items)


async def _closed(items: AsyncGenerator[Any, None]) -> None:
    try:
        await items.aclose()
    except (LashError, OSError) as error:
        _log.debug("what was iterated over did not end well: %s", error)
