"""``append``, ``append_many``, ``current_cursor``: positions, cursors, and what an event carries.

``docs/contracts/observation.md`` 2, 3.
"""

from __future__ import annotations

import asyncio
from typing import cast

from lash_core.errors import LiveReplayStoreError, MalformedSessionCursorError, SessionCursorError
from lash_core.model.session_cursor import SessionCursor
from lash_core.model.session_observation import (
    AgentFrameSwitchedPayload,
    CommittedPayload,
    ProcessChangedPayload,
    QueueChangedPayload,
    SessionProcessEventKind,
    SessionQueueEventKind,
    TurnActivityPayload,
)
from lash_core.model.turn_activity import TurnActivity, TurnEvent
from lash_core.store.live_replay_store import LiveAppend, LiveAppended
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.live_replay.arrange import (
    LiveStores,
    after,
    queued,
    replayed,
    rings_of,
    said,
    session,
    stored,
    tail,
    tell,
    tell_at_once,
    texts_of,
)


async def positions_count_from_one(stores: LiveStores) -> None:
    """The first event is at 1, each next one a position further; its cursor says so."""
    session_id = session()

    events = [await rings_of(stores).append(session_id, revision, said("x")) for revision in (4, 4, 9)]

    assert [1, 2, 3] == [event.position for event in events]
    assert [after(session_id, 1, 4), after(session_id, 2, 4), after(session_id, 3, 9)] == [
        event.cursor for event in events
    ]
    assert [(session_id, 4), (session_id, 4), (session_id, 9)] == [
        (event.session_id, event.revision) for event in events
    ]


async def what_is_read_is_what_was_appended(stores: LiveStores) -> None:
    """Each kind of payload comes back equal: text that is not ASCII, nothing, nested facts."""
    session_id = session()
    facts = {"text": "grüße \u2028 \n;", "nothing": None, "deep": {"a": [1, 2.5, {"b": None}]}}
    payloads = (
        TurnActivityPayload(TurnActivity(id="a", correlation_id="c", event=TurnEvent("tool_call_started", facts))),
        TurnActivityPayload(TurnActivity(id="", correlation_id="", event=TurnEvent("usage"))),
        AgentFrameSwitchedPayload("frame-é"),
        QueueChangedPayload(SessionQueueEventKind.ENQUEUED, ("b1", "b2")),
        QueueChangedPayload(SessionQueueEventKind.CANCELLED, ()),
        ProcessChangedPayload(SessionProcessEventKind.STARTED, ("p1",)),
        ProcessChangedPayload(SessionProcessEventKind.CANCELLED, ("p1", "p/2")),
    )

    for payload in payloads:
        await rings_of(stores).append(session_id, 1, payload)

    assert payloads == tuple(event.payload for event in await replayed(stores, session_id, 0))


async def a_committed_comes_with_its_history(stores: LiveStores) -> None:
    """What the session said is there to be read: messages, policy, turn, leaf."""
    session_id = session()
    payload = stored(session_id, "hello", "wörld", turn_index=7)

    await rings_of(stores).append(session_id, 3, payload)

    (event,) = await replayed(stores, session_id, 0)
    assert isinstance(event.payload, CommittedPayload)
    view, expected = event.payload.read_view, payload.read_view
    assert expected.messages == view.messages
    assert expected.read_model.active_events == view.read_model.active_events
    assert (session_id, 7, "wörld") == (view.session_id, view.turn_index, view.leaf_node_id)
    assert expected.policy == view.policy


async def sessions_are_apart(stores: LiveStores) -> None:
    """Each session counts for itself and keeps its own events; an id may contain colons and slashes."""
    first, second = session(), f"{session()}:a/b:c"
    await tell(stores, first, "one", "two")
    await tell(stores, second, "three")

    assert ["one", "two"] == texts_of(await replayed(stores, first, 0))
    assert ["three"] == texts_of(await replayed(stores, second, 0))
    assert (2, 1) == (await tail(stores, first), await tail(stores, second))


