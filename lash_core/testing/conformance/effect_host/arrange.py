"""Envelopes, executors that count their calls, and runs under a lease for the cases of effect hosts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from lash_core.errors import LashError
from lash_core.model.effect import (
    EffectKind,
    EffectSubject,
    RuntimeEffectCommand,
    RuntimeEffectEnvelope,
    RuntimeEffectOutcome,
    RuntimeInvocation,
    RuntimeScope,
)
from lash_core.model.effect_record import ChildStart
from lash_core.model.event import Replay
from lash_core.model.facts import ProcessStarted
from lash_core.model.lease import ProcessLease
from lash_core.store.effect_host import JournalingEffectHost, RunScopedEffects
from lash_core.testing.conformance.process_registry.arrange import claimed, registered
from lash_core.testing.conformance.stores import EffectHostStores, elapse, short_ttl_ms


def envelope(kind: EffectKind, key: str, /, **args: Any) -> RuntimeEffectEnvelope:
    """An effect under a replay key."""
    invocation = RuntimeInvocation(
        scope=RuntimeScope("conformance"), subject=EffectSubject(key, kind), replay=Replay(key=key)
    )
    return RuntimeEffectEnvelope.create(invocation, RuntimeEffectCommand(kind, args))


def step(key: str = "step", **args: Any) -> RuntimeEffectEnvelope:
    """A step."""
    return envelope(EffectKind.DURABLE_STEP, key, step_id="s", **args)


def sleep(duration_ms: int, key: str = "sleep") -> RuntimeEffectEnvelope:
    """A sleep."""
    return envelope(EffectKind.SLEEP, key, duration_ms=duration_ms)


class Executor:
    """Answers a value or raises an error; counts its calls.

    Args:
        value: what it answers.
        error: what it raises instead.
        gate: held up until it is set.
    """

    def __init__(
        self, value: Any = None, error: BaseException | None = None, gate: asyncio.Event | None = None
    ) -> None:
        self._value = value
        self._error = error
        self._gate = gate
        self.asked: list[RuntimeEffectEnvelope] = []
        self.begun = asyncio.Event()

    @property
    def calls(self) -> int:
        """How often it was called."""
        return len(self.asked)

    @property
    def durations_ms(self) -> list[int]:
        """The sleeps that it was asked for."""
        return [int(asked.command.args["duration_ms"]) for asked in self.asked]

    async def __call__(self, envelope: RuntimeEffectEnvelope, /) -> RuntimeEffectOutcome:
        """Do it."""
        self.asked.append(envelope)
        self.begun.set()
        if self._gate is not None:
            await self._gate.wait()
        if self._error is not None:
            raise self._error
        return RuntimeEffectOutcome(envelope.kind, self._value)


class Starter(Executor):
    """Starts a process; a journal that can do so itself does not call it."""

    def __init__(self, start: ChildStart) -> None:
        super().__init__({"id": start.registration.id})
        self._start = start

    @property
    def child_start(self) -> ChildStart:
        """What to start."""
        return self._start


class Run:
    """One run of a process (``EffectRun``); its lease is the caller's to take away."""

    def __init__(self, lease: ProcessLease, *, is_fresh: bool = False, start: ProcessStarted | None = None) -> None:
        self.lease = lease
        self.process_id = lease.process_id
        self.is_fresh = is_fresh
        self._start = start

    def require(self) -> ProcessLease:
        """The lease, as far as this run knows."""
        return self.lease

    async def ready_for_effects(self) -> None:
        """At once."""

    def working(self) -> AbstractContextManager[None]:
        """Nobody minds how long it works."""
        return nullcontext()

    def unrecorded_start(self) -> ProcessStarted | None:
        """The start fact that was given."""
        return self._start


def host_of(stores: EffectHostStores) -> JournalingEffectHost:
    """The host under test."""
    host = stores.effect_host
    assert isinstance(host, JournalingEffectHost), f"{type(host).__name__} is no JournalingEffectHost"
    return host


async def run_of(stores: EffectHostStores) -> tuple[Run, RunScopedEffects]:
    """The first run of a fresh process, with its effects."""
    row = await registered(stores)
    run = Run(await claimed(stores, row.id, ttl_ms=await short_ttl_ms(stores)))
    return run, host_of(stores).scoped_run(run)


async def next_run(stores: EffectHostStores, before: Run) -> tuple[Run, RunScopedEffects]:
    """The next run of the same process, after the lease of the one before has expired."""
    await elapse(stores, await short_ttl_ms(stores) + 50)
    run = Run(await claimed(stores, before.process_id, ttl_ms=await short_ttl_ms(stores)))
    return run, host_of(stores).scoped_run(run)


async def ended(call: Awaitable[RuntimeEffectOutcome]) -> tuple[Any, ...]:
    """The value, or type, code and text of the error: what a first run and a replay must agree on."""
    try:
        return ("value", (await call).value)
    except LashError as error:
        return (type(error).__name__, error.code, str(error))
