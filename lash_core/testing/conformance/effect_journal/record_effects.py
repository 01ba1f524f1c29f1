"""``record_effects``: outcomes stand, replays are answered, one call is one fenced write (decision 18)."""

from __future__ import annotations

from lash_core.errors import InvalidArgumentError, LimitExceededError, UnknownProcessError
from lash_core.model.effect import EffectKind
from lash_core.model.effect_record import EffectRecord
from lash_core.model.facts import ProcessStarted
from lash_core.testing.conformance.effect_journal.arrange import (
    completed,
    ended,
    failed,
    hash_of,
    journal_of,
    record,
    recorded,
    waiting,
)
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    claimed,
    current,
    feed_end,
    in_feed,
    note,
    registered,
    running,
    unique,
    unknown_text,
)
from lash_core.testing.conformance.stores import EffectStores, elapse

PAYLOAD_BYTES_MAX = 256 * 1024


async def an_outcome_is_stored_as_it_was_given(stores: EffectStores) -> None:
    """Key, kind, state, hash, digest tree and outcome come back; a step has no due time."""
    row, lease = await running(stores)

    answer = await recorded(stores, lease, completed("k", {"a": [1, None, "é"]}))

    wanted = EffectRecord(
        key="k",
        kind=EffectKind.DURABLE_STEP,
        state="completed",
        envelope_hash=hash_of("a"),
        digests="0a",
        outcome_json='{"a":[1,null,"é"]}',
    )
    assert (wanted, False, False) == (answer.record, answer.replayed, answer.conflict)
    assert {"k": wanted} == await journal_of(stores, row.id)
    assert {"a": [1, None, "é"]} == answer.record.outcome


async def a_failure_is_an_outcome(stores: EffectStores) -> None:
    """Errors of effects are recorded and answered like values."""
    row, lease = await running(stores)
    first = await recorded(stores, lease, failed("k", "declined"))

    again = await recorded(stores, lease, failed("k", "declined"))

    assert (first.record, True) == (again.record, again.replayed)
    assert {"code": "declined", "message": "it failed"} == (await journal_of(stores, row.id))["k"].outcome


async def the_first_outcome_stands(stores: EffectStores) -> None:
    """The same request with another outcome gets the stored one; nothing is written and nothing is counted."""
    row, lease = await running(stores)
    first = await recorded(stores, lease, completed("k", 1))
    before = await current(stores, row.id)

    for other in (completed("k", 2), failed("k"), waiting("k", 5, asked="b")):
        answer = await recorded(stores, lease, other)
        assert first.record == answer.record

    assert before == await current(stores, row.id)
    assert {"k": first.record} == await journal_of(stores, row.id)


async def another_request_under_the_key_is_a_conflict(stores: EffectStores) -> None:
    """Other hash or other kind: the stored entry is answered as that of another effect; the rest of the call stands."""
    row, lease = await running(stores)
    stored = (await recorded(stores, lease, completed("k", 1))).record

    answers = await record(stores, lease, completed("k", 1, asked="b"), waiting("k", 5), completed("other", 2))

    assert [(True, False), (True, False), (False, False)] == [(one.conflict, one.replayed) for one in answers]
    assert [stored, stored] == [one.record for one in answers[:2]]
    assert {"k", "other"} == set(await journal_of(stores, row.id))


async def a_wait_is_due_by_the_stores_clock(stores: EffectStores) -> None:
    """The due time is the delay after the write, and stays: a repeat with another delay answers the first one."""
    row, lease = await running(stores)
    first = await recorded(stores, lease, waiting("k", 5_000))
    await elapse(stores, 20)

    again = await recorded(stores, lease, waiting("k", 9_000))

    assert ("waiting", None) == (first.record.state, first.record.outcome_json)
    assert first.now_ms + 5_000 == first.record.due_at_ms
    assert (first.record, True) == (again.record, again.replayed)
    assert again.now_ms >= first.now_ms + 20
    assert {"k": first.record} == await journal_of(stores, row.id)


async def a_wait_without_an_end_has_no_due_time(stores: EffectStores) -> None:
    """Only an event ends it."""
    row, lease = await running(stores)

    answer = await recorded(stores, lease, waiting("k", None))

    assert (None, "waiting") == (answer.record.due_at_ms, answer.record.state)
    assert {"k": answer.record} == await journal_of(stores, row.id)


