"""One physical turn, from what it is given to its commit (``docs/contracts/turns.md`` 5)."""

from __future__ import annotations

import logging
from collections.abc import Callable

from lash_core.errors import LashError, LimitExceededError, RuntimeFailure
from lash_core.errors.session import SessionExecutionLeaseExpiredError, SessionStoreError
from lash_core.model.turn_control import TurnAddress, TurnTerminal
from lash_core.model.turn_outcome import (
    AgentFrameSwitchOutcome,
    AssembledTurn,
    StoppedOutcome,
    TurnIssue,
    TurnOutcome,
)
from lash_core.protocols.providers.model_provider import ModelProvider
from lash_core.protocols.turn_machine import Finish, TurnStart
from lash_core.runtime.failure_texts import bounded
from lash_core.runtime.journal.errors import STORE_ERRORS
from lash_core.runtime.plugin.asking import EVENT_MS_MAX, GRACE_MS
from lash_core.runtime.plugins import PluginLifecycleEvent
from lash_core.runtime.session.lease_guard import LEASE_LOST, SessionLeaseLostError
from lash_core.runtime.turn_activities import tell_turn_committed
from lash_core.runtime.turns.cancel_gate import GATE_REVOKED, GATE_UNAVAILABLE, TurnCancelGate
from lash_core.runtime.turns.machine_loop import MachineLoop
from lash_core.runtime.turns.model_caller import ModelCaller
from lash_core.runtime.turns.old_turns import forget_old_turns
from lash_core.runtime.turns.turn_at_work import TurnAtWork
from lash_core.runtime.turns.turn_beginning import begin_turn, stopped
from lash_core.runtime.turns.turn_cancellation import TurnCancellation
from lash_core.runtime.turns.turn_checks import instructions_of, model_issue, provider_of
from lash_core.runtime.turns.turn_commit import COMMIT_PHASE, StoreCommitFailedError, commit_final
from lash_core.runtime.turns.turn_log import CommittedTurn, without_nodes
from lash_core.runtime.turns.turn_messages import is_given
from lash_core.runtime.turns.turn_tools import tools_of_turn

_log = logging.getLogger(__name__)

TURN_TOO_LARGE = "turn_too_large"
INPUT_PHASE, LOOP_PHASE = "turn_input", "effect_loop"

_ENDS_UNCOMMITTED = (*STORE_ERRORS, SessionStoreError, SessionLeaseLostError, StoreCommitFailedError)
_GATE_ERRORS = (GATE_UNAVAILABLE, GATE_REVOKED)


async def run_physical_turn(turn: TurnAtWork) -> CommittedTurn:
    """Run the turn to its commit.

    Raises:
        SessionLeaseLostError: nothing is committed; claims were given back as far as possible.
        StoreCommitFailedError: the last commit was refused; nothing changed.
        RuntimeFailure: ``session_model_required``, ``model_provider_unknown``, ``turn_cancel_gate_unavailable``,
            ``turn_cancel_gate_revoked``: it did not begin.
        Store errors: nothing is committed, the turn stays open.
    """
    control = turn.runtime.host.core.control
    tier = control.effect_host.durability_tier()
    gate = TurnCancelGate(
        control.effect_host.await_events,
        TurnAddress(turn.draft.session_id, turn.turn_id),
        durability_tier=tier.value,
    )
    cancellation = TurnCancellation(gate, turn.scope.cancellation, turn.work.cancellation, turn.journal)
    forget = _link_lease(turn)
    try:
        finish = await _run(turn, cancellation)
        committed = await _end(turn, cancellation, finish)
    except SessionExecutionLeaseExpiredError as error:
        raise await _given_up(turn, error) from error
    except (LashError, OSError) as error:
        raise await _given_up(turn, error) from error.__cause__
    finally:
        forget()
        await cancellation.close()
    await tell_turn_committed(turn.work.sender, turn.turn_id)
    await gate.publish(_terminal(committed))
    await forget_old_turns(turn.runtime)
    await turn.runtime.plugins.emit(
        PluginLifecycleEvent.TURN_PERSISTED,
        within_ms=_patience_ms(committed.turn),
        turn=committed.turn,
        head_revision=committed.turn.session_revision,
    )
    return committed


# -- before the machine -------------------------------------------------------------------------------------


async def _run(turn: TurnAtWork, cancellation: TurnCancellation) -> Finish:
    """How the turn ends. What goes wrong outside the store is an end like others: it is committed."""
    try:
        with turn.scope.phase(INPUT_PHASE):
            async with cancellation.before_it_begins() as hurry:
                start = await begin_turn(turn, hurry)
        if isinstance(start, Finish):
            await cancellation.begin()
            return start
        return await _run_machine(turn, cancellation, start)
    except _ENDS_UNCOMMITTED:
        raise
    except RuntimeFailure as error:
        if error.code in _GATE_ERRORS:
            raise
        return _broken(turn, error)
    except Exception as error:  # noqa: BLE001 - code of protocols, plugins and providers
        return _broken(turn, error)


# -- the machine --------------------------------------------------------------------------------------------


