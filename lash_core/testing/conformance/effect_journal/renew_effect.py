"""``renew_effect``: a claim lives as long as its owner renews it (contract 5.3)."""

from __future__ import annotations

from lash_core.errors import RuntimeFailure
from lash_core.model.effect_record import EffectClaimed, EffectInProgress
from lash_core.testing.conformance.effect_journal.arrange import CLAIM_MS, claimed_effect, ended, operation, waiting
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.stores import EffectStores, elapse, short_ttl_ms


async def a_renewed_claim_lives_on(stores: EffectStores) -> None:
    """From the renewal on, for the time it asks for."""
    scope, write = operation(), waiting("k", None)
    ttl_ms = await short_ttl_ms(stores)
    claim = await claimed_effect(stores, scope, write, ttl_ms=ttl_ms)

    await stores.effect_journal.renew_effect(scope, "k", claim.token, ttl_ms=CLAIM_MS)
    await elapse(stores, ttl_ms + 50)

    answer = await stores.effect_journal.claim_effect(scope, write, owner="two", ttl_ms=CLAIM_MS)
    assert isinstance(answer, EffectInProgress)


async def what_is_no_live_claim_is_not_renewed(stores: EffectStores) -> None:
    """Expired, taken over, of another token, never claimed, over: each says that the claim is lost."""
    journal, scope, write = stores.effect_journal, operation(), waiting("k", None)
    lost = f"{journal.backend}_effect_replay_lease_lost"
    with refused(RuntimeFailure, lost):
        await journal.renew_effect(scope, "k", "none", ttl_ms=CLAIM_MS)
    ttl_ms = await short_ttl_ms(stores)
    claim = await claimed_effect(stores, scope, write, ttl_ms=ttl_ms)
    with refused(RuntimeFailure, lost):
        await journal.renew_effect(scope, "k", "forged", ttl_ms=CLAIM_MS)
    await elapse(stores, ttl_ms + 50)
    with refused(RuntimeFailure, lost):
        await journal.renew_effect(scope, "k", claim.token, ttl_ms=CLAIM_MS)

    taken = await journal.claim_effect(scope, write, owner="two", ttl_ms=CLAIM_MS)

    assert isinstance(taken, EffectClaimed)
    with refused(RuntimeFailure, lost):
        await journal.renew_effect(scope, "k", claim.token, ttl_ms=CLAIM_MS)
    await journal.finalize_effect(scope, ended("k"), taken.token)
    with refused(RuntimeFailure, lost):
        await journal.renew_effect(scope, "k", taken.token, ttl_ms=CLAIM_MS)
