"""``trim_idle``: rings that nobody appends to any more give their memory back.

``docs/contracts/observation.md`` 3.
"""

from __future__ import annotations

from lash_core.model.session_observation import LiveReplayGapReason
from lash_core.testing.conformance.live_replay.arrange import (
    LiveStores,
    bounds_of,
    gap,
    replayed,
    rings_of,
    session,
    subscribed,
    tail,
    tell,
    texts_of,
)
from lash_core.testing.conformance.session_scene import opened
from lash_core.testing.conformance.stores import can_advance, elapse


async def old_events_of_idle_rings_go(stores: LiveStores) -> None:
    """At most ``limit`` rings a call; young events and positions stay."""
    if not await can_advance(stores):
        return
    await elapse(stores, bounds_of(stores).max_age_ms + 1)
    await rings_of(stores).trim_idle(100_000)  # what other cases left in these stores
    old = [session() for _ in range(5)]
    for session_id in old:
        await opened(stores, session_id)
        await tell(stores, session_id, "a")
    await elapse(stores, bounds_of(stores).max_age_ms + 1)
    young = session()
    await tell(stores, young, "b")

    looked_at = [await rings_of(stores).trim_idle(3) for _ in range(2)]

    assert 5 == sum(looked_at)
    assert 3 >= max(looked_at)
    assert 0 == await rings_of(stores).trim_idle(100)
    assert [1] * 5 == [await tail(stores, session_id) for session_id in old]
    assert [LiveReplayGapReason.TRIMMED] * 5 == [await gap(stores, session_id, 0) for session_id in old]
    assert ["b"] == texts_of(await replayed(stores, young, 0))


async def a_stream_of_an_idle_ring_goes_on(stores: LiveStores) -> None:
    """Its events are too old and gone; the next one is heard."""
    if not await can_advance(stores):
        return
    session_id = session()
    await opened(stores, session_id)
    await tell(stores, session_id, "a")
    stream = await subscribed(stores, session_id, 1)
    await elapse(stores, bounds_of(stores).max_age_ms + 1)
    await rings_of(stores).trim_idle(100)

    (event,) = await tell(stores, session_id, "b")

    assert event == await anext(stream)
    await stream.aclose()


async def a_deleted_session_is_remembered_for_a_day(stores: LiveStores) -> None:
    """Then its old cursors are of a ring that never was."""
    if not await can_advance(stores):
        return
    session_id = session()
    await tell(stores, session_id, "a", "b")
    await rings_of(stores).forget_session(session_id)
    await elapse(stores, 23 * 3_600_000)
    await rings_of(stores).trim_idle(100)
    assert LiveReplayGapReason.TRIMMED == await gap(stores, session_id, 2)

    await elapse(stores, 2 * 3_600_000)
    await rings_of(stores).trim_idle(100)

    assert LiveReplayGapReason.UNAVAILABLE == await gap(stores, session_id, 2)
    assert 0 == await tail(stores, session_id)


async def the_tail_lives_as_long_as_its_session(stores: LiveStores) -> None:
    """However long nothing happens (decision 23): no position is given twice, what was dropped stays ``trimmed``."""
    if not await can_advance(stores):
        return
    session_id = session()
    await opened(stores, session_id)
    await tell(stores, session_id, "a", "b")
    for _ in range(3):
        await elapse(stores, 2 * 24 * 3_600_000)
        await rings_of(stores).trim_idle(100)

    assert LiveReplayGapReason.TRIMMED == await gap(stores, session_id, 1)
    assert () == await replayed(stores, session_id, 2)
    assert [3] == [event.position for event in await tell(stores, session_id, "c")]
