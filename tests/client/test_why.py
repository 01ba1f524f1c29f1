"""Why a process is where it is: one reason for each situation."""

from __future__ import annotations

import math
from typing import Any

import pytest

from lash_core.client import LashClient
from lash_core.model.audit import AuditEntry
from lash_core.model.await_output import ProcessAwaitOutput
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.facts import AbandonRequest, CancelRequest, ProcessStarted, SignalWait, WaitState
from lash_core.model.lease import ProcessLease
from lash_core.model.manifest import WorkerEntry
from lash_core.model.process_input import EngineInput, ExternalInput, ProcessIdentity
from lash_core.model.record import ProcessRecord, terminal_status
from lash_core.model.registration import RetryPolicy
from lash_core.model.scope import ProcessProvenance
from lash_core.why import WhyFacts, explain
from tests.client.app_stub import OWNER, claim, finish
from tests.client.conftest import AnyStores

NOW = 1_800_000_000_000
RECORD = ProcessRecord(
    id="p",
    input=EngineInput(kind="k"),
    disposition=RecoveryDisposition.RERUNNABLE,
    identity=ProcessIdentity(kind="k"),
    event_types=(),
    provenance=ProcessProvenance(),
    registration_hash="h",
    created_at_ms=NOW - 10_000,
    updated_at_ms=NOW - 10_000,
)
WORKER = WorkerEntry(worker_id="w", identity=OWNER, kinds=("k",), queues=("default",), concurrency=4, busy=1)
LEASE = ProcessLease(
    process_id="p",
    owner=OWNER,
    lease_token="t",
    fencing_token=7,
    claimed_at_epoch_ms=NOW - 1_000,
    expires_at_epoch_ms=NOW + 29_000,
)
WAIT = WaitState(since_ms=NOW - 500, kind=SignalWait(name="go", event_type="signal.go", key="x", ordinal=2))
STARTED = ProcessStarted(owner=OWNER, started_at_ms=NOW - 900)
DECLINE = AuditEntry(kind="decline", at_ms=NOW - 100, evidence={"detail": "no such kind here"})
RETRY = AuditEntry(kind="retry", at_ms=NOW - 500, evidence={"detail": "execution / no: on fire", "retries": 1})
RETRIED = {"retries": 1, "retry_policy": RetryPolicy(attempts_max=3, backoff_ms=1_000)}
PARK = AuditEntry(kind="park", at_ms=NOW - 50, evidence={"detail": ""})
OWNER_BOUND = {"disposition": RecoveryDisposition.OWNER_BOUND, "first_started": STARTED}
EXTERNAL = {"disposition": RecoveryDisposition.EXTERNALLY_OWNED, "input": ExternalInput()}


def why(row: dict[str, Any], **facts: Any) -> tuple[str, str, int | None, int | None]:
    known: dict[str, Any] = {"lease": None, "workers": (WORKER,), "now_ms": NOW, **facts}
    answer = explain(WhyFacts(record=RECORD.model_copy(update=row), **known))
    return answer.reason, answer.text, answer.since_ms, answer.until_ms


POISONED = ProcessAwaitOutput.failure("resource_limit", "process_poisoned", "8 deaths in a row")
BROKEN = ProcessAwaitOutput.failure("execution", "no", "on fire")
STOPPED = ProcessAwaitOutput.cancelled("enough")
FULL = WORKER.model_copy(update={"busy": 4})
DRAINING = WORKER.model_copy(update={"drain_requested": True})
OTHER_QUEUE = WORKER.model_copy(update={"queues": ("q",)})
OTHER_KIND = WORKER.model_copy(update={"kinds": ("x",)})
EXPIRED = LEASE.model_copy(update={"expires_at_epoch_ms": NOW})


