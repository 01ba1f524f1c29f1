"""The open turn: what a turn was given is noted before it has an effect, so that a peer redoes the same turn."""

from __future__ import annotations

from lash_core.errors import InvalidArgumentError
from lash_core.errors.session import SessionBindingMismatchError, SessionExecutionLeaseExpiredError
from lash_core.store.runtime_persistence import RuntimePersistence
from lash_core.store.turn_journal import OpenTurn
from lash_core.testing.conformance.effect_journal.arrange import completed
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.session_scene import (
    SessionStores,
    claimed,
    commit_of,
    committed,
    enqueued,
    ids_of,
    leased,
    opened,
    taken_over,
)
from lash_core.testing.conformance.stores import elapse, short_ttl_ms


async def it_is_noted_as_it_was_given(stores: SessionStores) -> None:
    """Its facts and its batches come back, to everybody."""
    store = await opened(stores)
    assert await store.load_open_turn(store.session_id) is None
    turn = OpenTurn("t_1;\u00e9", facts={"base": 3, "text": "a\nb"}, batch_ids=("qwb:a", "qwb:b"))

    noted = await store.open_turn((await leased(store)).fence, turn)

    assert turn == noted
    assert turn == await store.load_open_turn(store.session_id)


async def a_repeat_answers_what_was_noted(stores: SessionStores) -> None:
    """Also for the next holder of the session, whatever it brings."""
    store = await opened(stores)
    lease = await leased(store)
    first = OpenTurn("t", facts={"n": 1}, batch_ids=("qwb:a",))
    await store.open_turn(lease.fence, first)

    again = await store.open_turn((await taken_over(store, lease)).fence, OpenTurn("t", facts={"n": 2}))

    assert first == again
    assert first == await store.load_open_turn(store.session_id)


async def another_turn_replaces_it(stores: SessionStores) -> None:
    """With its journal: whoever opens a turn has decided that."""
    store = await opened(stores)
    lease = await leased(store)
    await store.open_turn(lease.fence, OpenTurn("t1"))
    await store.record_turn_effects(lease.fence, "t1", [completed("k", 1)])

    await store.open_turn(lease.fence, OpenTurn("t2"))

    found = await store.load_open_turn(store.session_id)
    assert found is not None
    assert "t2" == found.turn_id
    assert () == await store.load_turn_effects(store.session_id, "t1")


async def a_turn_that_begins_has_no_journal(stores: SessionStores) -> None:
    """What somebody recorded under its id before it was opened is not replayed."""
    store = await opened(stores)
    lease = await leased(store)
    await store.record_turn_effects(lease.fence, "t", [completed("k", 1)])

    await store.open_turn(lease.fence, OpenTurn("t"))

    assert () == await store.load_turn_effects(store.session_id, "t")


async def its_commit_closes_it(stores: SessionStores) -> None:
    """And forgets what it recorded; a progress commit, and another turn's, do not."""
    store = await opened(stores)
    lease = await leased(store)
    await store.open_turn(lease.fence, OpenTurn("t"))
    await store.record_turn_effects(lease.fence, "t", [completed("k", 1)])
    await committed(store, lease)
    await store.commit_runtime_state(commit_of(store, lease).stamped("another"))
    assert 1 == len(await store.load_turn_effects(store.session_id, "t"))
    assert await store.load_open_turn(store.session_id) is not None

    await store.commit_runtime_state(commit_of(store, lease).stamped("t"))

    assert await store.load_open_turn(store.session_id) is None
    assert () == await store.load_turn_effects(store.session_id, "t")


async def it_remembers_what_it_takes_in_later(stores: SessionStores) -> None:
    """Batches that a checkpoint delivered are written with the effect that says so, once each."""
    store = await opened(stores)
    lease = await leased(store)
    await store.open_turn(lease.fence, OpenTurn("t", batch_ids=("qwb:a",)))
    late = await enqueued(store)
    claim = await claimed(store, lease)

    for _ in range(2):
        await store.record_turn_effects(lease.fence, "t", [completed("k", 1)], taken_batch_ids=ids_of(claim))

    found = await store.load_open_turn(store.session_id)
    assert found is not None
    assert ("qwb:a", late.batch_id) == found.batch_ids
    assert await store.release_session_execution_lease(lease.completion)
    assert await store.cancel_queued_work_batch(store.session_id, late.batch_id) is None


async def deaths_without_a_write_are_counted(stores: SessionStores) -> None:
    """Leases that ended by themselves while the turn was open; a write of its own forgets them, a release is none."""
    store = await opened(stores)
    ttl_ms = await short_ttl_ms(stores)
    lease = await leased(store, ttl_ms=ttl_ms)
    await store.open_turn(lease.fence, OpenTurn("t"))
    await elapse(stores, ttl_ms + 50)
    lease = await leased(store)
    assert 1 == await _deaths(store)
    lease = await taken_over(store, lease)
    assert 1 == await _deaths(store)

    await store.record_turn_effects(lease.fence, "t", [completed("k", 1)])

    assert 0 == await _deaths(store)


async def only_the_holder_opens_a_turn(stores: SessionStores) -> None:
    """A stale lease notes nothing."""
    store, other = await opened(stores), await opened(stores)
    stale = await leased(store)
    await taken_over(store, stale)

    with refused(SessionExecutionLeaseExpiredError):
        await store.open_turn(stale.fence, OpenTurn("t"))
    with refused(SessionBindingMismatchError):
        await store.load_open_turn(other.session_id)

    assert await store.load_open_turn(store.session_id) is None


async def an_illegal_turn_id_is_refused(stores: SessionStores) -> None:
    """Blank, with control characters, too long."""
    store = await opened(stores)
    lease = await leased(store)

    for turn_id in ("", "\n", "a\nb", "x" * 300):
        with refused(InvalidArgumentError, "turn id"):
            await store.open_turn(lease.fence, OpenTurn(turn_id))

    assert await store.load_open_turn(store.session_id) is None


async def _deaths(store: RuntimePersistence) -> int:
    turn = await store.load_open_turn(store.session_id)
    assert turn is not None
    return turn.deaths
