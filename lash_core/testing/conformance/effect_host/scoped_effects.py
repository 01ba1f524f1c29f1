"""Effects of scopes without a lease, through the host (contract 5.3)."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from lash_core.errors import Failure, LashError, RuntimeFailure, StepFailed, StoreUnreachableError
from lash_core.model.effect import EffectKind
from lash_core.model.effect_digest import digest_tree, envelope_hash
from lash_core.model.effect_record import EffectWrite
from lash_core.runtime.journal.effects import JournaledEffectHost
from lash_core.testing.conformance.await_events.arrange import turn
from lash_core.testing.conformance.effect_host.arrange import Executor, ended, envelope, host_of, sleep, step
from lash_core.testing.conformance.effect_journal.arrange import claimed_effect, operation
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.stores import EffectHostStores, can_advance, elapse, short_ttl_ms

ERRORS: tuple[Exception, ...] = (
    ValueError("no"),
    RuntimeFailure("tool_broken", "it broke", raw={"at": 3}),
    Failure("execution", "declined", "no budget", {"limit": 5}),
    StepFailed("load", "step_failed", "TimeoutError: late", error_type="TimeoutError"),
)


async def a_recorded_outcome_is_answered_without_a_call(stores: EffectHostStores) -> None:
    """By every controller of the scope, for values of every form."""
    for value in (None, 0, "", [], {"a": [1, None, "é"]}, "x" * 50_000):
        scope, executor = operation(), Executor(value)

        answers = [await ended(host_of(stores).scoped(scope).execute_effect(step(), executor)) for _ in range(3)]

        assert [("value", value)] * 3 == answers
        assert 1 == executor.calls


async def a_recorded_error_is_raised_again(stores: EffectHostStores) -> None:
    """With its code, text and, where it has them, its facts: the caller sees the same thing each time."""
    for error in ERRORS:
        scope, executor = turn(), Executor(error=error)

        raised = [await ended(host_of(stores).scoped(scope).execute_effect(step(), executor)) for _ in range(3)]

        assert "value" != raised[0][0]
        assert [raised[0]] * 3 == raised
        assert 1 == executor.calls


async def errors_of_the_store_are_not_recorded(stores: EffectHostStores) -> None:
    """They are nobody's outcome: once the claim is over the effect runs again."""
    scope, executor = operation(), Executor(1)
    with refused(StoreUnreachableError):
        await host_of(stores).scoped(scope).execute_effect(step(), Executor(error=StoreUnreachableError("away")))
    if not await can_advance(stores):
        return
    await elapse(stores, 31_000)

    assert ("value", 1) == await ended(host_of(stores).scoped(scope).execute_effect(step(), executor))


async def another_request_under_the_key_is_refused(stores: EffectHostStores) -> None:
    """With the paths that differ; nothing is called, the recorded outcome stays."""
    scope, executor = operation(), Executor(1)
    code = f"{stores.effect_journal.backend}_effect_replay_hash_conflict"
    await host_of(stores).scoped(scope).execute_effect(sleep(5), Executor())
    await host_of(stores).scoped(scope).execute_effect(step(args={"a": 1, "b": 2}), Executor(1))

    with refused(RuntimeFailure, code, "divergent_paths=[command.duration_ms]") as one:
        await host_of(stores).scoped(scope).execute_effect(sleep(7), executor)
    with refused(RuntimeFailure, code, "command.args.a", "command.args.b") as two:
        await host_of(stores).scoped(scope).execute_effect(step(args={"a": 2, "b": 3}), executor)
    with refused(RuntimeFailure, code):
        await host_of(stores).scoped(scope).execute_effect(envelope(EffectKind.TRIGGER, "step", step_id="s"), executor)

    assert (1, ["command.duration_ms"]) == divergence(one.error)
    assert (2, ["command.args.a", "command.args.b"]) == divergence(two.error)
    assert 0 == executor.calls
    assert ("value", 1) == await ended(
        host_of(stores).scoped(scope).execute_effect(step(args={"a": 1, "b": 2}), executor)
    )


async def at_most_eight_paths_are_named(stores: EffectHostStores) -> None:
    """The count says how many there are."""
    scope = operation()
    await host_of(stores).scoped(scope).execute_effect(step(args={str(n): 1 for n in range(20)}), Executor(1))

    with refused(RuntimeFailure, "hash_conflict") as refusal:
        await host_of(stores).scoped(scope).execute_effect(step(args={str(n): 2 for n in range(20)}), Executor(1))

    count, paths = divergence(refusal.error)
    assert (20, 8) == (count, len(paths))


def divergence(error: LashError) -> tuple[int, list[str]]:
    """How many paths differ, and which are named."""
    raw: Any = getattr(error, "raw", None)
    return raw["divergent_path_count"], list(raw["divergent_paths"])


