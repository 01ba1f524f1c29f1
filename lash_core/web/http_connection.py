"""A connection of the server that is given up when no request comes, or nothing is taken (``docs/contracts/web.md`` 5).

uvicorn bounds the wait behind an answer, but neither for the first request nor for one whose head has begun, and a
connection that it closes stays while there is something to send. Whoever opens connections and says nothing, one letter
a minute, or asks and never reads, would hold all that this process takes.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

LOOKS = 4
"""How often what is to be sent is looked at until a reader that takes nothing is given up."""


class HttpConnection(H11Protocol):
    """Closes itself when the head of a request takes too long, or what is to be sent does not move.

    The wait for a head begins with the connection and with the end of each answer, and ends with a whole head: what is
    sent of one does not prolong it. The wait for a reader begins when its buffers are full and anew whenever it takes
    something.
    """

    head_ms_max = 30_000
    stall_ms_max = 60_000
    _giving_up: asyncio.TimerHandle | None = None
    _looking: asyncio.TimerHandle | None = None

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
        self._stop_looking()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Its buffers are full."""
        super().pause_writing()
        self._look_at(self.loop.time(), self.transport.get_write_buffer_size(), LOOKS)

    def resume_writing(self) -> None:
        """It reads."""
        self._stop_looking()
        super().resume_writing()

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

    def _look_at(self, due_s: float, unsent: int, looks: int) -> None:
        self._stop_looking()
        due_s += self.stall_ms_max / 1_000 / LOOKS
        self._looking = self.loop.call_at(due_s, self._look, due_s, unsent, looks)

    def _look(self, due_s: float, before: int, looks: int) -> None:
        unsent = self.transport.get_write_buffer_size()
        if unsent != before:
            self._look_at(self.loop.time(), unsent, LOOKS)
        elif looks > 1:
            self._look_at(due_s, unsent, looks - 1)
        else:
            # Closing it would wait for its reader.
            self.transport.abort()

    def _stop_looking(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None


def connection_class(head_ms_max: int, stall_ms_max: int) -> type[HttpConnection]:
    """The class of connections that wait so long for the head of a request, and for a reader that takes nothing."""

    class Bounded(HttpConnection):
        pass

    Bounded.head_ms_max = head_ms_max
    Bounded.stall_ms_max = stall_ms_max
    return Bounded
