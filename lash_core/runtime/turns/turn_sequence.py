"""The physical turns of a logical one: each is begun, run, and followed by the next frame's.

``docs/contracts/sessions.md`` 3.1.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.queued_work import ClaimBoundary, QueuedWorkBatch
from lash_core.model.session import SessionPolicy
from lash_core.model.session_state import RuntimeSessionState
from lash_core.model.turn_outcome import AgentFrameSwitchOutcome, AssembledTurn
from lash_core.runtime.session.lease_guard import SessionLeaseGuard
from lash_core.runtime.turn_activities import tell_turn_begins
from lash_core.runtime.turns.inline_handoff import inline_handoff
from lash_core.runtime.turns.physical_turn import run_physical_turn
from lash_core.runtime.turns.turn_at_work import HeldTurn, LogicalWork, TurnAtWork
from lash_core.runtime.turns.turn_checks import provider_of, switch_limit_issue
from lash_core.runtime.turns.turn_claims import TurnClaims
from lash_core.runtime.turns.turn_given import TurnGiven, follow_on_id
from lash_core.runtime.turns.turn_log import CommittedTurn, TurnLog
from lash_core.runtime.turns.turn_scope import TurnScope, new_run_id
from lash_core.store.effect_host import JournalingEffectHost, ScopedEffects, TurnScopedEffects
from lash_core.store.runtime_persistence import RuntimePersistence

if TYPE_CHECKING:
    from lash_core.runtime.lash_runtime import LashRuntime


async def run_turns(work: LogicalWork, given: TurnGiven) -> AssembledTurn:
    """Physical turns until one ends other than by a switch."""
    while True:
        committed = await run_physical_turn(await _begin(work, given))
        following = await following_turn(work, given, committed)
        if following is None:
            return committed.turn
        given = following


async def _begin(work: LogicalWork, given: TurnGiven) -> TurnAtWork:
    """Note the turn as open and make what it works with."""
    runtime, store = work.runtime, work.runtime.store
    noted = _noted_policy(runtime, given)
    policy = noted or runtime.state.effective_policy()
    if given.ordinal == 0 and given.refusal is None:
        # Before anything is noted: another program may have the provider that this one lacks.
        provider_of(runtime, policy)
    base = runtime.state.head_revision or 0
    given = given if given.base_revision is not None else replace(given, base_revision=base)
    effects: ScopedEffects
    journal: TurnScopedEffects | None = None
    host = runtime.host.core.control.effect_host
    if store is not None and work.guard is not None and isinstance(host, JournalingEffectHost):
        if not given.is_redo:
            await store.open_turn(work.guard.require(), given.open_turn(base, policy))
        run = HeldTurn(work.guard, store, given.turn_id, is_fresh=not given.is_redo)
        effects = journal = host.scoped_turn(run)
    else:
        effects = host.scoped(ExecutionScope.turn(runtime.session_id, given.turn_id))
    generation = 0 if work.guard is None else work.guard.generation
    await tell_turn_begins(work.sender, given.turn_id, generation, is_redo=given.is_redo)
    draft = runtime.state.copy()
    if noted is not None:
        _take_policy(draft, noted)
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
            run_id=new_run_id() if given.is_redo else "",
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


def _noted_policy(runtime: LashRuntime, given: TurnGiven) -> SessionPolicy | None:
    """What a first turn was begun with: whoever redoes it may be an app that gives new sessions another model."""
    policy = given.policy
    if policy is None or runtime.state.head_revision is not None:
        return None
    return policy if policy.provider_id in runtime.host.core.providers.ids else None


def _take_policy(draft: RuntimeSessionState, policy: SessionPolicy) -> None:
    draft.policy = policy
    frame = draft.current_agent_frame()
    if frame is not None:
        draft.set_frame(frame.model_copy(update={"assignment": frame.assignment.model_copy(update={"policy": policy})}))


async def following_turn(work: LogicalWork, given: TurnGiven, committed: CommittedTurn) -> TurnGiven | None:
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
    return TurnGiven(
        follow_on_id(given.root_turn_id, ordinal),
        given.root_turn_id,
        "queue",
        ordinal=ordinal,
        batches=batches,
        refusal=switch_limit_issue(ordinal),
    )
