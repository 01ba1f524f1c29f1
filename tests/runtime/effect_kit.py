"""A run under a lease on stores in memory, whose journal counts its calls and can fail or stand still."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from lash_core.clock import VirtualClock
from lash_core.errors import LashError, LeaseLostError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.disposition import DurabilityTier, RecoveryDisposition
from lash_core.model.effect import (
    EffectKind,
    EffectSubject,
    RuntimeEffectCommand,
    RuntimeEffectEnvelope,
    RuntimeEffectOutcome,
    RuntimeInvocation,
    RuntimeScope,
)
from lash_core.model.effect_record import EffectAnswer, EffectClaim, EffectRecord, EffectWrite
from lash_core.model.environment import EMPTY_ENV_REF
from lash_core.model.event import Replay
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.facts import ProcessStarted
from lash_core.model.lease import Acquired, ProcessLease
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.process_input import ProcessInput
from lash_core.model.registration import ProcessRegistration
from lash_core.runtime.journal.effects import JournaledEffectHost
from lash_core.runtime.journal.run import RunEffects
from lash_core.store.effect_journal import EffectJournal

OWNER = LeaseOwnerIdentity.opaque("worker", "1")


def envelope(kind: EffectKind, effect_id: str = "e", **args: Any) -> RuntimeEffectEnvelope:
    """An effect of the process ``p``."""
    return RuntimeEffectEnvelope.create(
        RuntimeInvocation(
            scope=RuntimeScope("process-env:p"),
            subject=EffectSubject(effect_id, kind),
            replay=Replay(key=f"process:p:{effect_id}"),
        ),
        RuntimeEffectCommand(kind, args),
    )


def step(name: str = "a", **args: Any) -> RuntimeEffectEnvelope:
    """A step of the process ``p``."""
    return envelope(EffectKind.DURABLE_STEP, f"step:{name}", step_id=name, **args)


@dataclass
class Executor:
    """Answers a value, or raises; counts its calls."""

    value: Any = None
    error: BaseException | None = None
    asked: list[RuntimeEffectEnvelope] = field(default_factory=list[RuntimeEffectEnvelope])
    gate: asyncio.Event | None = None

    async def __call__(self, envelope: RuntimeEffectEnvelope, /) -> RuntimeEffectOutcome:
        self.asked.append(envelope)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return RuntimeEffectOutcome(envelope.kind, self.value)

    @property
    def calls(self) -> int:
        """How often it was called."""
        return len(self.asked)


class WatchedJournal:
    """A journal that counts; ``failing`` errors are raised one a call, ``gate`` holds writes up."""

    def __init__(self, journal: EffectJournal) -> None:
        self._journal = journal
        self.loads = 0
        self.batches: list[tuple[EffectWrite, ...]] = []
        self.failing: list[Exception] = []
        self.gate: asyncio.Event | None = None
        self.starts: list[ProcessStarted | None] = []

    @property
    def backend(self) -> str:
        return self._journal.backend

    def durability_tier(self) -> DurabilityTier:
        return self._journal.durability_tier()

    async def load_effects(self, process_id: str) -> Mapping[str, EffectRecord]:
        self.loads += 1
        if self.failing:
            raise self.failing.pop(0)
        return await self._journal.load_effects(process_id)

    async def record_effects(
        self, lease: ProcessLease, writes: Sequence[EffectWrite], *, first_started: ProcessStarted | None = None
    ) -> tuple[EffectAnswer, ...]:
        self.batches.append(tuple(writes))
        self.starts.append(first_started)
        if self.gate is not None:
            await self.gate.wait()
        if self.failing:
            raise self.failing.pop(0)
        return await self._journal.record_effects(lease, writes, first_started=first_started)

    async def claim_effect(self, scope: ExecutionScope, write: EffectWrite, *, owner: str, ttl_ms: int) -> EffectClaim:
        return await self._journal.claim_effect(scope, write, owner=owner, ttl_ms=ttl_ms)

    async def renew_effect(self, scope: ExecutionScope, key: str, token: str, *, ttl_ms: int) -> None:
        if self.failing:
            raise self.failing.pop(0)
        await self._journal.renew_effect(scope, key, token, ttl_ms=ttl_ms)

    async def finalize_effect(self, scope: ExecutionScope, write: EffectWrite, token: str) -> EffectRecord:
        return await self._journal.finalize_effect(scope, write, token)

    async def find_effect(self, scope: ExecutionScope, key: str) -> EffectRecord | None:
        return await self._journal.find_effect(scope, key)

    async def forget_effects(self, older_than_ms: int, limit: int) -> int:
        return await self._journal.forget_effects(older_than_ms, limit)


class FakeRun:
    """``EffectRun`` of a lease that a test takes away."""

    def __init__(self, lease: ProcessLease, *, is_fresh: bool = False) -> None:
        self.lease = lease
        self.process_id = lease.process_id
        self.is_fresh = is_fresh
        self.lost = False
        self.start: ProcessStarted | None = None
        self.checks = 0
        self.at_work = 0

    def require(self) -> ProcessLease:
        if self.lost:
            raise LeaseLostError(self.process_id, "taken")
        return self.lease

    async def ready_for_effects(self) -> None:
        self.checks += 1
        self.require()

    @contextmanager
    def working(self) -> Generator[None]:
        self.at_work += 1
        try:
            yield
        finally:
            self.at_work -= 1

    def unrecorded_start(self) -> ProcessStarted | None:
        return self.start


@dataclass
class Scene:
    """One claimed process on stores in memory with a clock that only the test moves."""

    stores: InMemoryStores
    journal: WatchedJournal
    host: JournaledEffectHost
    run: FakeRun

    @classmethod
    async def claimed(cls, process_id: str = "p") -> Scene:
        """Register it and take its lease."""
        stores = InMemoryStores(VirtualClock(1_700_000_000_000_000))
        await stores.process_registry.register_process(
            ProcessRegistration(
                process_id, ProcessInput.engine("k"), RecoveryDisposition.RERUNNABLE, env_ref=EMPTY_ENV_REF
            )
        )
        journal = WatchedJournal(stores.effect_journal)
        run = FakeRun(await _lease(stores, process_id))
        return cls(stores, journal, JournaledEffectHost(journal, stores.promises), run)

    def effects(self, *, is_fresh: bool = False) -> RunEffects:
        """The effects of a new attempt."""
        self.run.is_fresh = is_fresh
        return self.host.scoped_run(self.run)

    async def next_lease(self) -> None:
        """The lease ends, and the next attempt gets one of its own."""
        lease = self.run.lease
        await self.stores.advance_clock(lease.expires_at_epoch_ms - self.stores.clock.now_ms() + 1)
        await self.stores.process_registry.requeue_expired_leases(10)
        self.run = FakeRun(await _lease(self.stores, lease.process_id))


async def _lease(stores: InMemoryStores, process_id: str) -> ProcessLease:
    outcome = await stores.process_registry.claim_process_lease(process_id, OWNER, 60_000)
    assert isinstance(outcome, Acquired)
    return outcome.lease


async def outcome_of(call: Any) -> Any:
    """The value, or the error's code and text: what a first run and a replay must agree on."""
    try:
        return (await call).value
    except LashError as error:
        return type(error).__name__, error.code, str(error)
