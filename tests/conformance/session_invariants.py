"""What must hold of a session's keys in Redis whatever the callers did (docs/contracts/redis_layout.md)."""

from __future__ import annotations

from typing import Any

from lash_core.redis_store.keys import PartitionKeys
from lash_core.redis_store.stores import RedisStores

OF_A_SESSION = ("sh", "sn", "so", "st", "su", "sb", "ss", "sz", "sq", "sqo", "sqd", "sr", "srz", "si", "sio", "bt")
"""Families of keys that go with their session. Promises, grants and wakes are others' as well."""


async def session_faults(stores: RedisStores, keys: PartitionKeys, session_ids: set[str]) -> list[str]:
    """Broken promises of one partition's sessions."""
    run = stores.context.connection.execute
    leases = set(await run(keys.session_leases, "HKEYS", keys.session_leases))
    expiries = await _scores(stores, keys.session_expiries)
    ready = await _scores(stores, keys.sessions_ready)
    deaths: dict[str, str] = await run(keys.session_deaths, "HGETALL", keys.session_deaths)
    faults: list[str] = []
    if leases != expiries.keys():
        faults.append(f"{keys.tag}: session leases and their ends differ by {leases ^ expiries.keys()}")
    known = leases | ready.keys() | deaths.keys()
    if not known <= session_ids:
        faults.append(f"{keys.tag}: leases, due times or deaths of sessions that are gone: {known - session_ids}")
    for session_id in session_ids:
        _, _, not_before, is_open = deaths.get(session_id, "0;0;0;0").split(";")
        opened = await run(keys.tag, "HGET", keys.session_head(session_id), "ot") is not None
        if opened != (is_open == "1"):
            faults.append(f"{session_id}: a turn is open, and its deaths do not say so, or the other way round")
        due = await _scores(stores, keys.session_queue_due(session_id))
        if bool(due) != (session_id in ready):
            faults.append(f"{session_id}: has {len(due)} rows for the fleet and is due at {ready.get(session_id)}")
        elif due:
            first = min(due.values())
            latest = max(first, float(not_before), expiries.get(session_id, 0.0))
            if not first <= ready[session_id] <= latest:
                faults.append(f"{session_id}: due at {ready[session_id]}, not between {first} and {latest}")
        faults += await _queue_faults(stores, keys, session_id, due)
        faults += await _input_faults(stores, keys, session_id, due)
        faults += await _graph_faults(stores, keys, session_id)
    return faults


async def _queue_faults(stores: RedisStores, keys: PartitionKeys, session_id: str, due: dict[str, float]) -> list[str]:
    run = stores.context.connection.execute
    fields: list[str] = await run(keys.tag, "HKEYS", keys.session_queue(session_id))
    order = set(await _scores(stores, keys.session_queue_order(session_id)))
    headers = {field[1:] for field in fields if field.startswith("h")}
    bodies = {field[1:] for field in fields if field.startswith("b")}
    waiting = {member[1:] for member in due if member.startswith("q")}
    sources: dict[str, str] = await run(keys.tag, "HGETALL", keys.session_source_keys(session_id))
    receipts = {source for source, value in sources.items() if "\n" in value}
    settled = set(await _scores(stores, keys.session_settled_sources(session_id)))
    counted = int(await run(keys.tag, "HGET", keys.session_head(session_id), "rb") or 0)
    faults: list[str] = []
    if not order == headers == bodies == waiting:
        faults.append(f"{session_id}: the queue's order, headers, bodies and due times are of different rows")
    if receipts != settled or counted != sum(len(sources[source].encode()) for source in receipts):
        faults.append(f"{session_id}: receipts and their order or size differ")
    if not {sources[source] for source in sources.keys() - receipts} <= order:
        faults.append(f"{session_id}: a source key names a batch that is not queued")
    return faults


async def _input_faults(stores: RedisStores, keys: PartitionKeys, session_id: str, due: dict[str, float]) -> list[str]:
    run = stores.context.connection.execute
    stored: dict[str, str] = await run(keys.tag, "HGETALL", keys.session_inputs(session_id))
    headers = {field[1:]: value for field, value in stored.items() if field.startswith("h")}
    order = await _scores(stores, keys.session_input_order(session_id))
    deferred = {input_id for input_id, header in headers.items() if header.startswith("d")}
    over = {input_id for input_id, header in headers.items() if header[0] in "xc"}
    faults: list[str] = []
    if headers.keys() != order.keys() or over != {input_id for input_id, seq in order.items() if seq < 0}:
        faults.append(f"{session_id}: inputs and their order differ")
    if deferred != {member[1:] for member in due if member.startswith("i")}:
        faults.append(f"{session_id}: inputs for the next turn and their due times differ")
    if not {value for field, value in stored.items() if field.startswith("s")} <= headers.keys():
        faults.append(f"{session_id}: a source key names an input that is gone")
    return faults


async def _scores(stores: RedisStores, key: str) -> dict[str, float]:
    flat: list[Any] = await stores.context.connection.execute(key, "ZRANGE", key, 0, -1, "WITHSCORES")
    pairs: list[Any] = flat if flat and isinstance(flat[0], list) else list(zip(flat[::2], flat[1::2], strict=True))
    return {str(member): float(score) for member, score in pairs}


async def _graph_faults(stores: RedisStores, keys: PartitionKeys, session_id: str) -> list[str]:
    run, head = stores.context.connection.execute, keys.session_head(session_id)
    nodes = set(await run(keys.tag, "HKEYS", keys.session_nodes(session_id)))
    order = await _scores(stores, keys.session_node_order(session_id))
    hidden = set(await run(keys.tag, "SMEMBERS", keys.session_tombstones(session_id)))
    blobs = set(await run(keys.tag, "HKEYS", keys.session_blobs(session_id)))
    stamps: list[str] = await run(keys.tag, "HKEYS", keys.session_stamps(session_id))
    turns: list[str] = await run(keys.tag, "LRANGE", keys.session_stamp_order(session_id), 0, -1)
    text, revision, last, *refs = await run(keys.tag, "HMGET", head, "head", "r", "nn", "tr", "pr", "er")
    faults: list[str] = []
    if nodes != order.keys() or not hidden <= nodes:
        faults.append(f"{session_id}: nodes, their order and the tombstones are of different nodes")
    if len(set(order.values())) != len(order) or max(order.values(), default=0) > int(last or 0):
        faults.append(f"{session_id}: append indexes come twice, or are over the last one")
    if not {ref for ref in refs if ref} <= blobs:
        faults.append(f"{session_id}: the checkpoint names blobs that are not stored")
    if (text is None) != (revision is None):
        faults.append(f"{session_id}: a head without revision, or the other way round")
    stamped = sorted(field[1:] for field in stamps if field.startswith("#"))
    results = {field[1:] for field in stamps if field.startswith("=")}
    if stamped != sorted(turns) or not results <= set(turns):
        faults.append(f"{session_id}: stamps, results and the order of turns are of different turns")
    return faults
