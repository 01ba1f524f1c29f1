"""Effects of a run under its lease, through the host (decisions 18, 24 and 25; hazard 2)."""

from __future__ import annotations

import asyncio

from lash_core.errors import LeaseLostError, RuntimeFailure
from lash_core.model.effect import EffectKind
from lash_core.model.effect_record import ChildStart
from lash_core.model.facts import ProcessStarted
from lash_core.testing.conformance.effect_host.arrange import (
    Executor,
    Run,
    Starter,
    ended,
    envelope,
    host_of,
    next_run,
    run_of,
    sleep,
    step,
)
from lash_core.testing.conformance.effect_host.scoped_effects import ERRORS, divergence
from lash_core.testing.conformance.effect_journal.arrange import journal_of
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import claimed, current, registered, registration
from lash_core.testing.conformance.stores import EffectHostStores, elapse, short_ttl_ms


def _start(key: str = "start") -> tuple[ChildStart, Starter]:
    child = ChildStart(registration())
    return child, Starter(child)


async def the_next_run_is_answered(stores: EffectHostStores) -> None:
    """Values and errors of a run are those of its successor, which calls nothing."""
    run, effects = await run_of(stores)
    executors = [Executor({"n": [1, None]}), *(Executor(error=error) for error in ERRORS)]
    first = [await ended(effects.execute_effect(step(f"k{n}"), one)) for n, one in enumerate(executors)]
    same = [await ended(effects.execute_effect(step(f"k{n}"), one)) for n, one in enumerate(executors)]

    _, effects = await next_run(stores, run)
    again = [await ended(effects.execute_effect(step(f"k{n}"), one)) for n, one in enumerate(executors)]

    assert ("value", {"n": [1, None]}) == first[0]
    assert first == same == again
    assert [1] * len(executors) == [one.calls for one in executors]
    assert {"k1", "k2", "k3", "k4"} == set(effects.failed_keys())


async def one_effect_is_one_fenced_write(stores: EffectHostStores) -> None:
    """No record of its beginning, and replays write nothing."""
    run, effects = await run_of(stores)
    await effects.execute_effect(step("a"), Executor(1))
    await effects.execute_effect(step("b"), Executor(1))
    assert 2 == (await current(stores, run.process_id)).fenced_writes

    run, effects = await next_run(stores, run)
    await effects.execute_effect(step("b"), Executor(1))
    await effects.execute_effect(step("a"), Executor(1))

    assert 2 == (await current(stores, run.process_id)).fenced_writes


async def matching_is_by_key_never_by_order(stores: EffectHostStores) -> None:
    """Effects end in any order; the next run asks in another one, and one of them is new."""
    run, effects = await run_of(stores)
    gates = [asyncio.Event() for _ in range(5)]
    tasks = [
        asyncio.create_task(effects.execute_effect(step(f"k{n}"), Executor(n, gate=gate)))
        for n, gate in enumerate(gates)
    ]
    async with asyncio.timeout(10):
        for n in (4, 1, 3, 0, 2):
            gates[n].set()
            await tasks[n]
    _, effects = await next_run(stores, run)
    silent, new = Executor("called"), Executor("new")

    asked = [effects.execute_effect(step(f"k{n}"), silent) for n in (2, 0, 4, 3, 1)]
    again = await asyncio.gather(effects.execute_effect(step("new"), new), *asked)

    assert ["new", 2, 0, 4, 3, 1] == [outcome.value for outcome in again]
    assert (0, 1) == (silent.calls, new.calls)


async def one_effect_in_two_tasks_is_one(stores: EffectHostStores) -> None:
    """Both tasks of a run get the outcome of one call."""
    _, effects = await run_of(stores)
    gate = asyncio.Event()
    one, two = Executor("one", gate=gate), Executor("two")
    tasks = [asyncio.create_task(effects.execute_effect(step(), one))]
    async with asyncio.timeout(10):
        await one.begun.wait()
        tasks.append(asyncio.create_task(effects.execute_effect(step(), two)))
        gate.set()
        outcomes = await asyncio.gather(*tasks)

    assert ["one", "one"] == [outcome.value for outcome in outcomes]
    assert 0 == two.calls


async def another_request_ends_the_run(stores: EffectHostStores) -> None:
    """The paths are named, nothing is called, and whatever the program does with the error, no further effect runs."""
    run, effects = await run_of(stores)
    await effects.execute_effect(sleep(5), Executor())
    _, effects = await next_run(stores, run)
    executor, before = Executor(1), await journal_of(stores, run.process_id)
    code = f"{stores.effect_journal.backend}_effect_replay_hash_conflict"

    with refused(RuntimeFailure, code, "divergent_paths=[command.duration_ms]") as refusal:
        await effects.execute_effect(sleep(7), executor)
    with refused(RuntimeFailure, code):
        await effects.execute_effect(step("something else"), executor)

    assert (1, ["command.duration_ms"]) == divergence(refusal.error)
    assert effects.mismatch is not None
    assert code == effects.mismatch.code
    assert 0 == executor.calls
    assert before == await journal_of(stores, run.process_id)


async def a_sleep_waits_what_is_left(stores: EffectHostStores) -> None:
    """Over runs: the due time is that of the first, and when it is over nothing is called or written."""
    run, effects = await run_of(stores)
    ttl_ms, executor = await short_ttl_ms(stores), Executor()
    duration_ms = 2 * ttl_ms
    await effects.execute_effect(sleep(duration_ms), executor)
    run, effects = await next_run(stores, run)
    await effects.execute_effect(sleep(duration_ms), executor)
    run, effects = await next_run(stores, run)

    await effects.execute_effect(sleep(duration_ms), executor)

    first, second = executor.durations_ms
    assert 1 <= duration_ms - first <= 1_000 or first == duration_ms
    assert 1 <= second <= ttl_ms - 50
    assert 1 == (await current(stores, run.process_id)).fenced_writes


