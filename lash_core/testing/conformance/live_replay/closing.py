"""``close``: streams end with a word, and nothing is written or read any more.

``docs/contracts/observation.md`` 3.
"""

from __future__ import annotations

import asyncio

from lash_core.errors import LiveReplayStoreError
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.live_replay.arrange import (
    LiveStores,
    after,
    ends,
    heard_texts,
    rings_of,
    said,
    session,
    subscribed,
    tell,
)


async def streams_end_with_a_word(stores: LiveStores) -> None:
    """Waiting or not: ``LiveReplayClosedError`` is the last item."""
    session_id = session()
    await tell(stores, session_id, "a")
    stream = await subscribed(stores, session_id, 1)
    waiting = asyncio.ensure_future(heard_texts(stream, 1))
    other = await subscribed(stores, session_id, 1)
    await asyncio.sleep(0)

    await rings_of(stores).close()
    await rings_of(stores).close()

    assert ["closed"] == await waiting
    assert await ends(stream)
    assert ["closed"] == await heard_texts(other, 1)
    assert await ends(other)
    await other.aclose()


async def a_closed_store_refuses(stores: LiveStores) -> None:
    """As a failure of the store, which nobody's turn fails for."""
    session_id = session()
    rings = rings_of(stores)
    await rings.close()

    with refused(LiveReplayStoreError):
        await rings.append(session_id, 1, said("a"))
    with refused(LiveReplayStoreError):
        await rings.replay_after_cursor(after(session_id, 0))
    with refused(LiveReplayStoreError):
        await rings.subscribe_after_cursor(after(session_id, 0))
