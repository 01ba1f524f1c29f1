"""Rows of background tasks on Redis: lost replies, records of other releases, what they cost."""

from __future__ import annotations

import pytest

from lash_core.errors import CorruptRecordError, NewerRecordError
from lash_core.errors.background_task import BackgroundTaskError
from lash_core.model.background_task import (
    BackgroundTaskCompletion,
    BackgroundTaskRegistration,
    BackgroundTaskState,
)
from lash_core.redis_store import background_tasks
from lash_core.redis_store.stores import RedisStores
from lash_core.runtime.background.durable_host import DurableBackgroundTaskHost
from lash_core.testing.conformance.session_scene import opened
from tests.redis_store.rows import lose_replies, partition, redis

SCOPE = "scope:s"


async def _key(stores: RedisStores) -> str:
    await opened(stores, "s")
    return partition(stores).session_tasks("s")


async def test_a_write_whose_reply_was_lost_counts_once(stores: RedisStores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begun, moved and ended as if every reply had come: the store knows each write by its id."""
    await _key(stores)
    await opened(stores, "t")
    lose_replies(monkeypatch, stores, "swap_background_tasks")
    host = DurableBackgroundTaskHost(stores.background_tasks)
    await host.register_external(SCOPE, BackgroundTaskRegistration("a"))
    await host.transfer_managed(SCOPE, "scope:t", ["a"])
    done = BackgroundTaskCompletion(BackgroundTaskState.COMPLETED, "fine")
    record = await host.complete("scope:t", "a", done)
    await host.register_external("scope:t", BackgroundTaskRegistration("b"))
    await host.unregister_external("scope:t", "b")
    (task,) = await stores.background_tasks.read_background_tasks("t")
    assert record == task.row.record
    assert () == await stores.background_tasks.read_background_tasks("s")
    await host.close()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("2;1;1;0;w;{}", NewerRecordError),
        ('1;1;1;0;w;{"v":2}', NewerRecordError),
        ('1;1;1;0;w;{"v":1}', CorruptRecordError),
        ("1;1;1;0;w;no JSON", CorruptRecordError),
        ("nonsense", CorruptRecordError),
    ],
)
async def test_a_row_that_cannot_be_read_says_which_key(stores: RedisStores, text: str, error: type[Exception]) -> None:
    """It is not guessed at, and stays as it is."""
    key = await _key(stores)
    await redis(stores, "HSET", key, f"{SCOPE}\na", text)
    with pytest.raises(error) as refused:
        await stores.background_tasks.read_background_tasks("s")
    assert key == refused.value.key  # type: ignore[attr-defined]
    assert text == await redis(stores, "HGET", key, f"{SCOPE}\na")


async def test_a_session_has_a_bound_of_rows(stores: RedisStores, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal names it; nothing is written, and what is there may still end and go."""
    key = await _key(stores)
    monkeypatch.setattr(background_tasks, "ROWS_MAX", 2)
    host = DurableBackgroundTaskHost(stores.background_tasks)
    for task_id in ("a", "b"):
        await host.register_external(SCOPE, BackgroundTaskRegistration(task_id))
    with pytest.raises(BackgroundTaskError, match="limit"):
        await host.register_external(SCOPE, BackgroundTaskRegistration("c"))
    assert 2 == await redis(stores, "HLEN", key)
    await host.mark_terminal(SCOPE, "a", BackgroundTaskState.COMPLETED)
    await host.unregister_external(SCOPE, "b")
    await host.register_external(SCOPE, BackgroundTaskRegistration("c"))
    assert 2 == await redis(stores, "HLEN", key)
    await host.close()


async def test_a_deleted_session_leaves_no_rows(stores: RedisStores) -> None:
    """Nor does what its runtime writes afterwards."""
    key = await _key(stores)
    host = DurableBackgroundTaskHost(stores.background_tasks)
    await host.register_external(SCOPE, BackgroundTaskRegistration("a"))
    await stores.session_store_factory.delete_session("s")
    assert 0 == await redis(stores, "EXISTS", key)
    await host.mark_terminal(SCOPE, "a", BackgroundTaskState.COMPLETED)
    await host.register_external(SCOPE, BackgroundTaskRegistration("b"))
    assert 0 == await redis(stores, "EXISTS", key)
    await host.close()
