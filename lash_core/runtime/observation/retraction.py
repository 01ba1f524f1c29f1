"""Taking back what was told of a turn that did not live to be committed (``docs/contracts/observation.md`` 6)."""

from __future__ import annotations

from lash_core.errors.observation import LiveReplayStoreError
from lash_core.model.session_cursor import SessionCursor
from lash_core.model.session_observation import SessionObservationEvent, TurnActivityPayload
from lash_core.model.turn_activity import TurnActivity, TurnEvent
from lash_core.runtime.turn_activities import new_activity_id
from lash_core.store.live_replay_store import FleetLiveReplayStore, LiveAppend, LiveAppended, LiveGap

RESET = "model_attempt_reset"
LOST = "lost"
"""The correlation id of a reset that stands for all that is no longer in the ring."""


def open_correlations(events: tuple[SessionObservationEvent, ...], before: int | None = None) -> tuple[str, ...]:
    """Correlation ids under which something was told that nobody took back, in the order in which they appeared.

    Args:
        events: all behind the last commit.
        before: only what was told at a lower position; None = all of it.
    """
    told: dict[str, None] = {}
    for event in events:
        if not isinstance(event.payload, TurnActivityPayload):
            continue
        activity = event.payload.activity
        if activity.event.type == RESET:
            told.pop(activity.correlation_id, None)
        elif before is None or event.position < before:
            told[activity.correlation_id] = None
    return tuple(told)


async def retract(
    live_replay: FleetLiveReplayStore, session_id: str, revision: int, generation: int, before: int | None = None
) -> int:
    """Reset all that was told behind the last commit and is not taken back; safe to repeat.

    Where the ring no longer has all of it, it is emptied: whoever watches finds a gap and drops what is provisional.

    Args:
        live_replay: the rings.
        session_id: the session.
        revision: its last committed one.
        generation: of the lease of whoever runs the turn again.
        before: see ``open_correlations``.

    Returns:
        How many correlation ids were reset.

    Raises:
        LiveReplayStoreError.
    """
    committed, position = await live_replay.last_commit(session_id)
    replayed = await live_replay.replay_after_cursor(SessionCursor.new(session_id, committed, position))
    if isinstance(replayed, LiveGap):
        correlations, dropped = (LOST,), 1
    else:
        correlations, dropped = open_correlations(replayed.events, before), 0
    if correlations:
        payloads = tuple(TurnActivityPayload(_reset(correlation)) for correlation in correlations)
        append = LiveAppend(session_id, revision, payloads, generation=generation, dropped=dropped)
        (outcome,) = await live_replay.append_many([append])
        if isinstance(outcome, LiveReplayStoreError):
            raise outcome
        if isinstance(outcome, LiveAppended) and outcome.took_over and before is None and not dropped:
            # Whoever is gone may have told something between the read and this append; now it cannot any more.
            return len(correlations) + await retract(
                live_replay, session_id, revision, generation, before=outcome.events[0].position
            )
    return len(correlations)


async def retract_taken_over(live_replay: FleetLiveReplayStore, append: LiveAppend, first: int) -> None:
    """``TakeoverHook``: take back what an owner that is gone told before the first event of the one after it.

    Raises:
        LiveReplayStoreError.
    """
    await retract(live_replay, append.session_id, append.revision, append.generation, before=first)


def _reset(correlation_id: str) -> TurnActivity:
    event = TurnEvent(RESET, {"reason": "turn_redone"})
    return TurnActivity(id=new_activity_id(), correlation_id=correlation_id, event=event)
