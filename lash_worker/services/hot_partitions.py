"""Partitions in which something may be due: heard of by notices, looked into anyway by sweeps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable

from lash_core.clock import own_time_ms
from lash_worker.services.fleet_view import FleetView

PARTITIONS_PER_CLAIM_MAX = 64
"""Partitions one claim looks into: a pipeline of at most that many short scripts."""
LISTENER_DELAY_MS = 10.0
"""Per rank: who is first in a partition claims at once, the next ones only what is still there."""


class HotPartitions:
    """What a claimer looks into next, and its rest until there is something. Belongs to one event loop."""

    def __init__(self, view: FleetView) -> None:
        self._view = view
        self._hot: dict[int, None] = {}
        self._later: dict[int, float] = {}
        self._poked = asyncio.Event()

    def __bool__(self) -> bool:
        return bool(self._hot)

    def add(self, partitions: Iterable[int]) -> None:
        """Look into these next."""
        self._hot.update(dict.fromkeys(partitions))

    def poke(self, partition: int) -> None:
        """A notice says that something of this partition is due."""
        ranks = self._view.hints.ranks
        rank = ranks[partition] if 0 <= partition < len(ranks) else 0
        if rank == 0:
            self._hot[partition] = None
        else:
            self._later.setdefault(partition, own_time_ms() + min(rank, 8) * LISTENER_DELAY_MS)
        self._poked.set()

    def poke_all(self) -> None:
        """Notices may have been missed: look everywhere."""
        self.add(range(len(self._view.hints.ranks)))
        self._poked.set()

    def wake(self) -> None:
        """End a rest."""
        self._poked.set()

    def take(self) -> list[int]:
        """The partitions of one claim, hot no more: a notice that comes while it is under way must put one back."""
        taken = list(self._hot)[:PARTITIONS_PER_CLAIM_MAX]
        for partition in taken:
            del self._hot[partition]
        return taken

    def collect_later(self, now_ms: float) -> None:
        """Those whose turn by rank has come are hot."""
        for partition in [partition for partition, at in self._later.items() if at <= now_ms]:
            del self._later[partition]
            self._hot[partition] = None

    def next_at_ms(self, *others_ms: float) -> float:
        """When the next one becomes hot by its rank, or the earliest of the other times."""
        return min((*others_ms, *self._later.values()), default=float("inf"))

    async def rest(self, within_ms: float) -> None:
        """Wait for a poke, at least 1 ms."""
        self._poked.clear()
        await wait_at_most(self._poked.wait(), max(1.0, within_ms))


async def wait_at_most(event: Awaitable[object], within_ms: float) -> None:
    """Wait for an event or for the end of the time, whichever is first."""
    try:
        async with asyncio.timeout(within_ms / 1_000):
            await event
    except TimeoutError:
        return
