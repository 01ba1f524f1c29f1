"""One server as seen by this process: a shared connection, and others of their own for what blocks."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from lash_core.redis_store.address import Endpoint
from lash_core.redis_store.dialer import Dialer
from lash_core.redis_store.wire import NotSentError, Wire
from lash_core.settings import StoreSettings

Resolve = Callable[[], Awaitable[Endpoint]]
Inspect = Callable[["Node", Wire], Awaitable[None]]

CONFIRM_EXTRA_SECONDS = 2.0
"""How much longer than the server's own bound a client waits for WAIT and WAITAOF."""


class Node:
    """A server. Ordinary requests share one connection; a request that blocks the connection it is on has its own.

    Args:
        resolve: where the server listens now; asked before each connect.
        dialer: makes connections.
        settings: time limits, and ``connections_max`` of this node.
        inspect: looks at the server after each connect of the shared connection, and may refuse it.
    """

    def __init__(self, resolve: Resolve, dialer: Dialer, settings: StoreSettings, inspect: Inspect) -> None:
        self._resolve = resolve
        self._dialer = dialer
        self._call_seconds = settings.call_timeout_ms / 1_000
        self._inspect = inspect
        self._shared: Wire | None = None
        self._connecting = asyncio.Lock()
        self._idle: deque[Wire] = deque()
        self._exclusive_max = settings.connections_max - 1
        self._exclusive = asyncio.Semaphore(self._exclusive_max)
        self._closed = False
        self.endpoint: Endpoint | None = None

    @property
    def is_connected(self) -> bool:
        """True while the shared connection is alive."""
        return self._shared is not None and self._shared.is_open

    async def exchange(self, request: bytes, count: int, *, raw: bool = False) -> list[Any]:
        """Send a packed request of ``count`` commands over the shared connection; replies in order.

        Raises:
            NotSentError: there is no connection. ReplyLostError: it ended, with what had come.
        """
        wire = self._shared
        if wire is None or not wire.is_open:
            wire = await self.connect()
        if wire.must_wait:
            await wire.wait_writable(self._call_seconds)
        return await wire.exchange(request, count, seconds=self._call_seconds, raw=raw)

    async def exchange_alone(self, request: bytes, count: int) -> list[Any]:
        """As ``exchange``, on a connection that nobody else uses meanwhile: for what blocks it (WAIT, WAITAOF).

        Raises:
            NotSentError: also when all connections are busy for the time limit of a call.
        """
        if not self.is_connected:
            await self.connect()
        try:
            async with asyncio.timeout(self._call_seconds):
                await self._exclusive.acquire()
        except TimeoutError:
            raise NotSentError(
                f"all {self._exclusive_max} connections were busy for {self._call_seconds * 1_000:.0f} ms "
                "(LASH_CONNECTIONS_MAX)"
            ) from None
        wire: Wire | None = None
        try:
            wire = await self._idle_wire()
            return await wire.exchange(request, count, seconds=self._call_seconds + CONFIRM_EXTRA_SECONDS)
        finally:
            self._exclusive.release()
            if wire is not None:
                self._give_back(wire)

    async def connect(self) -> Wire:
        """The shared connection, made anew when it has ended. Raises: NotSentError."""
        async with self._connecting:
            self._dialer.check_open()
            if self._closed:
                raise NotSentError(f"{self.endpoint} has left the deployment")
            if self._shared is not None and self._shared.is_open:
                return self._shared
            self._drop_idle()
            wire = await self.open_wire()
            try:
                await self._inspect(self, wire)
            except BaseException:
                wire.close()
                raise
            self._shared = wire
            return wire

    async def open_wire(
        self,
        *,
        on_push: Callable[[list[Any]], bool] | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> Wire:
        """A connection of the caller's own, who closes it. Raises: NotSentError."""
        endpoint = await self._resolve()
        wire = await self._dialer.dial(endpoint, on_push=on_push, on_lost=on_lost)
        self.endpoint = endpoint
        return wire

    def drop(self, reason: str) -> None:
        """End the connections, so that the next request makes new ones (another address, new credentials)."""
        if self._shared is not None:
            self._shared.close(reason)
            self._shared = None
        self._drop_idle()

    def close(self) -> None:
        """End all connections for good. May be called twice."""
        self._closed = True
        self.drop("the connection was closed by this process")

    async def _idle_wire(self) -> Wire:
        while self._idle:
            wire = self._idle.pop()
            if wire.is_open:
                return wire
        return await self.open_wire()

    def _give_back(self, wire: Wire) -> None:
        if wire.is_open and wire.is_idle and not self._closed:
            self._idle.append(wire)
        else:
            wire.close()

    def _drop_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()
