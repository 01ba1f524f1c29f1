"""Two sets of stores with the same sessions, and what their answers must agree on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from lash_core.errors import LashError
from lash_core.model.effect_record import EffectAnswer, EffectRecord
from lash_core.model.queued_work import QueuedWorkBatch, QueuedWorkClaim
from lash_core.model.session_commit import PersistedSessionRead, RuntimeCommitResult, TurnStampRecord
from lash_core.model.session_lease import SessionExecutionLease, SessionLeaseAcquired, SessionLeaseBusy
from lash_core.model.turn_input import (
    PendingTurnInput,
    TurnInputCancelOutcome,
    TurnInputClaim,
    TurnInputClaimRef,
    TurnInputSuffixOutcome,
)
from lash_core.store.ready_sessions import ReadySession
from lash_core.store.runtime_persistence import RuntimePersistence
from lash_core.store.turn_journal import OpenTurn
from lash_core.testing.conformance.session_scene import opened
from lash_core.testing.conformance.stores import elapse

T = TypeVar("T")


@dataclass(frozen=True)
class Pair(Generic[T]):
    """What the two stores answered to one call: ids, tokens and times differ, what they allow must not."""

    left: T
    right: T

    def of(self, side: int) -> T:
        """That store's."""
        return (self.left, self.right)[side]

    def changed(self, **changes: Any) -> Pair[T]:
        """Both models with the same fields replaced."""
        left: Any = self.left
        right: Any = self.right
        return Pair(left.model_copy(update=changes), right.model_copy(update=changes))


class PairedSessions:
    """Calls the stores of a session on both sides and insists on the same answer.

    Args:
        left: the in-memory stores, the specification in the small.
        right: the stores that are compared with it.
        loop: the loop in which both were opened.
    """

    def __init__(self, left: Any, right: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._sides = (left, right)
        self._loop = loop
        self._stores: dict[tuple[int, str], RuntimePersistence] = {}
        self._numbers: tuple[dict[str, int], dict[str, int]] = ({}, {})

    def elapse(self, ms: int) -> None:
        """Move both clocks."""
        for side in self._sides:
            self._loop.run_until_complete(elapse(side, ms))

    def open(self, session_id: str) -> None:
        """Make the session on both sides, unless it is there."""
        for number, side in enumerate(self._sides):
            self._stores[number, session_id] = self._loop.run_until_complete(opened(side, session_id))

    def call(self, what: str, session_id: str, verb: Callable[[RuntimePersistence, int], Awaitable[Any]]) -> Pair[Any]:
        """Call both stores of a session; answers or errors must be the same.

        Raises:
            AssertionError: they differ; the text has both.
        """
        return self.call_sides(what, lambda _, side: verb(self._stores[side, session_id], side))

    def call_sides(self, what: str, verb: Callable[[Any, int], Awaitable[Any]]) -> Pair[Any]:
        """As ``call``; ``verb`` gets all the stores of its side."""
        found = [self._loop.run_until_complete(_answer(verb(side, n))) for n, side in enumerate(self._sides)]
        seen = [self._comparable(answer, side) for side, answer in enumerate(found)]
        assert seen[0] == seen[1], f"{what}\n left: {seen[0]!r}\nright: {seen[1]!r}"
        return Pair(found[0], found[1])

    # -- what must agree -------------------------------------------------------------------------------

    def _comparable(self, answer: Any, side: int) -> Any:
        if isinstance(answer, list | tuple):
            return [self._comparable(item, side) for item in answer]
        if isinstance(answer, str):
            return self._named(answer, side)
        for kind, reduced in _REDUCED.items():
            if isinstance(answer, kind):
                return reduced(answer, lambda part: self._comparable(part, side))
        if isinstance(answer, QueuedWorkBatch):
            return self._batch(answer, side)
        return self._input(answer, side) if isinstance(answer, PendingTurnInput) else answer

    def _batch(self, batch: QueuedWorkBatch, side: int) -> Any:
        """A batch without what is its store's own: ids are known by the number that both stores gave."""
        self._numbers[side][batch.batch_id] = batch.enqueue_seq
        facts = batch.model_dump(mode="json", exclude={"batch_id", "enqueued_at_ms", "items"})
        return (facts, [item.payload for item in batch.items])

    def _input(self, row: PendingTurnInput, side: int) -> Any:
        self._numbers[side][row.input_id] = row.enqueue_seq
        facts = row.model_dump(mode="json", exclude={"enqueued_at_ms", "claim", "input_id"})
        return (facts, None if row.claim is None else row.claim.claim_id)

    def _named(self, text: str, side: int) -> Any:
        return self._numbers[side].get(text, text)


async def _answer(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except LashError as error:
        return error


def _lease(lease: SessionExecutionLease, _: Any = None) -> tuple[Any, ...]:
    incarnation = lease.owner.incarnation_id.partition(":")
    return (lease.session_id, lease.owner.owner_id, incarnation[0], bool(incarnation[1]))


def _effect(record: EffectRecord, _: Any) -> Any:
    return (record.key, record.state, record.envelope_hash, record.outcome_json, record.due_at_ms is None)


_REDUCED: dict[type[Any], Callable[[Any, Callable[[Any], Any]], Any]] = {
    LashError: lambda error, _: type(error).__name__,
    QueuedWorkClaim: lambda claim, inner: ("claim", claim.fencing_token, inner(claim.batches)),
    TurnInputClaim: lambda claim, inner: ("inputs", claim.fencing_token, inner(claim.inputs)),
    TurnInputClaimRef: lambda claim, _: claim.claim_id,
    OpenTurn: lambda turn, inner: (turn.turn_id, turn.facts, inner(turn.batch_ids), turn.deaths),
    RuntimeCommitResult: lambda result, inner: (
        result.head_revision,
        result.checkpoint_ref,
        result.manifest,
        inner(result.enqueued_queue_batches),
    ),
    TurnStampRecord: lambda stamp, inner: (stamp.turn_id, inner(stamp.result)),
    SessionLeaseAcquired: lambda outcome, _: ("acquired", outcome.reentrant, _lease(outcome.lease)),
    SessionLeaseBusy: lambda outcome, _: ("busy", _lease(outcome.holder)),
    SessionExecutionLease: _lease,
    ReadySession: lambda ready, _: (_lease(ready.lease), ready.deaths),
    TurnInputCancelOutcome: lambda one, inner: (one.outcome, inner(one.input), inner(one.claim)),
    TurnInputSuffixOutcome: lambda suffix, inner: (suffix.anchor_found, inner(suffix.outcomes)),
    EffectAnswer: lambda answer, _: (answer.replayed, answer.conflict, _effect(answer.record, None)),
    EffectRecord: _effect,
    PersistedSessionRead: lambda read, _: read.model_dump(mode="json"),
}
