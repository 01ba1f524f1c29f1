"""What must hold of the rings in Redis whatever the callers did (docs/contracts/redis_layout.md)."""

from __future__ import annotations

from typing import Any

from lash_core.redis_store.keys import PartitionKeys
from lash_core.redis_store.stores import RedisStores

_FIRST, _MS, _BEFORE, _BYTES = 1, 2, 3, 4


async def live_faults(stores: RedisStores, keys: PartitionKeys) -> list[str]:
    """Broken promises of one partition's rings."""
    run = stores.context.connection.execute
    start = keys.live_ring("")
    rings = {ring.removeprefix(start) for ring in await run(keys.tag, "KEYS", f"{start}*")}
    records: dict[str, str] = await run(keys.live_tails, "HGETALL", keys.live_tails)
    records.pop("\n", None)
    idle = set(await run(keys.live_idle, "ZRANGE", keys.live_idle, 0, -1))
    faults: list[str] = []
    if not rings <= records.keys():
        faults.append(f"{keys.tag}: rings without a record: {rings - records.keys()}")
    if not idle <= records.keys():
        faults.append(f"{keys.tag}: rings to look at without a record: {idle - records.keys()}")
    for session_id, text in records.items():
        tail, *_ = numbers = [int(number) for number in text.split(";")]
        ring = keys.live_ring(session_id)
        entries: list[Any] = await run(ring, "XRANGE", ring, "-", "+")
        positions = [int(entry_id.partition("-")[0]) for entry_id, _ in entries]
        if positions != list(range(numbers[_FIRST], tail + 1)):
            faults.append(f"{session_id}: its record says {numbers[_FIRST]} to {tail}, its ring has {positions[:3]}…")
            continue
        if not entries:
            continue
        if session_id not in idle:
            faults.append(f"{session_id}: nobody will ever look at its ring")
        facts = [dict(zip(fields[::2], fields[1::2], strict=True)) for _, fields in entries]
        if [int(facts[0]["m"]), int(facts[0]["b"])] != [numbers[_MS], numbers[_BEFORE]]:
            faults.append(f"{session_id}: its record and its first event are of different times or sizes")
        kept = sum(len(fact["p"].encode()) for fact in facts)
        if kept != numbers[_BYTES] - numbers[_BEFORE]:
            faults.append(f"{session_id}: its record counts {numbers[_BYTES] - numbers[_BEFORE]} bytes of {kept}")
    return faults
