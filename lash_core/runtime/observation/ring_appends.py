"""How a writer appends to the store it has: at once in this process, many in one pipeline, or one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from lash_core.errors.observation import LiveReplayFailedError, LiveReplayStoreError
from lash_core.model.session_observation import SessionObservationEvent, TurnActivityPayload
from lash_core.store.live_replay_store import (
    FleetLiveReplayStore,
    LiveAppend,
    LiveAppended,
    LiveAppendOutcome,
    LiveAppendStale,
    LiveReplayStore,
)


@runtime_checkable
class AppendsNow(Protocol):
    """A ring in this process: an append waits for nothing."""

    def append_live_now(self, append: LiveAppend) -> LiveAppendOutcome:
        """One of ``append_many``, at once."""
        ...


def append_now_of(store: LiveReplayStore) -> Callable[[LiveAppend], LiveAppendOutcome] | None:
    """The store's ``append_live_now``, if it has one that says the same as its ``append``."""
    if isinstance(store, AppendsNow) and _speaks_for_append(store, "append_live_now"):
        return store.append_live_now
    return None


@dataclass(slots=True)
class RingAnswer:
    """What became of one append. Nobody changes it; it is not frozen because that would make it five times as slow.

    Attributes:
        events: one a payload, in order; None = it is not in the ring.
        failure: why some are not; None = nothing failed.
        may_repeat: it is known that nothing was appended, and the store may take the same another time.
        is_stale: a newer generation writes, or the commit of its turn is told: nothing was appended, and no activity
            is missing.
        untold: how many of these say more than that commit did.
        took_over: see ``LiveAppended``.
    """

    events: tuple[SessionObservationEvent | None, ...]
    failure: LiveReplayStoreError | None = None
    may_repeat: bool = False
    is_stale: bool = False
    untold: int = 0
    took_over: bool = False

    @classmethod
    def of(cls, append: LiveAppend, outcome: LiveAppendOutcome) -> RingAnswer:
        """The answer that an outcome is."""
        if isinstance(outcome, LiveAppended):
            return cls(outcome.events, took_over=outcome.took_over)
        nothing = (None,) * len(append.payloads)
        match outcome:
            case LiveAppendStale(committed=committed):
                others = sum(not isinstance(payload, TurnActivityPayload) for payload in append.payloads)
                return cls(nothing, is_stale=True, untold=append.dropped + others if committed else 0)
            case LiveReplayStoreError():
                # A failure that names a field is a refusal: it would be refused again.
                may_repeat = outcome.outcome == "not_done" and outcome.field is None
                return cls(nothing, failure=outcome, may_repeat=may_repeat and type(outcome) is LiveReplayFailedError)


def fleet_of(store: LiveReplayStore) -> FleetLiveReplayStore | None:
    """The store, if it has all verbs of a fleet. To be asked once: the question costs as much as an append."""
    return store if isinstance(store, FleetLiveReplayStore) else None


async def append_all(
    store: LiveReplayStore, fleet: FleetLiveReplayStore | None, appends: Sequence[LiveAppend]
) -> list[RingAnswer]:
    """Append for several sessions: one answer each, in order. A store's failure is an answer, whatever it raised.

    Args:
        store: the rings.
        fleet: ``fleet_of`` it.
        appends: what to append.
    """
    if fleet is None or not _speaks_for_append(store, "append_many"):
        return [await _one_by_one(store, append) for append in appends]
    try:
        outcomes: Sequence[LiveAppendOutcome] = await fleet.append_many(appends)
    except Exception as error:  # noqa: BLE001 - a store may be the host's code
        outcomes = [failure_of(error)] * len(appends)
    return [RingAnswer.of(append, outcome) for append, outcome in zip(appends, outcomes, strict=True)]


async def _one_by_one(store: LiveReplayStore, append: LiveAppend) -> RingAnswer:
    """With the five verbs alone there are neither generations nor gaps, and one failure says nothing of the next."""
    events: list[SessionObservationEvent | None] = []
    failure: LiveReplayStoreError | None = None
    for payload in append.payloads:
        try:
            events.append(await store.append(append.session_id, append.revision, payload))
        except Exception as error:  # noqa: BLE001 - a store may be the host's code
            events.append(None)
            failure = failure_of(error)
    return RingAnswer(tuple(events), failure)


def failure_of(error: BaseException) -> LiveReplayStoreError:
    """What a store raised, as an error of watching."""
    if isinstance(error, LiveReplayStoreError):
        return error
    return unknown_failure(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)


def unknown_failure(text: str) -> LiveReplayFailedError:
    """A failure after which nobody knows what was appended."""
    failure = LiveReplayFailedError(text)
    failure.outcome = "unknown"
    return failure


def _speaks_for_append(store: object, verb: str) -> bool:
    """Whoever overrides ``append`` alone, in a subclass or on the object, is asked through it."""
    if "append" in getattr(store, "__dict__", {}):
        return verb in vars(store)
    for kind in type(store).__mro__:
        if verb in vars(kind):
            return True
        if "append" in vars(kind):
            return False
    return False
