"""Who watches through this process: how many, who is silent, who may no longer, the end of all (``web.md`` 2, 4, 5)."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from starlette.types import Send

from lash_core.clock import own_time_ms
from lash_core.web.config import WebLimits
from lash_core.web.refusals import StoppingError, TooManyWatchersError, WebRefusal

LOOK_MS_MAX = 1_000
"""How often all watchers are looked at, at most: so late may ``alive`` and the end of a stalled one be."""

ASKED_AT_ONCE_MAX = 20
"""Streams that are asked for at once: after a restart all came within a second, and a callback may ask a database."""

ASK_MS_MAX = 10_000
"""For one answer."""

ASK_AFTER_FAILURE_MS = 5_000
"""Until it is asked again where nobody could say."""

ALIVE = b': alive\nevent: alive\ndata: {"type":"alive"}\n\n'

_log = logging.getLogger(__name__)


class Opener(Protocol):
    """Who opened a stream (``standing.py``)."""

    @property
    def login_id(self) -> str | None:
        """The login that it goes by, if any."""
        ...

    @property
    def may_change(self) -> bool:
        """Whether there is anything to ask."""
        ...

    async def check(self) -> None:
        """Whether they may go on. Raises: a ``WebRefusal`` below 500: no; anything else: nobody can say."""
        ...


class Watcher:
    """One event stream on its way to its reader. Its writes go one at a time.

    Args:
        send: to its reader.
        opener: who opened it; None: whoever did may watch for good.
        ask_again_ms: how often the opener is asked.
    """

    def __init__(self, send: Send, opener: Opener | None, ask_again_ms: int) -> None:
        self.why_ended: str | None = None
        self.error: Exception | None = None
        self.opener = opener
        self.asking: asyncio.Task[None] | None = None
        self._ask_again_ms = ask_again_ms
        self._ask_at_ms = 0.0
        self._asked_ms: float | None = None
        self.permitted()
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

    def end(self, why: str, error: Exception | None = None) -> None:
        """Stop the stream, once."""
        if self.why_ended is None:
            self.why_ended, self.error = why, error
            if self._pump is not None:
                self._pump.cancel()

    # -- whether it may go on --------------------------------------------------------------------------

    @property
    def is_to_be_asked(self) -> bool:
        """It is time to ask again, and nobody does."""
        return self.opener is not None and self.asking is None and own_time_ms() >= self._ask_at_ms

    @property
    def is_unknown(self) -> bool:
        """It was asked for a whole turn long, and nobody could say that it may go on."""
        # From the question on: a process that was stopped for a while has to ask first.
        return self._asked_ms is not None and own_time_ms() - self._asked_ms > self._ask_again_ms

    def permitted(self) -> None:
        """It may go on; not all that began at once are asked for at once."""
        self._asked_ms = None
        self.ask_in(self._ask_again_ms * random.uniform(0.75, 1))  # noqa: S311 - not a secret

    def ask(self, asking: asyncio.Task[None]) -> None:
        """It is asked from now on."""
        self.asking = asking
        self._asked_ms = own_time_ms() if self._asked_ms is None else self._asked_ms

    def ask_in(self, pause_ms: float) -> None:
        """Ask so much later."""
        self._ask_at_ms = own_time_ms() + pause_ms


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
        self._asked_at_once = asyncio.Semaphore(ASKED_AT_ONCE_MAX)

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
    def watching(self, send: Send, opener: Opener | None = None) -> Generator[Watcher]:
        """A place for a stream."""
        asked = opener if opener is not None and opener.may_change else None
        watcher = Watcher(send, asked, self._limits.ask_again_ms)
        self._watchers.add(watcher)
        if len(self._watchers) == 1:
            self._keeper = asyncio.create_task(self._keep(), name="lash-web-watchers")
        if self._ending:
            watcher.end("shutdown")
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)
            if watcher.asking is not None:
                watcher.asking.cancel()
            if not self._watchers:
                self._stop_keeping()

    def end_all(self) -> None:
        """Tell all that this process stops, and take no more. May be called twice."""
        self._ending = True
        for watcher in self:
            watcher.end("shutdown")

    def ask_again_of(self, login_id: str) -> None:
        """A login is over: ask for its streams at the next look."""
        for watcher in self:
            if watcher.opener is not None and watcher.opener.login_id == login_id:
                watcher.ask_in(0)

    def _stop_keeping(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()

    async def _keep(self) -> None:
        """While somebody watches: ``alive`` to who hears nothing, an end to who takes nothing or may no longer."""
        limits = self._limits
        pause_ms = min(LOOK_MS_MAX, limits.alive_ms / 4, limits.stall_ms / 4, limits.ask_again_ms / 4)
        said: set[asyncio.Task[None]] = set()
        while True:
            await asyncio.sleep(pause_ms / 1_000)
            for watcher in self:
                if watcher.opener is not None and watcher.is_to_be_asked:
                    watcher.ask(asyncio.create_task(self._ask(watcher, watcher.opener), name="lash-web-ask-again"))
                if watcher.is_unknown:
                    watcher.end("failed", TimeoutError("nobody can say whether you may still watch"))
                elif watcher.is_writing:
                    # Where the server cuts such a connection itself, it is first.
                    if watcher.silent_ms > limits.stall_ms + pause_ms:
                        _log.info("a watcher took nothing for %d ms and is given up", limits.stall_ms)
                        watcher.end("stalled")
                elif watcher.silent_ms > limits.alive_ms:
                    task = asyncio.create_task(_say_alive(watcher))
                    said.add(task)
                    task.add_done_callback(said.discard)

    async def _ask(self, watcher: Watcher, opener: Opener) -> None:
        try:
            async with self._asked_at_once, asyncio.timeout(ASK_MS_MAX / 1_000):
                await opener.check()
            watcher.permitted()
        except Exception as error:  # noqa: BLE001 - whatever a host's callback raises
            if isinstance(error, WebRefusal) and error.status < 500:
                watcher.end("refused", error)
                return
            _log.warning("whether a watcher may go on cannot be said now: %s", error)
            watcher.ask_in(min(ASK_AFTER_FAILURE_MS, self._limits.ask_again_ms / 4))
        finally:
            watcher.asking = None


async def _say_alive(watcher: Watcher) -> None:
    # The connection may be gone; its stream notices by itself.
    try:
        await watcher.write(ALIVE)
    except Exception:  # noqa: BLE001 - a server's own error of a lost connection
        watcher.end("gone")
