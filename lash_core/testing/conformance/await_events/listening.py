"""``listening``: a hint that a promise may have changed; the stored promise is the truth."""

from __future__ import annotations

import asyncio

from lash_core.testing.conformance.await_events.arrange import OK, key_of, process_scope, scopes, turn
from lash_core.testing.conformance.process_registry.arrange import SUCCESS, claimed
from lash_core.testing.conformance.stores import EffectStores

HINT_SECONDS = 5.0


async def a_resolution_is_heard(stores: EffectStores) -> None:
    """In every kind of scope, from the moment the block begins."""
    for scope in await scopes(stores):
        key = key_of(scope)
        async with stores.promises.listening(key) as told, asyncio.timeout(HINT_SECONDS):
            told.clear()
            await stores.promises.resolve_promise(key, OK)
            await told.wait()


async def sweeps_and_revocations_are_heard(stores: EffectStores) -> None:
    """Who waits learns that nobody will resolve it."""
    swept, revoked = turn(), turn()
    assert swept.session_id is not None
    assert revoked.session_id is not None
    await stores.promises.open_promise(key_of(swept))
    async with (
        stores.promises.listening(key_of(swept)) as swept_told,
        stores.promises.listening(key_of(revoked)) as revoked_told,
        asyncio.timeout(HINT_SECONDS),
    ):
        swept_told.clear()
        revoked_told.clear()
        await stores.promises.cancel_session_promises(swept.session_id)
        await stores.promises.revoke_session_promises(revoked.session_id)
        await swept_told.wait()
        await revoked_told.wait()


async def the_end_of_a_process_is_heard(stores: EffectStores) -> None:
    """Its open promises are cancelled by it."""
    scope = await process_scope(stores)
    lease = await claimed(stores, scope.id)
    async with stores.promises.listening(key_of(scope)) as told, asyncio.timeout(HINT_SECONDS):
        told.clear()
        await stores.process_registry.complete_process_with_lease(lease, SUCCESS)
        await told.wait()
