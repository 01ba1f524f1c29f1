"""Runs every verb of journals, promises and waits of runs once, for checks that look at the scripts themselves."""

from __future__ import annotations

from lash_core.model.await_event import AwaitEventKey, Resolution, WaitIdentity
from lash_core.model.await_output import ProcessAwaitOutput
from lash_core.model.effect import EffectKind
from lash_core.model.effect_record import ChildStart, EffectClaimed, EffectWrite
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.facts import ProcessStarted, SignalWait, WaitState
from lash_core.model.lease import Acquired, ProcessLease, ReleaseReason
from lash_core.model.scope import SessionScope
from lash_core.redis_store.stores import RedisStores
from lash_core.store.process_batches import LeasedRelease
from tests.redis_contract.rows import owner, registration

HASH = "ab" * 16
TURN, OPERATION = ExecutionScope.turn("effects", "turn"), ExecutionScope.runtime_operation("op")
STEP = EffectWrite("step", EffectKind.DURABLE_STEP, "completed", HASH, outcome_json="1")


async def run_effects(stores: RedisStores) -> None:
    """A run that records, starts a child, waits, parks, is told, runs again, ends; then scopes without a lease."""
    registry = stores.process_registry
    lease = await _held(stores, (await registry.register_process(registration())).id)
    process_id = lease.process_id
    started = ProcessStarted(owner=owner(), started_at_ms=1)
    child, granted = registration(), registration()
    starts = [
        EffectWrite("c", EffectKind.PROCESS, "starting", HASH, start=ChildStart(child)),
        EffectWrite("g", EffectKind.PROCESS, "starting", HASH, start=ChildStart(granted, SessionScope(session_id="e"))),
    ]
    large = EffectWrite("large", EffectKind.DURABLE_STEP, "failed", HASH, outcome_json=f'"{"x" * 20_000}"')
    nap = EffectWrite("nap", EffectKind.SLEEP, "waiting", HASH, delay_ms=1)
    for _ in range(2):
        await stores.effect_journal.record_effects(lease, [STEP, large, nap, *starts], first_started=started)
    await stores.effect_journal.load_effects(process_id)
    wait = WaitState(since_ms=1, kind=SignalWait.of(process_id, "go", 1))
    await registry.begin_signal_wait(process_id, wait, lease=lease, first_started=started)
    await registry.end_signal_wait(process_id, wait, lease=lease, received=True)
    await registry.watch_processes(process_id, [child.id, granted.id])
    key = AwaitEventKey.mint(ExecutionScope.process(process_id), WaitIdentity.custom("k"), b"secret")
    await stores.promises.open_promise(key)
    await registry.look_at_run(lease, 0, [key])
    await stores.promises.resolve_promise(key, Resolution.ok(1))
    parked = ReleaseReason(kind="parked", due_in_ms=60_000)
    await registry.release_process_leases([LeasedRelease(lease, parked, started)])
    await registry.complete_process_with_lease(await _held(stores, child.id), ProcessAwaitOutput.success(1))
    await registry.retry_process(await _held(stores, process_id), delay_ms=60_000, drop=["large"], detail="boom")
    await stores.promises.cancel_promises(key.scope)
    await registry.complete_process_with_lease(await _held(stores, process_id), ProcessAwaitOutput.success(1))
    await _scopes(stores)


async def _scopes(stores: RedisStores) -> None:
    claim = await stores.effect_journal.claim_effect(OPERATION, STEP, owner="me", ttl_ms=60_000)
    assert isinstance(claim, EffectClaimed)
    await stores.effect_journal.renew_effect(OPERATION, STEP.key, claim.token, ttl_ms=60_000)
    await stores.effect_journal.finalize_effect(OPERATION, STEP, claim.token)
    for scope in (TURN, OPERATION):
        one, two = (AwaitEventKey.mint(scope, WaitIdentity.custom(name), b"secret") for name in ("one", "two"))
        await stores.promises.open_promise(one)
        await stores.promises.resolve_promise(two, Resolution.ok(1))
        await stores.promises.cancel_promises(scope)
    await stores.promises.revoke_session_promises("effects")
    await stores.effect_journal.forget_effects(0, 10)


async def _held(stores: RedisStores, process_id: str) -> ProcessLease:
    outcome = await stores.process_registry.claim_process_lease(process_id, owner(), 60_000)
    assert isinstance(outcome, Acquired)
    return outcome.lease
