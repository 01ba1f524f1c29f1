"""The commits of a turn: the one that ends it, and progress where effects are not journaled.

``docs/contracts/sessions.md`` 2.1, 3.2.
"""

from __future__ import annotations

import asyncio
import logging

from lash_core.errors import LashError, LimitExceededError, OutcomeUnknownError, RuntimeFailure
from lash_core.errors.session import (
    SessionExecutionLeaseExpiredError,
    UnsettledQueuedWorkClaimError,
    UnsettledTurnInputClaimError,
)
from lash_core.model.queued_work import (
    AgentFrameTaskPayload,
    DeliveryPolicy,
    QueuedWorkDraft,
    SlotPolicy,
)
from lash_core.model.session_commit import RuntimeCommit, RuntimeCommitResult
from lash_core.model.session_lease import SessionExecutionLeaseFence
from lash_core.model.session_state import RuntimeSessionState
from lash_core.model.turn_outcome import AgentFrameSwitchOutcome, AssembledTurn
from lash_core.model.usage import TokenLedgerEntry, merge_ledger
from lash_core.runtime.session.lease_guard import SessionLeaseLostError
from lash_core.runtime.shown_attachments import attachment_ids
from lash_core.runtime.turns.turn_at_work import TurnAtWork
from lash_core.runtime.turns.turn_log import stamped_result
from lash_core.store.runtime_persistence import RuntimePersistence

_log = logging.getLogger(__name__)

STORE_COMMIT_FAILED = "store_commit_failed"
UNKNOWN_REPEATS_MAX = 3
"""A stamped commit whose reply was lost is repeated: the second answers the first one's result."""
UNKNOWN_REPEAT_DELAY_MS = 100

COMMIT_PHASE = "commit"


class StoreCommitFailedError(RuntimeFailure):
    """The last commit of a turn was not accepted: nothing changed. ``__cause__`` is the store's error."""

    def __init__(self, turn_id: str, error: Exception) -> None:
        super().__init__(STORE_COMMIT_FAILED, f"turn `{turn_id}` could not be committed: {error}")


async def commit_final(turn: TurnAtWork, assembled: AssembledTurn) -> RuntimeCommitResult | None:
    """Write the end of a turn; afterwards its draft is the runtime's state.

    The turn's outcome is settled by now: whether the lease is live the store says, not the guard, whose renewals may
    have failed meanwhile.

    Returns:
        What the commit made; None without a store.

    Raises:
        SessionLeaseLostError: the lease is gone; nothing was written.
        StoreCommitFailedError: the store refused; nothing changed.
        UnsettledQueuedWorkClaimError, UnsettledTurnInputClaimError: nothing reached the store.
    """
    runtime, draft = turn.runtime, turn.draft
    child_usage = tuple(runtime.shared_token_ledger)
    frame = draft.current_agent_frame()
    own = turn.log.ledger(None if frame is None else frame.assignment.usage_source)
    usage = merge_ledger((*own, *child_usage))
    _count(turn)
    store, guard = runtime.store, turn.work.guard
    if store is None or guard is None:
        draft.token_ledger = list(merge_ledger((*draft.token_ledger, *usage)))
        runtime.state = draft
        del runtime.shared_token_ledger[: len(child_usage)]
        return None
    is_last = not isinstance(assembled.outcome, AgentFrameSwitchOutcome)
    try:
        await turn.claims.give_back_spare(store)
        commit = _exported(turn, guard.fence, usage, release=is_last and not turn.work.keeps_lease)
        commit = turn.claims.settle_in(commit).model_copy(
            update={
                "enqueued_queue_batches": _handoff(turn, assembled),
                "interrupted_turn_input_turn_id": turn.turn_id,
                "committed_attachment_ids": attachment_ids(turn.log.messages),
                "turn_result": stamped_result(assembled).to_json_value(),
            }
        )
        turn.claims.require_settled(commit)
        result = await _write(store, commit.stamped(turn.turn_id))
    except (UnsettledQueuedWorkClaimError, UnsettledTurnInputClaimError):
        raise
    except SessionExecutionLeaseExpiredError as error:
        raise _lost(turn, error.message) from error
    except (LashError, OSError) as error:
        lost = turn.lost_error()
        raise (lost or StoreCommitFailedError(turn.turn_id, error)) from error
    _take_over(turn, commit, result, child_usage)
    if commit.release_session_execution_lease is not None:
        guard.mark_released()
    return result