@pytest.mark.parametrize(
    ("row", "facts", "reason", "words"),
    [
        ({"status": terminal_status("completed", ProcessAwaitOutput.success())}, {}, "terminal", "completed since"),
        ({"status": terminal_status("failed", BROKEN)}, {}, "terminal", "Z (execution / no: on fire)"),
        ({"status": terminal_status("cancelled", STOPPED)}, {}, "terminal", "Z (enough)"),
        ({"status": terminal_status("failed", POISONED)}, {}, "poisoned", "8 deaths in a row"),
        ({}, {"lease": LEASE}, "running", "held by worker-1"),
        ({"wait": WAIT}, {"lease": LEASE}, "waiting", "signal `go` (number 2)"),
        ({}, {"lease": EXPIRED}, "lease_expired", "takes it over"),
        ({}, {"lease": EXPIRED, "grace_until_ms": NOW + 5}, "grace_until", "failover grace"),
        ({"wait": WAIT}, {}, "waiting", "signal `go`"),
        (EXTERNAL, {}, "externally_owned", "outside lash"),
        (OWNER_BOUND, {}, "owner_bound_lost", "lash process abandon"),
        ({}, {"grace_until_ms": NOW + 5}, "grace_until", "nothing is claimed"),
        ({"due_at_ms": NOW + 1}, {}, "due_later", "due at"),
        ({"due_at_ms": NOW + 1, "deaths": 3}, {}, "due_later", "died 3 times"),
        ({"due_at_ms": NOW + 1}, {"audit": (DECLINE,)}, "declined", "no such kind here"),
        ({}, {"audit": (DECLINE,), "ready_at_ms": NOW + 1}, "declined", "no such kind here"),
        (RETRIED, {"audit": (RETRY,), "ready_at_ms": NOW + 500}, "retrying", "(execution / no: on fire); retry 1 of 2"),
        (RETRIED, {"audit": (RETRY,), "ready_at_ms": NOW - 1}, "ready", "due"),
        ({}, {"audit": (PARK,), "ready_at_ms": NOW + 500}, "parked", "goes on at 2027"),
        ({}, {"audit": (PARK,), "ready_at_ms": math.inf}, "parked", "goes on when what it waits for happens"),
        ({}, {"audit": (RETRY, PARK), "workers": (), "ready_at_ms": NOW - 1}, "no_worker", "no live worker"),
        ({}, {"workers": ()}, "no_worker", "no live worker"),
        ({}, {"workers": (DRAINING,)}, "no_worker", "draining"),
        ({}, {"workers": (OTHER_QUEUE,)}, "no_worker_for_queue", "queue `default`"),
        ({}, {"workers": (OTHER_KIND,)}, "no_worker_with_kind", "kind `k`"),
        ({"version_pin": "9"}, {}, "no_worker_with_version", "version `9`"),
        ({}, {"workers": (FULL,)}, "no_free_slot", "all 4 slots"),
        ({}, {}, "ready", "due"),
    ],
)
def test_each_situation_has_its_reason(row: dict[str, Any], facts: dict[str, Any], reason: str, words: str) -> None:
    """The word is for programs, the text for people."""
    found, text, _, _ = why(row, **facts)

    assert reason == found
    assert words in text


def test_times_are_given_where_they_are_known() -> None:
    """Since when, until when."""
    assert (NOW - 1_000, NOW + 29_000) == why({}, lease=LEASE)[2:]
    assert (None, NOW + 5) == why({}, grace_until_ms=NOW + 5)[2:]
    assert (NOW - 10_000, None) == why({}, workers=())[2:]


def test_a_cancel_request_is_told_beside_the_reason() -> None:
    """Whether a run has seen it, too."""
    asked = CancelRequest(requested_at_ms=NOW - 5)

    assert "not seen by a run yet" in why({"cancel_request": asked}, lease=LEASE)[1]
    seen = asked.model_copy(update={"seen_at_ms": NOW})
    assert "seen by its run at" in why({"cancel_request": seen}, lease=LEASE)[1]


def test_an_allowed_abandon_is_told() -> None:
    """Who allowed it."""
    request = AbandonRequest(requested_by="ops", requested_at_ms=NOW)

    assert "ops allowed to abandon" in why({**EXTERNAL, "abandon_request": request})[1]


async def test_the_client_gathers_the_facts(stores: AnyStores, lash: LashClient) -> None:
    """Row, lease, workers and clock come from the stores."""
    await lash.enqueue("k", process_id="p", disposition="rerunnable")
    assert "no_worker" == (await lash.why("p")).reason
    await stores.directory.publish_worker(WORKER)
    assert "ready" == (await lash.why("p")).reason
    await claim(stores, "p")
    assert "running" == (await lash.why("p")).reason

    await lash.enqueue("k", process_id="later", disposition="rerunnable", delay_ms=60_000)
    await lash.enqueue("k", process_id="done", disposition="rerunnable")
    await finish(stores, "done", ProcessAwaitOutput.success())

    assert "due_later" == (await lash.why("later")).reason
    assert ("terminal", "completed") == ((await lash.why("done")).reason, (await lash.why("done")).status)
