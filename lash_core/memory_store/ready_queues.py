"""Rows that may be claimed, by queue and due time; entries that their row has left are dropped when they are met."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping

from lash_core.memory_store.row import Row

STALE_FACTOR = 4
STALE_MIN = 256
"""A heap over this many entries a row is cleaned: rows that are parked and woken for ever leave one each time."""

_Entry = tuple[float, str]


class ReadyQueues:
    """Heaps of due times. All calls are made under the registry's lock.

    Args:
        rows: all rows of the registry, as they are at each call.
    """

    def __init__(self, rows: Mapping[str, Row]) -> None:
        self._rows = rows
        self._queues: dict[str, list[_Entry]] = {}
        self._later: dict[str, list[_Entry]] = {}

    def put(self, row: Row, now_ms: int) -> bool:
        """Enter a row at its due time; True when that is later than now, and no row of its queue is due in between."""
        queue, entry = row.record.queue, (row.due_ms, row.record.id)
        heap, later = self._queues.setdefault(queue, []), self._later.setdefault(queue, [])
        self._clean(heap, queue)
        heapq.heappush(heap, entry)
        if row.due_ms <= now_ms:
            return False
        self._clean(later, queue)
        self._drop_past(queue, now_ms)
        is_first = not later or entry[0] < later[0][0]
        heapq.heappush(later, entry)
        return is_first

    def take(self, queue: str, now_ms: int) -> Iterator[Row]:
        """Due rows of a queue, oldest first; each must be held before the next is asked for."""
        heap = self._queues.get(queue, [])
        while heap and heap[0][0] <= now_ms:
            entry = heapq.heappop(heap)
            if self._stands(entry, queue):
                yield self._rows[entry[1]]

    def next_after(self, now_ms: int) -> int | None:
        """The earliest due time after now, of any queue."""
        for queue in list(self._later):
            self._drop_past(queue, now_ms)
            if not self._later[queue]:
                del self._later[queue]
        return min((int(later[0][0]) for later in self._later.values()), default=None)

    def __len__(self) -> int:
        return sum(len(heap) for heap in (*self._queues.values(), *self._later.values()))

    def _drop_past(self, queue: str, now_ms: int) -> None:
        later = self._later[queue]
        while later and (later[0][0] <= now_ms or not self._stands(later[0], queue)):
            heapq.heappop(later)

    def _stands(self, entry: _Entry, queue: str) -> bool:
        row = self._rows.get(entry[1])
        return row is not None and row.is_ready and row.due_ms == entry[0] and row.record.queue == queue

    def _clean(self, heap: list[_Entry], queue: str) -> None:
        if len(heap) > STALE_MIN + STALE_FACTOR * len(self._rows):
            heap[:] = {entry for entry in heap if self._stands(entry, queue)}
            heapq.heapify(heap)
