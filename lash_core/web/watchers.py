"""Who watches through this process: how many, who is silent, who takes nothing, the end of all (``web.md`` 2, 5)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.types import Send

from lash_core.clock import own_time_ms
from lash_core.web.config import WebLimits
from lash_core.web.refusals import StoppingError, TooManyWatchersError

LOOK_MS_MAX = 1_000
"""How often all watchers are looked at, at most: so late may ``alive`` and the end of a stalled one be."""

ALIVE = b': alive\nevent: alive\ndata: {"type":"alive"}\n\n'

_log = logging.getLogger(__name__)


class Watcher:
    """One event stream on its way to its reader. Its writes go one at a time."""

    def __init__(self, send: Send) -> None:
        self.why_ended: str | None = None
        self._pump: asyncio.Task[Any] | None = None
        self._send = send
        self._turn = asyncio.Lock()
        self._wrote_ms = own_time_ms()

    @property
    def is_writing(self) -> bool:
        """A write waits for the reader to take what came before."""
        return self._turn.locked()

    @property
    def silent_ms(self) -> float:
        """Since the last write began."""
        return own_time_ms() - self._wrote_ms

    async def write(self, chunk: bytes, *, more: bool = True) -> None:
        """Send a part of the stream; waits while the reader takes nothing."""
        async with self._turn:
            self._wrote_ms = own_time_ms()
            await self._send({"type": "http.response.body", "body": chunk, "more_body": more})

    def follow(self, pump: asyncio.Task[Any]) -> None:
        """What writes the stream: it is cancelled when the stream is to end, at once if it was to end before."""
        self._pump = pump
        if self.why_ended is not None:
            pump.cancel()

    def end(self, why: str) -> None:
        """Stop the stream, once."""
        if self.why_ended is None:
            self.why_ended = why
            if self._pump is not None:
                self._pump.cancel()


class Watchers:
    """The watchers of one app. Belongs to one event loop.

    Args:
        limits: how many, and for how long one may be silent or take nothing.
    """

    def __init__(self, limits: WebLimits) -> None:
        self._limits = limits
        self._watchers: set[Watcher] = set()
        self._keeper: asyncio.Task[None] | None = None
        self._ending = False

    def __len__(self) -> int:
        return len(self._watchers)

    def __iter__(self) -> Iterator[Watcher]:
        return iter(tuple(self._watchers))

    def check_room(self) -> None:
        """Raises: TooManyWatchersError: all places are taken. StoppingError: this process stops."""
        if self._ending:
            raise StoppingError("this process stops; another one may serve you")
        if len(self._watchers) >= self._limits.watchers_max:
            raise TooManyWatchersError(
                f"{len(self._watchers)} watch through this process", limit=self._limits.watchers_max
            )

    @contextmanager
    def watching(self, send: Send) -> Generator[Watcher]:
        """A place for a stream."""
        watcher = Watcher(send)
        self._watchers.add(watcher)
        if len(self._watchers) == 1:
            self._keeper = asyncio.create_task(self._keep(), name="lash-web-watchers")
        if self._ending:
            watcher.end("shutdown")
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)
            if not self._watchers:
                self._stop_keeping()

    def end_all(self) -> None:
        """Tell all that this process stops, and take no more. May be called twice."""
        self._ending = True
        for watcher in self:
            watcher.end("shutdown")

    def _stop_keeping(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()

    async def _keep(self) -> None:
        """While somebody watches: say ``alive`` to who hears nothing, and give up who takes nothing."""
        limits = self._limits
        pause_ms = min(LOOK_MS_MAX, limits.alive_ms / 4, limits.stall_ms / 4)
        said: set[asyncio.Task[None]] = set()
        while True:
            await asyncio.sleep(pause_ms / 1_000)
            for watcher in self:
                if watcher.is_writing:
                    # Where the server cuts such a connection itself, it is first.
                    if watcher.silent_ms > limits.stall_ms + pause_ms:
                        _log.info("a watcher took nothing for %d ms and is given up", limits.stall_ms)
                        watcher.end("stalled")
                elif watcher.silent_ms > limits.alive_ms:
                    task = asyncio.create_task(_say_alive(watcher))
                    said.add(task)
                    task.add_done_callback(said.discard)


async def _say_alive(watcher: Watcher) -> None:
    # The connection may be gone; its stream notices by itself.
    try:
        await watcher.write(ALIVE)
    except Exception:  # noqa: BLE001 - a server's own error of a lost connection
        watcher.end("gone")