async def several_sessions_are_appended_in_one_call(stores: LiveStores) -> None:
    """One outcome each, in the order of the appends; several events of one keep their order."""
    first, second = session(), session()
    rings = rings_of(stores)

    outcomes = await rings.append_many(
        [
            LiveAppend(first, 1, (said("a"), said("b"))),
            LiveAppend(second, 5, (said("x"),)),
            LiveAppend(first, 1, (said("c"),)),
        ]
    )

    events = [outcome.events for outcome in outcomes if isinstance(outcome, LiveAppended)]
    assert [["a", "b"], ["x"], ["c"]] == [texts_of(one) for one in events]
    assert [[1, 2], [1], [3]] == [[event.position for event in one] for one in events]
    assert ["a", "b", "c"] == texts_of(await replayed(stores, first, 0))


async def appends_at_the_same_time_get_positions_of_their_own(stores: LiveStores) -> None:
    """No position twice, none left out, whoever comes first."""
    session_id = session()

    answers = await asyncio.gather(*(tell(stores, session_id, f"{n}.0", f"{n}.1") for n in range(20)))

    assert list(range(1, 41)) == sorted(event.position for events in answers for event in events)
    texts = texts_of(await replayed(stores, session_id, 0))
    for n in range(20):
        assert texts.index(f"{n}.0") < texts.index(f"{n}.1")


async def the_current_cursor_is_at_the_tail(stores: LiveStores) -> None:
    """Position 0 for a session that nobody wrote to; then that of the last event, with the revision that is given."""
    session_id = session()
    rings = rings_of(stores)
    unknown = await rings.current_cursor(session_id, 7)
    await tell(stores, session_id, "a", "b")

    assert after(session_id, 0, 7) == unknown
    assert after(session_id, 2, 8) == await rings.current_cursor(session_id, 8)


async def a_cursor_may_come_as_text(stores: LiveStores) -> None:
    """As a client keeps it."""
    session_id = session()
    await tell(stores, session_id, "a", "b")

    result = await rings_of(stores).replay_after_cursor(cast("SessionCursor", str(after(session_id, 1))))
    assert ["b"] == texts_of(getattr(result, "events", ()))


async def a_revision_that_is_none_is_refused(stores: LiveStores) -> None:
    """By name, and nothing is appended."""
    session_id = session()
    for revision in (-1, 2**64, *cast("tuple[int, ...]", (1.5, "1", True, None))):
        with refused(LiveReplayStoreError):
            await rings_of(stores).append(session_id, revision, said("a"))
        with refused(LiveReplayStoreError):
            await rings_of(stores).current_cursor(session_id, revision)

    assert 0 == await tail(stores, session_id)


async def asking_leaves_no_trace(stores: LiveStores) -> None:
    """Reads and trims of a session that nobody wrote to make no ring: its first event is at 1."""
    session_id = session()
    rings = rings_of(stores)
    await rings.trim_session(session_id)
    await rings.replay_after_cursor(after(session_id, 0))
    await rings.forget_session(session_id)
    assert (0, 0) == await rings.last_commit(session_id)

    assert [1] == [event.position for event in await tell(stores, session_id, "a")]


async def a_cursor_that_is_none_is_refused(stores: LiveStores) -> None:
    """Before anything is read."""
    rings = rings_of(stores)
    for raw in ("bad", "", "lashsc1:", "lashsc1:1", "lashsc1:1:2", "lashsc1:1:2:", "lashsc1:x:2:s", "lashsc1:1:-1:s"):
        cursor = SessionCursor.from_raw_for_testing(raw)
        with refused(MalformedSessionCursorError):
            await rings.replay_after_cursor(cursor)
        with refused(SessionCursorError):
            await rings.subscribe_after_cursor(cursor)


async def a_batch_is_one_step(stores: LiveStores) -> None:
    """Events of one append are neighbours, whoever appends beside it."""
    session_id = session()

    await asyncio.gather(
        *(tell_at_once(stores, session_id, [queued(f"{n}", f"{k}") for k in range(5)]) for n in range(8))
    )

    ids = [
        event.payload.batch_ids
        for event in await replayed(stores, session_id, 0)
        if isinstance(event.payload, QueueChangedPayload)
    ]
    assert 40 == len(ids)
    for start in range(0, 40, 5):
        assert [(ids[start][0], f"{k}") for k in range(5)] == ids[start : start + 5]
