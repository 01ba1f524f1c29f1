"""Named phases as a histogram: sums are exact, series are bounded."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from lash_core import turn_phase_metrics
from lash_core.runtime.turn_context import RuntimeNamedPhase
from lash_core.turn_phase_metrics import TurnPhaseMetrics


class Scene:
    """A histogram with a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.registry = CollectorRegistry()
        self.metrics = TurnPhaseMetrics(self.registry, lambda: self.now)

    def seen(self, phase: str) -> tuple[float | None, float | None]:
        """How often, and how long in all."""
        name = "lash_turn_phase_seconds"
        count = self.registry.get_sample_value(f"{name}_count", {"phase": phase})
        return count, self.registry.get_sample_value(f"{name}_sum", {"phase": phase})


def test_a_phase_is_measured_from_begin_to_end() -> None:
    scene = Scene()
    with RuntimeNamedPhase(scene.metrics.probe(), "model_call"):
        scene.now = 2.0

    assert (1.0, 2.0) == scene.seen("model_call")


def test_phases_nest_and_overlap_without_losing_time() -> None:
    scene = Scene()
    probe = scene.metrics.probe()
    outer, first = RuntimeNamedPhase(probe, "loop"), RuntimeNamedPhase(probe, "child")
    scene.now = 1.0
    second = RuntimeNamedPhase(probe, "child")
    scene.now = 3.0
    first.end()
    scene.now = 4.0
    second.end()
    outer.end()
    outer.end()

    assert (2.0, 3.0 + 3.0) == scene.seen("child")
    assert (1.0, 4.0) == scene.seen("loop")


def test_two_runtimes_do_not_end_each_others_phases() -> None:
    scene = Scene()
    one, two = scene.metrics.probe(), scene.metrics.probe()
    one.begin_named("commit")
    two.end_named("commit")

    assert (None, None) == scene.seen("commit")


def test_names_beyond_the_bound_share_a_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn_phase_metrics, "PHASES_MAX", 2)
    scene = Scene()
    probe = scene.metrics.probe()
    for number in range(5):
        probe.begin_named(f"phase-{number}")
        probe.end_named(f"phase-{number}")

    assert 1.0 == scene.seen("phase-1")[0]
    assert 3.0 == scene.seen("other")[0]
