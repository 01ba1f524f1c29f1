"""An event loop in a thread of its own, for connections that outlive the loops of those who use them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

STOP_SECONDS = 10.0
"""For its tasks to end: a server's program is given 2 s to exit and 2 s more before it is killed."""


class OwnLoop:
    """Started with the first piece of work. Safe from any thread."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run ``work`` there; cancelling the future cancels it.

        Raises:
            RuntimeError: the loop was stopped.
        """
        try:
            return asyncio.run_coroutine_threadsafe(work, self._started())
        except BaseException:
            work.close()
            raise

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """``submit`` and wait here; when this caller is cancelled, so is the work. Raises: what it raises."""
        return await asyncio.wrap_future(self.submit(work))

    def stop(self, ending: Sequence[Callable[[], Coroutine[Any, Any, None]]] = ()) -> None:
        """Run ``ending`` there, cancel what still runs, and end the thread. May be called twice."""
        with self._lock:
            self._closed = True
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(_end_all(ending), loop).add_done_callback(
            lambda _: loop.call_soon_threadsafe(loop.stop)
        )
        if thread is not threading.current_thread():
            thread.join(STOP_SECONDS)

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._closed:
                raise RuntimeError("the loop was stopped")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_run, args=(self._loop,), name=self._name, daemon=True)
                self._thread.start()
            return self._loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


async def _end_all(ending: Sequence[Callable[[], Coroutine[Any, Any, None]]]) -> None:
    """Bounded in all by ``STOP_SECONDS``."""
    if ending:
        await asyncio.wait([asyncio.ensure_future(end()) for end in ending], timeout=STOP_SECONDS - 2)
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=1)
