"""Deliveries and receipts go with the processes that are pruned (contract 2.11)."""

from __future__ import annotations

from typing import Any

import pytest

from lash_core.model.await_output import ProcessAwaitOutput
from lash_core.model.lease import Acquired
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.trigger import TriggerOwnerScope
from lash_core.redis_store.stores import RedisStores
from lash_worker import App
from lash_worker.services.trigger_recovery import TriggerRecovery
from lash_worker.supervisor import Supervisor
from lash_worker.worker_settings import WorkerSettings
from tests.triggers.conftest import AnyStores
from tests.triggers.kit import client_of

HOUR_MS = 3_600_000


async def _end(stores: AnyStores, process_id: str) -> None:
    registry = stores.process_registry
    claimed = await registry.claim_process_lease(process_id, LeaseOwnerIdentity.opaque("w", "i"), 60_000)
    assert isinstance(claimed, Acquired)
    await registry.complete_process_with_lease(claimed.lease, ProcessAwaitOutput.success(None))


async def _now_ms(stores: AnyStores) -> int:
    return await stores.process_registry.server_time_ms()


async def test_a_pruned_process_takes_its_delivery_along(stores: AnyStores) -> None:
    """The occurrence stays until its last delivery goes; then the same key would start anew."""
    lash = client_of(stores)
    await lash.triggers.create("one", "plain", source="w:k")
    await lash.triggers.create("two", "plain", source="w:k")
    report = await lash.triggers.emit("w:k", idempotency_key="x")
    occurrence_id = report.occurrence.occurrence_id
    first, second = (one.process_id for one in report.deliveries)

    await _end(stores, first)
    await stores.advance_clock(HOUR_MS)
    await stores.process_registry.prune_terminal_processes(await _now_ms(stores))
    stored = await stores.triggers.get_occurrence(occurrence_id)
    assert stored is not None
    assert [second] == [one.process_id for one in stored.deliveries]
    again = await lash.triggers.emit("w:k", idempotency_key="x")
    assert [(second, "already_reserved")] == [(one.process_id, one.status) for one in again.deliveries]

    await _end(stores, second)
    await stores.advance_clock(HOUR_MS)
    await stores.process_registry.prune_terminal_processes(await _now_ms(stores))
    assert await stores.triggers.get_occurrence(occurrence_id) is None


async def test_a_running_process_keeps_its_delivery(stores: AnyStores) -> None:
    """Whatever the cutoff."""
    lash = client_of(stores)
    await lash.triggers.create("one", "plain", source="w:k")
    report = await lash.triggers.emit("w:k")
    await stores.advance_clock(HOUR_MS)

    await stores.process_registry.prune_terminal_processes(await _now_ms(stores))

    assert await stores.triggers.get_occurrence(report.occurrence.occurrence_id) is not None


async def test_a_prune_forgets_old_receipts(stores: AnyStores) -> None:
    """The same operation is carried out anew, and finds what is there."""
    lash = client_of(stores)
    first = await lash.triggers.create("t", "plain", source="w:k", operation_id="op")
    await stores.advance_clock(HOUR_MS)
    assert "created" == first.status
    assert "created" == (await lash.triggers.create("t", "plain", source="w:k", operation_id="op")).status

    await stores.process_registry.prune_terminal_processes(await _now_ms(stores))

    assert "unchanged" == (await lash.triggers.create("t", "plain", source="w:k", operation_id="op")).status


async def test_a_crash_between_prune_and_delivery_loses_nothing(
    stores: AnyStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row's partition remembers the step until it is done."""
    if not isinstance(stores, RedisStores):
        pytest.skip("in memory nothing is left between the two")
    lash = client_of(stores)
    await lash.triggers.create("one", "plain", source="w:k")
    report = await lash.triggers.emit("w:k")
    await _end(stores, report.deliveries[0].process_id)
    await stores.advance_clock(HOUR_MS)

    async def nobody(*_: Any, **__: Any) -> None:
        return None

    with monkeypatch.context() as patch:
        patch.setattr(stores.process_registry, "carry_out", nobody)
        await stores.process_registry.prune_terminal_processes(await _now_ms(stores))
    assert await stores.triggers.get_occurrence(report.occurrence.occurrence_id) is not None

    assert 1 <= await stores.process_registry.deliver_outbox(min_age_ms=0, limit=10)
    assert await stores.triggers.get_occurrence(report.occurrence.occurrence_id) is None


async def test_workers_with_a_retention_forget_what_is_settled(stores: AnyStores) -> None:
    """Occurrences that no trigger wanted, and receipts."""
    lash = client_of(stores)
    await lash.triggers.create("t", "plain", source="w:k", operation_id="op")
    report = await lash.triggers.emit("nobody:cares")
    await stores.advance_clock(3 * HOUR_MS)
    supervisor = Supervisor(WorkerSettings(retention_hours=1), (App("a"),), stores)
    recovery = next(loop for loop in supervisor.trigger_loops if isinstance(loop, TriggerRecovery))

    await recovery.prune(1)

    assert await stores.triggers.get_occurrence(report.occurrence.occurrence_id) is None
    assert "unchanged" == (await lash.triggers.create("t", "plain", source="w:k", operation_id="op")).status
    await supervisor.worker.close()


async def test_a_deleted_session_takes_its_triggers_along(stores: AnyStores) -> None:
    """Through the session's own store; the host's triggers stay."""
    lash = client_of(stores)
    await lash.triggers.create("mine", "plain", source="w:k", owner=TriggerOwnerScope.session("chat"))
    await lash.triggers.create("host", "plain", source="w:k")

    await stores.session_store_factory.delete_session("chat")

    assert ["host"] == [item.subscription_key for item in (await lash.triggers.list()).items]
