"""A connection of the server that is given up when no request comes on it (``docs/contracts/web.md`` 5).

uvicorn bounds the wait behind an answer, but neither for the first request nor for one whose head has begun: whoever
opens connections and says nothing, or one letter a minute, would hold all that this process takes.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol


class HttpConnection(H11Protocol):
    """Closes itself when the head of a request takes too long.

    The wait begins with the connection and with the end of each answer, and ends with a whole head: what is sent of
    one does not prolong it.
    """

    head_ms_max = 30_000
    _giving_up: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """See ``asyncio.Protocol``."""
        super().connection_made(transport)
        self._begin_waiting()

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol``."""
        super().data_received(data)
        if self._is_asked:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """An answer has gone out."""
        # What came with its request may hold the next one already.
        super().on_response_complete()
        if not self._is_asked:
            self._begin_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """See ``asyncio.Protocol``."""
        self._stop_waiting()
        super().connection_lost(exc)

    @property
    def _is_asked(self) -> bool:
        """A request has come and is not answered yet. Before the first one uvicorn has no cycle."""
        return not getattr(self.cycle, "response_complete", True)

    def _begin_waiting(self) -> None:
        self._stop_waiting()
        self._giving_up = self.loop.call_later(self.head_ms_max / 1_000, self._give_up)

    def _stop_waiting(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None

    def _give_up(self) -> None:
        # Without words: a head that is not whole has no answer, and nobody may read it.
        self._giving_up = None
        if not self._is_asked:
            self.transport.close()


def connection_class(head_ms_max: int) -> type[HttpConnection]:
    """The class of connections that wait so long for the head of a request."""

    class Bounded(HttpConnection):
        pass

    Bounded.head_ms_max = head_ms_max
    return Bounded