async def a_wait_becomes_final_once(stores: EffectStores) -> None:
    """A waiting entry takes an outcome and keeps its due time; after that it never changes."""
    row, lease = await running(stores)
    first = await recorded(stores, lease, waiting("k", 5_000))

    final = await recorded(stores, lease, ended("k"))
    late = await recorded(stores, lease, waiting("k", 5_000))

    assert ("failed", first.record.due_at_ms, False) == (final.record.state, final.record.due_at_ms, final.replayed)
    assert (final.record, True) == (late.record, late.replayed)
    assert {"k": final.record} == await journal_of(stores, row.id)


async def one_call_is_one_fenced_write(stores: EffectStores) -> None:
    """However many entries it has; a call of nothing but replays is none."""
    row, lease = await running(stores)

    await record(stores, lease, *(completed(f"k{n}", n) for n in range(30)))
    await record(stores, lease, *(completed(f"k{n}", n) for n in range(30)))
    answers = await record(stores, lease, completed("k0", 0), completed("new", 1))

    assert 2 == (await current(stores, row.id)).fenced_writes
    assert [True, False] == [answer.replayed for answer in answers]
    assert 31 == len(await journal_of(stores, row.id))


async def answers_are_in_the_order_of_the_writes(stores: EffectStores) -> None:
    """Matching is by key, never by order: stored and new entries may be mixed at will."""
    _, lease = await running(stores)
    await record(stores, lease, *(completed(f"k{n}", n) for n in (7, 3, 5)))
    wanted = [5, 0, 3, 1, 7, 2]

    answers = await record(stores, lease, *(completed(f"k{n}", n) for n in wanted))

    assert wanted == [answer.record.outcome for answer in answers]
    assert [n in (7, 3, 5) for n in wanted] == [answer.replayed for answer in answers]


async def one_call_may_name_a_key_twice(stores: EffectStores) -> None:
    """The second write sees the first: a wait and its end, a repeat, another request. Each is told what it left."""
    row, lease = await running(stores)

    steps = completed("k", 1), completed("k", 2), completed("k", 3, asked="b")
    answers = await record(stores, lease, waiting("w", 5_000), ended("w"), *steps)

    assert [False, False, False, True, False] == [answer.replayed for answer in answers]
    assert [False, False, False, False, True] == [answer.conflict for answer in answers]
    assert ["waiting", "failed"] == [answer.record.state for answer in answers[:2]]
    assert [1, 1, 1] == [answer.record.outcome for answer in answers[2:]]
    stored = await journal_of(stores, row.id)
    assert {"w": "failed", "k": "completed"} == {key: entry.state for key, entry in stored.items()}
    assert answers[0].now_ms + 5_000 == stored["w"].due_at_ms


async def a_repeat_after_a_lost_reply_changes_nothing(stores: EffectStores) -> None:
    """The same call again answers what the first one wrote."""
    row, lease = await running(stores)
    writes = (completed("a", 1), failed("b"), waiting("c", 5_000))
    first = await record(stores, lease, *writes)
    before = await current(stores, row.id), await journal_of(stores, row.id)

    again = await record(stores, lease, *writes)

    assert [answer.record for answer in first] == [answer.record for answer in again]
    assert before == (await current(stores, row.id), await journal_of(stores, row.id))


async def the_start_rides_in_the_first_write(stores: EffectStores) -> None:
    """The start fact is recorded with the entries, once; a call of replays records none."""
    row = await registered(stores)
    lease = await claimed(stores, row.id)
    started = ProcessStarted(owner=lease.owner, started_at_ms=1_700_000_000_000)
    other = ProcessStarted(owner=lease.owner, started_at_ms=1_700_000_000_001)
    cursor = await feed_end(stores)

    await stores.effect_journal.record_effects(lease, [completed("k", 1)], first_started=started)
    await stores.effect_journal.record_effects(lease, [completed("l", 1)], first_started=other)

    found = await current(stores, row.id)
    assert (started, 2) == (found.first_started, found.fenced_writes)
    assert await in_feed(stores, cursor, row.id)


