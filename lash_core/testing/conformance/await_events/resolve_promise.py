"""``resolve_promise``: contract 5.5, row *resolve*. The first resolution wins."""

from __future__ import annotations

import asyncio

from lash_core.errors import InvalidJsonError, LimitExceededError
from lash_core.model.await_event import Accepted, AlreadyResolved, Resolution
from lash_core.model.execution_scope import ExecutionScope
from lash_core.testing.conformance.await_events.arrange import (
    CANCELLED,
    ERR,
    OK,
    TIMEOUT,
    key_of,
    process_scope,
    scopes,
    turn,
)
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import registration, unique
from lash_core.testing.conformance.stores import EffectStores

PAYLOAD_BYTES_MAX = 256 * 1024
PROMISES_MAX = 10_000


async def the_first_resolution_wins(stores: EffectStores) -> None:
    """Missing and pending promises take a resolution of any form; every later one is told which came first."""
    for scope in await scopes(stores):
        for name, first in (("ok", OK), ("err", ERR), ("timeout", TIMEOUT), ("cancelled", CANCELLED)):
            early, late = key_of(scope, f"{name} early"), key_of(scope, f"{name} late")
            assert None is await stores.promises.open_promise(late)
            for key in (early, late):
                assert Accepted() == await stores.promises.resolve_promise(key, first)
                for again in (first, Resolution.ok("other")):
                    assert AlreadyResolved(first) == await stores.promises.resolve_promise(key, again)
                assert first == await stores.promises.peek_promise(key)


async def one_of_many_resolutions_wins(stores: EffectStores) -> None:
    """At once from many sides: one is accepted, all learn the same one."""
    for scope in (await process_scope(stores), turn()):
        key = key_of(scope)

        outcomes = await asyncio.gather(*(stores.promises.resolve_promise(key, Resolution.ok(n)) for n in range(12)))

        accepted = [n for n, outcome in enumerate(outcomes) if outcome == Accepted()]
        assert 1 == len(accepted)
        others = [outcome for outcome in outcomes if outcome != Accepted()]
        assert [AlreadyResolved(Resolution.ok(accepted[0]))] * 11 == others


async def values_come_back_as_they_were(stores: EffectStores) -> None:
    """JSON of every form, and no value at all."""
    scope = await process_scope(stores)
    values = [None, 0, "", False, [], {}, {"a": None, "é": [1, "x" * 100_000]}, 2**53 - 1, 1.5]

    for n, value in enumerate(values):
        await stores.promises.resolve_promise(key_of(scope, str(n)), Resolution.ok(value))

    for n, value in enumerate(values):
        assert Resolution.ok(value) == await stores.promises.peek_promise(key_of(scope, str(n)))


async def a_value_that_is_no_json_is_refused(stores: EffectStores) -> None:
    """Nothing is stored; the promise is still open."""
    key = key_of(await process_scope(stores))
    await stores.promises.open_promise(key)

    with refused(InvalidJsonError):
        await stores.promises.resolve_promise(key, Resolution.ok(float("nan")))

    assert None is await stores.promises.peek_promise(key)


async def a_value_over_the_payload_limit_is_refused(stores: EffectStores) -> None:
    """Nothing is stored; the promise is still open."""
    for scope in (await process_scope(stores), turn()):
        key = key_of(scope)

        with refused(LimitExceededError, str(PAYLOAD_BYTES_MAX)):
            await stores.promises.resolve_promise(key, Resolution.ok("x" * PAYLOAD_BYTES_MAX))

        assert None is await stores.promises.peek_promise(key)
        assert Accepted() == await stores.promises.resolve_promise(key, OK)


async def a_process_without_a_row_keeps_promises_beside_it(stores: EffectStores) -> None:
    """As a runtime operation does; a row that is made later begins without them."""
    wanted = registration()
    key = key_of(ExecutionScope.process(wanted.id))

    assert Accepted() == await stores.promises.resolve_promise(key, OK)
    assert AlreadyResolved(OK) == await stores.promises.resolve_promise(key, Resolution.ok("other"))
    assert OK == await stores.promises.peek_promise(key)

    await stores.process_registry.register_process(wanted)
    assert None is await stores.promises.peek_promise(key)


async def promises_do_not_meet(stores: EffectStores) -> None:
    """Another name, another process, another session or another kind of scope is another promise."""
    session, name = unique("session"), unique("name")
    keys = [
        key_of(ExecutionScope.turn(session, name), "k"),
        key_of(ExecutionScope.turn(session, name), "l"),
        key_of(ExecutionScope.turn(unique("session"), name), "k"),
        key_of(ExecutionScope.queue_drain(session, name), "k"),
        key_of(ExecutionScope.runtime_operation(name), "k"),
        key_of(await process_scope(stores), "k"),
        key_of(await process_scope(stores), "k"),
    ]

    for n, key in enumerate(keys):
        assert Accepted() == await stores.promises.resolve_promise(key, Resolution.ok(n))

    for n, key in enumerate(keys):
        assert Resolution.ok(n) == await stores.promises.peek_promise(key)


async def the_promises_of_a_process_are_bounded(stores: EffectStores) -> None:
    """10,000; those that are there still take their resolution."""
    await _filled(stores, await process_scope(stores))


async def the_promises_of_a_session_are_bounded(stores: EffectStores) -> None:
    """10,000 in all its scopes together."""
    session = unique("session")
    await stores.promises.resolve_promise(key_of(ExecutionScope.queue_drain(session, unique("drain"))), OK)

    await _filled(stores, turn(session), PROMISES_MAX - 1)


async def _filled(stores: EffectStores, scope: ExecutionScope, room: int = PROMISES_MAX) -> None:
    for start in range(0, room, 500):
        numbers = range(start, min(start + 500, room))
        await asyncio.gather(*(stores.promises.open_promise(key_of(scope, str(n))) for n in numbers))
    for refused_call in (
        stores.promises.open_promise(key_of(scope, "one more")),
        stores.promises.resolve_promise(key_of(scope, "one more"), OK),
    ):
        with refused(LimitExceededError, str(PROMISES_MAX)) as refusal:
            await refused_call
        assert ("promises", PROMISES_MAX) == (refusal.error.field, refusal.error.limit)
    assert Accepted() == await stores.promises.resolve_promise(key_of(scope, "0"), OK)
    assert None is await stores.promises.open_promise(key_of(scope, "1"))
    assert None is await stores.promises.peek_promise(key_of(scope, "one more"))
