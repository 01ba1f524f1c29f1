"""Metrics of a worker's sessions, in its registry (``docs/contracts/session_fleet.md`` 7). No session id is a label."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, Metric

from lash_core.turn_phase_metrics import TurnPhaseMetrics

_TURN_BUCKETS = (0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800)

OUTCOMES = ("finished", "stopped", "switched")
LIVE_RESULTS = ("appended", "dropped", "stale")


class SessionMetrics:
    """What one worker counts of its sessions. Thread-safe, as prometheus-client's metrics are."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.claimed = Counter("lash_sessions_claimed", "Sessions taken for their queue.", registry=registry)
        self.declined = Counter(
            "lash_sessions_declined", "Sessions given back for another worker.", ["reason"], registry=registry
        )
        self.yielded = Counter("lash_sessions_yielded", "Turns handed over by a drain.", registry=registry)
        self.failed = Counter(
            "lash_session_runs_failed", "Runs of a session that ended without a commit.", ["reason"], registry=registry
        )
        self.taken_over = Counter(
            "lash_session_takeovers", "Sessions whose owner's death was proved.", registry=registry
        )
        self.turns = Counter("lash_session_turns", "Turns committed.", ["outcome"], registry=registry)
        self.turn_seconds = Histogram(
            "lash_session_turn_seconds", "From claim to commit.", buckets=_TURN_BUCKETS, registry=registry
        )
        self.phases = TurnPhaseMetrics(registry)
        slots = Gauge("lash_session_slots", "Places for turns.", ["state"], registry=registry)
        self.slots_free, self.slots_busy = slots.labels("free"), slots.labels("busy")
        self.live_events = LiveEvents(registry)
        for outcome in OUTCOMES:
            self.turns.labels(outcome)


class LiveEvents:
    """``lash_session_live_events_total{result}``: counted by who appends them, read when they are asked for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.read: Callable[[], Mapping[str, int]] | None = None
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """The counts by now."""
        family = CounterMetricFamily(
            "lash_session_live_events", "Events of sessions for those who watch.", labels=["result"]
        )
        counts = {} if self.read is None else self.read()
        for result in LIVE_RESULTS:
            family.add_metric([result], counts.get(result, 0))
        yield family
