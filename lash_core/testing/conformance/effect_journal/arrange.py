"""Effects for the cases of journals: writes, scopes, and what must not change."""

from __future__ import annotations

import hashlib
from typing import Any

from lash_core.model.canonical_json import canonical_json
from lash_core.model.effect import EffectKind
from lash_core.model.effect_record import ChildStart, EffectAnswer, EffectClaimed, EffectRecord, EffectWrite
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.lease import ProcessLease
from lash_core.testing.conformance.process_registry.arrange import registration, unique
from lash_core.testing.conformance.stores import EffectStores

CLAIM_MS = 600_000
"""A claim that no case outlives by accident."""


def hash_of(text: str) -> str:
    """An envelope hash: 32 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def completed(key: str, value: Any = None, *, asked: str = "a") -> EffectWrite:
    """A step that answered ``value``; ``asked`` is what it was asked for."""
    return EffectWrite(
        key, EffectKind.DURABLE_STEP, "completed", hash_of(asked), f"0{asked}", outcome_json=canonical_json(value)
    )


def failed(key: str, code: str = "no", *, asked: str = "a") -> EffectWrite:
    """A step that failed."""
    error = canonical_json({"code": code, "message": "it failed"})
    return EffectWrite(key, EffectKind.DURABLE_STEP, "failed", hash_of(asked), f"0{asked}", outcome_json=error)


def waiting(key: str, delay_ms: int | None, *, asked: str = "a") -> EffectWrite:
    """A sleep that is due after ``delay_ms``."""
    return EffectWrite(key, EffectKind.SLEEP, "waiting", hash_of(asked), f"0{asked}", delay_ms=delay_ms)


def ended(key: str, *, asked: str = "a") -> EffectWrite:
    """The end of the wait of ``waiting``."""
    return EffectWrite(key, EffectKind.SLEEP, "failed", hash_of(asked), f"0{asked}", outcome_json='{"code":"over"}')


def starting(key: str, child: ChildStart | None = None, *, asked: str = "a") -> EffectWrite:
    """A child start."""
    return EffectWrite(
        key,
        EffectKind.PROCESS,
        "starting",
        hash_of(asked),
        f"0{asked}",
        start=child or ChildStart(registration()),
    )


def operation() -> ExecutionScope:
    """A scope without a lease of its own."""
    return ExecutionScope.runtime_operation(unique("operation"))


async def record(stores: EffectStores, lease: ProcessLease, *writes: EffectWrite) -> tuple[EffectAnswer, ...]:
    """Write entries in one unit."""
    return await stores.effect_journal.record_effects(lease, writes)


async def recorded(stores: EffectStores, lease: ProcessLease, write: EffectWrite) -> EffectAnswer:
    """Write one entry."""
    (answer,) = await record(stores, lease, write)
    return answer


async def journal_of(stores: EffectStores, process_id: str) -> dict[str, EffectRecord]:
    """The whole journal."""
    return dict(await stores.effect_journal.load_effects(process_id))


async def claimed_effect(
    stores: EffectStores, scope: ExecutionScope, write: EffectWrite, *, ttl_ms: int = CLAIM_MS, owner: str = "one"
) -> EffectClaimed:
    """A claim that must be given."""
    claim = await stores.effect_journal.claim_effect(scope, write, owner=owner, ttl_ms=ttl_ms)
    assert isinstance(claim, EffectClaimed), f"expected a claim, got {claim!r}"
    return claim
