"""``subscribe_after_cursor``: what is kept, then what comes, with no hole that is not told and no duplicate.

``docs/contracts/observation.md`` 3.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from lash_core.testing.conformance.live_replay.arrange import (
    LiveStores,
    bounds_of,
    ends,
    fill,
    heard,
    heard_texts,
    queued,
    session,
    skim,
    subscribed,
    tail,
    tell,
    tell_at_once,
)
from lash_core.testing.conformance.stores import can_advance, elapse


async def kept_events_come_first(stores: LiveStores) -> None:
    """Then what is appended, in order, each once."""
    session_id = session()
    await tell(stores, session_id, "a", "b", "c")
    stream = await subscribed(stores, session_id, 1)
    await tell(stores, session_id, "d")

    assert ["b", "c", "d"] == await heard_texts(stream, 3)
    await tell(stores, session_id, "e")
    assert ["e"] == await heard_texts(stream, 1)
    await stream.aclose()


async def who_is_at_the_tail_hears_what_is_new(stores: LiveStores) -> None:
    """And nothing of before."""
    session_id = session()
    await tell(stores, session_id, "a", "b")
    stream = await subscribed(stores, session_id, 2)

    await tell(stores, session_id, "c")

    assert ["c"] == await heard_texts(stream, 1)
    await stream.aclose()


async def a_session_may_be_watched_before_its_first_event(stores: LiveStores) -> None:
    """Position 0 is there before the ring is."""
    session_id = session()
    stream = await subscribed(stores, session_id)
    waiting = asyncio.ensure_future(heard(stream, 1))

    (event,) = await tell(stores, session_id, "first")

    assert [event] == await waiting
    await stream.aclose()


async def each_stream_hears_everything(stores: LiveStores) -> None:
    """Whoever else listens, from wherever."""
    session_id = session()
    await tell(stores, session_id, "a", "b")
    streams = [await subscribed(stores, session_id, position) for position in (0, 1, 2, 0)]

    await tell(stores, session_id, "c")

    assert [["a", "b", "c"], ["b", "c"], ["c"], ["a", "b", "c"]] == [
        await heard_texts(stream, items) for stream, items in zip(streams, (3, 2, 1, 3), strict=True)
    ]
    for stream in streams:
        await stream.aclose()


async def a_stream_hears_its_own_session(stores: LiveStores) -> None:
    """Of other sessions nothing comes."""
    mine, other = session(), session()
    stream = await subscribed(stores, mine)

    await tell(stores, other, "theirs")
    await tell(stores, mine, "mine")

    assert ["mine"] == await heard_texts(stream, 1)
    await stream.aclose()


async def no_hole_and_no_duplicate_while_others_append(stores: LiveStores) -> None:
    """Streams that begin while events come have every event behind their cursor exactly once, in order."""
    session_id = session()
    writers = [asyncio.create_task(tell(stores, session_id, *(f"{w}.{n}" for n in range(25)))) for w in range(4)]
    heard_by: list[tuple[int, list[int]]] = []

    async def listen() -> None:
        position = await tail(stores, session_id)
        stream = await subscribed(stores, session_id, position)
        items = await heard(stream, 100 - position)
        heard_by.append((position, [getattr(item, "position", -1) for item in items]))
        await stream.aclose()

    listeners: list[asyncio.Task[None]] = []
    while not all(writer.done() for writer in writers):
        listeners.append(asyncio.create_task(listen()))
        await asyncio.sleep(0.002)
    await asyncio.gather(*writers, *listeners)

    assert heard_by
    for position, positions in heard_by:
        assert list(range(position + 1, 101)) == positions


async def who_is_too_slow_is_told_how_much_it_missed(stores: LiveStores) -> None:
    """The stream goes on at the first event that is still there."""
    session_id = session()
    most = bounds_of(stores).max_events_per_session
    await tell(stores, session_id, "a", "b")
    stream = await subscribed(stores, session_id)
    assert ["a"] == await heard_texts(stream, 1)
    last = await subscribed(stores, session_id, 2)

    await fill(stores, session_id, most + 5)
    await skim(last, most + 7)

    (lagged, event) = await heard(stream, 2)
    assert 6 == getattr(lagged, "missed", None), lagged
    assert 8 == getattr(event, "position", None), event
    assert 9 == getattr((await heard(stream, 1))[0], "position", None)
    await stream.aclose()
    await last.aclose()


async def what_its_writer_dropped_is_told(stores: LiveStores) -> None:
    """Events that never reached the ring count as missed, and who comes later finds a gap."""
    session_id = session()
    await tell(stores, session_id, "a")
    stream = await subscribed(stores, session_id, 1)

    outcome = await tell_at_once(stores, session_id, [queued("b")], dropped=4)

    assert [6] == [event.position for event in outcome.events]
    (lagged, event) = await heard(stream, 2)
    assert 4 == getattr(lagged, "missed", None), lagged
    assert outcome.events == (event,)
    await stream.aclose()


async def trimming_ends_no_stream(stores: LiveStores) -> None:
    """Who has read everything hears of nothing but the next event."""
    if not await can_advance(stores):
        return
    session_id = session()
    stream = await subscribed(stores, session_id)
    await tell(stores, session_id, "a")
    assert ["a"] == await heard_texts(stream, 1)
    await elapse(stores, bounds_of(stores).max_age_ms + 1)

    await tell(stores, session_id, "b")

    assert ["b"] == await heard_texts(stream, 1)
    await stream.aclose()


async def a_wait_that_is_given_up_loses_nothing(stores: LiveStores) -> None:
    """The stream may be read again, and has what came meanwhile."""
    session_id = session()
    stream = await subscribed(stores, session_id)
    wait = asyncio.ensure_future(heard(stream, 1))
    await asyncio.sleep(0)
    wait.cancel()
    with suppress(asyncio.CancelledError):
        await wait

    await tell(stores, session_id, "a")

    assert ["a"] == await heard_texts(stream, 1)
    await stream.aclose()


async def a_closed_stream_ends(stores: LiveStores) -> None:
    """At once, a wait under way too; closing it again does nothing, and others go on."""
    session_id = session()
    stream, other = await subscribed(stores, session_id), await subscribed(stores, session_id)
    wait = asyncio.ensure_future(ends(stream))
    await asyncio.sleep(0)

    await stream.aclose()
    await stream.aclose()

    assert await wait
    await tell(stores, session_id, "a")
    assert await ends(stream)
    assert ["a"] == await heard_texts(other, 1)
    await other.aclose()
