"""``look_at_run``: everything that may end a wait of a run, of one moment."""

from __future__ import annotations

from lash_core.errors import InvalidArgumentError, UnknownProcessError
from lash_core.model.await_event import AwaitEventKey, WaitIdentity
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.lease import ProcessLeaseCompletion, Renewed
from lash_core.testing.conformance.await_events.arrange import CANCELLED, ERR, OK, gate_of, key_of, turn
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    SUCCESS,
    TTL_MS,
    claimed,
    current,
    note,
    registered,
    running,
    unique,
    unknown_text,
)
from lash_core.testing.conformance.run_waits.arrange import approval, look
from lash_core.testing.conformance.stores import EffectStores, elapse, run_waits, short_ttl_ms


async def events_after_a_sequence_are_read(stores: EffectStores) -> None:
    """Ascending, whole, as ``events_after`` has them; none after the last; a negative sequence is 0."""
    row, lease = await running(stores)
    for n in range(4):
        await stores.process_registry.append_event(row.id, note(str(n), f"k{n}"))
    wanted = await stores.process_registry.events_after(row.id, 0)

    found = {after: (await look(stores, lease, after)).events for after in (-1, 0, 2, 4, 9)}

    assert {-1: wanted, 0: wanted, 2: wanted[2:], 4: (), 9: ()} == found


async def asked_promises_are_read(stores: EffectStores) -> None:
    """Those with a resolution, by key id; pending, missing and unasked ones are not there, and none is made."""
    row, lease = await running(stores)
    scope = ExecutionScope.process(row.id)
    keys = [key_of(scope, name) for name in ("ok", "err", "pending", "missing", "unasked")] + [gate_of(scope)]
    await stores.promises.resolve_promise(keys[0], OK)
    await stores.promises.resolve_promise(keys[1], ERR)
    await stores.promises.open_promise(keys[2])
    await stores.promises.resolve_promise(keys[4], OK)
    await stores.promises.resolve_promise(keys[5], OK)

    found = await run_waits(stores).look_at_run(lease, 0, [*keys[:4], keys[5]])

    assert {keys[0].key_id: OK, keys[1].key_id: ERR, keys[5].key_id: OK} == dict(found.resolutions)
    assert 1 == await stores.promises.cancel_promises(scope)


async def promises_of_an_ended_row_are_cancelled(stores: EffectStores) -> None:
    """A run that ends elsewhere learns it from its waits (decision 32)."""
    row, lease = await running(stores)
    scope = ExecutionScope.process(row.id)
    pending, resolved = key_of(scope, "pending"), key_of(scope, "resolved")
    await stores.promises.open_promise(pending)
    await stores.promises.resolve_promise(resolved, OK)
    await stores.process_registry.complete_process_with_lease(lease, SUCCESS)

    found = await run_waits(stores).look_at_run(lease, 0, [pending, resolved])

    assert {pending.key_id: CANCELLED, resolved.key_id: OK} == dict(found.resolutions)


async def promises_of_others_are_refused(stores: EffectStores) -> None:
    """A look is at the run's own row: another process's promise, or a turn's, is not there."""
    _, lease = await running(stores)
    other = await registered(stores)
    wait = WaitIdentity.custom("c")

    for scope in (ExecutionScope.process(other.id), turn(), ExecutionScope.runtime_operation(lease.process_id)):
        with refused(InvalidArgumentError, scope.id):
            await run_waits(stores).look_at_run(lease, 0, [AwaitEventKey.mint(scope, wait, b"secret")])


async def looking_changes_nothing(stores: EffectStores) -> None:
    """No fenced write, no renewal, and the marks stay for the next renewal."""
    row, lease = await running(stores)
    await stores.process_registry.append_event(row.id, approval(row.id))
    before = await current(stores, row.id), await stores.process_registry.get_process_lease(row.id)

    looks = [await look(stores, lease) for _ in range(3)]

    assert 1 == len({one.marks_seen for one in looks})
    assert before == (await current(stores, row.id), await stores.process_registry.get_process_lease(row.id))
    (renewed,) = await stores.process_registry.renew_process_leases([lease], TTL_MS)
    assert isinstance(renewed, Renewed)
    assert renewed.signalled


async def what_happens_changes_the_marks(stores: EffectStores) -> None:
    """Signals, cancels and resolutions do; a run's own writes and renewals do not."""
    row, lease = await running(stores)
    registry, seen = stores.process_registry, list[str]()

    async def mark() -> None:
        seen.append((await look(stores, lease)).marks_seen)

    await mark()
    await registry.append_event(row.id, note("own"), lease=lease)
    await registry.renew_process_leases([lease], TTL_MS)
    await mark()
    assert seen[0] == seen[1]
    await registry.append_event(row.id, approval(row.id))
    await mark()
    await registry.renew_process_leases([lease], TTL_MS)
    await mark()
    assert seen[2] == seen[3]
    await registry.append_event(row.id, ProcessEventAppendRequest.cancel_requested(row.id, "stop"))
    await mark()
    await stores.promises.resolve_promise(key_of(ExecutionScope.process(row.id)), OK)
    await mark()
    assert 4 == len(set(seen))


async def the_servers_clock_is_told(stores: EffectStores) -> None:
    """Waits are due by it."""
    _, lease = await running(stores)
    first = await look(stores, lease)
    await elapse(stores, 50)

    second = await look(stores, lease)

    assert second.server_time_ms >= first.server_time_ms + 50


async def a_stale_run_may_look(stores: EffectStores) -> None:
    """It learns nothing that everybody else may not read; what it then writes is refused."""
    row = await registered(stores)
    ttl_ms = await short_ttl_ms(stores)
    old = await claimed(stores, row.id, ttl_ms=ttl_ms)
    await elapse(stores, ttl_ms + 50)
    new = await claimed(stores, row.id)
    await stores.process_registry.append_event(row.id, note("mine"), lease=new)
    await stores.process_registry.complete_process_lease(ProcessLeaseCompletion.from_lease(new))

    assert ["note"] == [item.event_type for item in (await look(stores, old)).events]


async def an_unknown_process_is_refused(stores: EffectStores) -> None:
    """A pruned row has nothing to wait for."""
    _, lease = await running(stores)
    absent = unique("absent")

    with refused(UnknownProcessError, unknown_text(absent)):
        await look(stores, lease.model_copy(update={"process_id": absent}))
