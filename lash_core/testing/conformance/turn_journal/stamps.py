"""Stamps of turns: what a committed turn answers to whoever does it again.

``docs/contracts/sessions.md`` 2.1, guarantee G2.
"""

from __future__ import annotations

from lash_core.errors import InvalidArgumentError
from lash_core.errors.session import RuntimeTurnCommitConflictError, SessionBindingMismatchError
from lash_core.model.session_commit import TurnCommitStamp
from lash_core.store.turn_journal import TURN_RESULTS_MAX
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.session_scene import (
    SessionStores,
    appending,
    commit_of,
    committed,
    factory_of,
    leased,
    loaded,
    opened,
    taken_over,
)
from lash_core.testing.conformance.stores import elapse, short_ttl_ms


async def stamped_turns_are_listed_from_the_newest(stores: SessionStores) -> None:
    """A window of them, as far as there are any; an empty window is empty."""
    store = await opened(stores)
    for number in range(5):
        await committed(store, turn_commit=commit_of(store, None).stamped(f"t{number}").turn_commit)

    for offset, limit, expected in (
        (0, 2, ("t4", "t3")),
        (3, 10, ("t1", "t0")),
        (5, 10, ()),
        (0, 0, ()),
        (2, 0, ()),
        (0, -1, ()),
        (-1, 2, ("t4", "t3")),
    ):
        assert expected == await store.list_stamped_turns(store.session_id, offset, limit)


async def a_stamp_keeps_the_results(stores: SessionStores) -> None:
    """The commit's and the turn's; there is none before, and none without a stamp."""
    store = await opened(stores)
    lease = await leased(store)
    await committed(store, lease)
    assert await store.find_turn_stamp(store.session_id, "t") is None
    commit = commit_of(store, lease, graph=appending("a"), turn_result={"text": "\u00e9"}).stamped("t")

    result = await store.commit_runtime_state(commit)

    stamp = await store.find_turn_stamp(store.session_id, "t")
    assert stamp is not None
    assert ("t", commit.turn_commit_hash(), result, {"text": "\u00e9"}) == (
        stamp.turn_id,
        stamp.turn_commit_hash,
        stamp.result,
        stamp.turn_result,
    )


async def a_repeat_answers_the_first_result(stores: SessionStores) -> None:
    """Also without a live lease, after other commits, and under another revision: nothing is written again."""
    store = await opened(stores)
    ttl_ms = await short_ttl_ms(stores)
    lease = await leased(store, ttl_ms=ttl_ms)
    commit = commit_of(store, lease, graph=appending("a"), expected_head_revision=0).stamped("t")
    first = await store.commit_runtime_state(commit)
    await elapse(stores, ttl_ms + 50)
    await committed(store, graph=appending("b", after="a"))

    again = await store.commit_runtime_state(commit)
    without = await store.commit_runtime_state(commit.model_copy(update={"session_execution_lease": None}))

    assert first == again == without
    assert 2 == (await loaded(store)).head_revision


async def old_stamps_lose_the_turns_result(stores: SessionStores) -> None:
    """The newest ``TURN_RESULTS_MAX`` have it; an older turn still is known, with the commit's result."""
    store = await opened(stores)
    lease = await leased(store)
    for number in range(TURN_RESULTS_MAX + 2):
        await store.commit_runtime_state(commit_of(store, lease, turn_result={"n": number}).stamped(f"t{number}"))

    kept = [await store.find_turn_stamp(store.session_id, f"t{number}") for number in (1, 2, TURN_RESULTS_MAX + 1)]

    results = [(stamp.result.head_revision, stamp.turn_result) for stamp in kept if stamp is not None]
    assert [(2, None), (3, {"n": 2}), (TURN_RESULTS_MAX + 2, {"n": TURN_RESULTS_MAX + 1})] == results


