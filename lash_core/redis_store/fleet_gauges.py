"""Gauges of a whole fleet for the exporter and ``doctor``, read in bounded work (``FleetFacts``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from lash_core.errors import StoreRefusedError
from lash_core.redis_store.commands import Command
from lash_core.redis_store.keys import PartitionKeys
from lash_core.redis_store.process_maintenance import ProcessMaintenanceOperations
from lash_core.redis_store.replies import scored
from lash_core.redis_store.row_codec import STATUS_LETTERS
from lash_core.redis_store.row_reader import as_mapping
from lash_core.store.process_maintenance import FleetFacts

QUEUES_MAX = 200
"""Queues shown: each is three reads a partition and a label of a metric."""

PARTITIONS_SAMPLED = 4
"""Partitions whose keys are measured; ids spread evenly over partitions."""

ROWS_SAMPLED = 4
"""Rows measured in each of them."""


class FleetGauges(ProcessMaintenanceOperations):
    """Reads ``FleetFacts``."""

    async def fleet_facts(self) -> FleetFacts:
        """Gauges for the exporter and ``doctor``.

        A fixed number of reads a partition and queue, and one walk over the leases. Memory is estimated from samples,
        and left out where MEMORY is refused.
        """
        now_ms = await self.server_time_ms()
        partitions = self._context.keyspace.partitions
        commands: list[Command] = []
        for keys in partitions:
            commands += [
                Command(keys.meta, ("HGETALL", keys.meta)),
                Command(keys.leases, ("ZCARD", keys.leases)),
                Command(keys.outbox, ("XLEN", keys.outbox)),
            ]
        replies = await self._context.connection.read(commands)
        sessions_due, oldest_session_due_ms, session_leases = await self._session_facts(now_ms)
        metas = [as_mapping(reply) for reply in replies[::3]]
        processes = {
            status: sum(int(meta.get(f"n:{letter}", 0)) for meta in metas) for status, letter in STATUS_LETTERS.items()
        }
        queues = sorted({name[2:] for meta in metas for name in meta if name.startswith("q:")})[:QUEUES_MAX]
        ready, delayed, oldest = await self._queue_facts(queues, now_ms)
        grace = max(int(meta.get("quiet", 0)) for meta in metas)
        return FleetFacts(
            processes=processes,
            ready=ready,
            delayed=delayed,
            oldest_ready_ms=oldest,
            leases=sum(int(count) for count in replies[1::3]),
            leases_by_queue=await self._leases_by_queue(),
            sessions_due=sessions_due,
            oldest_session_due_ms=oldest_session_due_ms,
            session_leases=session_leases,
            outbox_depth=sum(int(count) for count in replies[2::3]),
            memory_bytes=await self._memory(sum(processes.values())),
            grace_until_ms=grace if grace > now_ms else None,
            server_time_ms=now_ms,
        )

    async def _queue_facts(
        self, queues: list[str], now_ms: int
    ) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
        commands: list[Command] = []
        places = [(queue, keys.ready(queue)) for queue in queues for keys in self._context.keyspace.partitions]
        for _, key in places:
            commands += [
                Command(key, ("ZCARD", key)),
                Command(key, ("ZCOUNT", key, "-inf", now_ms)),
                Command(key, ("ZRANGE", key, "-inf", now_ms, "BYSCORE", "LIMIT", 0, 1, "WITHSCORES")),
            ]
        replies = await self._context.connection.read(commands) if commands else []
        ready: dict[str, int] = dict.fromkeys(queues, 0)
        delayed: dict[str, int] = dict.fromkeys(queues, 0)
        oldest: dict[str, int] = {}
        for at, (queue, _) in enumerate(places):
            total, due, first = replies[3 * at : 3 * at + 3]
            ready[queue] += int(due)
            delayed[queue] += int(total) - int(due)
            for _, score in scored(first):
                oldest[queue] = max(oldest.get(queue, 0), now_ms - score)
        return ready, delayed, oldest

    async def _session_facts(self, now_ms: int) -> tuple[int, int, int]:
        """Sessions that wait, how long the first one does, and those that are held."""
        commands: list[Command] = []
        for keys in self._context.keyspace.partitions:
            ready, held = keys.sessions_ready, keys.session_expiries
            commands += [
                Command(ready, ("ZCOUNT", ready, "-inf", now_ms)),
                Command(ready, ("ZRANGE", ready, "-inf", now_ms, "BYSCORE", "LIMIT", 0, 1, "WITHSCORES")),
                Command(held, ("ZCOUNT", held, f"({now_ms}", "+inf")),
            ]
        replies = await self._context.connection.read(commands)
        firsts = [score for first in replies[1::3] for _, score in scored(first)]
        oldest_ms = now_ms - min(firsts) if firsts else 0
        return sum(map(int, replies[::3])), oldest_ms, sum(map(int, replies[2::3]))

    async def _leases_by_queue(self) -> dict[str, int]:
        counts: Counter[str] = Counter()
        async for _, _, stored in self._each_lease():
            counts[stored.queue] += 1
        return dict(counts)

    async def _memory(self, rows: int) -> dict[str, int]:
        partitions = self._context.keyspace.partitions
        sampled = partitions[:: max(1, len(partitions) // PARTITIONS_SAMPLED)][:PARTITIONS_SAMPLED]
        try:
            picks = await self._context.connection.read(
                [Command(keys.changes, ("ZRANDMEMBER", keys.changes, ROWS_SAMPLED)) for keys in sampled]
            )
            per_row = await self._measured(
                [
                    (family, key)
                    for keys, process_ids in zip(sampled, picks, strict=True)
                    for process_id in process_ids
                    for family, key in _row_keys(keys, process_id)
                ]
            )
            fixed = await self._measured([pair for keys in sampled for pair in _partition_keys(keys)])
            rings = await self._ring_bytes(sampled)
        except StoreRefusedError:
            return {}
        count = sum(len(process_ids) for process_ids in picks)
        found = {family: size * rows // count for family, size in per_row.items()} if count else {}
        for family, size in fixed.items():
            found[family] = size * len(partitions) // len(sampled)
        return found | rings

    async def _ring_bytes(self, sampled: Sequence[PartitionKeys]) -> dict[str, int]:
        """What the newest events of sessions take, by some of the rings that hold any."""
        everywhere = [keys.live_idle for keys in self._context.keyspace.partitions]
        counts = await self._context.connection.read([Command(key, ("ZCARD", key)) for key in everywhere])
        picks = await self._context.connection.read(
            [Command(keys.live_idle, ("ZRANDMEMBER", keys.live_idle, ROWS_SAMPLED)) for keys in sampled]
        )
        rings = [
            ("live_rings", keys.live_ring(session_id))
            for keys, session_ids in zip(sampled, picks, strict=True)
            for session_id in session_ids
        ]
        sizes = await self._measured(rings)
        return {family: size * sum(map(int, counts)) // len(rings) for family, size in sizes.items()}

    async def _measured(self, places: list[tuple[str, str]]) -> Counter[str]:
        sizes: Counter[str] = Counter()
        if not places:
            return sizes
        replies = await self._context.connection.read([Command(key, ("MEMORY", "USAGE", key)) for _, key in places])
        for (family, _), size in zip(places, replies, strict=True):
            sizes[family] += int(size or 0)
        return sizes


def _row_keys(keys: PartitionKeys, process_id: str) -> list[tuple[str, str]]:
    return [
        ("registrations", keys.registration(process_id)),
        ("controls", keys.control(process_id)),
        ("events", keys.events(process_id)),
        ("journals", keys.journal(process_id)),
        ("journals", keys.blobs(process_id)),
        ("promises", keys.promises(process_id)),
        ("audit", keys.audit(process_id)),
    ]


def _partition_keys(keys: PartitionKeys) -> list[tuple[str, str]]:
    return [
        ("changes", keys.changes),
        ("leases", keys.leases),
        ("leases", keys.owners),
        ("notices", keys.notices),
        ("outbox", keys.outbox),
        ("live_records", keys.live_tails),
    ]
