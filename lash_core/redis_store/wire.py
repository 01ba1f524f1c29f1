"""One connection that answers in order: many callers share it, replies find their callers by position.

This is the hot path. A call costs one packed write and one future, whatever its number of commands; nothing is retried
here, and what happened to a request is always known: not sent, answered in part, or lost.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import hiredis
from redis.exceptions import ResponseError

from lash_core.errors import LashError

IN_FLIGHT_MAX = 20_000
"""Commands on one connection that wait for replies; more would only queue in front of a server that is behind."""

_NOTHING = object()


class NotSentError(Exception):
    """The request did not leave this process.

    Attributes:
        refusal: set when trying again cannot help.
    """

    def __init__(self, reason: str, refusal: LashError | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.refusal = refusal


class ReplyLostError(Exception):
    """The connection ended, or went silent, before all replies were there.

    Attributes:
        replies: those that had come.
    """

    def __init__(self, reason: str, replies: list[Any]) -> None:
        super().__init__(reason)
        self.reason = reason
        self.replies = replies


class _Batch:
    __slots__ = ("count", "deadline", "future", "raw", "replies")

    def __init__(self, future: asyncio.Future[list[Any]], count: int, deadline: float, *, raw: bool) -> None:
        self.future = future
        self.count = count
        self.deadline = deadline
        self.raw = raw
        self.replies: list[Any] = []


class Wire(asyncio.Protocol):
    """A live connection. Made by ``Dialer``; belongs to one event loop.

    Args:
        on_push: is handed each out-of-band message; returns False to have it counted as a reply.
        on_lost: is called once when the connection has ended.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_push: Callable[[list[Any]], bool] | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        self._loop = loop
        self._on_push = on_push
        self._on_lost = on_lost
        self._reader = hiredis.Reader(
            replyError=ResponseError, encoding="utf-8", errors="surrogateescape", notEnoughData=_NOTHING
        )
        self._transport: asyncio.Transport | None = None
        self._queue: deque[_Batch] = deque()
        self._in_flight = 0
        self._timer: asyncio.TimerHandle | None = None
        self._reason = "the connection was closed"
        self._closed = False
        self._may_write = asyncio.Event()
        self._may_write.set()
        self.gone: asyncio.Future[None] = loop.create_future()
        """Done when the operating system's part is closed too."""

    # --- use ---------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """True until the connection has ended or was closed."""
        return not self._closed

    @property
    def is_idle(self) -> bool:
        """True when no reply is awaited."""
        return not self._queue

    @property
    def must_wait(self) -> bool:
        """True while the server takes nothing, or owes too many replies."""
        return not self._may_write.is_set() or self._in_flight >= IN_FLIGHT_MAX

    async def wait_writable(self, seconds: float) -> None:
        """Wait until a request may be written. Raises: NotSentError after ``seconds``."""
        deadline = self._loop.time() + seconds
        while self.must_wait and not self._closed:
            left = deadline - self._loop.time()
            if left <= 0:
                raise NotSentError(f"the server took no request for {seconds * 1_000:.0f} ms")
            if self._in_flight >= IN_FLIGHT_MAX:
                self._may_write.clear()
            try:
                async with asyncio.timeout(left):
                    await self._may_write.wait()
            except TimeoutError:
                continue

    def exchange(self, request: bytes, count: int, *, seconds: float, raw: bool = False) -> asyncio.Future[list[Any]]:
        """Write a packed request of ``count`` commands; the future brings as many replies, errors in place.

        The future may be cancelled: the replies are then thrown away when they come.

        Raises:
            NotSentError: the connection has ended. (In the future) ReplyLostError: it ended later, or was silent for
                ``seconds``.
        """
        if self._closed or self._transport is None:
            raise NotSentError(self._reason)
        if self._transport.is_closing():
            # A send has failed and connection_lost is on its way: asyncio would drop the bytes.
            raise NotSentError("the connection is closing")
        deadline = self._loop.time() + seconds
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        self._queue.append(_Batch(future, count, deadline, raw=raw))
        self._in_flight += count
        if self._timer is None or deadline < self._timer.when():
            self._watch_until(deadline)
        self._transport.write(request)
        return future

    def close(self, reason: str = "the connection was closed") -> None:
        """End the connection; requests without replies are lost. May be called twice."""
        if self._closed:
            return
        self._end(reason)
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio.Protocol ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Hand replies to their requests."""
        reader, queue = self._reader, self._queue
        try:
            reader.feed(data)
            while True:
                batch = queue[0] if queue else None
                reply = reader.gets(batch is None or not batch.raw)
                if reply is _NOTHING:
                    return
                if reply.__class__ is hiredis.PushNotification and self._pushed(cast("list[Any]", reply)):
                    continue
                if batch is None:
                    self.close(f"the server sent {_shown(reply)} without being asked")
                    return
                batch.replies.append(reply)
                if len(batch.replies) == batch.count:
                    queue.popleft()
                    self._answered(batch)
        except hiredis.ProtocolError:
            self.close("the server does not speak the Redis protocol")

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what waits for replies."""
        if not self._closed:
            self._end("the server closed the connection" if exc is None else _os_reason(exc))
        if not self.gone.done():
            self.gone.set_result(None)

    def pause_writing(self) -> None:
        """The kernel's buffer is full."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """The kernel's buffer has room."""
        self._may_write.set()

    # --- inside --------------------------------------------------------------------------------

    def _pushed(self, message: list[Any]) -> bool:
        return self._on_push is None or self._on_push(message)

    def _answered(self, batch: _Batch) -> None:
        was_full = self._in_flight >= IN_FLIGHT_MAX
        self._in_flight -= batch.count
        if was_full:
            self._may_write.set()
        if not batch.future.done():
            batch.future.set_result(batch.replies)

    def _check_deadline(self) -> None:
        self._timer = None
        if not self._queue:
            return
        head = self._queue[0]
        if head.deadline <= self._loop.time():
            self.close("the server did not answer in time")
        else:
            self._watch_until(head.deadline)

    def _watch_until(self, deadline: float) -> None:
        """One timer serves all requests: it is moved when it fires, and not with each reply."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._check_deadline)

    def _end(self, reason: str) -> None:
        self._closed = True
        self._reason = reason
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._may_write.set()
        while self._queue:
            batch = self._queue.popleft()
            if not batch.future.done():
                batch.future.set_exception(ReplyLostError(reason, batch.replies))
        if self._on_lost is not None:
            self._on_lost()


def _os_reason(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()


def _shown(reply: object) -> str:
    return f"{str(reply)[:80]!r}"
