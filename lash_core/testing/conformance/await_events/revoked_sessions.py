"""``revoke_session_promises``: the tombstone of a session (contract 5.5)."""

from __future__ import annotations

from lash_core.errors import RuntimeFailure
from lash_core.model.await_event import Accepted, UnknownOrRevoked
from lash_core.model.execution_scope import ExecutionScope
from lash_core.testing.conformance.await_events.arrange import OK, gate_of, key_of, process_scope, turn
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import unique
from lash_core.testing.conformance.stores import EffectStores

UNKNOWN = "await_event_unknown_or_revoked"


async def old_scopes_are_forgotten(stores: EffectStores) -> None:
    """``forget_promises``: those scopes of that session, with their control promises; nothing else of it."""
    session = unique("session")
    old, older, kept = (ExecutionScope.turn(session, f"t{number}") for number in range(3))
    for scope in (old, older, kept):
        await stores.promises.resolve_promise(gate_of(scope), OK)
        await stores.promises.resolve_promise(key_of(scope), OK)
    other = ExecutionScope.turn(unique("session"), "t0")
    await stores.promises.resolve_promise(gate_of(other), OK)

    assert 4 == await stores.promises.forget_promises(session, [old, older, other])
    assert 0 == await stores.promises.forget_promises(session, [old, older])
    for scope, expected in ((old, None), (older, None), (kept, OK), (other, OK)):
        assert expected == await stores.promises.peek_promise(gate_of(scope))


async def a_revoked_session_takes_no_promise_any_more(stores: EffectStores) -> None:
    """Resolving is answered, peeking and waiting are errors: in every scope, for promises that were and were not."""
    session = unique("session")
    scopes = [ExecutionScope.turn(session, "t"), ExecutionScope.queue_drain(session, "d")]
    keys = [key_of(scope, name) for scope in scopes for name in ("pending", "resolved", "missing")]
    keys.append(gate_of(scopes[0]))
    for scope in scopes:
        await stores.promises.open_promise(key_of(scope, "pending"))
        await stores.promises.resolve_promise(key_of(scope, "resolved"), OK)
    assert not await stores.promises.is_revoked(session)

    for _ in range(2):
        await stores.promises.revoke_session_promises(session)

        assert await stores.promises.is_revoked(session)
        for key in keys:
            assert UnknownOrRevoked() == await stores.promises.resolve_promise(key, OK)
            for verb in (stores.promises.peek_promise, stores.promises.open_promise):
                with refused(RuntimeFailure, UNKNOWN):
                    await verb(key)
        assert 0 == await stores.promises.cancel_session_promises(session)


async def other_sessions_are_not_revoked(stores: EffectStores) -> None:
    """Nor operations or processes of the session's name."""
    session, other = unique("session"), turn()
    operation, process = ExecutionScope.runtime_operation(session), await process_scope(stores)

    await stores.promises.revoke_session_promises(session)
    await stores.promises.revoke_session_promises(process.id)

    assert other.session_id is not None
    assert not await stores.promises.is_revoked(other.session_id)
    for scope in (other, operation, process):
        assert Accepted() == await stores.promises.resolve_promise(key_of(scope), OK)
