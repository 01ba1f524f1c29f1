"""``forget_session``: a deleted session's events are gone, and never mistaken for those of another life.

``docs/contracts/observation.md`` 3; decision 9.
"""

from __future__ import annotations

from lash_core.model.session_observation import LiveReplayGapReason
from lash_core.store.live_replay_store import LiveAppend, LiveAppendStale
from lash_core.testing.conformance.live_replay.arrange import (
    LiveStores,
    ends,
    gap,
    heard_texts,
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


async def old_cursors_find_a_gap(stores: LiveStores) -> None:
    """Of the end too: who had read everything would not hear that it is over."""
    session_id = session()
    await tell(stores, session_id, "a", "b")

    await rings_of(stores).forget_session(session_id)

    assert [LiveReplayGapReason.TRIMMED] * 2 == [await gap(stores, session_id, position) for position in (1, 2)]


async def another_life_has_positions_of_its_own(stores: LiveStores) -> None:
    """A session of the same name goes on behind the old tail."""
    session_id = session()
    await tell(stores, session_id, "a", "b")
    await rings_of(stores).forget_session(session_id)
    began = await tail(stores, session_id)

    (event,) = await tell(stores, session_id, "c")

    assert event.position == began + 1 > 3
    assert LiveReplayGapReason.TRIMMED == await gap(stores, session_id, 2)
    assert ["c"] == texts_of(await replayed(stores, session_id, began))


async def its_streams_end(stores: LiveStores) -> None:
    """They say so, and hear nothing of another life."""
    session_id, other = session(), session()
    await tell(stores, session_id, "a")
    stream = await subscribed(stores, session_id, 1)
    bystander = await subscribed(stores, other)

    await rings_of(stores).forget_session(session_id)
    await rings_of(stores).forget_session(session_id)
    await tell(stores, session_id, "b")
    await tell(stores, other, "c")

    assert ["closed"] == await heard_texts(stream, 1)
    assert await ends(stream)
    assert ["c"] == await heard_texts(bystander, 1)
    await bystander.aclose()


async def commits_of_another_life_are_told(stores: LiveStores) -> None:
    """Its revisions begin anew."""
    session_id = session()
    rings = rings_of(stores)
    await rings.append_commit_once(session_id, 9, stored(session_id, "a"))

    await rings.forget_session(session_id)

    assert (0, 0) == await rings.last_commit(session_id)
    assert await rings.append_commit_once(session_id, 1, stored(session_id, "b")) is not None


async def generations_only_rise(stores: LiveStores) -> None:
    """Who held the lease of the old life writes nothing into the new one; nothing of the old one is retracted."""
    session_id = session()
    await tell_at_once(stores, session_id, [said("a")], generation=5)
    await rings_of(stores).forget_session(session_id)

    assert not (await tell_at_once(stores, session_id, [said("b")], generation=6)).took_over
    (stale,) = await rings_of(stores).append_many([LiveAppend(session_id, 1, (said("late"),), generation=5)])
    assert LiveAppendStale(6) == stale
