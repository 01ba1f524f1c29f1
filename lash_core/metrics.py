"""Metrics of a worker and of a fleet (DESIGN 6): names with the prefix ``lash_``, base units, private registries.

No process or session id is ever a label, and a kind is one only when a manifest names it; everything else is
``other``, so that strange input cannot grow the number of series.
"""

from __future__ import annotations

import contextlib
from collections import Counter as Tally
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from lash_core.model.manifest import WorkerEntry
from lash_core.store.process_maintenance import FleetFacts

OTHER_KIND = "other"

_RUN_BUCKETS = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 300, 1_800, 7_200)
_WAIT_BUCKETS = (0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 60, 600, 3_600)
_FAST_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)


@dataclass(frozen=True, slots=True)
class KindMetrics:
    """The children of one kind, looked up once: ``labels()`` costs more than the increment."""

    claimed: Counter
    declined: Counter
    retried: Counter
    finished: dict[str, Counter]


class WorkerMetrics:
    """What one worker counts. Thread-safe, as prometheus-client's metrics are."""

    def __init__(self, kinds: Collection[str] = ()) -> None:
        self.registry = CollectorRegistry()
        self._kinds = frozenset(kinds)
        self._by_kind: dict[str, KindMetrics] = {}
        self._make_process_metrics()
        self._make_lease_metrics()
        self._make_loop_metrics()
        # Where /proc cannot be read the collector has nothing to show; it needs no exception of ours.
        ProcessCollector(registry=self.registry)

    def _make_process_metrics(self) -> None:
        self.claimed = self._counter("processes_claimed", "Processes taken under a lease.", "kind")
        self.finished = self._counter("processes_finished", "Outcomes written.", "kind", "outcome")
        self.declined = self._counter("processes_declined", "Processes given back for another worker.", "kind")
        self.retried = self._counter("processes_retried", "Failures that run again by their retry policy.", "kind")
        self.parked = self._counter("processes_parked", "Waiting runs that left memory.")
        self.run_seconds = self._histogram("process_run_seconds", "From start to outcome.", _RUN_BUCKETS)
        self.queue_seconds = self._histogram("process_queue_seconds", "From due to start.", _WAIT_BUCKETS)
        self.timer_lateness = self._histogram(
            "timer_lateness_seconds", "How late a delayed or parked process was taken.", _WAIT_BUCKETS
        )
        self.cancel_latency = self._histogram(
            "cancel_latency_seconds", "From a cancel request to the run's token.", _FAST_BUCKETS
        )
        self.effects = self._counter("effects", "Effects run or replayed.", "kind", "source")
        slots = self._gauge("slots", "Places for runs.", "state")
        self.slots_free, self.slots_busy, self.slots_parked = (
            slots.labels(state) for state in ("free", "busy", "parked")
        )

    def _make_lease_metrics(self) -> None:
        self.leases_held = self._gauge("leases_held", "Leases this worker holds.")
        renewals = self._counter("lease_renewals", "Renewals by result.", "result")
        self.renewed, self.renewal_lost, self.renewal_failed = (
            renewals.labels(result) for result in ("renewed", "lost", "failed")
        )
        self.lease_margin = self._gauge(
            "lease_margin_seconds", "Time until the first local lease deadline; the TTL while none is held."
        )
        self.leases_lost = self._counter("leases_lost", "Leases lost, by reason.", "reason")
        self.takeovers = self._counter("takeovers", "Processes taken over, by evidence.", "evidence")
        self.taken_over_dead = self.takeovers.labels("provably_dead")
        self.taken_over_expired = self.takeovers.labels("expired")
        self.takeover_seconds = self._histogram(
            "takeover_seconds", "From the proof of a death to the new lease.", _WAIT_BUCKETS
        )
        fenced = self._counter("fenced_writes", "Writes made under a lease.", "verb")
        self.fenced_completions = fenced.labels("complete_processes_with_lease")
        self.fenced_starts = fenced.labels("record_first_started")
        self.fenced_cancels_seen = fenced.labels("mark_cancel_seen")
        self.fenced_refused = self._counter(
            "fenced_writes_refused", "Writes that the store refused because the lease was gone."
        )

    def _make_loop_metrics(self) -> None:
        self.redis_roundtrip = self._histogram(
            "redis_roundtrip_seconds", "Round trip of the readiness probe and of renewals.", _FAST_BUCKETS
        )
        self.redis_errors = self._counter("redis_errors", "Failed calls to the store, as a loop saw them.")
        self.loop_lag = self._gauge("event_loop_lag_seconds", "The worst delay of the main loop in the last 15 s.")
        self.service_crashes = self._counter("service_crashes", "Loops that crashed and were restarted.", "service")

    def of_kind(self, kind: str) -> KindMetrics:
        """The children of a kind; one without a manifest shares those of ``other``."""
        label = kind if kind in self._kinds else OTHER_KIND
        found = self._by_kind.get(label)
        if found is None:
            outcomes = ("completed", "failed", "cancelled", "abandoned")
            found = KindMetrics(
                claimed=self.claimed.labels(label),
                declined=self.declined.labels(label),
                retried=self.retried.labels(label),
                finished={outcome: self.finished.labels(label, outcome) for outcome in outcomes},
            )
            self._by_kind[label] = found
        return found

    def service_crashed(self, service: str) -> None:
        """Count a crash of a loop."""
        self.service_crashes.labels(service).inc()

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"lash_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"lash_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(f"lash_{name}", text, buckets=buckets, registry=self.registry)


