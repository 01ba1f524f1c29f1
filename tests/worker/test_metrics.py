"""Metrics: their names, bounded labels, and a fleet's gauges that never look fresher than they are."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from lash_core.metrics import FleetCollector, FleetSnapshot, WorkerMetrics
from lash_core.model.manifest import WorkerEntry
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.store.process_maintenance import FleetFacts

WORKER_SERIES = {
    "lash_processes_claimed_total": ("counter", {"kind"}),
    "lash_processes_finished_total": ("counter", {"kind", "outcome"}),
    "lash_processes_declined_total": ("counter", {"kind"}),
    "lash_processes_retried_total": ("counter", {"kind"}),
    "lash_processes_parked_total": ("counter", set()),
    "lash_process_run_seconds": ("histogram", set()),
    "lash_process_queue_seconds": ("histogram", set()),
    "lash_slots": ("gauge", {"state"}),
    "lash_leases_held": ("gauge", set()),
    "lash_lease_renewals_total": ("counter", {"result"}),
    "lash_lease_margin_seconds": ("gauge", set()),
    "lash_leases_lost_total": ("counter", {"reason"}),
    "lash_takeovers_total": ("counter", {"evidence"}),
    "lash_takeover_seconds": ("histogram", set()),
    "lash_fenced_writes_total": ("counter", {"verb"}),
    "lash_fenced_writes_refused_total": ("counter", set()),
    "lash_cancel_latency_seconds": ("histogram", set()),
    "lash_timer_lateness_seconds": ("histogram", set()),
    "lash_effects_total": ("counter", {"kind", "source"}),
    "lash_redis_roundtrip_seconds": ("histogram", set()),
    "lash_redis_errors_total": ("counter", set()),
    "lash_event_loop_lag_seconds": ("gauge", set()),
    "lash_service_crashes_total": ("counter", {"service"}),
}
FLEET_SERIES = {
    "lash_fleet_up": ("gauge", set()),
    "lash_processes": ("gauge", {"state"}),
    "lash_ready": ("gauge", {"queue"}),
    "lash_delayed": ("gauge", {"queue"}),
    "lash_oldest_ready_seconds": ("gauge", {"queue"}),
    "lash_leases": ("gauge", set()),
    "lash_workers": ("gauge", {"state"}),
    "lash_busy_or_ready": ("gauge", {"queue"}),
    "lash_sessions_ready": ("gauge", set()),
    "lash_oldest_session_ready_seconds": ("gauge", set()),
    "lash_session_leases": ("gauge", set()),
    "lash_outbox_depth": ("gauge", set()),
    "lash_redis_memory_bytes": ("gauge", {"family"}),
    "lash_failover_grace_seconds": ("gauge", set()),
}


def series(registry: CollectorRegistry) -> dict[str, tuple[str, set[str]]]:
    """Every series that a scraper sees, under the name it sees: type and labels (a histogram's ``le`` left out)."""
    seen: dict[str, tuple[str, set[str]]] = {}
    for family in registry.collect():
        if family.name.startswith("lash_"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            seen[name] = (family.type, labels)
    return seen


def test_worker_has_every_metric_of_the_design_and_no_other() -> None:
    """People write alerts on these names, types and labels; none of the labels is an id."""
    metrics = WorkerMetrics(["known"])
    metrics.of_kind("known")
    metrics.effects.labels(kind="tool_attempt", source="run")
    metrics.leases_lost.labels(reason="deadline")
    metrics.service_crashed("claimer")

    assert WORKER_SERIES == series(metrics.registry)


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
        delayed={"default": 1},
        oldest_ready_ms={"default": 1_500},
        leases=1,
        leases_by_queue={"default": 1, "slow": 4},
        memory_bytes={"rows": 10},
    )
    worker = WorkerEntry(worker_id="w", identity=LeaseOwnerIdentity.opaque("w", "1"), state="draining")
    registry = CollectorRegistry()
    registry.register(FleetCollector(lambda: FleetSnapshot(facts, (worker,))))

    assert FLEET_SERIES == series(registry)
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