async def _run_machine(turn: TurnAtWork, cancellation: TurnCancellation, start: TurnStart) -> Finish:
    runtime = turn.runtime
    policy = turn.draft.effective_policy()
    provider = provider_of(runtime, policy)
    issue = model_issue(provider, policy)
    await cancellation.begin()
    if issue is not None:
        return stopped("provider_error", issue)
    loop = MachineLoop(
        turn,
        _model_caller(turn, provider),
        tools_of_turn(turn),
        policy,
        instructions_of(policy, runtime.plugins.hooks.prompt_contributions()),
    )
    with turn.scope.phase(LOOP_PHASE):
        finish = await loop.run(runtime.plugins.protocol_driver.begin(start))
    if turn.journal is not None and turn.journal.mismatch is not None:
        # Whatever became of it on the way: a turn that asks for other effects than before is not the same turn.
        return _broken(turn, turn.journal.mismatch)
    return finish


def _model_caller(turn: TurnAtWork, provider: ModelProvider) -> ModelCaller:
    core = turn.runtime.host.core
    attachments = turn.runtime.attachments or core.durability.attachment_store
    return ModelCaller(turn.scope, provider, core.model_retry, attachments)


# -- the end ------------------------------------------------------------------------------------------------


async def _end(turn: TurnAtWork, cancellation: TurnCancellation, finish: Finish) -> CommittedTurn:
    turn.require_lease()
    was_cancelled = _is_cancelled(finish.outcome)
    evidence = await cancellation.settle(cancelled=was_cancelled)
    outcome: TurnOutcome = finish.outcome
    if evidence is not None:
        outcome = StoppedOutcome("cancelled")
    elif was_cancelled:
        # No cancel stands behind it, a seal does: the turn cannot say that it was cancelled.
        outcome = StoppedOutcome("runtime_error")
        turn.log.issues.append(
            TurnIssue(kind="runtime", code="turn_cancel_without_evidence", message="the completion was sealed before")
        )
    turn.log.issues += finish.issues
    if isinstance(outcome, AgentFrameSwitchOutcome):
        _open_frame(turn, outcome)
    assembled = turn.log.assemble(outcome, finished_at_ms=turn.scope.clock.now_ms(), cancellation=evidence)
    await turn.runtime.plugins.emit(
        PluginLifecycleEvent.TURN_FINALIZED, within_ms=_patience_ms(assembled), turn=assembled
    )
    with turn.scope.phase(COMMIT_PHASE):
        try:
            result = await commit_final(turn, assembled)
        except StoreCommitFailedError as error:
            if not isinstance(error.__cause__, LimitExceededError):
                raise
            assembled = _too_large(turn, error.__cause__)
            result = await commit_final(turn, assembled)
    if result is not None:
        assembled = assembled.model_copy(update={"session_revision": result.head_revision})
    return CommittedTurn(assembled, result)


def _too_large(turn: TurnAtWork, error: LimitExceededError) -> AssembledTurn:
    """What can be stored of a turn that no store takes: its inputs, and that it failed. A redo would end like this."""
    given = [message for message in turn.log.messages if is_given(message)]
    turn.draft, turn.log.messages = turn.runtime.state.copy(), []
    for message in given:
        turn.append(message)
    issue = TurnIssue(kind="runtime", code=TURN_TOO_LARGE, message=error.message, retryable=False)
    turn.log.issues.append(issue)
    return turn.log.assemble(StoppedOutcome("runtime_error"), finished_at_ms=turn.scope.clock.now_ms())


def _open_frame(turn: TurnAtWork, outcome: AgentFrameSwitchOutcome) -> None:
    turn.draft.open_agent_frame(
        outcome.frame_id,
        reason="agent_frame_switch",
        seed_nodes=outcome.initial_nodes,
        now_ms=turn.scope.clock.now_ms(),
    )


async def _given_up(turn: TurnAtWork, error: Exception) -> Exception:
    """The error of a turn that is not committed. Its state is read again before the next one."""
    memory = turn.runtime.turn_memory
    memory.generation = None
    guard, store = turn.work.guard, turn.runtime.store
    if isinstance(error, SessionExecutionLeaseExpiredError) and guard is not None:
        guard.lose(error.message)
    lost = turn.lost_error()
    if store is not None:
        await turn.claims.abandon(store)
    return lost or error


def _link_lease(turn: TurnAtWork) -> Callable[[], None]:
    """A lost lease ends what the turn has under way."""
    guard = turn.work.guard
    if guard is None:
        return lambda: None

    def end() -> None:
        turn.scope.cancellation.cancel(LEASE_LOST)

    return guard.lost.on_cancel(end)


def _terminal(committed: CommittedTurn) -> TurnTerminal:
    turn: AssembledTurn = committed.turn
    return TurnTerminal(
        type="committed",
        outcome=without_nodes(turn.outcome).to_json_value(),
        cancellation=turn.cancellation,
        session_revision=turn.session_revision,
    )


def _patience_ms(turn: AssembledTurn) -> int:
    """How long plugins that are told of the turn's end are waited for: hardly, once it was cancelled."""
    return EVENT_MS_MAX if turn.cancellation is None else GRACE_MS


def _is_cancelled(outcome: TurnOutcome) -> bool:
    return isinstance(outcome, StoppedOutcome) and outcome.reason == "cancelled"


def _broken(turn: TurnAtWork, error: Exception) -> Finish:
    _log.error("turn %s of session %s broke", turn.turn_id, turn.draft.session_id, exc_info=error)
    code = error.code if isinstance(error, LashError) else "turn_failed"
    text = bounded(error.detail if isinstance(error, RuntimeFailure) else f"{type(error).__name__}: {error}")
    return stopped("runtime_error", TurnIssue(kind="runtime", code=code, message=text, retryable=False))
