"""Logical turns: from the lease to the commit that releases it (contract 3.1; ``docs/contracts/turns.md`` 4, 7)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from lash_core.errors import LashError, RuntimeFailure
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.queued_work import ClaimBoundary, QueuedWorkBatch
from lash_core.model.session_lease import SessionExecutionLease
from lash_core.model.turn_control import TurnCancelReceipt, TurnCancelRequest
from lash_core.model.turn_input import TurnInput
from lash_core.model.turn_outcome import AgentFrameSwitchOutcome, AssembledTurn, TurnIssue
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.session_lease_guard import SessionBusyError, SessionLeaseGuard
from lash_core.runtime.turn_activities import TurnEventSender
from lash_core.runtime.turns.cancel_gate import TurnCancelGate
from lash_core.runtime.turns.idle_work import IdleWork, as_redo
from lash_core.runtime.turns.inline_handoff import inline_handoff
from lash_core.runtime.turns.physical_turn import run_physical_turn
from lash_core.runtime.turns.turn_at_work import HeldTurn, LogicalWork, TurnAtWork
from lash_core.runtime.turns.turn_checks import check_durability, provider_of
from lash_core.runtime.turns.turn_claims import TurnClaims
from lash_core.runtime.turns.turn_given import TurnGiven
from lash_core.runtime.turns.turn_log import CommittedTurn, TurnLog
from lash_core.runtime.turns.turn_scope import TurnScope
from lash_core.store.effect_host import JournalingEffectHost, ScopedEffects, TurnScopedEffects
from lash_core.store.runtime_persistence import RuntimePersistence
from lash_core.store.turn_journal import OpenTurn

if TYPE_CHECKING:
    from lash_core.runtime.lash_runtime import LashRuntime

PHYSICAL_TURNS_MAX = 16
"""Of one logical turn: agents that hand over to each other in circles end."""
SWITCH_LIMIT = "agent_frame_switch_limit"
TURN_RESULT_FORGOTTEN = "turn_result_forgotten"
"""The turn was committed so long ago that its result is not kept."""


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
    async with _lease_of(runtime, lease) as (guard, keeps):
        work = LogicalWork(runtime, guard, cancellation, sender, keeps)
        store = runtime.store
        if guard is None or store is None:
            provider_of(runtime, runtime.state.effective_policy())
            return await _run(work, work_given)
        try:
            is_known = turn_id is not None or given.trace_turn_id is not None
            found = await _committed(work, store, guard, work_given) if is_known else None
            if found is not None:
                return found
            await _refresh(runtime, guard)
            provider_of(runtime, runtime.state.effective_policy())
            idle = IdleWork(runtime, store, guard)
            work_given = await _settle_open_turn(work, idle, store, work_given)
            if not work_given.is_redo:
                await idle.run_leading_commands()
            return await _run(work, work_given)
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
            await _refresh(runtime, guard)
            idle = IdleWork(runtime, store, guard)
            turn = await store.load_open_turn(store.session_id) if _journals(runtime) else None
            given = await idle.redo(turn) if turn is not None and not _is_told_input(runtime, turn) else None
            if given is None:
                given = await idle.next()
            return None if given is None else await _run(work, given)
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
        yield guard, keeps
    finally:
        memory.end()
        if guard is not None and not keeps:
            await guard.release()


async def _refresh(runtime: LashRuntime, guard: SessionLeaseGuard) -> None:
    """Read the session again, unless this runtime committed last under this very generation: nobody else could."""
    memory = runtime.turn_memory
    if memory.generation == guard.generation and runtime.state.head_revision is not None:
        return
    await runtime.refresh()
    memory.generation = guard.generation


# -- turns --------------------------------------------------------------------------------------------------


async def _run(work: LogicalWork, given: TurnGiven) -> AssembledTurn:
    """Physical turns until one ends other than by a switch."""
    while True:
        committed = await run_physical_turn(await _begin(work, given))
        following = await _following(work, given, committed)
        if following is None:
            return committed.turn
        given = following


async def _begin(work: LogicalWork, given: TurnGiven) -> TurnAtWork:
    """Note the turn as open and make what it works with."""
    runtime, store = work.runtime, work.runtime.store
    base = runtime.state.head_revision or 0
    given = given if given.base_revision is not None else replace(given, base_revision=base)
    effects: ScopedEffects
    journal: TurnScopedEffects | None = None
    host = runtime.host.core.control.effect_host
    if store is not None and work.guard is not None and isinstance(host, JournalingEffectHost):
        if not given.is_redo:
            await store.open_turn(work.guard.require(), given.open_turn(base))
        run = HeldTurn(work.guard, store, given.turn_id, is_fresh=not given.is_redo)
        effects = journal = host.scoped_turn(run)
    else:
        effects = host.scoped(ExecutionScope.turn(runtime.session_id, given.turn_id))
    draft = runtime.state.copy()
    clock = runtime.host.core.clock
    turn = TurnAtWork(
        work,
        given,
        TurnScope(
            session_id=runtime.session_id,
            turn_id=given.turn_id,
            turn_index=draft.turn_index,
            effects=effects,
            agent_frame_id=draft.current_agent_frame_id,
            sender=work.sender,
            probe=runtime.turn_phase_probe,
            clock=clock,
        ),
        draft,
        TurnLog(runtime.session_id, given.turn_id, clock.now_ms()),
        TurnClaims(),
        journal=journal,
    )
    turn.claims.take_queue(given.queue_claim)
    turn.claims.take_inputs(given.input_claim)
    return turn


async def _following(work: LogicalWork, given: TurnGiven, committed: CommittedTurn) -> TurnGiven | None:
    """The follow-on of a switch, under the same lease; None when the turn is over or the handoff is somebody else's."""
    outcome, result = committed.turn.outcome, committed.result
    if not isinstance(outcome, AgentFrameSwitchOutcome):
        return None
    store, guard = work.runtime.store, work.guard
    if store is None or guard is None or result is None:
        return _follow_on(given, inline_handoff(work.runtime.session_id, given.turn_id, outcome))
    return await _claimed_follow_on(store, guard, given, result.enqueued_queue_batches)


