"""What ``lash doctor`` looks at. Pure: facts in, findings out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from lash_core.model.manifest import WorkerEntry
from lash_core.redis_store.layout import LAYOUT_VERSION, WRITE_VERSION, Layout
from lash_core.redis_store.server_checks import ServerReport
from lash_core.store.process_maintenance import FleetFacts
from lash_core.why import at_text
from lash_worker.cli.output import ago

State = Literal["ok", "warn", "fail"]

CLOCK_APART_MS = 5_000
"""Only the server's clock decides anything, but log lines of machines this far apart cannot be read together."""

LATENCY_MS = 50.0
"""A claim, a start and a completion take a round trip each: above this the server is far away or busy."""

UNSERVED_MS = 60_000
"""Due work that no worker serves this long is not a deploy in progress any more."""

PROJECTOR_SILENT_MS = 7 * 86_400_000
"""A projector that was not seen this long holds retention back, maybe for nobody."""

OUTBOX_DEPTH = 1_000
"""Steps between partitions that wait: the outbox is not being emptied."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    name: str
    state: State
    text: str


@dataclass(frozen=True, slots=True)
class DoctorFacts:
    """Everything that was read. Times are ms; ``round_trips_ms`` are of small writes, empty with a ``write_fault``."""

    report: ServerReport
    layout: Layout | None
    fleet: FleetFacts
    workers: Sequence[WorkerEntry]
    projectors: Mapping[str, int]
    round_trips_ms: Sequence[float]
    own_time_ms: int
    write_fault: str | None = None


def examine(facts: DoctorFacts) -> tuple[Finding, ...]:
    """All findings, in the order a person would look."""
    return (
        Finding("server", "ok", f"{facts.report.name}, {facts.report.role}, {_deployment(facts.report)}"),
        *_persistence(facts.report),
        _layout(facts.layout),
        _latency(facts),
        _clock(facts),
        _grace(facts.fleet),
        _workers(facts),
        *_queues(facts),
        *_sessions(facts),
        _outbox(facts.fleet),
        *_projectors(facts),
    )


def _deployment(report: ServerReport) -> str:
    return "cluster" if report.is_cluster else f"{report.replicas} replicas"


def _persistence(report: ServerReport) -> Iterator[Finding]:
    for warning in report.warnings:
        yield Finding("settings", "warn", warning)
    kept = f"append-only file, fsync {report.appendfsync or 'unknown'}" if report.aof else "no append-only file"
    yield Finding("persistence", "ok" if report.aof else "warn", kept)


def _layout(layout: Layout | None) -> Finding:
    if layout is None:
        return Finding("layout", "warn", "the namespace is empty")
    text = (
        f"version {layout.version} of {LAYOUT_VERSION}, {layout.partitions} partitions, writes v{layout.write_version}"
    )
    if layout.write_version < WRITE_VERSION:
        return Finding("layout", "warn", f"{text}; this release can write v{WRITE_VERSION}: lash upgrade")
    return Finding("layout", "ok", text)


def _latency(facts: DoctorFacts) -> Finding:
    if facts.write_fault is not None:
        return Finding("writes", "fail", facts.write_fault)
    middle, worst = median(facts.round_trips_ms), max(facts.round_trips_ms)
    text = f"write round trip {middle:.1f} ms, worst of {len(facts.round_trips_ms)} {worst:.1f} ms"
    return Finding("latency", "ok" if middle <= LATENCY_MS else "warn", text)


def _clock(facts: DoctorFacts) -> Finding:
    apart_ms = facts.own_time_ms - facts.fleet.server_time_ms
    text = f"this machine is {abs(apart_ms)} ms {'ahead of' if apart_ms >= 0 else 'behind'} the server"
    return Finding("clock", "ok" if abs(apart_ms) <= CLOCK_APART_MS else "warn", text)


def _grace(fleet: FleetFacts) -> Finding:
    if fleet.grace_until_ms is None or fleet.grace_until_ms <= fleet.server_time_ms:
        return Finding("grace", "ok", "no failover grace is running")
    return Finding("grace", "warn", f"nothing is claimed before {at_text(fleet.grace_until_ms)}: the server changed")


def _workers(facts: DoctorFacts) -> Finding:
    running = [worker for worker in facts.workers if worker.state == "running" and not worker.drain_requested]
    if not running:
        return Finding("workers", "warn", f"none is running, {len(facts.workers)} are draining")
    slots, busy = sum(worker.concurrency for worker in running), sum(worker.busy for worker in running)
    versions = sorted({worker.lash_version or "unknown" for worker in facts.workers})
    return Finding("workers", "ok", f"{len(running)} running, {busy} of {slots} slots busy, lash {', '.join(versions)}")


def _queues(facts: DoctorFacts) -> Iterator[Finding]:
    served = {queue for worker in facts.workers if worker.state == "running" for queue in worker.queues}
    for queue, count in sorted(facts.fleet.ready.items()):
        if count == 0:
            continue
        age_ms = facts.fleet.oldest_ready_ms.get(queue, 0)
        text = f"{count} due, the oldest for {ago(facts.fleet.server_time_ms - age_ms, facts.fleet.server_time_ms)}"
        if queue not in served:
            yield Finding(f"queue {queue}", "fail" if age_ms >= UNSERVED_MS else "warn", f"{text}; no worker serves it")
        else:
            yield Finding(f"queue {queue}", "ok" if age_ms < UNSERVED_MS else "warn", text)


def _sessions(facts: DoctorFacts) -> Iterator[Finding]:
    """Nothing where there are none: neither workers that run them nor sessions that wait."""
    serving = [worker for worker in facts.workers if worker.state == "running" and worker.facts.get("sessions")]
    fleet, age_ms = facts.fleet, facts.fleet.oldest_session_due_ms
    if not serving and not fleet.sessions_due:
        return
    text = f"{len(serving)} workers run them, {fleet.session_leases} are held, {fleet.sessions_due} wait"
    if fleet.sessions_due:
        text += f", the first for {ago(fleet.server_time_ms - age_ms, fleet.server_time_ms)}"
    state: State = "ok" if age_ms < UNSERVED_MS else "warn"
    if not serving:
        text += "; no worker's app declares app.sessions(...)"
        state = "fail" if age_ms >= UNSERVED_MS else "warn"
    yield Finding("sessions", state, text)


def _outbox(fleet: FleetFacts) -> Finding:
    state: State = "ok" if fleet.outbox_depth < OUTBOX_DEPTH else "warn"
    return Finding("outbox", state, f"{fleet.outbox_depth} steps between partitions wait")


def _projectors(facts: DoctorFacts) -> Iterator[Finding]:
    now_ms = facts.fleet.server_time_ms
    for name, seen_ms in sorted(facts.projectors.items()):
        text = f"seen {ago(seen_ms, now_ms)} ago"
        if now_ms - seen_ms > PROJECTOR_SILENT_MS:
            text += f"; it still holds retention back: lash process changes --forget {name}"
            yield Finding(f"projector {name}", "warn", text)
        else:
            yield Finding(f"projector {name}", "ok", text)
