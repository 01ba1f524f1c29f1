"""Threads for synchronous process functions: at most as many as there are slots.

They are daemons: a worker that was told to stop now must not wait for a function that never returns. Its lease is gone
by then, and what it still writes is refused.
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Returned:
    """A call's value."""

    value: Any


@dataclass(frozen=True, slots=True)
class Raised:
    """What a call raised; not set on the future itself, which refuses ``StopIteration``."""

    error: BaseException


ThreadOutcome = Returned | Raised
_Job = tuple[Callable[[], Any], asyncio.AbstractEventLoop, "asyncio.Future[ThreadOutcome]"]


class ThreadPool:
    """Runs calls beside the event loop.

    Args:
        threads_max: calls at once; further ones wait for a thread.
        name: prefix of the threads' names.
    """

    def __init__(self, threads_max: int, name: str) -> None:
        self._threads_max = threads_max
        self._name = name
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._threads = 0
        self._closed = False

    def submit(self, call: Callable[[], Any]) -> asyncio.Future[ThreadOutcome]:
        """Run ``call`` in a thread, in a copy of the caller's context.

        Returns:
            A future of the running loop; cancelling it does not stop the thread.

        Raises:
            RuntimeError: the pool is closed.
        """
        if self._closed:
            raise RuntimeError(f"the threads of {self._name} are closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[ThreadOutcome] = loop.create_future()
        context = contextvars.copy_context()
        self._jobs.put((lambda: context.run(call), loop, future))
        if not self._idle.acquire(blocking=False):
            self._add_thread()
        return future

    def close(self) -> None:
        """Let the threads end after their calls. Does not wait. May be called twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for _ in range(self._threads):
                self._jobs.put(None)

    def _add_thread(self) -> None:
        with self._lock:
            if self._threads >= self._threads_max:
                return
            self._threads += 1
            number = self._threads
        threading.Thread(target=self._work, name=f"{self._name}-{number}", daemon=True).start()

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            call, loop, future = job
            outcome = _outcome_of(call)
            # A loop that is closed has nobody left who waits.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_settle, future, outcome)
            del job, call, loop, future, outcome
            self._idle.release()


def _outcome_of(call: Callable[[], Any]) -> ThreadOutcome:
    try:
        return Returned(call())
    except BaseException as error:  # noqa: BLE001 - a thread has no caller: everything goes to the one who waits
        return Raised(error)


def _settle(future: asyncio.Future[ThreadOutcome], outcome: ThreadOutcome) -> None:
    if not future.done():
        future.set_result(outcome)