async def _claimed_follow_on(
    store: RuntimePersistence, guard: SessionLeaseGuard, given: TurnGiven, handoff: tuple[QueuedWorkBatch, ...]
) -> TurnGiven | None:
    claim = await store.claim_ready_queued_work_by_batch_ids(
        guard.require(), ClaimBoundary.IDLE, [batch.batch_id for batch in handoff]
    )
    if claim is None:
        return None
    return replace(_follow_on(given, claim.batches), queue_claim=claim)


def _follow_on(given: TurnGiven, batches: tuple[QueuedWorkBatch, ...]) -> TurnGiven:
    ordinal = given.ordinal + 1
    text = f"logical turn exceeded the limit of {PHYSICAL_TURNS_MAX} agent frame switches"
    refusal = TurnIssue(kind="runtime", code=SWITCH_LIMIT, message=text) if ordinal >= PHYSICAL_TURNS_MAX else None
    return TurnGiven(
        follow_on_id(given.root_turn_id, ordinal),
        given.root_turn_id,
        "queue",
        ordinal=ordinal,
        batches=batches,
        refusal=refusal,
    )


def follow_on_id(root_turn_id: str, ordinal: int) -> str:
    """The id of a logical turn's physical turn after its first."""
    return f"{root_turn_id}:agent-frame:{ordinal}"


# -- turns that were begun ----------------------------------------------------------------------------------


async def _committed(
    work: LogicalWork, store: RuntimePersistence, guard: SessionLeaseGuard, given: TurnGiven
) -> AssembledTurn | None:
    """What a turn of this id committed: its stamps are followed to the end of the logical turn.

    A turn whose owner died between two frames is gone on with.

    Raises:
        RuntimeFailure: ``turn_result_forgotten``.
    """
    stamp = await store.find_turn_stamp(store.session_id, given.turn_id)
    ordinal = 0
    while stamp is not None:
        if stamp.turn_result is None:
            raise RuntimeFailure(
                TURN_RESULT_FORGOTTEN,
                f"turn `{stamp.turn_id}` was committed with revision {stamp.result.head_revision}, so long ago "
                "that its result is not kept; the session's history has its messages",
            )
        turn = AssembledTurn.model_validate(stamp.turn_result)
        turn = turn.model_copy(update={"session_revision": stamp.result.head_revision})
        if not isinstance(turn.outcome, AgentFrameSwitchOutcome):
            return turn
        ordinal += 1
        later = await store.find_turn_stamp(store.session_id, follow_on_id(given.turn_id, ordinal))
        if later is None:
            return await _go_on(
                work, store, guard, replace(given, ordinal=ordinal - 1), CommittedTurn(turn, stamp.result)
            )
        stamp = later
    return None


async def _go_on(
    work: LogicalWork, store: RuntimePersistence, guard: SessionLeaseGuard, given: TurnGiven, committed: CommittedTurn
) -> AssembledTurn:
    await _refresh(work.runtime, guard)
    turn = await store.load_open_turn(store.session_id) if _journals(work.runtime) else None
    following: TurnGiven | None = None
    if turn is not None and turn.turn_id == follow_on_id(given.root_turn_id, given.ordinal + 1):
        following = await IdleWork(work.runtime, store, guard).redo(turn)
    if following is None:
        following = await _following(work, given, committed)
    return committed.turn if following is None else await _run(work, following)


async def _settle_open_turn(
    work: LogicalWork, idle: IdleWork, store: RuntimePersistence, given: TurnGiven
) -> TurnGiven:
    """An open turn of another id is redone first; one of this id is what will run."""
    if not _journals(work.runtime):
        return given
    turn = await store.load_open_turn(store.session_id)
    if turn is None:
        return given
    if turn.turn_id == given.turn_id:
        return as_redo(given, turn)
    if work.runtime.turn_memory.was_told(turn.turn_id):
        # Its caller was told that nothing changed, and goes on with another turn.
        return given
    earlier = await idle.redo(turn)
    if earlier is not None:
        kept = replace(work, keeps_lease=True, cancellation=None)
        await _run(kept, earlier)
    return given


def _is_told_input(runtime: LashRuntime, turn: OpenTurn) -> bool:
    """True for a turn of a caller of this runtime who was told that nothing changed; the queue's own are redone."""
    facts = turn.facts if isinstance(turn.facts, dict) else {}
    return facts.get("origin") == "input" and runtime.turn_memory.was_told(turn.turn_id)


def _journals(runtime: LashRuntime) -> bool:
    return isinstance(runtime.host.core.control.effect_host, JournalingEffectHost)
