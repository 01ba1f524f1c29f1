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
        self._all: list[_Entry] = []

    def put(self, row: Row) -> bool:
        """Enter a row at its due time; True when no row of its queue is due before."""
        queue, entry = row.record.queue, (row.due_ms, row.record.id)
        heap = self._queues.setdefault(queue, [])
        heapq.heappush(heap, entry)
        heapq.heappush(self._all, entry)
        self._clean(heap, queue)
        self._clean(self._all)
        while not self._stands(heap[0], queue):
            heapq.heappop(heap)
        return heap[0] == entry

    def take(self, queue: str, now_ms: int) -> Iterator[Row]:
        """Due rows of a queue, oldest first; each must be held before the next is asked for."""
        heap = self._queues.get(queue, [])
        while heap and heap[0][0] <= now_ms:
            entry = heapq.heappop(heap)
            if self._stands(entry, queue):
                yield self._rows[entry[1]]

    def next_after(self, now_ms: int) -> int | None:
        """The earliest due time after now, of any queue."""
        while self._all and (self._all[0][0] <= now_ms or not self._stands(self._all[0])):
            heapq.heappop(self._all)
        return int(self._all[0][0]) if self._all else None

    def _stands(self, entry: _Entry, queue: str | None = None) -> bool:
        row = self._rows.get(entry[1])
        if row is None or not row.is_ready or row.due_ms != entry[0]:
            return False
        return queue is None or row.record.queue == queue

    def _clean(self, heap: list[_Entry], queue: str | None = None) -> None:
        if len(heap) > STALE_MIN + STALE_FACTOR * len(self._rows):
            heap[:] = {entry for entry in heap if self._stands(entry, queue)}
            heapq.heapify(heap)
