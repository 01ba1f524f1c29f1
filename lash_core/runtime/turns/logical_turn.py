"""Logical turns: from the lease to the commit that releases it (``docs/contracts/turns.md`` 4, 7)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from lash_core.errors import LashError
from lash_core.model.session_lease import SessionExecutionLease
from lash_core.model.turn_control import TurnCancelReceipt, TurnCancelRequest
from lash_core.model.turn_input import TurnInput
from lash_core.model.turn_outcome import AgentFrameSwitchOutcome, AssembledTurn
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.session.lease_guard import SessionBusyError, SessionLeaseGuard
from lash_core.runtime.turn_activities import TurnEventSender
from lash_core.runtime.turns.begun_turns import (
    committed_before,
    is_told_input,
    last_committed,
    open_turn_under,
    settle_open_turn,
)
from lash_core.runtime.turns.cancel_gate import TurnCancelGate
from lash_core.runtime.turns.idle_work import IdleWork
from lash_core.runtime.turns.turn_at_work import LogicalWork
from lash_core.runtime.turns.turn_checks import check_durability, provider_of
from lash_core.runtime.turns.turn_given import TurnGiven
from lash_core.runtime.turns.turn_sequence import run_turns

if TYPE_CHECKING:
    from lash_core.runtime.lash_runtime import LashRuntime


async def stream_turn(
    runtime: LashRuntime,
    given: TurnInput,
    *,
    turn_id: str | None = None,
    cancellation: CancellationToken | None = None,
    sender: TurnEventSender | None = None,
    lease: SessionLeaseGuard | SessionExecutionLease | None = None,
) -> AssembledTurn:
    """Run a turn over an input and answer how it ended. See ``LashRuntime.stream_turn``."""
    work_given = TurnGiven.of_input(given, turn_id)
    check_durability(runtime)
    store = runtime.store
    is_known = turn_id is not None or given.trace_turn_id is not None
    if store is not None and is_known:
        # Whoever asks again for a turn that is over need not wait for the session to be free.
        last, _ = await last_committed(store, work_given.turn_id)
        if last is not None and not isinstance(last.turn.outcome, AgentFrameSwitchOutcome):
            return last.turn
    async with _lease_of(runtime, lease) as (guard, keeps):
        work = LogicalWork(runtime, guard, cancellation, sender, keeps)
        if guard is None or store is None:
            return await run_turns(work, work_given)
        try:
            found = await committed_before(work, store, guard, work_given) if is_known else None
            if found is not None:
                return found
            turn = await open_turn_under(runtime, store, guard)
            provider_of(runtime, runtime.state.effective_policy())
            idle = IdleWork(runtime, store, guard)
            work_given = await settle_open_turn(work, idle, turn, work_given)
            if not work_given.is_redo:
                await idle.run_leading_commands()
            return await run_turns(work, work_given)
        except LashError:
            runtime.turn_memory.tell_failure(work_given.turn_id)
            raise


async def run_next_queued_turn(
    runtime: LashRuntime,
    *,
    cancellation: CancellationToken | None = None,
    sender: TurnEventSender | None = None,
    lease: SessionLeaseGuard | SessionExecutionLease | None = None,
) -> AssembledTurn | None:
    """Run the session's next turn, if there is one. See ``LashRuntime.run_next_queued_turn``."""
    store = runtime.store
    if store is None:
        return None
    check_durability(runtime)
    try:
        async with _lease_of(runtime, lease) as (guard, keeps):
            if guard is None:
                return None
            work = LogicalWork(runtime, guard, cancellation, sender, keeps)
            turn = await open_turn_under(runtime, store, guard)
            idle = IdleWork(runtime, store, guard)
            given = await idle.redo(turn) if turn is not None and not is_told_input(runtime, turn) else None
            if given is None:
                given = await idle.next()
            return None if given is None else await run_turns(work, given)
    except SessionBusyError:
        return None


async def request_turn_cancel(runtime: LashRuntime, request: TurnCancelRequest) -> TurnCancelReceipt:
    """Ask for the cancel of a turn of any session of this host. See ``LashRuntime.request_turn_cancel``."""
    host = runtime.host.core.control.effect_host
    gate = TurnCancelGate(host.await_events, request.address, durability_tier=host.durability_tier().value)
    return await gate.request(request)


# -- the lease ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def _lease_of(
    runtime: LashRuntime, lease: SessionLeaseGuard | SessionExecutionLease | None
) -> AsyncGenerator[tuple[SessionLeaseGuard | None, bool]]:
    """The session's lease for a logical turn, and whether it is the caller's to keep."""
    memory, store = runtime.turn_memory, runtime.store
    memory.begin(runtime.session_id)
    guard: SessionLeaseGuard | None = None
    keeps = isinstance(lease, SessionLeaseGuard)
    try:
        timings = runtime.host.core.session_lease_timings
        if isinstance(lease, SessionLeaseGuard):
            guard = lease
        elif store is not None and lease is not None:
            guard = SessionLeaseGuard.adopt(store, lease, timings)
        elif store is not None:
            guard = await SessionLeaseGuard.acquire(store, runtime.runtime_lease_owner, timings)
        if guard is not None:
            await runtime.background_tasks.adopt_background_tasks(guard.generation)
        yield guard, keeps
    finally:
        memory.end()
        if guard is not None and not keeps:
            await guard.release()
