"""Turns that were begun before: committed ones are answered, open ones redone (``docs/contracts/turns.md`` 7)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from lash_core.errors import RuntimeFailure
from lash_core.model.turn_outcome import AgentFrameSwitchOutcome, AssembledTurn
from lash_core.runtime.session.lease_guard import SessionLeaseGuard
from lash_core.runtime.turns.idle_work import IdleWork, as_redo
from lash_core.runtime.turns.turn_at_work import LogicalWork
from lash_core.runtime.turns.turn_given import TurnGiven, follow_on_id
from lash_core.runtime.turns.turn_log import CommittedTurn
from lash_core.runtime.turns.turn_sequence import following_turn, run_turns
from lash_core.store.effect_host import JournalingEffectHost
from lash_core.store.runtime_persistence import RuntimePersistence
from lash_core.store.turn_journal import OpenTurn

if TYPE_CHECKING:
    from lash_core.runtime.lash_runtime import LashRuntime

TURN_RESULT_FORGOTTEN = "turn_result_forgotten"
"""The turn was committed so long ago that its result is not kept."""


async def committed_before(
    work: LogicalWork, store: RuntimePersistence, guard: SessionLeaseGuard, given: TurnGiven
) -> AssembledTurn | None:
    """What a logical turn of this id committed; one whose owner died between two frames is gone on with.

    Raises:
        RuntimeFailure: ``turn_result_forgotten``.
    """
    last, ordinal = await last_committed(store, given.turn_id)
    if last is None or not isinstance(last.turn.outcome, AgentFrameSwitchOutcome):
        return None if last is None else last.turn
    return await _go_on(work, store, guard, replace(given, ordinal=ordinal), last)


async def last_committed(store: RuntimePersistence, turn_id: str) -> tuple[CommittedTurn | None, int]:
    """The last physical turn that a logical one committed, and its place from 0; needs no lease.

    Raises:
        RuntimeFailure: ``turn_result_forgotten``.
    """
    last: CommittedTurn | None = None
    ordinal = 0
    stamp = await store.find_turn_stamp(store.session_id, turn_id)
    while stamp is not None:
        if stamp.turn_result is None:
            raise RuntimeFailure(
                TURN_RESULT_FORGOTTEN,
                f"turn `{stamp.turn_id}` was committed with revision {stamp.result.head_revision}, so long ago "
                "that its result is not kept; the session's history has its messages",
            )
        turn = AssembledTurn.model_validate(stamp.turn_result)
        last = CommittedTurn(turn.model_copy(update={"session_revision": stamp.result.head_revision}), stamp.result)
        if not isinstance(turn.outcome, AgentFrameSwitchOutcome):
            break
        stamp = await store.find_turn_stamp(store.session_id, follow_on_id(turn_id, ordinal + 1))
        ordinal += stamp is not None
    return last, ordinal


async def refresh_under(runtime: LashRuntime, guard: SessionLeaseGuard) -> None:
    """Read the session again, unless this runtime committed last under this very generation: nobody else could."""
    memory = runtime.turn_memory
    if memory.generation == guard.generation and runtime.state.head_revision is not None:
        return
    await runtime.refresh()
    memory.generation = guard.generation


async def _go_on(
    work: LogicalWork, store: RuntimePersistence, guard: SessionLeaseGuard, given: TurnGiven, committed: CommittedTurn
) -> AssembledTurn:
    turn = await open_turn_under(work.runtime, store, guard)
    following: TurnGiven | None = None
    if turn is not None and turn.turn_id == follow_on_id(given.root_turn_id, given.ordinal + 1):
        following = await IdleWork(work.runtime, store, guard).redo(turn)
    if following is None:
        following = await following_turn(work, given, committed)
    return committed.turn if following is None else await run_turns(work, following)


async def open_turn_under(runtime: LashRuntime, store: RuntimePersistence, guard: SessionLeaseGuard) -> OpenTurn | None:
    """The turn that is open, once the session is as the store has it: two reads beside each other."""
    if not journals(runtime):
        await refresh_under(runtime, guard)
        return None
    turn, _ = await asyncio.gather(store.load_open_turn(store.session_id), refresh_under(runtime, guard))
    return turn


async def settle_open_turn(work: LogicalWork, idle: IdleWork, turn: OpenTurn | None, given: TurnGiven) -> TurnGiven:
    """An open turn of another id is redone first; one of this id is what will run."""
    if turn is None:
        return given
    if turn.turn_id == given.turn_id:
        return as_redo(given, turn, work.runtime.host.core.poison_deaths_max)
    if work.runtime.turn_memory.was_told(turn.turn_id):
        # Its caller was told that nothing changed, and goes on with another turn.
        return given
    earlier = await idle.redo(turn)
    if earlier is not None:
        kept = replace(work, keeps_lease=True, cancellation=None, sender=None)
        await run_turns(kept, earlier)
    return given


def is_told_input(runtime: LashRuntime, turn: OpenTurn) -> bool:
    """True for a turn of a caller of this runtime who was told that nothing changed; the queue's own are redone."""
    facts = turn.facts if isinstance(turn.facts, dict) else {}
    return facts.get("origin") == "input" and runtime.turn_memory.was_told(turn.turn_id)


def journals(runtime: LashRuntime) -> bool:
    """True where effects of turns are recorded under the session's lease."""
    return isinstance(runtime.host.core.control.effect_host, JournalingEffectHost)
