"""Waits for promises in a run, through the host: the promise keeps the value, the journal keeps that it waits."""

from __future__ import annotations

from lash_core.model.await_event import AwaitEventKey, Resolution, WaitIdentity
from lash_core.model.effect import EffectKind, RuntimeEffectEnvelope, RuntimeEffectOutcome
from lash_core.model.execution_scope import ExecutionScope
from lash_core.store.effect_host import RunScopedEffects
from lash_core.testing.conformance.await_events.arrange import ERR, OK, TIMEOUT, turn
from lash_core.testing.conformance.effect_host.arrange import Executor, envelope, next_run, run_of
from lash_core.testing.conformance.effect_journal.arrange import journal_of
from lash_core.testing.conformance.stores import EffectHostStores

LONG_MS = 3_600_000


async def _key(effects: RunScopedEffects, scope: ExecutionScope | None = None) -> AwaitEventKey:
    return await effects.await_event_key(scope or effects.scope, WaitIdentity.custom("c"))


def _wait(key: AwaitEventKey, timeout_ms: int | None = None) -> RuntimeEffectEnvelope:
    limit = {} if timeout_ms is None else {"timeout_ms": timeout_ms}
    return envelope(EffectKind.AWAIT_EVENT, "wait", key=key.to_json_value(), **limit)


class _Waits(Executor):
    """Waits for the promise as a context does: through the door of its controller, for what is left of its time."""

    def __init__(self, effects: RunScopedEffects) -> None:
        super().__init__()
        self._effects = effects

    async def __call__(self, envelope: RuntimeEffectEnvelope, /) -> RuntimeEffectOutcome:
        self.asked.append(envelope)
        args = envelope.command.args
        key = AwaitEventKey.from_json_value(args["key"])
        found = await self._effects.await_events.await_event(key, timeout_ms=args.get("timeout_ms"))
        return RuntimeEffectOutcome(envelope.kind, found.to_json_value())


async def a_resolution_is_the_answer_of_every_run(stores: EffectHostStores) -> None:
    """Values, errors and timeouts: a resolution never changes, so a replay reads the promise again."""
    for resolution in (OK, ERR, TIMEOUT):
        run, effects = await run_of(stores)
        key = await _key(effects)
        await effects.resolve_await_event(key, resolution)
        first = await effects.execute_effect(_wait(key), _Waits(effects))
        _, effects = await next_run(stores, run)
        again = await effects.execute_effect(_wait(key), _Waits(effects))

        assert resolution == first.into_await_event() == again.into_await_event()


async def a_promise_of_another_scope_is_recorded(stores: EffectHostStores) -> None:
    """It may be gone before a replay: the next run is answered from the journal."""
    run, effects = await run_of(stores)
    other = turn()
    assert other.session_id is not None
    key = await _key(effects, other)
    await effects.resolve_await_event(key, OK)
    first = await effects.execute_effect(_wait(key), _Waits(effects))
    await stores.promises.revoke_session_promises(other.session_id)
    _, effects = await next_run(stores, run)

    again = await effects.execute_effect(_wait(key), _Waits(effects))

    assert OK == first.into_await_event() == again.into_await_event()
    assert ["completed"] == [record.state for record in (await journal_of(stores, run.process_id)).values()]


async def a_time_limit_counts_from_the_first_wait(stores: EffectHostStores) -> None:
    """The next run waits for the rest of it."""
    run, effects = await run_of(stores)
    key = await _key(effects)
    await effects.resolve_await_event(key, OK)
    one = _Waits(effects)
    await effects.execute_effect(_wait(key, LONG_MS), one)
    _, effects = await next_run(stores, run)
    two = _Waits(effects)

    await effects.execute_effect(_wait(key, LONG_MS), two)

    (first,) = [asked.command.args["timeout_ms"] for asked in one.asked]
    (second,) = [asked.command.args["timeout_ms"] for asked in two.asked]
    assert 0 < second < first <= LONG_MS


async def a_wait_that_is_over_ends_its_promise(stores: EffectHostStores) -> None:
    """First writer wins: what comes later is told that it was too late, and a replay sees the timeout."""
    run, effects = await run_of(stores)
    key = await _key(effects)

    first = await effects.execute_effect(_wait(key, 20), _Waits(effects))
    await effects.resolve_await_event(key, Resolution.ok("late"))
    _, effects = await next_run(stores, run)
    again = await effects.execute_effect(_wait(key, 20), _Waits(effects))

    assert TIMEOUT == first.into_await_event() == again.into_await_event()
