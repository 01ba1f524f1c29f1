"""Many streams of one session: each hears everything, and one that does not read holds nobody back.

``docs/contracts/observation.md`` 3.
"""

from __future__ import annotations

import asyncio

from lash_core.testing.conformance.live_replay.arrange import (
    LiveStores,
    bounds_of,
    fill,
    heard_texts,
    session,
    skim,
    subscribed,
    tell,
)

CROWD = 500
"""Streams of one session in a case; ten thousand are tried where no server is asked."""


async def a_crowd_hears_everything(stores: LiveStores) -> None:
    """However many listen."""
    session_id = session()
    await tell(stores, session_id, "a")
    streams = [await subscribed(stores, session_id) for _ in range(CROWD)]
    listeners = [asyncio.create_task(heard_texts(stream, 3)) for stream in streams]

    await tell(stores, session_id, "b", "c")

    assert [["a", "b", "c"]] * CROWD == await asyncio.gather(*listeners)
    for stream in streams:
        await stream.aclose()


async def one_that_does_not_read_holds_nobody_back(stores: LiveStores) -> None:
    """Not those who append either."""
    session_id = session()
    most = bounds_of(stores).max_events_per_session
    asleep, awake = await subscribed(stores, session_id), await subscribed(stores, session_id)
    reading = asyncio.create_task(skim(awake, most * 2))

    await fill(stores, session_id, most * 2)
    await reading

    assert [f"missed {most}"] == await heard_texts(asleep, 1)
    for stream in (asleep, awake):
        await stream.aclose()
