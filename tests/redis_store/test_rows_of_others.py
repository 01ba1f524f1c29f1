"""Rows that this release cannot read, and ids that were started anew behind a cache."""

from __future__ import annotations

import pytest

from lash_core.errors import CorruptRecordError, InvalidPayloadError, NewerRecordError, UndeclaredEventTypeError
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.event_type import ProcessEventType
from lash_core.redis_store.stores import RedisStores
from tests.redis_store.conftest import OpenStores
from tests.redis_store.rows import DONE, NOTE, TTL_MS, claimed_by_name, partition, redis, registration, started, worker


async def test_a_row_of_a_newer_release_is_declined(stores: RedisStores) -> None:
    """It goes back to its queue unchanged and later, and the others of the batch are claimed (DESIGN 3.3 rule 12)."""
    registry = stores.process_registry
    newer, ours = await started(stores), await started(stores)
    keys = partition(stores)
    await redis(stores, "HSET", keys.control(newer), "v", 2)
    text = await redis(stores, "GET", keys.registration(newer))

    found = await registry.claim_ready_processes(worker(), 10, TTL_MS)

    assert [ours] == [item.record.id for item in found]
    with pytest.raises(NewerRecordError):
        await registry.get_process(newer)
    now_ms = await registry.server_time_ms()
    assert float(await redis(stores, "ZSCORE", keys.ready("default"), newer)) > now_ms
    assert (None, text) == (
        await redis(stores, "HGET", keys.owners, newer),
        await redis(stores, "GET", keys.registration(newer)),
    )


async def test_a_corrupt_row_names_its_key(stores: RedisStores) -> None:
    """What cannot be decoded is an error with the key, never an absent row."""
    process_id = await started(stores)
    key = partition(stores).registration(process_id)
    await redis(stores, "SET", key, "no json")
    stores.process_registry._rows.forget(process_id)

    with pytest.raises(CorruptRecordError) as error:
        await stores.process_registry.get_process(process_id)

    assert key == error.value.key


async def test_a_cached_registration_is_checked_by_the_script(open_stores: OpenStores) -> None:
    """An id that was pruned and started anew elsewhere is judged by its new event types."""
    async with open_stores() as here, open_stores() as there:
        process_id = await started(here)
        await here.process_registry.append_event(process_id, NOTE)
        lease = await claimed_by_name(there, process_id)
        record = await there.process_registry.complete_process_with_lease(lease, DONE)
        await there.process_registry.prune_terminal_processes(record.updated_at_ms + 1)
        await there.process_registry.register_process(
            registration(
                process_id,
                event_types=(ProcessEventType(name="other", payload_schema={"type": "integer"}),),
                queue="second",
            )
        )

        with pytest.raises(UndeclaredEventTypeError):
            await here.process_registry.append_event(process_id, NOTE)
        with pytest.raises(InvalidPayloadError):
            await here.process_registry.append_event(process_id, ProcessEventAppendRequest("other", "text"))
        lease = await claimed_by_name(here, process_id)

        assert "second" == lease.queue
        assert () == await here.process_registry.events_after(process_id, 0)
