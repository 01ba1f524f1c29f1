"""Sharded pub/sub: one connection per node, subscribed again after each reconnect and each move of a slot.

A message may be lost at any time; whoever waits for one also reads the state after subscribing, and after
``on_reconnect``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Any

from redis.exceptions import ResponseError

from lash_core.clock import own_time_ms
from lash_core.redis_store.commands import pack_commands
from lash_core.redis_store.connection import RedisConnection
from lash_core.redis_store.dispatch import pause_seconds
from lash_core.redis_store.node import Node
from lash_core.redis_store.redis_errors import is_transient, refusal, unreachable
from lash_core.redis_store.wire import NotSentError, ReplyLostError, Wire

HEARTBEAT_SECONDS = 10.0
"""How often each connection is asked whether it is alive: a connection that only listens notices nothing by itself."""

BATCH_MAX = 500
"""Channels subscribed to in one write after a reconnect."""

Callback = Callable[[str, str], None]

_log = logging.getLogger(__name__)


class _Line:
    """One connection to one node, and the channels it listens to."""

    def __init__(self) -> None:
        self.wire: Wire | None = None
        self.channels: set[str] = set()
        self.leaving: list[str] = []
        self.opening = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        return self.wire is not None and self.wire.is_open


class Subscriptions:
    """Calls back for each message of the channels subscribed to. Belongs to one event loop.

    Args:
        connection: the deployment; its nodes are used, its connections are not.
    """

    def __init__(self, connection: RedisConnection) -> None:
        self.on_reconnect: Callable[[], None] | None = None
        """Called after channels were lost and subscribed to again: messages in between were missed."""
        self._connection = connection
        self._seconds = connection.settings.call_timeout_ms / 1_000
        self._callbacks: dict[str, list[Callback]] = {}
        self._lines: dict[Node, _Line] = {}
        self._lost: set[str] = set()
        self._wake = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False

    async def subscribe(self, channel: str, callback: Callback) -> None:
        """Call ``callback(channel, message)`` for each message from now on; it must not block.

        Returns when the server has confirmed. Several callbacks of one channel are all called.

        Raises:
            StoreUnreachableError: not confirmed before ``retry_deadline_ms``. StoreRefusedError: not permitted.
        """
        self._callbacks.setdefault(channel, []).append(callback)
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name="lash-subscriptions")
        if len(self._callbacks[channel]) > 1 and self._is_heard(channel):
            return
        try:
            await self._attach_until_deadline(channel)
        except BaseException:
            await self.unsubscribe(channel, callback)
            raise

    async def unsubscribe(self, channel: str, callback: Callback | None = None) -> None:
        """Stop one callback, or all of a channel. Safe to repeat."""
        callbacks = self._callbacks.get(channel, [])
        if callback is not None and callback in callbacks:
            callbacks.remove(callback)
        if callback is None or not callbacks:
            self._callbacks.pop(channel, None)
            self._lost.discard(channel)
            await self._detach(channel)

    async def close(self) -> None:
        """End the connections. May be called twice."""
        self._closed = True
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        for line in tuple(self._lines.values()):
            if line.wire is not None:
                line.wire.close()
        self._lines.clear()

    # --- one channel -----------------------------------------------------------------------------

    def _is_heard(self, channel: str) -> bool:
        return any(line.is_open and channel in line.channels for line in self._lines.values())

    async def _attach_until_deadline(self, channel: str) -> None:
        deadline = own_time_ms() + self._connection.settings.retry_deadline_ms
        turn = 0
        while True:
            failure = await self._attach([channel])
            if failure is None:
                return
            pause = pause_seconds(turn)
            turn += 1
            if own_time_ms() + pause * 1_000 > deadline:
                raise unreachable(self._connection.where, failure)
            await asyncio.sleep(pause)

    async def _detach(self, channel: str) -> None:
        for line in tuple(self._lines.values()):
            if channel in line.channels and line.wire is not None and line.wire.is_open:
                line.channels.discard(channel)
                line.leaving.append(channel)
                with contextlib.suppress(NotSentError, ReplyLostError):
                    await line.wire.exchange(pack_commands([("SUNSUBSCRIBE", channel)]), 1, seconds=self._seconds)

    # --- many channels ---------------------------------------------------------------------------

    async def _attach(self, channels: Iterable[str]) -> str | None:
        """Subscribe at the nodes that serve the channels; returns why some of them are not subscribed to, or None."""
        routes = self._connection.routes
        failure: str | None = None
        try:
            groups: dict[Node, list[str]] = {}
            for channel in channels:
                groups.setdefault(routes.node_of(channel), []).append(channel)
            for failed in await asyncio.gather(*(self._attach_at(node, group) for node, group in groups.items())):
                failure = failure or failed
        except NotSentError as error:
            failure = error.reason
        if failure is not None:
            with contextlib.suppress(NotSentError):
                await routes.refresh(None, failure)
        return failure

    async def _attach_at(self, node: Node, channels: list[str]) -> str | None:
        failure: str | None = None
        try:
            line = await self._open_line(node)
            wire = line.wire
            if wire is None:
                return "the connection was closed"
            for start in range(0, len(channels), BATCH_MAX):
                part = channels[start : start + BATCH_MAX]
                request = pack_commands([("SSUBSCRIBE", channel) for channel in part])
                replies = await wire.exchange(request, len(part), seconds=self._seconds)
                failure = self._note(line, part, replies) or failure
        except NotSentError as error:
            if error.refusal is not None:
                raise error.refusal from None
            return error.reason
        except ReplyLostError as error:
            return error.reason
        return failure

    def _note(self, line: _Line, channels: list[str], replies: list[Any]) -> str | None:
        failure: str | None = None
        for channel, reply in zip(channels, replies, strict=True):
            if isinstance(reply, ResponseError):
                if not is_transient(reply):
                    raise refusal(reply, self._connection.where)
                failure = str(reply)
            else:
                line.channels.add(channel)
                self._lost.discard(channel)
        return failure

    async def _open_line(self, node: Node) -> _Line:
        line = self._lines.setdefault(node, _Line())
        async with line.opening:
            if self._closed:
                raise NotSentError("the subscriptions were closed by this process")
            if not line.is_open:
                line.wire = await node.open_wire(
                    on_push=lambda message: self._pushed(line, message), on_lost=lambda: self._line_lost(line)
                )
        return line

    # --- called by the connection ------------------------------------------------------------------

    def _pushed(self, line: _Line, message: list[Any]) -> bool:
        """Handle one out-of-band message; False when it is the reply to a command of ours."""
        kind, channel = message[0], message[1]
        if kind == "smessage":
            for callback in tuple(self._callbacks.get(channel, ())):
                try:
                    callback(channel, message[2])
                except Exception:  # noqa: BLE001 - a callback is foreign code; the next one is still called
                    _log.exception("a callback of channel %s failed", channel)
            return True
        if kind == "sunsubscribe":
            if channel in line.leaving:
                line.leaving.remove(channel)
                return False
            line.channels.discard(channel)  # its slot has moved to another node
            self._miss([channel])
            return True
        return kind != "ssubscribe"

    def _line_lost(self, line: _Line) -> None:
        lost = list(line.channels)
        line.channels.clear()
        line.leaving.clear()
        self._miss(lost)

    def _miss(self, channels: list[str]) -> None:
        self._lost.update(channel for channel in channels if channel in self._callbacks)
        self._wake.set()

    # --- keeping the connections -------------------------------------------------------------------

    async def _keep(self) -> None:
        """Until closed: subscribe again to what was lost, and find connections that died without a word."""
        turn = 0
        while True:
            if not self._lost:
                turn = 0
                try:
                    # Not ``wait_for``: in Python 3.11 a wake-up at the same moment swallows the cancel of ``close``.
                    async with asyncio.timeout(HEARTBEAT_SECONDS):
                        await self._wake.wait()
                except TimeoutError:
                    await self._heartbeat()
            self._wake.clear()
            if not self._lost:
                continue
            try:
                failure = await self._attach(list(self._lost))
            except Exception as error:  # noqa: BLE001 - a refusal may pass: a failover, a rotated password
                failure = str(error)
            if failure is None and self.on_reconnect is not None:
                self.on_reconnect()
            elif failure is not None:
                if turn == 0:
                    _log.warning("subscriptions at %s: %s", self._connection.where, failure)
                await asyncio.sleep(pause_seconds(turn))
                turn += 1

    async def _heartbeat(self) -> None:
        ping = pack_commands([("PING",)])
        wires = [line.wire for line in self._lines.values() if line.wire is not None and line.wire.is_open]
        beats: list[asyncio.Future[list[Any]]] = []
        for wire in wires:
            # One that is closing says so at once, and is noticed all the same.
            with contextlib.suppress(NotSentError):
                beats.append(wire.exchange(ping, 1, seconds=self._seconds))
        await asyncio.gather(*beats, return_exceptions=True)  # a wire that does not answer closes, which is noticed
