"""Promises of a process that has ended (decisions 31 and 32; hazard 9)."""

from __future__ import annotations

from lash_core.model.await_event import Accepted, AlreadyResolved
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.process_filter import ProcessFilter
from lash_core.model.process_input import ProcessIdentity
from lash_core.testing.conformance.await_events.arrange import CANCELLED, OK, gate_of, key_of
from lash_core.testing.conformance.process_registry.arrange import (
    OUTPUTS,
    SUCCESS,
    claimed,
    event,
    registered,
    registration,
    running,
    unique,
)
from lash_core.testing.conformance.stores import EffectStores

UNKNOWN = "await_event_unknown_or_revoked"


async def open_promises_end_with_their_process(stores: EffectStores) -> None:
    """However it ends: what was pending, and what nobody asked for, is cancelled; what was resolved stays."""
    for output in OUTPUTS.values():
        row, lease = await running(stores)
        scope = ExecutionScope.process(row.id)
        keys = [key_of(scope, "pending"), key_of(scope, "missing"), gate_of(scope), key_of(scope, "resolved")]
        await stores.promises.open_promise(keys[0])
        await stores.promises.open_promise(keys[2])
        await stores.promises.resolve_promise(keys[3], OK)

        await stores.process_registry.complete_process_with_lease(lease, output)

        for key, found in zip(keys, [CANCELLED, CANCELLED, CANCELLED, OK], strict=True):
            assert found == await stores.promises.peek_promise(key)
            assert AlreadyResolved(found) == await stores.promises.resolve_promise(key, OK)
            assert found == await stores.promises.open_promise(key)
        assert 0 == await stores.promises.cancel_promises(scope)


async def an_end_from_outside_counts_too(stores: EffectStores) -> None:
    """A terminal event of the program's own, and a cancel before the first start."""
    row, _ = await running(stores)
    fresh = await registered(stores)
    keys = [key_of(ExecutionScope.process(process_id)) for process_id in (row.id, fresh.id)]
    for key in keys:
        await stores.promises.open_promise(key)

    await stores.process_registry.append_event(row.id, event("finished", {}, "end"))
    await stores.process_registry.append_event(fresh.id, ProcessEventAppendRequest.cancel_requested(fresh.id, "no"))

    assert [CANCELLED, CANCELLED] == [await stores.promises.peek_promise(key) for key in keys]


async def a_waiting_process_takes_promises(stores: EffectStores) -> None:
    """Also one that nobody holds, and one that was never started."""
    row = await registered(stores)
    key = key_of(ExecutionScope.process(row.id))
    assert None is await stores.promises.open_promise(key)
    lease = await claimed(stores, row.id)

    assert None is await stores.promises.peek_promise(key)

    await stores.process_registry.complete_process_with_lease(lease, SUCCESS)
    assert CANCELLED == await stores.promises.peek_promise(key)


async def promises_go_with_prune(stores: EffectStores) -> None:
    """Of a pruned process nothing is left; the next life of the id has its own promises."""
    kind = unique("kind")
    wanted = registration(identity=ProcessIdentity(kind=kind))
    row, lease = await running(stores, wanted)
    scope = ExecutionScope.process(row.id)
    pending, resolved = key_of(scope, "pending"), key_of(scope, "resolved")
    await stores.promises.open_promise(pending)
    await stores.promises.resolve_promise(resolved, OK)
    ended = await stores.process_registry.complete_process_with_lease(lease, SUCCESS)

    await stores.process_registry.prune_terminal_processes(
        ended.updated_at_ms + 1, ProcessFilter(status="any", identity_kind=kind)
    )

    assert [None, None] == [await stores.promises.peek_promise(key) for key in (pending, resolved)]
    assert Accepted() == await stores.promises.resolve_promise(resolved, OK)
    await stores.process_registry.register_process(wanted)
    assert [None, None] == [await stores.promises.peek_promise(key) for key in (pending, resolved)]
    assert None is await stores.promises.open_promise(pending)
