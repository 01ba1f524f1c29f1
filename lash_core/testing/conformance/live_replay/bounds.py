"""How much is kept: by count, age and bytes (``docs/contracts/observation.md`` 3; decision 23)."""

from __future__ import annotations

from lash_core.model.session_observation import LiveReplayGapReason
from lash_core.testing.conformance.live_replay.arrange import (
    LiveStores,
    bounds_of,
    fill,
    gap,
    replayed,
    rings_of,
    said,
    session,
    tell,
    tell_at_once,
    texts_of,
)
from lash_core.testing.conformance.stores import can_advance, elapse


async def the_newest_events_are_kept(stores: LiveStores) -> None:
    """As many as the bound says, not one more or less."""
    session_id = session()
    most = bounds_of(stores).max_events_per_session
    await fill(stores, session_id, most)
    before = await replayed(stores, session_id, 0)
    await tell(stores, session_id, "next")

    behind = await replayed(stores, session_id, 1)
    assert (most, most) == (len(before), len(behind))
    assert (most + 1, "next") == (behind[-1].position, texts_of(behind[-1:])[0])
    assert LiveReplayGapReason.TRIMMED == await gap(stores, session_id, 0)


async def age_drops_events_on_append(stores: LiveStores) -> None:
    """What is older than the bound goes with the next append; what is just as old stays."""
    if not await can_advance(stores):
        return
    session_id, most_ms = session(), bounds_of(stores).max_age_ms
    await tell(stores, session_id, "old")
    await elapse(stores, most_ms // 2)
    await tell(stores, session_id, "young")
    await elapse(stores, most_ms // 2 + 50)
    await tell(stores, session_id, "new")

    assert LiveReplayGapReason.TRIMMED == await gap(stores, session_id, 0)
    assert ["young", "new"] == texts_of(await replayed(stores, session_id, 1))


async def age_drops_events_on_trim(stores: LiveStores) -> None:
    """Without an append; asking twice changes nothing more."""
    if not await can_advance(stores):
        return
    session_id, most_ms = session(), bounds_of(stores).max_age_ms
    await tell(stores, session_id, "old")
    await elapse(stores, most_ms // 2)
    await tell(stores, session_id, "young")
    await elapse(stores, most_ms // 2 + 50)

    await rings_of(stores).trim_session(session_id)
    await rings_of(stores).trim_session(session_id)

    assert LiveReplayGapReason.TRIMMED == await gap(stores, session_id, 0)
    assert ["young"] == texts_of(await replayed(stores, session_id, 1))


async def reads_drop_nothing(stores: LiveStores) -> None:
    """However old events are: the age is looked at by appends and trims."""
    if not await can_advance(stores):
        return
    session_id = session()
    await tell(stores, session_id, "old")
    await elapse(stores, bounds_of(stores).max_age_ms * 2)

    assert ["old"] == texts_of(await replayed(stores, session_id, 0))


async def bytes_drop_the_oldest(stores: LiveStores) -> None:
    """As many large events are kept as fit."""
    session_id = session()
    size = 200 * 1024
    fit = bounds_of(stores).max_bytes_per_session // size
    for n in range(fit + 3):
        await tell_at_once(stores, session_id, [said(f"{n}" + "x" * size)])

    assert LiveReplayGapReason.TRIMMED == await gap(stores, session_id, 2)
    texts = texts_of(await replayed(stores, session_id, 3))
    assert [str(n) for n in range(3, fit + 3)] == [text.rstrip("x") for text in texts]


async def bytes_of_one_append_count_together(stores: LiveStores) -> None:
    """A large append pushes its own first events out; the newest always stays."""
    session_id = session()
    size = bounds_of(stores).max_bytes_per_session // 4 + 1

    await tell_at_once(stores, session_id, [said(f"{n}" + "x" * size) for n in range(6)])

    texts = texts_of(await replayed(stores, session_id, 3))
    assert ["3", "4", "5"] == [text.rstrip("x") for text in texts]
    assert LiveReplayGapReason.TRIMMED == await gap(stores, session_id, 2)
