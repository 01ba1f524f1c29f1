"""``record_turn_effects`` and ``load_turn_effects``: a turn's journal, fenced by its session's lease (ADR 0161)."""

from __future__ import annotations

from lash_core.errors import InvalidArgumentError, LimitExceededError
from lash_core.errors.session import SessionBindingMismatchError, SessionExecutionLeaseExpiredError
from lash_core.model.effect_record import EffectRecord
from lash_core.model.limits import Limits
from lash_core.store.runtime_persistence import RuntimePersistence
from lash_core.store.turn_journal import OpenTurn
from lash_core.testing.conformance.effect_journal.arrange import completed, ended, failed, waiting
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.session_scene import SessionStores, factory_of, leased, opened, taken_over
from lash_core.testing.conformance.stores import elapse


async def what_is_recorded_comes_back(stores: SessionStores) -> None:
    """Values and errors, to any holder of the session."""
    store = await opened(stores)
    lease = await leased(store)

    answers = await store.record_turn_effects(
        lease.fence, "t", [completed("llm:0", {"text": "\u00e9"}), failed("tool:a:attempt:1", "declined")]
    )

    assert [False, False] == [answer.replayed or answer.conflict for answer in answers]
    stored = await _journal(store, "t")
    assert {answer.record.key: answer.record for answer in answers} == stored
    assert {"text": "\u00e9"} == stored["llm:0"].outcome
    assert "failed" == stored["tool:a:attempt:1"].state


async def a_repeat_answers_what_is_stored(stores: SessionStores) -> None:
    """The same request with another outcome gets the first one, under the next lease too; another request conflicts."""
    store = await opened(stores)
    lease = await leased(store)
    await store.record_turn_effects(lease.fence, "t", [completed("k", 1)])
    lease = await taken_over(store, lease)

    same, new, other = await store.record_turn_effects(
        lease.fence, "t", [completed("k", 2), completed("l", 3), completed("k", 4, asked="b")]
    )

    assert (True, False, 1) == (same.replayed, same.conflict, same.record.outcome)
    assert (False, False, 3) == (new.replayed, new.conflict, new.record.outcome)
    assert (False, True, 1) == (other.replayed, other.conflict, other.record.outcome)
    assert {"k": 1, "l": 3} == {key: entry.outcome for key, entry in (await _journal(store, "t")).items()}


async def one_call_may_name_a_key_twice(stores: SessionStores) -> None:
    """The second write sees the first, and each is told what it left."""
    store = await opened(stores)
    lease = await leased(store)

    answers = await store.record_turn_effects(
        lease.fence, "t", [waiting("w", 5_000), ended("w"), completed("k", 1), completed("k", 2)]
    )

    assert ["waiting", "failed", "completed", "completed"] == [answer.record.state for answer in answers]
    assert [False, False, False, True] == [answer.replayed for answer in answers]
    assert [1, 1] == [answer.record.outcome for answer in answers[2:]]


async def a_wait_is_due_by_the_stores_clock(stores: SessionStores) -> None:
    """Its due time stays, over a repeat and over its end."""
    store = await opened(stores)
    lease = await leased(store)
    (first,) = await store.record_turn_effects(lease.fence, "t", [waiting("k", 5_000)])
    await elapse(stores, 20)

    (again,) = await store.record_turn_effects(lease.fence, "t", [waiting("k", 9_000)])
    (over,) = await store.record_turn_effects(lease.fence, "t", [ended("k")])

    assert first.now_ms + 5_000 == first.record.due_at_ms
    assert (first.record, True) == (again.record, again.replayed)
    assert ("failed", first.record.due_at_ms) == (over.record.state, over.record.due_at_ms)


async def journals_do_not_meet(stores: SessionStores) -> None:
    """A key is unique in its turn of its session only."""
    one, two = await opened(stores), await opened(stores)
    for store, turn_id, value in ((one, "t", 1), (one, "u", 2), (two, "t", 3)):
        lease = await leased(store)
        await store.record_turn_effects(lease.fence, turn_id, [completed("k", value, asked=str(value))])
        await store.release_session_execution_lease(lease.completion)

    found = [(await _journal(store, turn_id))["k"].outcome for store, turn_id in ((one, "t"), (one, "u"), (two, "t"))]

    assert [1, 2, 3] == found


async def a_stale_lease_records_nothing(stores: SessionStores) -> None:
    """However new the effect is."""
    store, other = await opened(stores), await opened(stores)
    stale = await leased(store)
    lease = await taken_over(store, stale)

    with refused(SessionExecutionLeaseExpiredError):
        await store.record_turn_effects(stale.fence, "t", [completed("k", 1)])
    with refused(SessionBindingMismatchError):
        await store.record_turn_effects((await leased(other)).fence, "t", [completed("k", 1)])
    with refused(SessionBindingMismatchError):
        await store.load_turn_effects(other.session_id, "t")

    assert {} == await _journal(store, "t")
    assert (await store.record_turn_effects(lease.fence, "t", [completed("k", 1)]))[0].record.is_final


async def an_outcome_over_the_limit_is_refused(stores: SessionStores) -> None:
    """Nothing of the call is written; the turn can record an error instead."""
    store = await opened(stores)
    lease = await leased(store)
    limit = Limits().payload_bytes_max

    with refused(LimitExceededError, str(limit)):
        await store.record_turn_effects(lease.fence, "t", [completed("small", 1), completed("k", "x" * limit)])

    assert {} == await _journal(store, "t")


async def large_outcomes_come_back(stores: SessionStores) -> None:
    """Up to the payload limit, also on a replay."""
    store = await opened(stores)
    lease = await leased(store)
    values = {f"k{size}": "x" * (size - 2) for size in (16_384, 16_385, 200_000)}
    writes = [completed(key, value) for key, value in values.items()]
    await store.record_turn_effects(lease.fence, "t", writes)

    again = await store.record_turn_effects(lease.fence, "t", writes)

    assert list(values.values()) == [answer.record.outcome for answer in again]
    assert values == {key: entry.outcome for key, entry in (await _journal(store, "t")).items()}


async def a_key_that_is_too_long_is_refused(stores: SessionStores) -> None:
    """512 bytes."""
    store = await opened(stores)
    lease = await leased(store)

    with refused(InvalidArgumentError, "512"):
        await store.record_turn_effects(lease.fence, "t", [completed("x" * 513, 1)])


async def a_deletion_forgets_journals(stores: SessionStores) -> None:
    """A session of the same name finds nothing of them."""
    store = await opened(stores)
    lease = await leased(store)
    await store.open_turn(lease.fence, OpenTurn("t"))
    await store.record_turn_effects(lease.fence, "t", [completed("k", 1)])

    await factory_of(stores).delete_session(store.session_id)

    again = await opened(stores, store.session_id)
    assert await again.load_open_turn(store.session_id) is None
    assert {} == await _journal(again, "t")


async def _journal(store: RuntimePersistence, turn_id: str) -> dict[str, EffectRecord]:
    return {record.key: record for record in await store.load_turn_effects(store.session_id, turn_id)}