async def a_second_caller_waits_for_the_first(stores: EffectHostStores) -> None:
    """While the effect is under way: one call, one outcome for both."""
    scope, gate = operation(), asyncio.Event()
    first, second = Executor("first", gate=gate), Executor("second")
    tasks = [asyncio.create_task(host_of(stores).scoped(scope).execute_effect(step(), first))]
    async with asyncio.timeout(10):
        await first.begun.wait()
        tasks.append(asyncio.create_task(host_of(stores).scoped(scope).execute_effect(step(), second)))
        await asyncio.sleep(0.06)
        assert not tasks[1].done()
        gate.set()
        outcomes = await asyncio.gather(*tasks)

    assert ["first", "first"] == [outcome.value for outcome in outcomes]
    assert (1, 0) == (first.calls, second.calls)


async def matching_is_by_key_never_by_order(stores: EffectHostStores) -> None:
    """Effects run beside each other, end in any order, and are asked for again in another one."""
    scope, gates = turn(), [asyncio.Event() for _ in range(6)]
    executors = [Executor(n, gate=gate) for n, gate in enumerate(gates)]
    controller = host_of(stores).scoped(scope)
    tasks = [asyncio.create_task(controller.execute_effect(step(f"k{n}"), one)) for n, one in enumerate(executors)]
    async with asyncio.timeout(10):
        for one in executors:
            await one.begun.wait()
        for n in (3, 5, 0, 4, 1, 2):
            gates[n].set()
            await tasks[n]

    silent, order = Executor("called"), (2, 0, 5, 1, 4, 3)
    again = [await ended(host_of(stores).scoped(scope).execute_effect(step(f"k{n}"), silent)) for n in order]

    assert [("value", n) for n in order] == again
    assert 0 == silent.calls


async def a_sleep_waits_what_is_left(stores: EffectHostStores) -> None:
    """The first caller all of it, a replay before the due time the rest, a later one nothing."""
    scope, executor = operation(), Executor()
    controller = host_of(stores).scoped(scope)
    await controller.execute_effect(sleep(1_000), executor)
    await elapse(stores, 300)
    await controller.execute_effect(sleep(1_000), executor)
    await elapse(stores, 1_000)

    await controller.execute_effect(sleep(1_000), executor)

    first, second = executor.durations_ms
    assert 990 <= first <= 1_000
    assert 1 <= second <= 700


async def a_takeover_keeps_the_due_time(stores: EffectHostStores) -> None:
    """The caller died while it slept: the next one sleeps the remainder."""
    scope, asked, executor = operation(), sleep(600_000), Executor()
    ttl_ms = await short_ttl_ms(stores)
    write = EffectWrite(
        "sleep", EffectKind.SLEEP, "waiting", envelope_hash(asked), digest_tree(asked), delay_ms=600_000
    )
    await claimed_effect(stores, scope, write, ttl_ms=ttl_ms)
    await elapse(stores, ttl_ms + 50)

    await host_of(stores).scoped(scope).execute_effect(asked, executor)

    (left_ms,) = executor.durations_ms
    assert 1 <= left_ms <= 600_000 - ttl_ms - 50


async def a_lost_claim_records_nothing(stores: EffectHostStores) -> None:
    """An effect that outlived its claim fails for its caller; the next caller runs it again."""
    if not await can_advance(stores):
        return
    scope, gate = operation(), asyncio.Event()
    slow, next_one = Executor("slow", gate=gate), Executor("next")
    task = asyncio.create_task(host_of(stores).scoped(scope).execute_effect(step(), slow))
    async with asyncio.timeout(10):
        await slow.begun.wait()
        await elapse(stores, 31_000)
        gate.set()
        with refused(RuntimeFailure, f"{stores.effect_journal.backend}_effect_replay_lease_lost"):
            await task

    assert ("value", "next") == await ended(host_of(stores).scoped(scope).execute_effect(step(), next_one))


async def a_replay_runs_nothing_new(stores: EffectHostStores) -> None:
    """In replay mode what is not recorded, or only under way, is missing; what is recorded is answered."""
    scope, executor = operation(), Executor("called")
    host = host_of(stores)
    await host.scoped(scope).execute_effect(step("done"), Executor(1))
    asked = step("under way")
    write = EffectWrite("under way", asked.kind, "waiting", envelope_hash(asked), digest_tree(asked))
    await claimed_effect(stores, scope, write)
    replay = cast("JournaledEffectHost", host).replaying().scoped(scope)
    missing = f"{stores.effect_journal.backend}_effect_replay_missing"

    for key in ("never", "under way"):
        with refused(RuntimeFailure, missing, key):
            await replay.execute_effect(step(key), executor)
    assert ("value", 1) == await ended(replay.execute_effect(step("done"), executor))
    with refused(RuntimeFailure, "hash_conflict"):
        await replay.execute_effect(step("done", args=1), executor)

    assert 0 == executor.calls
    assert None is await stores.effect_journal.find_effect(scope, "never")