async def commit_progress(turn: TurnAtWork) -> bool:
    """Store what the turn has appended before its first model call; only where a redo could not make it again.

    Returns:
        False: it was not needed, or is too large for any store.

    Raises:
        SessionLeaseLostError: the lease is gone.
        StoreCommitFailedError: the store refused; the turn ends before a model is called.
    """
    if turn.journal is not None or turn.runtime.store is None:
        return False
    try:
        commit = _exported(turn, turn.fence(), (), release=False)
        result = await turn.runtime.store.commit_runtime_state(commit)
    except SessionExecutionLeaseExpiredError as error:
        raise _lost(turn, error.message) from error
    except LimitExceededError:
        # Nobody can store it, now or later: the turn's end is committed as too large.
        _log.warning("the beginning of turn %s was not stored", turn.turn_id, exc_info=True)
        return False
    except (LashError, OSError) as error:
        raise (turn.lost_error() or StoreCommitFailedError(turn.turn_id, error)) from error
    _take_over(turn, commit, result, ())
    # The turn goes on: its next appends are not part of what the runtime shows.
    turn.draft = turn.draft.copy()
    turn.stored_nodes = len(turn.draft.session_graph.nodes)
    return True


def _exported(
    turn: TurnAtWork, fence: SessionExecutionLeaseFence, usage: tuple[TokenLedgerEntry, ...], *, release: bool
) -> RuntimeCommit:
    """The commit of the draft. Exporting only reads memory, so nobody sees the draft in the runtime's place."""
    runtime = turn.runtime
    before: RuntimeSessionState = runtime.state
    runtime.state = turn.draft
    try:
        return runtime.export_commit(fence=fence, release_lease=release, usage_deltas=usage)
    finally:
        runtime.state = before


async def _write(store: RuntimePersistence, commit: RuntimeCommit) -> RuntimeCommitResult:
    repeats = 0
    while True:
        try:
            return await store.commit_runtime_state(commit)
        except OutcomeUnknownError:
            repeats += 1
            if repeats > UNKNOWN_REPEATS_MAX:
                raise
        await asyncio.sleep(UNKNOWN_REPEAT_DELAY_MS / 1_000)


def _take_over(
    turn: TurnAtWork, commit: RuntimeCommit, result: RuntimeCommitResult, child_usage: tuple[TokenLedgerEntry, ...]
) -> None:
    runtime = turn.runtime
    runtime.state = turn.draft
    runtime.apply_commit_result(commit, result)
    del runtime.shared_token_ledger[: len(child_usage)]
    if turn.work.guard is not None:
        runtime.turn_memory.generation = turn.work.guard.generation


def _count(turn: TurnAtWork) -> None:
    """The session's counters: one turn more, its usage, the size of its last prompt."""
    draft, calls = turn.draft, turn.log.llm_calls
    draft.turn_index += 1
    draft.token_usage += turn.log.usage()
    if calls:
        draft.last_prompt_usage = calls[-1].usage


def _handoff(turn: TurnAtWork, assembled: AssembledTurn) -> tuple[QueuedWorkDraft, ...]:
    """The task of a switch, for the new frame: it appears in the queue with the commit."""
    outcome = assembled.outcome
    if not isinstance(outcome, AgentFrameSwitchOutcome):
        return ()
    return (
        QueuedWorkDraft(
            session_id=turn.draft.session_id,
            delivery_policy=DeliveryPolicy.AFTER_CURRENT_TURN_COMMIT,
            slot_policy=SlotPolicy.EXCLUSIVE,
            payloads=(AgentFrameTaskPayload(frame_id=outcome.frame_id, task=outcome.task),),
            source_key=handoff_source_key(turn.turn_id),
        ),
    )


def handoff_source_key(turn_id: str) -> str:
    """The source key of the handoff of a turn."""
    return f"agent-frame-handoff:{turn_id}"


def _lost(turn: TurnAtWork, why: str) -> Exception:
    guard = turn.work.guard
    if guard is not None:
        guard.lose(why)
    return turn.lost_error() or SessionLeaseLostError(turn.draft.session_id, why)
