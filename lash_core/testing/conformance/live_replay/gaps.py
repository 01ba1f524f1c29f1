"""Which positions can be resumed from: the gap table of ``docs/contracts/observation.md`` 3."""

from __future__ import annotations

from lash_core.model.session_observation import LiveReplayGapReason
from lash_core.testing.conformance.live_replay.arrange import (
    LiveStores,
    after,
    bounds_of,
    fill,
    gap,
    heard_texts,
    replayed,
    rings_of,
    session,
    subscribed,
    tail,
    tell,
    texts_of,
)
from lash_core.testing.conformance.stores import can_advance, elapse

TRIMMED = LiveReplayGapReason.TRIMMED
UNAVAILABLE = LiveReplayGapReason.UNAVAILABLE


async def a_session_without_a_ring_has_nothing_behind_zero(stores: LiveStores) -> None:
    """A cursor of before the first event is as good as ever."""
    assert () == await replayed(stores, session(), 0)


async def a_session_without_a_ring_never_had_other_positions(stores: LiveStores) -> None:
    """Whoever comes with one is told that this store does not have it."""
    session_id = session()

    assert UNAVAILABLE == await gap(stores, session_id, 1)
    assert UNAVAILABLE == await gap(stores, session_id, 2**64 - 1)


async def a_position_ahead_of_the_tail_is_unavailable(stores: LiveStores) -> None:
    """One of another store's life, or of the future."""
    session_id = session()
    await tell(stores, session_id, "a", "b")

    assert UNAVAILABLE == await gap(stores, session_id, 3)
    assert UNAVAILABLE == await gap(stores, session_id, 2**40)


async def every_kept_position_replays_what_is_behind_it(stores: LiveStores) -> None:
    """All, some, the last, none."""
    session_id = session()
    await tell(stores, session_id, "a", "b", "c")

    assert [["a", "b", "c"], ["b", "c"], ["c"], []] == [
        texts_of(await replayed(stores, session_id, position)) for position in range(4)
    ]


async def the_revision_of_a_cursor_decides_nothing(stores: LiveStores) -> None:
    """It is information only."""
    session_id = session()
    await tell(stores, session_id, "a", "b")

    for revision in (0, 1, 99, 2**64 - 1):
        result = await rings_of(stores).replay_after_cursor(after(session_id, 1, revision))
        assert ["b"] == texts_of(getattr(result, "events", ()))


async def what_was_dropped_is_trimmed(stores: LiveStores) -> None:
    """The position before the first kept event is the oldest that can be resumed from."""
    session_id = session()
    most = bounds_of(stores).max_events_per_session
    await fill(stores, session_id, most + 3)

    assert TRIMMED == await gap(stores, session_id, 0)
    assert TRIMMED == await gap(stores, session_id, 2)
    assert most == len(await replayed(stores, session_id, 3))
    assert most - 1 == len(await replayed(stores, session_id, 4))
    assert UNAVAILABLE == await gap(stores, session_id, most + 4)


async def an_emptied_ring_is_not_one_that_never_was(stores: LiveStores) -> None:
    """All events are too old: who missed them is told ``trimmed``, who had them all goes on."""
    if not await can_advance(stores):
        return
    session_id = session()
    await tell(stores, session_id, "a", "b")
    await elapse(stores, bounds_of(stores).max_age_ms + 1)
    await rings_of(stores).trim_session(session_id)

    assert TRIMMED == await gap(stores, session_id, 0)
    assert TRIMMED == await gap(stores, session_id, 1)
    assert () == await replayed(stores, session_id, 2)
    assert UNAVAILABLE == await gap(stores, session_id, 3)
    assert 2 == await tail(stores, session_id)
    stream = await subscribed(stores, session_id, 2)
    assert [3] == [event.position for event in await tell(stores, session_id, "c")]
    assert ["c"] == await heard_texts(stream, 1)
    await stream.aclose()