@dataclass(frozen=True, slots=True)
class FleetSnapshot:
    """One read of a fleet."""

    facts: FleetFacts
    workers: tuple[WorkerEntry, ...]


class FleetCollector(Collector):
    """Gauges of a whole fleet, made from a snapshot at each scrape.

    Args:
        read: answers the newest snapshot (the caller caches it), or raises when the fleet's store cannot be read;
            then only ``lash_fleet_up 0`` is shown, so that old numbers never look fresh.
    """

    def __init__(self, read: Callable[[], FleetSnapshot]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """The families of DESIGN 6's exporter."""
        snapshot: FleetSnapshot | None = None
        with contextlib.suppress(Exception):
            snapshot = self._read()
        yield GaugeMetricFamily("lash_fleet_up", "1 when the fleet's store answers.", 1 if snapshot else 0)
        if snapshot is None:
            return
        facts = snapshot.facts
        yield _family("lash_processes", "Rows by state.", "state", facts.processes)
        yield _family("lash_ready", "Rows that are due.", "queue", facts.ready)
        yield _family("lash_delayed", "Rows that wait for a time or an event.", "queue", facts.delayed)
        oldest = {queue: age_ms / 1_000 for queue, age_ms in facts.oldest_ready_ms.items()}
        yield _family("lash_oldest_ready_seconds", "Age of the oldest due row.", "queue", oldest)
        yield GaugeMetricFamily("lash_leases", "Leases held in the fleet.", facts.leases)
        states = {"running": 0, "draining": 0, "stopping": 0} | Tally(worker.state for worker in snapshot.workers)
        yield _family("lash_workers", "Live workers by state.", "state", states)
        busy_or_ready = Tally(facts.ready) + Tally(facts.leases_by_queue)
        queues = dict.fromkeys((*facts.ready, *facts.leases_by_queue), 0) | busy_or_ready
        yield _family("lash_busy_or_ready", "Rows that run or are due, for autoscalers.", "queue", queues)
        yield GaugeMetricFamily("lash_sessions_ready", "Sessions due that nobody holds.", facts.sessions_due)
        oldest_s = facts.oldest_session_due_ms / 1_000
        yield GaugeMetricFamily("lash_oldest_session_ready_seconds", "How long the first of them waits.", oldest_s)
        yield GaugeMetricFamily("lash_session_leases", "Sessions held in the fleet.", facts.session_leases)
        yield GaugeMetricFamily("lash_outbox_depth", "Steps for other partitions to do.", facts.outbox_depth)
        yield _family("lash_redis_memory_bytes", "Estimated bytes by key family.", "family", facts.memory_bytes)
        grace_ms = max(0, (facts.grace_until_ms or 0) - facts.server_time_ms)
        yield GaugeMetricFamily("lash_failover_grace_seconds", "What is left of a failover grace.", grace_ms / 1_000)


def _family(name: str, text: str, label: str, values: dict[str, int] | dict[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family
