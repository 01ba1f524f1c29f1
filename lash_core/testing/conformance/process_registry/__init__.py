"""The conformance suite of ``lash_core.store.process_registry.ProcessRegistry``: one module per operation.

Each case is ``async def case(stores) -> None`` and states its promise in its docstring. Cases make their own ids and
queues, so one set of stores serves all of them, in any order and beside other rows. Run them one at a time per set of
stores: some move the stores' clock, and one prunes without a filter.

Which case notices which broken hazard of the contract is listed in docs/adr/0050.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from types import ModuleType

from lash_core.testing.conformance.process_registry import (
    ack_wake,
    append_event,
    append_event_checks,
    append_event_wake,
    append_events,
    audit,
    await_terminal,
    cancel,
    claim_process_lease,
    claim_ready_processes,
    clear_wait,
    complete_process,
    complete_process_lease,
    complete_process_with_lease,
    complete_processes_with_lease,
    count_events_through,
    count_processes,
    delete_session_process_state,
    durability_tier,
    events_after,
    fences,
    filter_unregistered,
    get_process,
    get_process_lease,
    grant_handle,
    handles_for_process,
    handovers,
    has_handle,
    limits,
    list_handles,
    list_non_terminal,
    list_processes,
    list_processes_page,
    live_reference_summary,
    mark_cancel_seen,
    processes_changed_since,
    prune_terminal_processes,
    recent_events,
    reclaim_process_lease,
    record_first_started,
    register_process,
    register_process_checks,
    register_processes,
    release_process_leases,
    renew_process_lease,
    renew_process_leases,
    request_abandon,
    requeue_expired_leases,
    revoke_handle,
    set_external_ref,
    set_wait,
    transfer_handles,
    wait_event_after,
    wake_events_after,
)
from lash_core.testing.conformance.stores import ConformanceStores
from lash_core.testing.conformance.suite import cases_of

Case = Callable[[ConformanceStores], Awaitable[None]]

_MODULES: tuple[ModuleType, ...] = (
    durability_tier,
    register_process,
    register_process_checks,
    register_processes,
    set_external_ref,
    grant_handle,
    revoke_handle,
    transfer_handles,
    list_handles,
    has_handle,
    handles_for_process,
    delete_session_process_state,
    append_event,
    append_event_checks,
    append_event_wake,
    append_events,
    events_after,
    wake_events_after,
    ack_wake,
    count_events_through,
    recent_events,
    wait_event_after,
    await_terminal,
    get_process,
    list_processes,
    list_non_terminal,
    list_processes_page,
    count_processes,
    filter_unregistered,
    live_reference_summary,
    processes_changed_since,
    complete_process,
    complete_process_with_lease,
    complete_processes_with_lease,
    claim_process_lease,
    claim_ready_processes,
    renew_process_lease,
    renew_process_leases,
    complete_process_lease,
    release_process_leases,
    reclaim_process_lease,
    requeue_expired_leases,
    get_process_lease,
    record_first_started,
    request_abandon,
    set_wait,
    clear_wait,
    handovers,
    cancel,
    mark_cancel_seen,
    audit,
    fences,
    limits,
    prune_terminal_processes,
)


def cases() -> Iterator[tuple[str, Case]]:
    """Every case as ``(<module>.<function>, function)``, in a stable order: by operation, then as written."""
    return cases_of(_MODULES)
