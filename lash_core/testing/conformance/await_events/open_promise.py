"""``open_promise`` and ``peek_promise``: contract 5.5, rows *peek* and *await*."""

from __future__ import annotations

from lash_core.model.await_event import Accepted, Resolution
from lash_core.model.execution_scope import ExecutionScope
from lash_core.testing.conformance.await_events.arrange import CANCELLED, OK, gate_of, key_of, scopes
from lash_core.testing.conformance.process_registry.arrange import unique
from lash_core.testing.conformance.stores import EffectStores

UNKNOWN = "await_event_unknown_or_revoked"


async def peeking_creates_nothing(stores: EffectStores) -> None:
    """A missing promise and a pending one both have no resolution; only an opened one is swept."""
    for scope in await scopes(stores):
        missing, pending = key_of(scope, "missing"), key_of(scope, "pending")
        await stores.promises.open_promise(pending)

        assert [None, None] == [await stores.promises.peek_promise(key) for key in (missing, pending)]

        assert 1 == await stores.promises.cancel_promises(scope)
        assert [None, CANCELLED] == [await stores.promises.peek_promise(key) for key in (missing, pending)]


async def opening_is_safe_to_repeat(stores: EffectStores) -> None:
    """However often it is opened, it is one promise, and its resolution is answered once it is there."""
    for scope in await scopes(stores):
        key = key_of(scope)
        assert [None, None] == [await stores.promises.open_promise(key) for _ in range(2)]

        assert Accepted() == await stores.promises.resolve_promise(key, OK)

        assert [OK, OK] == [await stores.promises.open_promise(key) for _ in range(2)]
        assert 0 == await stores.promises.cancel_promises(scope)


async def a_resolution_before_the_wait_is_kept(stores: EffectStores) -> None:
    """Whoever resolves first need not know whether somebody waits."""
    for scope in await scopes(stores):
        key = key_of(scope)
        await stores.promises.resolve_promise(key, OK)

        assert OK == await stores.promises.open_promise(key)


async def turn_control_is_a_promise_too(stores: EffectStores) -> None:
    """It is opened, resolved and read like every other one."""
    for scope in await scopes(stores):
        key = gate_of(scope)
        assert None is await stores.promises.open_promise(key)

        assert Accepted() == await stores.promises.resolve_promise(key, OK)

        assert OK == await stores.promises.peek_promise(key)


async def a_process_without_a_row_has_promises_of_its_own(stores: EffectStores) -> None:
    """Pending like any other, and swept with its scope."""
    scope = ExecutionScope.process(unique("absent"))
    key = key_of(scope)

    assert None is await stores.promises.peek_promise(key)
    assert None is await stores.promises.open_promise(key)
    assert 1 == await stores.promises.cancel_promises(scope)
    assert Resolution.cancelled() == await stores.promises.peek_promise(key)


async def resolutions_are_the_readers_own(stores: EffectStores) -> None:
    """Who changes a value that was read changes nobody else's."""
    for scope in await scopes(stores):
        key = key_of(scope)
        await stores.promises.resolve_promise(key, OK)
        found = await stores.promises.peek_promise(key)
        assert found is not None

        found.value["n"] = 2

        assert OK == await stores.promises.peek_promise(key)
