"""Safe boundaries of a running turn: what has arrived for it is delivered.

``docs/contracts/sessions.md`` 3.3, 2.4; docs/adr/0187.

A delivery is an effect: a turn that is redone hears at each boundary what it heard first, and nothing it did not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lash_core.errors import RuntimeFailure
from lash_core.model.base import JsonValue
from lash_core.model.effect import EffectKind, RuntimeEffectEnvelope, RuntimeEffectOutcome
from lash_core.model.message import Message
from lash_core.model.queued_work import ClaimBoundary, QueuedWorkBatch, QueuedWorkClaim
from lash_core.model.turn_activity import TurnEvent
from lash_core.model.turn_input import PendingTurnInput, TurnInputClaim
from lash_core.protocols.turn_machine import Checkpoint, Delivered
from lash_core.runtime.plugin.hooks import PluginCheckpoint
from lash_core.runtime.turns.turn_at_work import TurnAtWork
from lash_core.runtime.turns.turn_messages import causes_of_batches, messages_of_delivery
from lash_core.store.turn_input_store import TurnInputStore

CHECKPOINT_PHASE = "checkpoint"
INPUTS_MAX = 64
DELIVERY_GONE = "turn_delivery_gone"


class TurnCheckpoints:
    """The checkpoints of one turn."""

    def __init__(self, turn: TurnAtWork) -> None:
        self._turn = turn

    async def deliver(self, effect: Checkpoint) -> Delivered:
        """What the two lanes and the plugins have for the running turn; recorded where anything came.

        Raises:
            SessionExecutionLeaseExpiredError, SessionLeaseLostError, store errors: the turn ends.
        """
        turn = self._turn
        if turn.is_cancelled:
            return Delivered(cancelled=True)
        with turn.scope.phase(CHECKPOINT_PHASE):
            envelope = turn.scope.envelope(
                f"checkpoint:{effect.kind}:{effect.iteration}",
                EffectKind.CHECKPOINT,
                {"checkpoint": effect.kind},
                iteration=effect.iteration,
            )
            journal = turn.journal
            record = None if journal is None else journal.find(envelope.replay_key)
            if journal is not None and record is None and journal.is_replaying:
                # It delivered nothing the first time: what has come since is for the first boundary after the replay.
                return Delivered()
            messages = await self._fresh(effect, envelope) if record is None else await self._again(effect, envelope)
        # What came is answered for by this turn, cancelled or not; with nothing to take in a cancel ends it here.
        return Delivered(messages, cancelled=turn.is_cancelled and not messages)

    # -- the first time --------------------------------------------------------------------------------

    async def _fresh(self, effect: Checkpoint, envelope: RuntimeEffectEnvelope) -> tuple[Message, ...]:
        turn, store = self._turn, self._turn.runtime.store
        queue: QueuedWorkClaim | None = None
        lane: TurnInputClaim | None = None
        if store is not None:
            queue, lane = await store.claim_checkpoint_work(turn.fence(), turn.turn_id, effect.kind, INPUTS_MAX)
        asked = PluginCheckpoint(turn.draft.session_id, turn.turn_id, effect.kind, effect.iteration)
        injected = await turn.runtime.plugins.hooks.checkpoint(asked, turn.scope.cancellation)
        turn.claims.take_queue(queue)
        turn.claims.take_inputs(lane)
        spare = turn.claims.take_spare()
        batches = () if queue is None else queue.batches
        inputs = (*spare, *(() if lane is None else lane.inputs))
        messages = (*messages_of_delivery(inputs, batches), *injected)
        if not messages:
            return ()
        messages = _with_ids(messages, f"{turn.turn_id}_{effect.kind}_{effect.iteration}")
        # Of what is in the two lanes the ids are enough: the rows stay there until the commit, however large they are.
        own = messages[len(messages) - len(injected) :]
        value: dict[str, JsonValue] = {
            "messages": [message.to_json_value() for message in own],
            "batch_ids": [batch.batch_id for batch in batches],
            "input_ids": [row.input_id for row in inputs],
        }
        if turn.journal is not None:
            turn.journal.taking(envelope.replay_key, [batch.batch_id for batch in batches])

        async def execute(asked: RuntimeEffectEnvelope) -> RuntimeEffectOutcome:
            return RuntimeEffectOutcome(asked.kind, value)

        await turn.scope.effects.execute_effect(envelope, execute)
        await self._tell(effect, batches, value)
        return messages

    # -- on a redo -------------------------------------------------------------------------------------

    async def _again(self, effect: Checkpoint, envelope: RuntimeEffectEnvelope) -> tuple[Message, ...]:
        """What was delivered, with its claims made anew: the commit settles them under this generation."""
        turn = self._turn

        async def execute(asked: RuntimeEffectEnvelope) -> RuntimeEffectOutcome:
            raise AssertionError(f"{asked.replay_key} is recorded")

        value: Any = (await turn.scope.effects.execute_effect(envelope, execute)).value
        store = turn.runtime.store
        batches: tuple[QueuedWorkBatch, ...] = ()
        inputs: list[PendingTurnInput] = []
        if store is not None and value["batch_ids"]:
            claim = await store.claim_ready_queued_work_by_batch_ids(
                turn.fence(), ClaimBoundary.IDLE, value["batch_ids"]
            )
            turn.claims.take_queue(claim)
            batches = () if claim is None else claim.batches
        if store is not None and value["input_ids"]:
            inputs = await self._reclaim_inputs(store, effect, value["input_ids"])
        if len(batches) + len(inputs) != len(value["batch_ids"]) + len(value["input_ids"]):
            raise RuntimeFailure(DELIVERY_GONE, f"what `{envelope.replay_key}` delivered is not in the queue any more")
        own = tuple(Message.model_validate(message) for message in value["messages"])
        return (*messages_of_delivery(inputs, batches), *own)

    async def _reclaim_inputs(
        self, store: TurnInputStore, effect: Checkpoint, input_ids: Sequence[str]
    ) -> list[PendingTurnInput]:
        """The rows that were delivered, in their order, as far as they are there."""
        turn, delivered = self._turn, frozenset(input_ids)
        claim = await store.claim_active_turn_inputs(turn.fence(), turn.turn_id, effect.kind, INPUTS_MAX)
        turn.claims.take_inputs(claim, delivered)
        held = {row.input_id for one in turn.claims.inputs for row in one.inputs}
        spare, turn.claims.spare = turn.claims.spare, []
        for one in spare:
            # An earlier boundary of this redo may have claimed what this one delivered.
            turn.claims.take_inputs(one, delivered - held)
        rows = {row.input_id: row for one in turn.claims.inputs for row in one.inputs}
        return [rows[input_id] for input_id in input_ids if input_id in rows]

    # -- live ------------------------------------------------------------------------------------------

    async def _tell(self, effect: Checkpoint, batches: Sequence[QueuedWorkBatch], value: dict[str, JsonValue]) -> None:
        scope = self._turn.scope
        if batches:
            facts: dict[str, JsonValue] = {
                "boundary": ClaimBoundary.ACTIVE_TURN_CHECKPOINT.value,
                "checkpoint": effect.kind,
                "batch_ids": value["batch_ids"],
                "causes": causes_of_batches(batches),
            }
            await scope.send(effect.effect_id, TurnEvent("queued_work_started", facts))
            await scope.send(
                effect.effect_id, TurnEvent("queued_messages_committed", {"batch_ids": value["batch_ids"]})
            )
        if value["input_ids"]:
            await scope.send(effect.effect_id, TurnEvent("queued_input_accepted", {"input_ids": value["input_ids"]}))


def _with_ids(messages: Sequence[Message], prefix: str) -> tuple[Message, ...]:
    """Messages of plugins may come without ids; a redo has to know them again."""
    return tuple(
        message if message.id.strip() else message.model_copy(update={"id": f"m_{prefix}_{index}"})
        for index, message in enumerate(messages)
    )
