"""What must hold of the keys in Redis whatever the callers did (docs/contracts/redis_layout.md). Single server only."""

from __future__ import annotations

from typing import Any

from lash_core.model.process_filter import ProcessFilter
from lash_core.model.record import ProcessRecord
from lash_core.redis_store.keys import PartitionKeys
from lash_core.redis_store.stores import RedisStores
from tests.conformance.live_invariants import live_faults
from tests.conformance.session_invariants import OF_A_SESSION, session_faults

_LETTERS = {"running": "r", "completed": "c", "failed": "f", "cancelled": "x", "abandoned": "a"}
_OF_A_PROCESS = ("p", "c", "e", "j", "h", "wk", "g", "w", "a", "b")
_OF_A_SCOPE = ("jo", "wo")
SCANS_MAX = 10_000


async def broken_invariants(stores: RedisStores) -> list[str]:
    """Every broken promise of the layout, empty when all hold."""
    rows = await stores.process_registry.list_processes(ProcessFilter(status="any"))
    faults: list[str] = []
    sessions: set[str] = set()
    for partition in stores.context.keyspace.partitions:
        there = await _sessions(stores, partition)
        faults += await session_faults(stores, partition, there)
        faults += await live_faults(stores, partition)
        sessions |= there
        mine = [row for row in rows if stores.context.keyspace.of_process(row.id) is partition]
        faults += await _partition_faults(stores, partition, mine)
    return faults + await _key_faults(stores, {row.id for row in rows}, sessions)


async def _sessions(stores: RedisStores, keys: PartitionKeys) -> set[str]:
    """Sessions of a partition that exist; others in the list only have references of attachments."""
    run = stores.context.connection.execute
    listed = await run(keys.sessions, "ZRANGE", keys.sessions, 0, -1)
    return {one for one in listed if await run(keys.tag, "HEXISTS", keys.session_head(one), "meta")}


async def _partition_faults(stores: RedisStores, keys: PartitionKeys, rows: list[ProcessRecord]) -> list[str]:
    run = stores.context.connection.execute
    owners = set(await run(keys.owners, "HKEYS", keys.owners))
    leases = set(await run(keys.leases, "ZRANGE", keys.leases, 0, -1))
    changes = set(await run(keys.changes, "ZRANGE", keys.changes, 0, -1))
    marks = set(await run(keys.marks, "HKEYS", keys.marks))
    faults: list[str] = []
    if owners != leases:
        faults.append(f"{keys.tag}: owners and leases differ by {owners ^ leases}")
    if not marks <= leases:
        faults.append(f"{keys.tag}: marks without a lease: {marks - leases}")
    if changes != {row.id for row in rows}:
        faults.append(f"{keys.tag}: the feed and the rows differ by {changes ^ {row.id for row in rows}}")
    for row in rows:
        ready = await run(keys.tag, "ZSCORE", keys.ready(row.queue), row.id) is not None
        if row.is_terminal and ready:
            faults.append(f"{row.id}: ended and still offered")
        if not row.is_terminal and ready == (row.id in leases):
            faults.append(f"{row.id}: running and {'both' if ready else 'neither'} offered and leased")
        faults += await _row_faults(stores, keys, row)
    for state, letter in _LETTERS.items():
        counted = int(await run(keys.meta, "HGET", keys.meta, f"n:{letter}") or 0)
        real = sum(row.status.state == state for row in rows)
        if counted != real:
            faults.append(f"{keys.tag}: counts {counted} {state} rows, there are {real}")
    return faults


async def _row_faults(stores: RedisStores, keys: PartitionKeys, row: ProcessRecord) -> list[str]:
    """Outcomes in the blob store that no entry names or that an entry misses, and what an end should have removed."""
    run = stores.context.connection.execute
    journal, blobs = keys.journal(row.id), keys.blobs(row.id)
    entries: dict[str, str] = await run(journal, "HGETALL", journal)
    named = {field for field, entry in entries.items() if entry.endswith(";@")}
    faults: list[str] = []
    stored = set(await run(blobs, "HKEYS", blobs))
    if named != stored:
        faults.append(f"{row.id}: the journal and its blobs differ by {named ^ stored}")
    left = await run(keys.tag, "HMGET", keys.control(row.id), "wt", "pw")
    if row.is_terminal and any(left):
        faults.append(f"{row.id}: ended and still waits or is watched: {left}")
    return faults


async def _key_faults(stores: RedisStores, ids: set[str], sessions: set[str]) -> list[str]:
    """Keys that expire, and keys of processes and sessions that are not there."""
    run = stores.context.connection.execute
    anywhere = stores.context.keyspace.partitions[0].tag
    faults: list[str] = []
    cursor: Any = 0
    for _ in range(SCANS_MAX):
        pattern = f"{{{stores.context.keyspace.namespace}:*"
        cursor, found = await run(anywhere, "SCAN", cursor, "MATCH", pattern, "COUNT", 1_000)
        for key in found:
            tag, _, rest = key.partition("}:")
            family, _, name = rest.partition(":")
            if family in _OF_A_SCOPE and await run(key, "ZSCORE", f"{tag}}}:jx", name) is None:
                faults.append(f"{key}: nobody will ever forget it")
            if family in _OF_A_PROCESS and name and name not in ids:
                faults.append(f"{key}: its process has no row")
            if family in OF_A_SESSION and name and name not in sessions:
                faults.append(f"{key}: its session is gone")
            if int(await run(key, "PTTL", key)) != -1:
                faults.append(f"{key}: expires")
        if int(cursor) == 0:
            return faults
    raise AssertionError(f"the scan did not end within {SCANS_MAX} calls")
