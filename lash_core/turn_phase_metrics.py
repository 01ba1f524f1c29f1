"""How long the named phases of turns take: a probe that feeds a Prometheus histogram (DESIGN 6)."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Histogram

PHASES_MAX = 64
"""Different names that get a series of their own; what plugins name beyond that is ``other``."""
OTHER_PHASE = "other"

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 2.5, 10, 60, 600)


class TurnPhaseMetrics:
    """``lash_turn_phase_seconds{phase}``. One of it for many runtimes, each with a probe of its own.

    Args:
        registry: where the histogram is shown.
        now: seconds of a monotonic clock.
    """

    def __init__(self, registry: CollectorRegistry, now: Callable[[], float] = time.perf_counter) -> None:
        self._seconds = Histogram(
            "lash_turn_phase_seconds", "Named phases of turns.", ["phase"], buckets=_BUCKETS, registry=registry
        )
        self._by_phase: dict[str, Histogram] = {}
        self._now = now

    def probe(self) -> TurnPhaseProbe:
        """A probe for one runtime (``LashRuntime.turn_phase_probe``)."""
        return TurnPhaseProbe(self._observe, self._now)

    def _observe(self, phase: str, seconds: float) -> None:
        series = self._by_phase.get(phase)
        if series is None:
            label = phase if len(self._by_phase) < PHASES_MAX else OTHER_PHASE
            series = self._seconds.labels(label)
            if label == phase:
                self._by_phase[phase] = series
        series.observe(seconds)


class TurnPhaseProbe:
    """``RuntimeTurnPhaseProbe`` of one runtime. Phases may nest, and several of one name may be open at once.

    Which end belongs to which begin of one name is not told: the newest is taken, so that the sum is exact and each
    single duration a good guess.
    """

    __slots__ = ("_now", "_observe", "_open")

    def __init__(self, observe: Callable[[str, float], None], now: Callable[[], float]) -> None:
        self._observe = observe
        self._now = now
        self._open: dict[str, list[float]] = {}

    def begin_named(self, phase: str) -> None:
        """A phase begins."""
        self._open.setdefault(phase, []).append(self._now())

    def end_named(self, phase: str) -> None:
        """It ends; one that never began is nothing."""
        begun = self._open.get(phase)
        if begun:
            self._observe(phase, self._now() - begun.pop())
