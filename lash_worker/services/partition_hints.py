"""Which partitions a worker looks at first: rendezvous hashing over the live workers. A hint, never a rule. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

LISTENERS_MAX = 8
"""Workers that hear a partition's ready notices: enough that one of them has a free slot, few enough for one stream."""


@dataclass(frozen=True, slots=True)
class PartitionHints:
    """A worker's rank in each partition: 0 = first in line."""

    ranks: tuple[int, ...]

    @property
    def own(self) -> tuple[int, ...]:
        """Partitions in which this worker is first."""
        return tuple(partition for partition, rank in enumerate(self.ranks) if rank == 0)

    @property
    def heard(self) -> tuple[int, ...]:
        """Partitions whose ready notices it listens to."""
        return tuple(partition for partition, rank in enumerate(self.ranks) if rank < LISTENERS_MAX)

    @property
    def foreign(self) -> tuple[int, ...]:
        """Partitions in which another worker is first."""
        return tuple(partition for partition, rank in enumerate(self.ranks) if rank > 0)


def rank_partitions(me: str, workers: Collection[str], partitions: int) -> PartitionHints:
    """Rank ``me`` among ``workers`` (it counts as one of them) in each of ``partitions``.

    When a worker comes or goes, only the partitions it was or becomes first in change hands.
    """
    others = sorted(set(workers) - {me})
    ranks: list[int] = []
    for partition in range(partitions):
        mine = _score(me, partition)
        ranks.append(sum(_score(other, partition) > mine for other in others))
    return PartitionHints(tuple(ranks))


def _score(worker: str, partition: int) -> bytes:
    return hashlib.blake2b(f"{partition}\n{worker}".encode(), digest_size=8).digest()
