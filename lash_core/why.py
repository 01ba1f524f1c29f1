"""Why a process is where it is: one reason, with since when and until when. Pure; ``lash process why`` prints it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from lash_core.model.audit import AuditEntry
from lash_core.model.await_output import CancelledOutput, FailureOutput
from lash_core.model.base import Model
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.lease import ProcessLease
from lash_core.model.manifest import WorkerEntry
from lash_core.model.process_input import EngineInput
from lash_core.model.record import ProcessRecord

WhyReason = Literal[
    "terminal",
    "poisoned",
    "running",
    "waiting",
    "lease_expired",
    "owner_bound_lost",
    "externally_owned",
    "grace_until",
    "due_later",
    "parked",
    "retrying",
    "declined",
    "no_worker",
    "no_worker_for_queue",
    "no_worker_with_kind",
    "no_worker_with_version",
    "no_free_slot",
    "ready",
]


class Why(Model):
    """The answer. ``since_ms`` and ``until_ms`` are ms since the epoch by the server's clock, None when unknown."""

    id: str
    status: str
    reason: WhyReason
    text: str
    since_ms: int | None = None
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class WhyFacts:
    """What the answer is made from: the row, its raw lease, live workers, the server's time and grace, the audit.

    ``ready_at_ms`` is when a row that nobody holds may be claimed: infinite when something must happen first, None when
    it is not known.
    """

    record: ProcessRecord
    lease: ProcessLease | None
    workers: Sequence[WorkerEntry]
    now_ms: int
    grace_until_ms: int | None = None
    audit: Sequence[AuditEntry] = field(default_factory=tuple[AuditEntry, ...])
    ready_at_ms: float | None = None


def explain(facts: WhyFacts) -> Why:
    """The first reason that holds, from the row outwards: its end, its holder, its wait, the fleet."""
    for reason in (_ended, _held, _parked, _resting, _delayed, _unserved):
        why = reason(facts)
        if why is not None:
            return _with_cancel(facts, why)
    return _with_cancel(facts, _why(facts, "ready", "is due and a worker with a free slot serves it", _due_ms(facts)))