async def a_stale_run_records_nothing(stores: EffectHostStores) -> None:
    """At least once for what was not recorded, one recorded outcome ever: the successor's."""
    run, effects = await run_of(stores)
    gate = asyncio.Event()
    old, new = Executor("old", gate=gate), Executor("new")
    task = asyncio.create_task(effects.execute_effect(step(), old))
    async with asyncio.timeout(10):
        await old.begun.wait()
        _, successor = await next_run(stores, run)
        await successor.load()
        assert ("value", "new") == await ended(successor.execute_effect(step(), new))
        gate.set()
        late = await ended(task)

    # The late one is refused, or answered what stands: never its own outcome.
    assert late in [("value", "new"), (LeaseLostError.__name__, *late[1:])]
    stored = await journal_of(stores, run.process_id)
    assert {"step": "new"} == {key: record.outcome for key, record in stored.items()}


async def a_stale_run_starts_no_child(stores: EffectHostStores) -> None:
    """A run that lost its lease starts nothing (decision 25)."""
    run, effects = await run_of(stores)
    child, starter = _start()
    await elapse(stores, await short_ttl_ms(stores) + 50)

    with refused(LeaseLostError):
        await effects.execute_effect(envelope(EffectKind.PROCESS, "start", op="start"), starter)

    assert None is await stores.process_registry.get_process(child.registration.id)
    assert {} == await journal_of(stores, run.process_id)


async def a_child_is_started_by_the_journal(stores: EffectHostStores) -> None:
    """Atomically with the entry, once over all runs; the executor is not called."""
    run, effects = await run_of(stores)
    child, starter = _start()
    asked = envelope(EffectKind.PROCESS, "start", op="start")

    first = await effects.execute_effect(asked, starter)
    row = await current(stores, child.registration.id)
    _, effects = await next_run(stores, run)
    again = await effects.execute_effect(asked, starter)

    assert {"id": child.registration.id} == first.value == again.value
    assert 0 == starter.calls
    assert row == await current(stores, child.registration.id)


async def a_child_that_cannot_start_is_a_recorded_error(stores: EffectHostStores) -> None:
    """Raised again by every later run."""
    taken = await registered(stores)
    run, effects = await run_of(stores)
    starter = Starter(ChildStart(registration(taken.id, timeout_ms=5, env_ref="process-env:other")))
    asked = envelope(EffectKind.PROCESS, "start", op="start")

    first = await ended(effects.execute_effect(asked, starter))
    _, effects = await next_run(stores, run)

    assert "process_registration_conflict" == first[1]
    assert first == await ended(effects.execute_effect(asked, starter))
    assert taken == await current(stores, taken.id)


async def a_run_that_is_refused_starts_no_effect(stores: EffectHostStores) -> None:
    """It ended or leaves memory: even recorded effects are cancelled."""
    run, effects = await run_of(stores)
    executor = Executor(1)
    await effects.execute_effect(step("done"), executor)

    effects.refuse()

    for key in ("done", "new"):
        try:
            await effects.execute_effect(step(key), executor)
        except asyncio.CancelledError:
            continue
        raise AssertionError(f"effect {key} of a refused run was answered")
    assert 1 == executor.calls
    assert {"done"} == set(await journal_of(stores, run.process_id))


async def the_start_rides_in_the_first_effect(stores: EffectHostStores) -> None:
    """A run needs no write of its own for its start."""
    row = await registered(stores)
    lease = await claimed(stores, row.id)
    started = ProcessStarted(owner=lease.owner, started_at_ms=1_700_000_000_000)
    effects = host_of(stores).scoped_run(Run(lease, is_fresh=True, start=started))
    assert started == effects.unrecorded_start()

    await effects.execute_effect(step(), Executor(1))

    found = await current(stores, row.id)
    assert (started, 1) == (found.first_started, found.fenced_writes)
    assert None is effects.unrecorded_start()


async def the_frontier_is_where_the_journal_ends(stores: EffectHostStores) -> None:
    """A run replays as long as recorded entries are left; the first effect that is new is told before it begins."""
    run, effects = await run_of(stores)
    for key in ("a", "b"):
        await effects.execute_effect(step(key), Executor(1))
    _, effects = await next_run(stores, run)
    told, executor = list[int](), Executor(1)
    effects.on_frontier = lambda: told.append(executor.calls)
    assert await effects.has_entries()

    await effects.execute_effect(step("b"), executor)
    assert (effects.is_replaying, []) == (True, told)
    await effects.execute_effect(step("a"), executor)
    assert (effects.is_replaying, []) == (False, told)
    for key in ("c", "d"):
        await effects.execute_effect(step(key), executor)

    assert [0] == told
    assert 2 == executor.calls


async def an_outcome_that_does_not_fit_is_a_recorded_error(stores: EffectHostStores) -> None:
    """The effect was done: it is not done again in every run."""
    run, effects = await run_of(stores)
    executor = Executor("x" * 300_000)

    first = await ended(effects.execute_effect(step(), executor))
    _, effects = await next_run(stores, run)

    assert "effect_outcome_too_large" == first[1]
    assert first == await ended(effects.execute_effect(step(), executor))
    assert 1 == executor.calls
