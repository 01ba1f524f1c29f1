"""The contract of a worker's loops: one loop a file, started and stopped alike."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable

RESTART_DELAY_MS = 100
RESTART_DELAY_MAX_MS = 5_000
STABLE_AFTER_MS = 30_000
"""A loop that ran this long had recovered: the next crash starts the back-off again."""

_log = logging.getLogger(__name__)


class Service(ABC):
    """One loop.

    ``stop`` may be called unstarted and twice, and returns only when the loop has ended. A crash is
    logged, counted and followed by a restart after a back-off; ``failing`` is the last crash until the loop ran well
    for ``STABLE_AFTER_MS``.
    """

    name: str = "service"
    grace_seconds: float = 0.0
    """How long ``stop`` lets a round end by itself: for loops whose calls take leases, which a cut call would lose."""

    def __init__(self, on_crash: Callable[[str], None] | None = None) -> None:
        self._on_crash = on_crash
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._failing: str | None = None

    @property
    def failing(self) -> str | None:
        """The last crash, or None while the loop runs well."""
        return self._failing

    @property
    def is_stopping(self) -> bool:
        """True once a stop was asked for."""
        return self._stopping.is_set()

    async def start(self) -> None:
        """Start the loop; a second call changes nothing."""
        if self._task is None and not self._stopping.is_set():
            self._task = asyncio.create_task(self._keep_running(), name=f"lash-{self.name}")

    async def stop(self) -> None:
        """Stop the loop and wait until it has ended."""
        self._stopping.set()
        self._wake()
        task = self._task
        if task is None:
            return
        if task is not asyncio.current_task():
            if self.grace_seconds:
                await asyncio.wait([task], timeout=self.grace_seconds)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @abstractmethod
    async def run(self) -> None:
        """The loop itself; it ends when ``is_stopping`` or when it is cancelled."""

    def _wake(self) -> None:  # noqa: B027 - most loops wait with ``pause``, which a stop ends already
        """End a wait of the loop's own, so that it sees the stop."""

    async def pause(self, delay_ms: float) -> None:
        """Wait ``delay_ms``, less when a stop is asked for."""
        if delay_ms <= 0:
            return
        try:
            async with asyncio.timeout(delay_ms / 1_000):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _keep_running(self) -> None:
        loop = asyncio.get_running_loop()
        delay_ms = RESTART_DELAY_MS
        while not self._stopping.is_set():
            started = loop.time()
            steady = loop.call_later(STABLE_AFTER_MS / 1_000, self._recovered)
            try:
                await self.run()
            except Exception as error:  # noqa: BLE001 - a loop that dies silently is a worker that only looks alive
                self._failing = f"{type(error).__name__}: {error}"
                _log.exception("%s crashed; restarting", self.name, extra={"service": self.name})
                if self._on_crash is not None:
                    self._on_crash(self.name)
            finally:
                steady.cancel()
            if self._stopping.is_set():
                return
            if (loop.time() - started) * 1_000 > STABLE_AFTER_MS:
                delay_ms = RESTART_DELAY_MS
            await self.pause(delay_ms)
            delay_ms = min(delay_ms * 2, RESTART_DELAY_MAX_MS)

    def _recovered(self) -> None:
        self._failing = None
