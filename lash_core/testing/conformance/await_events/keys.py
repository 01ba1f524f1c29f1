"""Keys through the resolver: bearer capabilities whose every part is signed (contract 5.5)."""

from __future__ import annotations

from dataclasses import replace

from lash_core.errors import RuntimeFailure
from lash_core.model.await_event import Accepted, AwaitEventKey, UnknownOrRevoked, WaitIdentity
from lash_core.model.execution_scope import ExecutionScope
from lash_core.testing.conformance.await_events.arrange import OK, process_scope, resolver_of, scopes, turn
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import unique
from lash_core.testing.conformance.stores import EffectStores

UNKNOWN = "await_event_unknown_or_revoked"


def _identities(process_id: str) -> list[WaitIdentity]:
    return [
        WaitIdentity.tool_completion("call"),
        WaitIdentity.process_signal(process_id, "approve", 1),
        WaitIdentity.process_signal(process_id, "approve", 2),
        WaitIdentity.turn_cancel_gate(),
        WaitIdentity.turn_terminal(),
        WaitIdentity.custom("call"),
    ]


async def minting_is_pure_and_deterministic(stores: EffectStores) -> None:
    """The same scope and identity give the same key, nothing is stored, and every pair has a key of its own."""
    resolver, seen = resolver_of(stores), set[str]()
    for scope in await scopes(stores):
        for wait in _identities(scope.id):
            key = resolver.mint(scope, wait)
            assert key == resolver.mint(scope, wait) == await resolver.await_event_key(scope, wait)
            assert key == AwaitEventKey.from_token(key.to_token()) == AwaitEventKey.from_json_value(key.to_json_value())
            seen |= {key.key_id, key.signature}
        assert 0 == await stores.promises.cancel_promises(scope)
    assert 2 * 5 * 6 == len(seen)


async def a_key_opens_its_promise(stores: EffectStores) -> None:
    """Whoever has the text resolves the promise, once."""
    resolver = resolver_of(stores)
    for scope in await scopes(stores):
        key = resolver.mint(scope, WaitIdentity.custom("c"))

        assert Accepted() == await resolver.resolve(AwaitEventKey.from_token(key.to_token()), OK)

        assert OK == await resolver.peek(key)


async def a_tampered_key_is_no_oracle(stores: EffectStores) -> None:
    """Every part is authenticated: the answer is that of an unknown key, resolved or not, and nothing is made."""
    resolver = resolver_of(stores)
    scope, other = await process_scope(stores), await process_scope(stores)
    wait, elsewhere = WaitIdentity.custom("c"), WaitIdentity.custom("d")
    pending, resolved = resolver.mint(scope, elsewhere), resolver.mint(scope, wait)
    await stores.promises.open_promise(pending)
    await resolver.resolve(resolved, OK)
    forged_secret = AwaitEventKey.mint(scope, wait, b"another secret of 32 bytes, surely")
    for key in (pending, resolved):
        tampered = [
            replace(key, scope=other),
            replace(key, scope=turn()),
            replace(key, wait=WaitIdentity.custom("e")),
            replace(key, wait=WaitIdentity.process_signal(scope.id, "approve", 1)),
            replace(key, key_id=resolver.mint(other, wait).key_id),
            replace(key, signature="0" * 64),
            replace(key, signature=""),
            replace(key, signature="é"),
            replace(key, key_id=""),
            replace(key, wait=WaitIdentity("custom", (" ",))),
            forged_secret,
        ]
        for forged in tampered:
            assert UnknownOrRevoked() == await resolver.resolve(forged, OK)
            for verb in (resolver.peek, resolver.await_event):
                with refused(RuntimeFailure, UNKNOWN):
                    await verb(forged)
    assert None is await resolver.peek(pending)
    assert 1 == await stores.promises.cancel_promises(scope)
    assert 0 == await stores.promises.cancel_promises(other)


async def bad_scopes_and_identities_have_no_key(stores: EffectStores) -> None:
    """Blank parts and ordinals below 1 are refused when they are named."""
    resolver = resolver_of(stores)

    with refused(RuntimeFailure, "missing_execution_scope_id"):
        resolver.mint(ExecutionScope.process(" "), WaitIdentity.custom("c"))
    for make in (
        lambda: WaitIdentity.custom(""),
        lambda: WaitIdentity.tool_completion(" "),
        lambda: WaitIdentity.process_signal("p", "approve", 0),
        lambda: resolver.mint(ExecutionScope.process("p"), WaitIdentity("custom", ("",))),
    ):
        with refused(RuntimeFailure, "invalid_await_event_wait_identity"):
            make()


async def a_revoked_session_mints_no_key(stores: EffectStores) -> None:
    """Old keys are refused as unknown ones are; other sessions and processes have theirs."""
    resolver, scope, wait = resolver_of(stores), turn(), WaitIdentity.custom("c")
    key = await resolver.await_event_key(scope, wait)
    assert scope.session_id is not None

    await resolver.revoke_session(scope.session_id)

    with refused(RuntimeFailure, UNKNOWN):
        await resolver.await_event_key(scope, wait)
    assert UnknownOrRevoked() == await resolver.resolve(key, OK)
    for verb in (resolver.peek, resolver.await_event):
        with refused(RuntimeFailure, UNKNOWN):
            await verb(key)
    for other in (turn(), await process_scope(stores), ExecutionScope.runtime_operation(unique("operation"))):
        assert Accepted() == await resolver.resolve(await resolver.await_event_key(other, wait), OK)


async def all_clients_of_a_store_share_its_secret(stores: EffectStores) -> None:
    """A key that one minted is good with another: both read one secret of at least 16 bytes."""
    secrets = stores.promises.signing_secrets()

    assert secrets is not None
    assert 16 <= len(secrets.current)
    assert secrets == stores.promises.signing_secrets()
