"""Two sets of stores that get the same calls, and how their answers are compared."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from lash_core.errors import LashError
from lash_core.model.effect_record import (
    EffectAnswer,
    EffectClaimed,
    EffectConflict,
    EffectInProgress,
    EffectRecord,
    EffectRecorded,
)
from lash_core.model.event import ProcessEvent, ProcessEventAppendResult
from lash_core.model.lease import Acquired, Busy, ClaimedProcess, Lost, ProcessLease, Renewed
from lash_core.model.record import ProcessRecord
from lash_core.store.process_batches import BatchOutcome, RegisterOutcome
from lash_core.store.process_registry import ProcessRegistry
from lash_core.store.process_run_waits import RunLook
from lash_core.testing.conformance.stores import EffectStores, elapse


@dataclass(frozen=True)
class PairedLease:
    """The leases that two stores gave for one claim. Tokens, fences and times differ; what they allow must not."""

    left: ProcessLease
    right: ProcessLease

    def with_changes(self, **changes: Any) -> PairedLease:
        """Both leases with the same fields replaced."""
        return PairedLease(self.left.model_copy(update=changes), self.right.model_copy(update=changes))

    def with_fence_moved(self, by: int) -> PairedLease:
        """Both leases with their own fence moved."""
        return PairedLease(
            self.left.model_copy(update={"fencing_token": self.left.fencing_token + by}),
            self.right.model_copy(update={"fencing_token": self.right.fencing_token + by}),
        )


class PairedStores:
    """Calls both registries and insists on the same answer.

    Args:
        left: the in-memory stores, the specification in the small.
        right: the stores that are compared with it.
        loop: the loop in which both were opened.
    """

    def __init__(self, left: EffectStores, right: EffectStores, loop: asyncio.AbstractEventLoop) -> None:
        self._left = left
        self._right = right
        self._loop = loop

    def elapse(self, ms: int) -> None:
        """Move both clocks."""
        self._loop.run_until_complete(elapse(self._left, ms))
        self._loop.run_until_complete(elapse(self._right, ms))

    def call(self, what: str, verb: Callable[[ProcessRegistry, int], Awaitable[Any]]) -> tuple[Any, Any]:
        """Call both; ``verb`` gets the registry and its side (0 left, 1 right). Answers or errors must be the same.

        Raises:
            AssertionError: they differ; the text has both.
        """
        return self.call_stores(what, lambda stores, side: verb(stores.process_registry, side))

    def call_stores(self, what: str, verb: Callable[[EffectStores, int], Awaitable[Any]]) -> tuple[Any, Any]:
        """As ``call``; ``verb`` gets all the stores of its side."""
        left = self._loop.run_until_complete(_answer(verb(self._left, 0)))
        right = self._loop.run_until_complete(_answer(verb(self._right, 1)))
        assert comparable(left) == comparable(right), f"{what}\n left: {left!r}\nright: {right!r}"
        return left, right


async def _answer(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except LashError as error:
        return error


def comparable(answer: Any) -> Any:
    """What two stores must agree on: everything but tokens, fences, nonces, cursors and times."""
    if isinstance(answer, list | tuple):
        return [comparable(item) for item in answer]
    for kind, reduced in _REDUCED.items():
        if isinstance(answer, kind):
            return reduced(answer)
    return answer


def _appended(result: ProcessEventAppendResult) -> tuple[Any, ...]:
    wake = result.wake_delivery
    delivery = None if wake is None else wake.model_dump(mode="json", exclude={"created_at_ms"})
    return comparable(result.event), delivery, result.replayed


def _lease(lease: ProcessLease) -> tuple[Any, ...]:
    # How many fenced writes a raw lease remembers is its store's own business; what a claim or renewal says is not.
    incarnation = lease.owner.incarnation_id.partition(":")
    return (
        lease.process_id,
        lease.owner.owner_id,
        incarnation[0],
        bool(incarnation[1]),
        lease.queue,
        lease.expires_at_epoch_ms > lease.claimed_at_epoch_ms,
    )


def _record(record: ProcessRecord) -> dict[str, Any]:
    facts = record.model_dump(mode="json", exclude={"created_at_ms", "updated_at_ms", "due_at_ms", "cancel_request"})
    cancel = record.cancel_request
    facts["cancel"] = None if cancel is None else (cancel.requested_by, cancel.reason, cancel.seen_at_ms is not None)
    facts["delay"] = None if record.due_at_ms is None else record.due_at_ms - record.created_at_ms
    return facts


def _effect(record: EffectRecord) -> tuple[Any, ...]:
    due = record.due_at_ms is not None
    return (record.key, record.kind, record.state, record.envelope_hash, record.digests, record.outcome_json, due)


def _answered(answer: EffectAnswer) -> tuple[Any, ...]:
    # How far the other effect of a conflict has come is not said: it may be a start of the same call.
    record = answer.record
    other = (record.key, record.kind, record.envelope_hash, record.digests)
    return ("conflict", other) if answer.conflict else (_effect(record), answer.replayed)


_BACKEND = re.compile(r"\b(memory|redis)(?=_effect_replay)")

_REDUCED: dict[type[Any], Callable[[Any], Any]] = {
    LashError: lambda error: (type(error).__name__, _BACKEND.sub("<backend>", str(error)), error.field),
    ProcessLease: _lease,
    Acquired: lambda outcome: ("acquired", _lease(outcome.lease), outcome.lease.fenced_writes),
    Busy: lambda outcome: ("busy", _lease(outcome.holder)),
    Renewed: lambda outcome: (
        "renewed",
        _lease(outcome.lease),
        outcome.lease.fenced_writes,
        outcome.cancel_requested,
        outcome.signalled,
    ),
    Lost: lambda outcome: ("lost", outcome.process_id, outcome.reason),
    ClaimedProcess: lambda item: (_lease(item.lease), item.lease.fenced_writes, _record(item.record)),
    ProcessRecord: _record,
    ProcessEvent: lambda event: event.model_dump(mode="json", exclude={"occurred_at_ms"}),
    ProcessEventAppendResult: _appended,
    BatchOutcome: lambda item: (item.process_id, comparable(item.error)),
    EffectRecord: _effect,
    EffectAnswer: _answered,
    EffectClaimed: lambda claim: ("claimed", claim.due_at_ms is None),
    EffectRecorded: lambda claim: ("recorded", _effect(claim.record)),
    EffectConflict: lambda claim: ("conflict", _effect(claim.record)),
    EffectInProgress: lambda _: "in progress",
    RunLook: lambda look: (comparable(look.events), dict(look.resolutions)),
    RegisterOutcome: lambda item: (item.status, item.process_id, comparable(item.record), comparable(item.error)),
}
