"""What a session does next when no turn runs: the open turn, commands, inputs, queued work.

``docs/contracts/sessions.md`` 3.1, 2.4.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from lash_core.errors import InvalidArgumentError
from lash_core.model.ids import check_id
from lash_core.model.queued_work import ClaimBoundary, QueuedWorkClaim
from lash_core.model.turn_input import TurnInputClaim
from lash_core.runtime.session.lease_guard import SessionLeaseGuard
from lash_core.runtime.turns.session_commands import COMMANDS_MAX, run_claimed_command
from lash_core.runtime.turns.turn_checks import poison_issue, switch_limit_issue
from lash_core.runtime.turns.turn_given import NotedTurn, TurnGiven, fitting_turn_id
from lash_core.runtime.turns.turn_messages import trace_id_of_batches
from lash_core.store.queued_work_store import CLAIM_BATCHES_MAX
from lash_core.store.runtime_persistence import RuntimePersistence
from lash_core.store.turn_journal import OpenTurn

if TYPE_CHECKING:
    from lash_core.runtime.lash_runtime import LashRuntime

_log = logging.getLogger(__name__)


class IdleWork:
    """Finds a session's next work, under its lease.

    Args:
        runtime: the session.
        store: its store.
        guard: its lease.
    """

    def __init__(self, runtime: LashRuntime, store: RuntimePersistence, guard: SessionLeaseGuard) -> None:
        self._runtime = runtime
        self._store = store
        self._guard = guard

    async def next(self) -> TurnGiven | None:
        """The next turn's work, claimed; commands that come before it have run. None: nothing is ready.

        Raises:
            SessionLeaseLostError, SessionExecutionLeaseExpiredError, store errors.
        """
        for _ in range(COMMANDS_MAX):
            queue, lane = await self._heads()
            if queue is None:
                command = await self._store.claim_leading_ready_session_command(self._guard.require())
                if command is not None and _is_first(command, lane):
                    await self._give_back(None, lane)
                    await run_claimed_command(self._runtime, self._store, self._guard, command)
                    continue
                await self._give_back(command, None)
                return None if lane is None else await self._of_lane(lane)
            if _is_first(queue, lane):
                await self._give_back(None, lane)
                return await self._of_queue(queue)
            await self._give_back(queue, None)
            return None if lane is None else await self._of_lane(lane)
        return None

    async def run_leading_commands(self) -> None:
        """Run the commands at the head of the queue; what comes after them is left."""
        for _ in range(COMMANDS_MAX):
            command = await self._store.claim_leading_ready_session_command(self._guard.require())
            if command is None:
                return
            await run_claimed_command(self._runtime, self._store, self._guard, command)

    async def redo(self, turn: OpenTurn) -> TurnGiven | None:
        """A turn that was begun and not committed, with its claims made anew.

        None: it cannot be redone. What it took is gone, or its input was live and went with its owner; the next turn
        that is opened forgets it.
        """
        noted = NotedTurn.of(turn)
        given: TurnGiven | None = None
        match noted.origin:
            case "queue":
                claim = await self._store.claim_ready_queued_work_by_batch_ids(
                    self._guard.require(), ClaimBoundary.IDLE, noted.batch_ids
                )
                given = None if claim is None else TurnGiven.of_queue(claim, noted.turn_id)
            case "lane":
                given = await self._redo_lane(noted)
            case "input":
                given = None if noted.input is None else TurnGiven.of_input(noted.input, noted.turn_id)
        if given is None:
            _log.warning(
                "turn %s of session %s cannot be redone: what it was given is gone",
                noted.turn_id,
                self._store.session_id,
            )
            return None
        return as_redo(given, turn, self._runtime.host.core.poison_deaths_max)

    # -- inside ----------------------------------------------------------------------------------------

    async def _heads(self) -> tuple[QueuedWorkClaim | None, TurnInputClaim | None]:
        fence = self._guard.require()
        queue, lane = await asyncio.gather(
            self._store.claim_ready_queued_work(fence, ClaimBoundary.IDLE, CLAIM_BATCHES_MAX),
            self._store.claim_next_turn_inputs(fence, CLAIM_BATCHES_MAX),
        )
        return queue, lane

    async def _give_back(self, queue: QueuedWorkClaim | None, lane: TurnInputClaim | None) -> None:
        if queue is not None:
            await self._store.abandon_queued_work_claim(queue)
        if lane is not None:
            await self._store.abandon_turn_input_claim(lane)

    async def _of_queue(self, claim: QueuedWorkClaim) -> TurnGiven:
        turn_id = await self._turn_id(trace_id_of_batches(claim.batches), claim.batches[0].batch_id)
        return TurnGiven.of_queue(claim, turn_id)

    async def _of_lane(self, claim: TurnInputClaim) -> TurnGiven:
        trace_id = claim.materialize_for_turn().trace_turn_id
        return TurnGiven.of_lane(claim, await self._turn_id(trace_id, claim.inputs[0].input_id))

    async def _turn_id(self, trace_id: str | None, work_id: str) -> str:
        """The trace id that the input names, if it is legal and no committed turn has it; else one of the work's own.

        An input that cannot name its turn is answered all the same: refused, it would be tried for ever.
        """
        if not trace_id or not _is_legal(trace_id):
            return drained_turn_id(work_id)
        stamp = await self._store.find_turn_stamp(self._store.session_id, trace_id)
        return trace_id if stamp is None else drained_turn_id(work_id)

    async def _redo_lane(self, noted: NotedTurn) -> TurnGiven | None:
        claim = await self._store.claim_next_turn_inputs(self._guard.require(), CLAIM_BATCHES_MAX)
        if claim is None:
            return None
        wanted = set(noted.input_ids)
        own = [row for row in claim.inputs if row.input_id in wanted]
        others = [row for row in claim.inputs if row.input_id not in wanted]
        if others:
            await self._store.abandon_turn_input_claim(claim.model_copy(update={"inputs": tuple(others)}))
        if len(own) != len(wanted):
            await self._give_back(None, claim.model_copy(update={"inputs": tuple(own)}))
            return None
        return TurnGiven.of_lane(claim.model_copy(update={"inputs": tuple(own)}), noted.turn_id)


def drained_turn_id(work_id: str) -> str:
    """The id of the turn that begins with a batch or input."""
    return fitting_turn_id(f"t_{work_id}")


def _is_legal(turn_id: str) -> bool:
    try:
        check_id(turn_id, field="turn_id", subject="turn id")
    except InvalidArgumentError:
        return False
    return True


def as_redo(given: TurnGiven, turn: OpenTurn, poison_deaths_max: int) -> TurnGiven:
    """The work as it was noted: its place in the logical turn, its base, and whether it is given up."""
    noted = NotedTurn.of(turn)
    return replace(
        given,
        root_turn_id=noted.root_turn_id,
        ordinal=noted.ordinal,
        base_revision=noted.base_revision,
        is_redo=True,
        policy=noted.policy,
        refusal=poison_issue(noted.turn_id, noted.deaths, poison_deaths_max) or switch_limit_issue(noted.ordinal),
    )


def _is_first(queue: QueuedWorkClaim, lane: TurnInputClaim | None) -> bool:
    return lane is None or queue.batches[0].enqueue_seq < lane.inputs[0].enqueue_seq