async def entries_alone_do_not_touch_the_row(stores: EffectStores) -> None:
    """No event, no time, no entry in the feed: only the count of fenced writes rises."""
    row, lease = await running(stores)
    await stores.process_registry.append_event(row.id, note(), lease=lease)
    before, cursor = await current(stores, row.id), await feed_end(stores)
    await elapse(stores, 5)

    await recorded(stores, lease, completed("k", 1))

    assert before.model_copy(update={"fenced_writes": 2}) == await current(stores, row.id)
    assert not await in_feed(stores, cursor, row.id)


async def journals_do_not_meet(stores: EffectStores) -> None:
    """A key is unique in its process only."""
    one, one_lease = await running(stores)
    two, two_lease = await running(stores)

    await recorded(stores, one_lease, completed("k", 1))
    await recorded(stores, two_lease, completed("k", 2, asked="b"))

    assert (1, 2) == tuple([(await journal_of(stores, row.id))["k"].outcome for row in (one, two)])


async def keys_of_every_form_are_kept_apart(stores: EffectStores) -> None:
    """Own keys, keys of other processes, keys that look like stored fields, and long ones: each comes back as it is."""
    row, lease = await running(stores)
    own = f"process:{row.id}"
    keys = [
        *(f"{own}:step:a", ":step:a", "=:step:a", f"={own}:step:a", f"{own}", f"{own}x:step:a", "#", "k:1", "é;x"),
        *(f"{own}:" + "x" * 60, "x" * 512),
    ]

    await record(stores, lease, *(completed(key, n) for n, key in enumerate(keys)))

    stored = await journal_of(stores, row.id)
    assert {key: n for n, key in enumerate(keys)} == {key: entry.outcome for key, entry in stored.items()}
    assert all(key == entry.key for key, entry in stored.items())


async def a_key_that_is_too_long_is_refused(stores: EffectStores) -> None:
    """512 bytes."""
    row, lease = await running(stores)

    with refused(InvalidArgumentError, "512"):
        await recorded(stores, lease, completed("é" * 257, 1))

    assert {} == await journal_of(stores, row.id)


async def outcomes_of_every_size_come_back(stores: EffectStores) -> None:
    """Up to the payload limit; large ones are answered on replay too."""
    row, lease = await running(stores)
    values = {f"k{size}": "x" * (size - 2) for size in (2, 16_384, 16_385, 100_000, PAYLOAD_BYTES_MAX)}
    writes = [completed(key, value) for key, value in values.items()]
    await record(stores, lease, *writes)

    again = await record(stores, lease, *writes)

    assert list(values.values()) == [answer.record.outcome for answer in again]
    assert values == {key: entry.outcome for key, entry in (await journal_of(stores, row.id)).items()}


async def an_outcome_over_the_payload_limit_is_refused(stores: EffectStores) -> None:
    """Nothing of the call is written; the run still holds its lease and can record an error instead."""
    row, lease = await running(stores)

    with refused(LimitExceededError, str(PAYLOAD_BYTES_MAX)) as refusal:
        await record(stores, lease, completed("small", 1), completed("k", "x" * PAYLOAD_BYTES_MAX))

    assert refusal.error.field not in ("journal_entries", "journal_bytes")
    assert {} == await journal_of(stores, row.id)
    await recorded(stores, lease, failed("k", "too_large"))


async def an_unknown_process_is_refused(stores: EffectStores) -> None:
    """Nobody records for a row that is not there."""
    _, lease = await running(stores)
    absent = unique("absent")

    with refused(UnknownProcessError, unknown_text(absent)):
        await recorded(stores, lease.model_copy(update={"process_id": absent}), completed("k", 1))

    assert {} == await journal_of(stores, absent)


async def records_are_the_readers_own(stores: EffectStores) -> None:
    """Who changes a value that was read changes nobody else's."""
    row, lease = await running(stores)
    answer = await recorded(stores, lease, completed("k", [1]))

    answer.record.outcome.append(2)
    (await journal_of(stores, row.id))["k"].outcome.append(3)

    assert [1] == (await journal_of(stores, row.id))["k"].outcome