def at_text(at_ms: int) -> str:
    """A time for people: RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(at_ms / 1_000, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _why(
    facts: WhyFacts, reason: WhyReason, text: str, since_ms: int | None = None, until_ms: int | None = None
) -> Why:
    state = facts.record.status.state
    return Why(id=facts.record.id, status=state, reason=reason, text=text, since_ms=since_ms, until_ms=until_ms)


def _ended(facts: WhyFacts) -> Why | None:
    record = facts.record
    if not record.is_terminal:
        return None
    output = record.await_output
    if isinstance(output, FailureOutput) and output.code == "process_poisoned":
        text = f"failed at {at_text(record.updated_at_ms)}: {output.message or 'its workers kept dying'}"
        return _why(facts, "poisoned", text, record.updated_at_ms)
    text = f"{record.status.state} since {at_text(record.updated_at_ms)}"
    if isinstance(output, FailureOutput):
        text += f" ({output.class_.value} / {output.code}: {output.message})"
    elif isinstance(output, CancelledOutput) and output.message:
        text += f" ({output.message})"
    return _why(facts, "terminal", text, record.updated_at_ms)


def _held(facts: WhyFacts) -> Why | None:
    record, lease = facts.record, facts.lease
    if lease is None:
        return None
    holder = f"{lease.owner.owner_id} ({lease.owner.incarnation_id}, fence {lease.fencing_token})"
    until_ms = lease.expires_at_epoch_ms
    if not lease.is_live(facts.now_ms):
        if facts.grace_until_ms is not None and facts.grace_until_ms > facts.now_ms:
            return _grace(facts)
        text = f"the lease of {holder} expired at {at_text(until_ms)}; the next worker that looks takes it over"
        return _why(facts, "lease_expired", text, until_ms)
    if record.wait is not None:
        return _waits(facts, f", held by {holder} until {at_text(until_ms)}", until_ms)
    text = f"attempt {record.attempt + 1} is held by {holder} until {at_text(until_ms)}"
    return _why(facts, "running", text, lease.claimed_at_epoch_ms, until_ms)


def _parked(facts: WhyFacts) -> Why | None:
    record = facts.record
    if record.disposition is RecoveryDisposition.EXTERNALLY_OWNED:
        text = "work outside lash; its owner reports the outcome"
        if record.abandon_request is not None:
            text += f"; {record.abandon_request.requested_by} allowed to abandon it and a worker will record that"
        return _why(facts, "externally_owned", text, record.created_at_ms)
    if facts.grace_until_ms is not None and facts.grace_until_ms > facts.now_ms:
        return _grace(facts)
    if record.wait is not None:
        return _waits(facts, "", None)
    started = record.first_started
    if record.disposition is RecoveryDisposition.OWNER_BOUND and started is not None and record.abandon_request is None:
        text = (
            f"owner-bound and started by {started.owner.owner_id} at {at_text(started.started_at_ms)}, which holds no "
            "lease any more; it waits for proof of that owner's death or for `lash process abandon`"
        )
        return _why(facts, "owner_bound_lost", text, started.started_at_ms)
    return None


def _resting(facts: WhyFacts) -> Why | None:
    """What its last run said when it gave the row back: a failure that is tried again, or a wait."""
    last = facts.audit[-1] if facts.audit else None
    ready_ms = facts.ready_at_ms
    if last is None or ready_ms is None or ready_ms <= facts.now_ms:
        return None
    until_ms = None if math.isinf(ready_ms) else int(ready_ms)
    until = "" if until_ms is None else at_text(until_ms)
    policy = facts.record.retry_policy
    if last.kind == "retry" and policy is not None:
        failure = last.evidence.get("detail") or "no detail"
        text = f"failed at {at_text(last.at_ms)} ({failure}); "
        text += f"retry {facts.record.retries} of {policy.attempts_max - 1} at {until}"
        return _why(facts, "retrying", text, last.at_ms, until_ms)
    if last.kind == "park":
        ends = f"goes on at {until}, or" if until else "goes on"
        what = last.evidence.get("detail")
        waits = f"waits for {what}" if what else "waits"
        text = (
            f"{waits} since {at_text(last.at_ms)} and left its worker's memory; {ends} when what it waits for happens"
        )
        return _why(facts, "parked", text, last.at_ms, until_ms)
    return None


def _delayed(facts: WhyFacts) -> Why | None:
    due_ms = facts.record.due_at_ms
    if facts.ready_at_ms is not None and math.isfinite(facts.ready_at_ms):
        # Later than its own time after a decline or a death.
        due_ms = int(facts.ready_at_ms)
    if due_ms is None or due_ms <= facts.now_ms:
        return None
    last = facts.audit[-1] if facts.audit else None
    if last is not None and last.kind == "decline":
        detail = last.evidence.get("detail") or "no worker that met it could run it"
        text = f"declined at {at_text(last.at_ms)} ({detail}); offered again at {at_text(due_ms)}"
        return _why(facts, "declined", text, last.at_ms, due_ms)
    if facts.record.deaths:
        text = f"its worker died {facts.record.deaths} times in a row; tried again at {at_text(due_ms)}"
        return _why(facts, "due_later", text, facts.record.updated_at_ms, due_ms)
    return _why(facts, "due_later", f"due at {at_text(due_ms)}", facts.record.created_at_ms, due_ms)


def _unserved(facts: WhyFacts) -> Why | None:
    record, since_ms = facts.record, _due_ms(facts)
    running = [worker for worker in facts.workers if worker.state == "running" and not worker.drain_requested]
    if not running:
        text = "no live worker" if not facts.workers else f"all {len(facts.workers)} live workers are draining"
        return _why(facts, "no_worker", text, since_ms)
    serving = [worker for worker in running if record.queue in worker.queues]
    if not serving:
        text = f"none of {len(running)} live workers serves queue `{record.queue}`"
        return _why(facts, "no_worker_for_queue", text, since_ms)
    kind = record.input.kind if isinstance(record.input, EngineInput) else None
    able = [worker for worker in serving if kind is None or kind in worker.kinds]
    if not able:
        text = f"none of {len(serving)} live workers of queue `{record.queue}` has kind `{kind}`"
        if any(kind in worker.facts.get("needs_isolation", ()) for worker in serving):
            text += "; it runs in work-horses, which a worker has with `lash worker run --isolated N`"
        return _why(facts, "no_worker_with_kind", text, since_ms)
    pin = record.version_pin
    if pin is not None and not any(worker.versions.get(kind or "") == pin for worker in able):
        text = f"pinned to version `{pin}`, which none of {len(able)} live workers with kind `{kind}` runs"
        return _why(facts, "no_worker_with_version", text, since_ms)
    if all(worker.busy >= worker.concurrency for worker in able):
        slots = sum(worker.concurrency for worker in able)
        text = f"all {slots} slots of {len(able)} workers that could run it are busy"
        return _why(facts, "no_free_slot", text, since_ms)
    return None


def _grace(facts: WhyFacts) -> Why:
    until_ms = facts.grace_until_ms or facts.now_ms
    text = f"the server changed; nothing is claimed before the failover grace ends at {at_text(until_ms)}"
    return _why(facts, "grace_until", text, None, until_ms)


def _waits(facts: WhyFacts, holder: str, until_ms: int | None) -> Why:
    wait = facts.record.wait
    if wait is None:
        raise ValueError(f"process {facts.record.id} does not wait")
    text = f"waiting for signal `{wait.kind.name}` (number {wait.kind.ordinal}) since {at_text(wait.since_ms)}{holder}"
    return _why(facts, "waiting", text, wait.since_ms, until_ms)


def _with_cancel(facts: WhyFacts, why: Why) -> Why:
    cancel = facts.record.cancel_request
    if cancel is None or facts.record.is_terminal:
        return why
    seen = "not seen by a run yet" if cancel.seen_at_ms is None else f"seen by its run at {at_text(cancel.seen_at_ms)}"
    asked = f"cancel requested at {at_text(cancel.requested_at_ms)}, {seen}"
    return why.model_copy(update={"text": f"{why.text}; {asked}"})


def _due_ms(facts: WhyFacts) -> int:
    return max(facts.record.created_at_ms, facts.record.due_at_ms or 0)
