"""``cancel_promises`` and ``cancel_session_promises``: contract 5.5, row *cancel_session sweep*; hazard 9."""

from __future__ import annotations

from lash_core.model.await_event import AlreadyResolved
from lash_core.model.execution_scope import ExecutionScope
from lash_core.testing.conformance.await_events.arrange import (
    CANCELLED,
    OK,
    gate_of,
    key_of,
    process_scope,
    scopes,
    turn,
)
from lash_core.testing.conformance.process_registry.arrange import unique
from lash_core.testing.conformance.stores import EffectStores


async def a_sweep_ends_what_is_pending(stores: EffectStores) -> None:
    """Pending ones become cancelled for good, resolved ones stay, missing ones are not made; a repeat finds nothing."""
    for scope in await scopes(stores):
        keys = [key_of(scope, name) for name in ("pending", "pending too", "resolved", "missing")]
        for key in keys[:2]:
            await stores.promises.open_promise(key)
        await stores.promises.resolve_promise(keys[2], OK)

        assert [2, 0] == [await stores.promises.cancel_promises(scope) for _ in range(2)]

        found = [await stores.promises.peek_promise(key) for key in keys]
        assert [CANCELLED, CANCELLED, OK, None] == found
        assert AlreadyResolved(CANCELLED) == await stores.promises.resolve_promise(keys[0], OK)


async def a_sweep_takes_one_scope(stores: EffectStores) -> None:
    """Other scopes of the same session wait on, also one of the same id."""
    session, name = unique("session"), unique("name")
    swept, others = (
        ExecutionScope.turn(session, name),
        [
            ExecutionScope.turn(session, unique("turn")),
            ExecutionScope.queue_drain(session, name),
            ExecutionScope.turn(unique("session"), name),
            ExecutionScope.runtime_operation(name),
        ],
    )
    for scope in (swept, *others):
        await stores.promises.open_promise(key_of(scope))

    assert 1 == await stores.promises.cancel_promises(swept)

    assert CANCELLED == await stores.promises.peek_promise(key_of(swept))
    assert [None] * 4 == [await stores.promises.peek_promise(key_of(scope)) for scope in others]


async def a_session_sweep_takes_all_its_scopes(stores: EffectStores) -> None:
    """Turns, drains and the deletion; not those of another session, of an operation, or of a process."""
    session = unique("session")
    swept = [
        ExecutionScope.turn(session, unique("turn")),
        ExecutionScope.queue_drain(session, unique("drain")),
        ExecutionScope.session_delete(session),
    ]
    others = [turn(), ExecutionScope.runtime_operation(session), await process_scope(stores)]
    for scope in (*swept, *others):
        await stores.promises.open_promise(key_of(scope))

    assert [3, 0] == [await stores.promises.cancel_session_promises(session) for _ in range(2)]

    assert [CANCELLED] * 3 == [await stores.promises.peek_promise(key_of(scope)) for scope in swept]
    assert [None] * 3 == [await stores.promises.peek_promise(key_of(scope)) for scope in others]


async def turn_control_is_never_swept(stores: EffectStores) -> None:
    """A turn's gate and its end are ended by the turn alone."""
    scope = turn()
    for key in (gate_of(scope), key_of(scope)):
        await stores.promises.open_promise(key)

    assert 1 == await stores.promises.cancel_promises(scope)
    assert scope.session_id is not None
    assert 0 == await stores.promises.cancel_session_promises(scope.session_id)

    assert None is await stores.promises.peek_promise(gate_of(scope))


async def promises_of_a_process_have_a_path_of_their_own(stores: EffectStores) -> None:
    """A process has no session: a sweep of its scope ends its waits, one of a session of its name does not."""
    scope = await process_scope(stores)
    for key in (key_of(scope), gate_of(scope)):
        await stores.promises.open_promise(key)

    assert 0 == await stores.promises.cancel_session_promises(scope.id)
    assert None is await stores.promises.peek_promise(key_of(scope))
    assert 1 == await stores.promises.cancel_promises(scope)

    assert CANCELLED == await stores.promises.peek_promise(key_of(scope))
    assert None is await stores.promises.peek_promise(gate_of(scope))


async def nothing_to_sweep_is_no_error(stores: EffectStores) -> None:
    """Unknown sessions, operations and processes have no pending waits."""
    for scope in (turn(), ExecutionScope.runtime_operation(unique("o")), ExecutionScope.process(unique("absent"))):
        assert 0 == await stores.promises.cancel_promises(scope)
    assert 0 == await stores.promises.cancel_session_promises(unique("session"))
