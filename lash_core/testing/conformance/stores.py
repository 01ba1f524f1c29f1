"""What a conformance suite needs of the stores it runs against, and how it lets time pass."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from lash_core.errors import LashError
from lash_core.store.effect_host import EffectHost
from lash_core.store.effect_journal import EffectJournal
from lash_core.store.process_registry import ProcessRegistry
from lash_core.store.process_run_waits import ProcessRunWaits
from lash_core.store.promise_store import PromiseStore

REAL_WAIT_MS_MAX = 2_000
"""Longest real wait of one step, for stores whose clock nobody can move: a suite stays short there."""


class ConformanceStores(Protocol):
    """One set of stores. ``advance_clock(ms)`` is optional: without it the cases wait for real."""

    @property
    def process_registry(self) -> ProcessRegistry:
        """The registry under test."""
        ...


class EffectStores(ConformanceStores, Protocol):
    """Stores with what a run keeps beside its row. Their registry is a ``ProcessRunWaits`` too."""

    @property
    def effect_journal(self) -> EffectJournal:
        """The journal under test."""
        ...

    @property
    def promises(self) -> PromiseStore:
        """The promises under test."""
        ...


class EffectHostStores(EffectStores, Protocol):
    """Stores with the host that journals through them."""

    @property
    def effect_host(self) -> EffectHost:
        """The host under test: a ``JournalingEffectHost``."""
        ...


def run_waits(stores: ConformanceStores) -> ProcessRunWaits:
    """The registry as a waiting run knows it.

    Raises:
        AssertionError: the registry lacks a verb of ``ProcessRunWaits``.
    """
    registry = stores.process_registry
    assert isinstance(registry, ProcessRunWaits), f"{type(registry).__name__} is no ProcessRunWaits"
    return registry


async def can_advance(stores: ConformanceStores) -> bool:
    """True when the stores' clock can be moved by the test."""
    advance: Any = getattr(stores, "advance_clock", None)
    if advance is None:
        return False
    try:
        await advance(0)
    except (LashError, NotImplementedError, RuntimeError, TypeError, ValueError):
        return False
    return True


async def elapse(stores: ConformanceStores, ms: int) -> None:
    """Let ``ms`` milliseconds of the stores' time pass: by the virtual clock, else by a real wait.

    Raises:
        ValueError: a real wait over ``REAL_WAIT_MS_MAX`` was asked for; the case must ask ``can_advance`` first.
    """
    if await can_advance(stores):
        advance: Any = getattr(stores, "advance_clock", None)
        await advance(ms)
        return
    if ms > REAL_WAIT_MS_MAX:
        raise ValueError(f"elapse: {ms} ms is over {REAL_WAIT_MS_MAX} and the stores' clock cannot be moved")
    await asyncio.sleep(ms / 1_000)


async def short_ttl_ms(stores: ConformanceStores) -> int:
    """A lease TTL that a case can outlive; long where the clock can be moved, for slow machines."""
    return 60_000 if await can_advance(stores) else 1_500