async def a_hash_is_compared_as_text(stores: SessionStores) -> None:
    """Whoever makes it decides what it looks like; what merely begins like it is another one."""
    store = await opened(stores)
    lease = await leased(store)
    commit = commit_of(store, lease)
    stamp = TurnCommitStamp(session_id=store.session_id, turn_id="t", turn_commit_hash="Hash-1 of t")
    first = await store.commit_runtime_state(commit.model_copy(update={"turn_commit": stamp}))

    assert first == await store.commit_runtime_state(commit.model_copy(update={"turn_commit": stamp}))
    longer = stamp.model_copy(update={"turn_commit_hash": "Hash-1 of t2"})
    with refused(RuntimeTurnCommitConflictError, "t"):
        await store.commit_runtime_state(commit.model_copy(update={"turn_commit": longer}))


async def a_stamp_that_cannot_be_kept_is_refused(stores: SessionStores) -> None:
    """A turn id that is none, or no hash: nothing is written."""
    store = await opened(stores)
    lease = await leased(store)
    for turn_id, turn_hash in (
        ("", "abc"),
        ("\n", "abc"),
        ("a\nb", "abc"),
        ("x" * 300, "abc"),
        ("t", ""),
        ("t", "a;b"),
    ):
        stamp = TurnCommitStamp(session_id=store.session_id, turn_id=turn_id, turn_commit_hash=turn_hash)
        with refused(InvalidArgumentError):
            await committed(store, lease, turn_commit=stamp)

    assert await store.load_session() is None


async def another_content_is_a_conflict(stores: SessionStores) -> None:
    """A turn is committed once; the second one changes nothing."""
    store = await opened(stores)
    lease = await leased(store)
    await store.commit_runtime_state(commit_of(store, lease, graph=appending("a")).stamped("t"))

    with refused(RuntimeTurnCommitConflictError, "t"):
        await store.commit_runtime_state(
            commit_of(store, lease, graph=appending("a", "b"), current_agent_frame_id="other").stamped("t")
        )

    read = await loaded(store)
    assert (1, ["a"]) == (read.head_revision, [node.node_id for node in read.nodes])


async def a_turn_that_is_redone_elsewhere_is_the_same(stores: SessionStores) -> None:
    """Other lease, other revision: not part of what a turn is."""
    store = await opened(stores)
    lease = await leased(store)
    first = await store.commit_runtime_state(
        commit_of(store, lease, graph=appending("a"), expected_head_revision=0).stamped("t")
    )
    lease = await taken_over(store, lease)

    again = await store.commit_runtime_state(
        commit_of(store, lease, graph=appending("a"), expected_head_revision=1).stamped("t")
    )

    assert first == again


async def a_repeat_releases_the_lease_that_it_names(stores: SessionStores) -> None:
    """When it is still that one; another one stays (decision 25)."""
    store = await opened(stores)
    lease = await leased(store)
    releasing = commit_of(store, lease, release_session_execution_lease=lease.completion).stamped("t")
    await store.commit_runtime_state(commit_of(store, lease).stamped("t"))
    assert await store.get_session_execution_lease(store.session_id) is not None

    await store.commit_runtime_state(releasing)
    assert await store.get_session_execution_lease(store.session_id) is None
    held = await leased(store)
    await store.commit_runtime_state(releasing)

    assert held == await store.get_session_execution_lease(store.session_id)


async def a_stamp_of_another_session_is_refused(stores: SessionStores) -> None:
    """It cannot end a turn here."""
    store, other = await opened(stores), await opened(stores)
    lease = await leased(store)
    foreign = commit_of(other, await leased(other)).stamped("t").turn_commit

    with refused(RuntimeTurnCommitConflictError):
        await store.commit_runtime_state(commit_of(store, lease, turn_commit=foreign))
    with refused(SessionBindingMismatchError):
        await store.find_turn_stamp(other.session_id, "t")

    assert await store.load_session() is None


async def a_deletion_forgets_stamps(stores: SessionStores) -> None:
    """A session of the same name has turns of its own."""
    store = await opened(stores)
    await store.commit_runtime_state(commit_of(store, await leased(store)).stamped("t"))

    await factory_of(stores).delete_session(store.session_id)

    again = await opened(stores, store.session_id)
    assert await again.find_turn_stamp(store.session_id, "t") is None
