"""Generations of a session's lease: who lost it writes nothing more, and its successor learns what to retract.

``docs/contracts/observation.md`` 3; decision 9.
"""

from __future__ import annotations

from lash_core.errors import LiveReplayStoreError
from lash_core.store.live_replay_store import LiveAppend, LiveAppended, LiveAppendStale
from lash_core.testing.conformance.live_replay.arrange import (
    LiveStores,
    heard_texts,
    queued,
    replayed,
    rings_of,
    said,
    session,
    stored,
    subscribed,
    tail,
    tell,
    tell_at_once,
    texts_of,
)


async def a_lower_generation_writes_nothing_more(stores: LiveStores) -> None:
    """Whoever watches hears of the new owner's activity only."""
    session_id = session()
    await tell_at_once(stores, session_id, [said("old")], generation=5)
    await tell_at_once(stores, session_id, [said("new")], generation=6)
    stream = await subscribed(stores, session_id)

    stale, fresh = await rings_of(stores).append_many(
        [
            LiveAppend(session_id, 1, (said("late"), said("later")), generation=5, dropped=3),
            LiveAppend(session_id, 1, (said("newer"),), generation=6),
        ]
    )

    assert LiveAppendStale(6) == stale
    assert isinstance(fresh, LiveAppended), fresh
    assert ["old", "new", "newer"] == texts_of(await replayed(stores, session_id, 0))
    assert ["old", "new", "newer"] == await heard_texts(stream, 3)
    await stream.aclose()


async def what_is_under_no_lease_is_never_stale(stores: LiveStores) -> None:
    """A client that enqueues says so, whoever runs the session."""
    session_id = session()
    await tell_at_once(stores, session_id, [said("a")], generation=9)

    await rings_of(stores).append(session_id, 1, queued("b"))
    outcome = await tell_at_once(stores, session_id, [queued("c")])

    assert [3] == [event.position for event in outcome.events]
    assert not outcome.took_over
    (stale,) = await rings_of(stores).append_many([LiveAppend(session_id, 1, (said("x"),), generation=8)])
    assert LiveAppendStale(9) == stale


async def a_new_owner_is_told_of_open_activity(stores: LiveStores) -> None:
    """Once, with its first append: it retracts what its predecessor streamed behind the last commit."""
    session_id = session()
    await tell_at_once(stores, session_id, [said("half a sen")], generation=1)

    first = await tell_at_once(stores, session_id, [queued("b")], generation=2)
    second = await tell_at_once(stores, session_id, [said("anew")], generation=2)

    assert (True, False) == (first.took_over, second.took_over)


async def a_commit_closes_activity(stores: LiveStores) -> None:
    """What was streamed before it is history now: nobody retracts it."""
    session_id = session()
    await tell_at_once(stores, session_id, [said("whole")], generation=1)
    await tell_at_once(stores, session_id, [stored(session_id, "whole")], generation=1)

    assert not (await tell_at_once(stores, session_id, [said("next")], generation=2)).took_over
    assert (await tell_at_once(stores, session_id, [said("again")], generation=3)).took_over


async def only_activity_is_retracted(stores: LiveStores) -> None:
    """Changes of the queue are facts, whoever told them."""
    session_id = session()
    await tell_at_once(stores, session_id, [queued("b")], generation=1)

    assert not (await tell_at_once(stores, session_id, [said("a")], generation=2)).took_over


async def activity_of_nobody_is_retracted_too(stores: LiveStores) -> None:
    """What a program without a lease streamed is provisional all the same."""
    session_id = session()
    await tell(stores, session_id, "half")

    assert (await tell_at_once(stores, session_id, [said("anew")], generation=1)).took_over


async def one_refused_append_does_not_stop_the_others(stores: LiveStores) -> None:
    """Each outcome is its own; what cannot be appended leaves nothing behind."""
    first, second = session(), session()
    rings = rings_of(stores)

    outcomes = await rings.append_many(
        [
            LiveAppend(first, 1, ()),
            LiveAppend(first, 1, (said("a"),), generation=-1),
            LiveAppend(first, 1, (said("b"), said(float("nan"))), generation=7),  # pyright: ignore[reportArgumentType]
            LiveAppend("", 1, (said("c"),)),
            LiveAppend(first, -1, (said("d"),)),
            LiveAppend(second, 1, (said("x" * 1024 * 1024),)),
            LiveAppend(second, 1, (said("fine"),)),
        ]
    )

    assert [True] * 6 + [False] == [isinstance(outcome, LiveReplayStoreError) for outcome in outcomes]
    assert (0, 1) == (await tail(stores, first), await tail(stores, second))
    assert [1] == [event.position for event in (await tell_at_once(stores, first, [said("e")], generation=1)).events]


async def what_a_commit_ended_does_not_come_behind_it(stores: LiveStores) -> None:
    """An append that was held up while somebody else told the commit would stand there as the text of nobody's turn."""
    session_id = session()
    rings = rings_of(stores)
    await tell_at_once(stores, session_id, [said("half")], generation=3)
    await rings.append_commit_once(session_id, 2, stored(session_id, "whole"))

    late, mixed, lower, commit, free, fresh = await rings.append_many(
        [
            LiveAppend(session_id, 1, (said("late"),), generation=3, dropped=2),
            LiveAppend(session_id, 1, (queued("b"), said("later")), generation=4),
            LiveAppend(session_id, 1, (said("lower"),), generation=2),
            LiveAppend(session_id, 1, (stored(session_id, "old"),), generation=3),
            LiveAppend(session_id, 0, (said("free"),)),
            LiveAppend(session_id, 1, (said("next"),), generation=3),
        ]
    )

    assert [LiveAppendStale(3, 2), LiveAppendStale(4, 2), LiveAppendStale(3)] == [late, mixed, lower]
    assert all(isinstance(outcome, LiveAppended) for outcome in (commit, free, fresh))
    assert ["half", "committed", "committed", "free", "next"] == texts_of(await replayed(stores, session_id, 0))
