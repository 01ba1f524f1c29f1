"""Partition hints: spread, stable, and only hints."""

from __future__ import annotations

from collections import Counter

from lash_worker.services.partition_hints import rank_partitions

WORKERS = [f"worker-{number}" for number in range(12)]


def test_every_partition_has_exactly_one_first_worker() -> None:
    """All workers compute the same order."""
    first = Counter(partition for me in WORKERS for partition in rank_partitions(me, WORKERS, 64).own)

    assert dict.fromkeys(range(64), 1) == dict(first)


def test_at_most_eight_workers_hear_a_partition() -> None:
    """A channel has a bounded number of listeners (DESIGN 3.3 rule 10)."""
    heard = Counter(partition for me in WORKERS for partition in rank_partitions(me, WORKERS, 64).heard)

    assert dict.fromkeys(range(64), 8) == dict(heard)


def test_leaving_worker_moves_only_its_own_partitions() -> None:
    """The others keep what they had."""
    stayed = WORKERS[:-1]
    for me in stayed:
        before = set(rank_partitions(me, WORKERS, 64).own)
        after = set(rank_partitions(me, stayed, 64).own)
        assert before <= after


def test_lonely_worker_owns_everything() -> None:
    """Without a directory it looks everywhere."""
    assert tuple(range(64)) == rank_partitions("me", (), 64).own
