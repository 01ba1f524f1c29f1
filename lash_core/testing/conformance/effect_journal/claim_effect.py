"""``claim_effect``: one caller executes, the others wait or read (contract 5.3; scopes without a lease)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from lash_core.errors import InvalidArgumentError
from lash_core.model.effect_record import EffectClaimed, EffectConflict, EffectInProgress, EffectRecorded
from lash_core.model.execution_scope import ExecutionScope
from lash_core.testing.conformance.effect_journal.arrange import (
    CLAIM_MS,
    claimed_effect,
    completed,
    ended,
    hash_of,
    operation,
    waiting,
)
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import unique
from lash_core.testing.conformance.stores import EffectStores, elapse, short_ttl_ms


async def the_first_caller_executes(stores: EffectStores) -> None:
    """It gets a token, and the due time by the store's clock."""
    scope = operation()

    claim = await claimed_effect(stores, scope, waiting("k", 5_000))

    assert claim.token
    assert claim.now_ms + 5_000 == claim.due_at_ms
    found = await stores.effect_journal.find_effect(scope, "k")
    assert found is not None
    assert ("waiting", hash_of("a"), None) == (found.state, found.envelope_hash, found.outcome_json)


async def a_live_claim_is_left_alone(stores: EffectStores) -> None:
    """Another caller, and the same owner again, are told when the claim ends."""
    scope, write = operation(), waiting("k", None)
    claim = await claimed_effect(stores, scope, write)

    for owner in ("two", "one"):
        answer = await stores.effect_journal.claim_effect(scope, write, owner=owner, ttl_ms=CLAIM_MS)
        assert EffectInProgress(claim.now_ms + CLAIM_MS) == answer

    await stores.effect_journal.renew_effect(scope, "k", claim.token, ttl_ms=CLAIM_MS)


async def one_of_many_callers_executes(stores: EffectStores) -> None:
    """At once from many sides: one claim, the others wait."""
    scope, write = operation(), waiting("k", None)

    answers = await asyncio.gather(
        *(stores.effect_journal.claim_effect(scope, write, owner=str(n), ttl_ms=CLAIM_MS) for n in range(8))
    )

    assert 1 == sum(isinstance(answer, EffectClaimed) for answer in answers)
    assert 7 == sum(isinstance(answer, EffectInProgress) for answer in answers)


async def an_expired_claim_is_taken_over_with_its_due_time(stores: EffectStores) -> None:
    """Who follows waits for what is left of the first caller's time, not for all of it again."""
    scope, write = operation(), waiting("k", 600_000)
    ttl_ms = await short_ttl_ms(stores)
    first = await claimed_effect(stores, scope, write, ttl_ms=ttl_ms)
    await elapse(stores, ttl_ms + 50)

    second = await claimed_effect(stores, scope, write, owner="two")

    assert first.due_at_ms == second.due_at_ms
    assert first.token != second.token
    assert second.now_ms >= first.now_ms + ttl_ms + 50


async def an_outcome_is_answered(stores: EffectStores) -> None:
    """Whoever asks after the end gets it, an error as well as a value, and executes nothing."""
    scope = operation()
    claim = await claimed_effect(stores, scope, waiting("k", None))
    stored = await stores.effect_journal.finalize_effect(scope, ended("k"), claim.token)

    answer = await stores.effect_journal.claim_effect(scope, waiting("k", None), owner="two", ttl_ms=CLAIM_MS)

    assert isinstance(answer, EffectRecorded)
    assert ("failed", stored) == (answer.record.state, answer.record)
    assert answer.now_ms >= claim.now_ms


async def another_request_under_the_key_is_a_conflict(stores: EffectStores) -> None:
    """Under way or over, by hash or by kind: the stored entry is answered, and stays."""
    scope = operation()
    claim = await claimed_effect(stores, scope, waiting("k", None))
    others = (waiting("k", None, asked="b"), completed("k"))

    for other in others:
        answer = await stores.effect_journal.claim_effect(scope, other, owner="two", ttl_ms=CLAIM_MS)
        assert isinstance(answer, EffectConflict)
        assert ("waiting", "0a") == (answer.record.state, answer.record.digests)

    stored = await stores.effect_journal.finalize_effect(scope, ended("k"), claim.token)
    for other in others:
        answer = await stores.effect_journal.claim_effect(scope, other, owner="two", ttl_ms=CLAIM_MS)
        assert EffectConflict(stored) == answer


async def scopes_do_not_meet(stores: EffectStores) -> None:
    """A key is unique in its scope; scopes of one id and another kind, or another session, are others."""
    name, session = unique("name"), unique("session")
    scopes = [
        ExecutionScope.runtime_operation(name),
        ExecutionScope.turn(session, name),
        ExecutionScope.turn(unique("session"), name),
        ExecutionScope.queue_drain(session, name),
    ]

    claims = [await claimed_effect(stores, scope, waiting("k", None)) for scope in scopes]

    for n, (scope, claim) in enumerate(zip(scopes, claims, strict=True)):
        write = replace(ended("k"), state="completed", outcome_json=str(n))
        await stores.effect_journal.finalize_effect(scope, write, claim.token)
    for n, scope in enumerate(scopes):
        found = await stores.effect_journal.find_effect(scope, "k")
        assert found is not None
        assert n == found.outcome


async def a_claim_needs_a_time(stores: EffectStores) -> None:
    """At least 1 ms: nothing is written without."""
    scope = operation()

    with refused(InvalidArgumentError, "ttl_ms"):
        await stores.effect_journal.claim_effect(scope, waiting("k", None), owner="one", ttl_ms=0)

    assert None is await stores.effect_journal.find_effect(scope, "k")
