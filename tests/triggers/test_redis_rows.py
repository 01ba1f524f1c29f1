"""What is in Redis: rows that cannot be read, keys, and the declared keys of every script."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

import pytest

from lash_core.errors import CorruptRecordError, NewerRecordError
from lash_core.model.trigger import TriggerOwnerScope
from lash_core.redis_store.keys import TriggerKeys
from lash_core.redis_store.row_reader import as_mapping
from lash_core.redis_store.stores import RedisStores
from lash_core.redis_store.trigger_codec import encode_subscription
from lash_core.settings import StoreSettings
from lash_core.testing.conformance.trigger_store import cases
from lash_core.testing.conformance.trigger_store.arrange import current, occurred, registered, scheduled, source
from tests.redis_contract.declared_keys import checked_scripts
from tests.triggers.kit import MANIFESTS, Declared, client_of, router_of

SCRIPTS = {
    "apply_trigger_command",
    "ingest_occurrence",
    "fire_tick",
    "settle_deliveries",
    "drop_deliveries",
    "prune_occurrences",
    "prune_mutation_receipts",
    "delete_session_subscriptions",
}
BROKEN: dict[str, Callable[[str], str]] = {
    "empty": lambda row: "",
    "rubbish": lambda row: "rubbish",
    "no-number": lambda row: row.replace(";1;", ";x;", 1),
    "cut-off": lambda row: row[:-1],
}
"""What a damaged row may look like, made from a good one."""


@pytest.fixture
async def stores(valkey_url: str) -> AsyncGenerator[RedisStores]:
    """Stores of a namespace of their own."""
    settings = StoreSettings(namespace="rows", partitions=4)
    async with RedisStores.connect(valkey_url, settings=settings, test_clock=True) as opened:
        yield opened
        await opened.context.connection.execute("", "FLUSHALL")


async def _put(stores: RedisStores, subscription_id: str, row: str) -> None:
    key = TriggerKeys.of("rows").subscriptions
    await stores.context.connection.execute(key, "HSET", key, subscription_id.rpartition(":")[2], row)


@pytest.mark.parametrize("damage", BROKEN.values(), ids=BROKEN.keys())
async def test_a_malformed_row_is_skipped_and_the_others_delivered(
    stores: RedisStores, damage: Callable[[str], str]
) -> None:
    """One broken subscription takes nobody with it."""
    at = source()
    broken, good = await registered(stores, at), await registered(stores, at)
    await _put(stores, broken.subscription_id, damage(encode_subscription(broken)))

    ingested = await occurred(stores, at)

    assert [good.subscription_id] == [delivery.subscription_id for delivery in ingested.deliveries]
    page = await stores.triggers.list_trigger_subscriptions()
    assert [good] == list(page.items)
    with pytest.raises(CorruptRecordError):
        await current(stores, broken)


async def test_a_snapshot_of_a_newer_release_is_reserved_and_waits(stores: RedisStores) -> None:
    """This release cannot start it and does not lose it; one that can read it will."""
    at = source()
    newer, good = await registered(stores, at, params={}), await registered(stores, at)
    row = encode_subscription(newer).replace("1;", "2;", 1)
    await _put(stores, newer.subscription_id, row)
    lash = client_of(stores)

    ingested = await occurred(stores, at, None, "x")
    job = MANIFESTS["plain"].model_copy(update={"kind": "job"})
    await router_of(stores, Declared({"job": job})).recover(min_age_ms=0)

    stored = await stores.triggers.get_occurrence(ingested.occurrence.occurrence_id)
    assert stored is not None
    states = {one.subscription_id: (one.state, one.subscription) for one in stored.deliveries}
    assert {good.subscription_id: ("started", good), newer.subscription_id: ("waiting", None)} == states
    with pytest.raises(NewerRecordError):
        await lash.triggers.get(newer.subscription_id)


async def test_a_schedule_that_cannot_be_read_does_not_hold_up_others(stores: RedisStores) -> None:
    """It is left out of what is due."""
    broken, good = await scheduled(stores), await scheduled(stores)
    await _put(stores, broken.subscription_id, "rubbish")
    await stores.advance_clock(3_600_000)

    assert [good] == [item.subscription for item in await stores.triggers.due_schedules()]


async def test_keys_are_of_one_partition_and_never_expire(stores: RedisStores) -> None:
    """All under ``{<ns>:trg}``."""
    lash = client_of(stores)
    await lash.triggers.create("t", "plain", source="w:k")
    await lash.triggers.create("s", "plain", interval_ms=60_000)
    await lash.triggers.emit("w:k")
    run = stores.context.connection.execute

    names = [name for name in await run("", "KEYS", "{rows:*") if not name.startswith(("{rows:dir}", "{rows:env:"))]
    names = [name for name in names if name.startswith("{rows:trg}") or "trigger-subscription" in name]

    assert {"src", "sub", "by", "due", "occ", "dlv", "rcp", "rct", "meta", "set", "off"} >= {
        name.removeprefix("{rows:trg}:") for name in names
    }
    assert {"src", "sub", "by", "due", "occ", "dlv"} <= {name.removeprefix("{rows:trg}:") for name in names}
    assert {-1} == {await run(name, "PTTL", name) for name in names}


async def test_what_is_forgotten_leaves_nothing_behind(stores: RedisStores) -> None:
    """Pruned triggers, dropped deliveries, pruned occurrences and receipts: only counters stay, and they are zero."""
    lash = client_of(stores)
    session = TriggerOwnerScope.session("s")
    for name, owner in (("t", None), ("u", session)):
        await lash.triggers.create(name, "plain", source="w:k", owner=owner)
    await lash.triggers.create("s", "plain", interval_ms=60_000)
    await lash.triggers.emit("w:k", {"n": 1})
    await lash.triggers.emit("nobody:cares")
    _, now_ms = await stores.triggers.next_schedule_ms()
    await lash.triggers.backfill("s", now_ms - 120_000, now_ms)
    await lash.triggers.delete("t")
    await lash.triggers.delete("s")
    await lash.triggers.prune("t", "s")
    await stores.triggers.delete_session_subscriptions("s")
    await stores.advance_clock(60_000)

    await stores.triggers.prune_occurrences(now_ms + 60_000)
    await stores.triggers.prune_mutation_receipts(now_ms + 60_000)

    run = stores.context.connection.execute
    left = set(await run("", "KEYS", "{rows:trg}:*"))
    assert {"{rows:trg}:meta", "{rows:trg}:off"} == left
    counted = await run("{rows:trg}:meta", "HGETALL", "{rows:trg}:meta")
    assert {"0"} == set(as_mapping(counted).values())


async def test_no_script_touches_an_undeclared_key(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole suite with every key checked; each script of triggers has run."""
    ran: set[str] = set()
    with checked_scripts(monkeypatch, ran):
        for number, (_, case) in enumerate(cases()):
            settings = StoreSettings(namespace=f"dk-{number % 8}", partitions=1)
            async with RedisStores.connect(valkey_url, settings=settings, test_clock=True) as opened:
                await case(opened)

    assert set() == SCRIPTS - ran
