"""``finalize_effect``: only a live claim records, and an outcome never changes (contract 5.3)."""

from __future__ import annotations

from dataclasses import replace

from lash_core.errors import LimitExceededError, RuntimeFailure
from lash_core.testing.conformance.effect_journal.arrange import (
    CLAIM_MS,
    claimed_effect,
    completed,
    ended,
    operation,
    waiting,
)
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.stores import EffectStores, elapse, short_ttl_ms

PAYLOAD_BYTES_MAX = 256 * 1024


async def an_outcome_is_recorded(stores: EffectStores) -> None:
    """With the hash, digest tree and due time of its claim."""
    scope = operation()
    claim = await claimed_effect(stores, scope, waiting("k", 5_000))

    stored = await stores.effect_journal.finalize_effect(scope, ended("k"), claim.token)

    assert ("failed", {"code": "over"}) == (stored.state, stored.outcome)
    assert ("0a", claim.due_at_ms) == (stored.digests, stored.due_at_ms)
    assert stored == await stores.effect_journal.find_effect(scope, "k")


async def a_claim_that_is_over_records_nothing(stores: EffectStores) -> None:
    """Expired, taken over or forged: the caller learns that its work does not count."""
    journal, scope, write = stores.effect_journal, operation(), waiting("k", None)
    lost = f"{journal.backend}_effect_replay_lease_lost"
    with refused(RuntimeFailure, lost):
        await journal.finalize_effect(scope, ended("k"), "none")
    assert None is await journal.find_effect(scope, "k")
    ttl_ms = await short_ttl_ms(stores)
    claim = await claimed_effect(stores, scope, write, ttl_ms=ttl_ms)
    with refused(RuntimeFailure, lost):
        await journal.finalize_effect(scope, ended("k"), "forged")
    await elapse(stores, ttl_ms + 50)
    with refused(RuntimeFailure, lost):
        await journal.finalize_effect(scope, ended("k"), claim.token)
    taken = await claimed_effect(stores, scope, write, owner="two")
    with refused(RuntimeFailure, lost):
        await journal.finalize_effect(scope, ended("k"), claim.token)

    found = await journal.find_effect(scope, "k")

    assert found is not None
    assert "waiting" == found.state
    await journal.finalize_effect(scope, ended("k"), taken.token)


async def another_request_is_not_recorded(stores: EffectStores) -> None:
    """The claim was given for one envelope; an outcome of another one or of another kind is refused."""
    journal, scope = stores.effect_journal, operation()
    claim = await claimed_effect(stores, scope, waiting("k", None))

    for other in (ended("k", asked="b"), completed("k", 1)):
        with refused(RuntimeFailure, f"{journal.backend}_effect_replay_lease_lost"):
            await journal.finalize_effect(scope, other, claim.token)

    await journal.finalize_effect(scope, ended("k"), claim.token)


async def a_repeat_after_a_lost_reply_is_answered(stores: EffectStores) -> None:
    """The same outcome again is what is stored; another outcome is refused and changes nothing."""
    journal, scope = stores.effect_journal, operation()
    claim = await claimed_effect(stores, scope, waiting("k", None))
    stored = await journal.finalize_effect(scope, ended("k"), claim.token)

    again = await journal.finalize_effect(scope, ended("k"), claim.token)
    with refused(RuntimeFailure, f"{journal.backend}_effect_replay_lease_lost"):
        await journal.finalize_effect(scope, replace(ended("k"), state="completed", outcome_json="1"), claim.token)

    assert stored == again
    assert stored == await journal.find_effect(scope, "k")


async def an_outcome_over_the_payload_limit_is_refused(stores: EffectStores) -> None:
    """The claim lives on, so that an error can be recorded instead."""
    journal, scope = stores.effect_journal, operation()
    claim = await claimed_effect(stores, scope, waiting("k", None))
    large = replace(ended("k"), state="completed", outcome_json=f'"{"x" * PAYLOAD_BYTES_MAX}"')

    with refused(LimitExceededError, str(PAYLOAD_BYTES_MAX)):
        await journal.finalize_effect(scope, large, claim.token)

    await journal.renew_effect(scope, "k", claim.token, ttl_ms=CLAIM_MS)
    await journal.finalize_effect(scope, ended("k"), claim.token)


async def a_record_of_a_found_effect_is_the_readers_own(stores: EffectStores) -> None:
    """Who changes a value that was read changes nobody else's."""
    scope = operation()
    claim = await claimed_effect(stores, scope, waiting("k", None))
    stored = await stores.effect_journal.finalize_effect(
        scope, replace(ended("k"), state="completed", outcome_json="[1]"), claim.token
    )

    stored.outcome.append(2)

    found = await stores.effect_journal.find_effect(scope, "k")
    assert found is not None
    assert [1] == found.outcome
