"""Metrics: their names, bounded labels, and a fleet's gauges that never look fresher than they are."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from lash_core.metrics import FleetCollector, FleetSnapshot, WorkerMetrics
from lash_core.model.manifest import WorkerEntry
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.store.process_maintenance import FleetFacts

WORKER_NAMES = {
    "lash_processes_claimed",
    "lash_processes_finished",
    "lash_processes_declined",
    "lash_process_run_seconds",
    "lash_process_queue_seconds",
    "lash_slots",
    "lash_leases_held",
    "lash_lease_renewals",
    "lash_lease_margin_seconds",
    "lash_leases_lost",
    "lash_takeovers",
    "lash_takeover_seconds",
    "lash_fenced_writes",
    "lash_cancel_latency_seconds",
    "lash_timer_lateness_seconds",
    "lash_effects",
    "lash_redis_roundtrip_seconds",
    "lash_redis_errors",
    "lash_event_loop_lag_seconds",
}
FLEET_NAMES = {
    "lash_fleet_up",
    "lash_processes",
    "lash_ready",
    "lash_oldest_ready_seconds",
    "lash_leases",
    "lash_workers",
    "lash_busy_or_ready",
    "lash_outbox_depth",
    "lash_redis_memory_bytes",
}


def test_worker_has_every_metric_of_the_design() -> None:
    """People write alerts on these names."""
    names = {metric.name for metric in WorkerMetrics().registry.collect()}

    assert set() == WORKER_NAMES - names


def test_kind_is_a_label_only_when_a_manifest_names_it() -> None:
    """Strange input cannot grow the number of series."""
    metrics = WorkerMetrics(["known"])
    for kind in ("known", "x1", "x2"):
        metrics.of_kind(kind).claimed.inc()

    samples = {
        kind: metrics.registry.get_sample_value("lash_processes_claimed_total", {"kind": kind})
        for kind in ("known", "other", "x1")
    }
    assert {"known": 1.0, "other": 2.0, "x1": None} == samples


def test_fleet_collector_shows_every_gauge_of_the_design() -> None:
    """Busy and ready rows of a queue add up for autoscalers; ages are in seconds."""
    facts = FleetFacts(
        processes={"running": 3},
        ready={"default": 2},
        oldest_ready_ms={"default": 1_500},
        leases=1,
        leases_by_queue={"default": 1, "slow": 4},
        memory_bytes={"rows": 10},
    )
    worker = WorkerEntry(worker_id="w", identity=LeaseOwnerIdentity.opaque("w", "1"), state="draining")
    registry = CollectorRegistry()
    registry.register(FleetCollector(lambda: FleetSnapshot(facts, (worker,))))

    assert set() == FLEET_NAMES - {metric.name for metric in registry.collect()}
    assert 1.0 == registry.get_sample_value("lash_fleet_up")
    assert 3.0 == registry.get_sample_value("lash_busy_or_ready", {"queue": "default"})
    assert 4.0 == registry.get_sample_value("lash_busy_or_ready", {"queue": "slow"})
    assert 1.5 == registry.get_sample_value("lash_oldest_ready_seconds", {"queue": "default"})
    assert 1.0 == registry.get_sample_value("lash_workers", {"state": "draining"})


def test_unreadable_fleet_is_down_and_shows_no_old_numbers() -> None:
    """``lash_fleet_up 0`` and nothing else."""

    def fail() -> FleetSnapshot:
        raise ConnectionError("gone")

    registry = CollectorRegistry()
    registry.register(FleetCollector(fail))

    assert b"lash_fleet_up 0.0" in generate_latest(registry)
    assert b"lash_ready" not in generate_latest(registry)
