"""``append_commit_once``, ``last_commit``: a commit is told once, whoever tells it.

``docs/contracts/observation.md`` 3.
"""

from __future__ import annotations

import asyncio

from lash_core.model.session_observation import AgentFrameSwitchedPayload, CommittedPayload
from lash_core.testing.conformance.live_replay.arrange import (
    LiveStores,
    heard,
    replayed,
    rings_of,
    said,
    session,
    stored,
    subscribed,
    tell,
    tell_at_once,
    texts_of,
)


async def a_commit_is_told_once(stores: LiveStores) -> None:
    """The second time, and for an older revision, nothing is appended."""
    session_id = session()
    rings = rings_of(stores)
    await tell(stores, session_id, "a")

    first = await rings.append_commit_once(session_id, 4, stored(session_id, "a"))
    again = await rings.append_commit_once(session_id, 4, stored(session_id, "a"))
    older = await rings.append_commit_once(session_id, 3, stored(session_id))
    newer = await rings.append_commit_once(session_id, 5, stored(session_id, "a", "b"))

    assert first is not None
    assert newer is not None
    assert ((4, 2), (5, 3)) == ((first.revision, first.position), (newer.revision, newer.position))
    assert (None, None) == (again, older)
    assert ["a", "committed", "committed"] == texts_of(await replayed(stores, session_id, 0))
    assert (5, 3) == await rings.last_commit(session_id)


async def a_frame_switch_comes_right_before_its_commit(stores: LiveStores) -> None:
    """Both or none of them."""
    session_id = session()
    rings = rings_of(stores)
    stream = await subscribed(stores, session_id)

    event = await rings.append_commit_once(session_id, 1, stored(session_id, "a"), frame_id="frame-2")
    again = await rings.append_commit_once(session_id, 1, stored(session_id, "a"), frame_id="frame-2")

    assert event is not None
    assert again is None
    assert 2 == event.position
    kept = await replayed(stores, session_id, 0)
    assert [1, 2] == [one.position for one in kept]
    assert [1, 1] == [one.revision for one in kept]
    assert AgentFrameSwitchedPayload("frame-2") == kept[0].payload
    assert isinstance(kept[1].payload, CommittedPayload)
    assert ["agent_frame_switched", "committed"] == texts_of(await heard(stream, 2))
    await stream.aclose()


async def any_committed_counts(stores: LiveStores) -> None:
    """One that was appended with others is known too; what comes behind it does not change that."""
    session_id = session()
    rings = rings_of(stores)
    assert (0, 0) == await rings.last_commit(session_id)

    await tell_at_once(stores, session_id, [said("a"), stored(session_id, "a"), said("b")], generation=1)

    assert (1, 2) == await rings.last_commit(session_id)
    assert None is await rings.append_commit_once(session_id, 1, stored(session_id, "a"))


async def the_first_commit_of_revision_zero_is_told(stores: LiveStores) -> None:
    """A session in memory has revision 0 before its first turn."""
    session_id = session()
    rings = rings_of(stores)

    assert await rings.append_commit_once(session_id, 0, stored(session_id)) is not None
    assert None is await rings.append_commit_once(session_id, 0, stored(session_id))
    assert (0, 1) == await rings.last_commit(session_id)


async def many_repairs_are_one_event(stores: LiveStores) -> None:
    """Whoever watches may tell it; one of them does."""
    session_id = session()
    rings = rings_of(stores)

    told = await asyncio.gather(*(rings.append_commit_once(session_id, 2, stored(session_id, "a")) for _ in range(12)))

    assert 1 == len([event for event in told if event is not None])
    assert ["committed"] == texts_of(await replayed(stores, session_id, 0))


async def a_commit_outlives_its_event(stores: LiveStores) -> None:
    """Which revision was told is known when the ring has dropped the event."""
    session_id = session()
    rings = rings_of(stores)
    await rings.append_commit_once(session_id, 6, stored(session_id, "a"))

    await tell_at_once(stores, session_id, [said("b")], dropped=2)

    assert (6, 1) == await rings.last_commit(session_id)
    assert None is await rings.append_commit_once(session_id, 6, stored(session_id, "a"))
