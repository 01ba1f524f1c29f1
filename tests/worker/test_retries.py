"""Retries of whole processes: which failures run again, when, and what is left when the tries are used up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from lash_core.clock import VirtualClock
from lash_core.errors import OutcomeUnknownError, StoreUnreachableError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.await_output import AnyAwaitOutput, FailureOutput, ProcessAwaitOutput, Success
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.lease import ProcessLease
from lash_core.model.record import new_record
from lash_core.model.registration import RetryPolicy
from lash_core.testing.waiting import eventually
from lash_worker.services.process_run import ProcessRun
from lash_worker.services.run_retries import retry_delay_ms
from tests.worker.rig import registration, running

POLICY = RetryPolicy(attempts_max=4, backoff_ms=1_000, backoff_max_ms=3_000)
FAILED = ProcessAwaitOutput.failure("execution", "process_failed", "ValueError: no")


def delay(output: AnyAwaitOutput = FAILED, *, cancelled: bool = False, **facts: Any) -> int | None:
    """The delay for a row with these facts."""
    record = new_record(registration("p"), "h", 1).model_copy(update={"retry_policy": POLICY, **facts})
    return retry_delay_ms(record, output, cancelled=cancelled)


def test_the_back_off_doubles_up_to_its_bound_until_the_tries_are_used_up() -> None:
    """Four tries: three retries."""
    assert [1_000, 2_000, 3_000, None] == [delay(retries=retries) for retries in range(4)]
    assert 3_000 == delay(retries=900, retry_policy=POLICY.model_copy(update={"attempts_max": 1_000}))


@pytest.mark.parametrize(
    "code",
    [
        "process_params_invalid",
        "process_result_invalid",
        "process_journal_full",
        "process_poisoned",
        "redis_effect_replay_hash_conflict",
    ],
)
def test_what_would_fail_again_is_not_tried_again(code: str) -> None:
    """These depend on row and program alone."""
    assert delay(ProcessAwaitOutput.failure("execution", code, "x")) is None


def test_only_failures_of_rerunnable_processes_are_tried_again() -> None:
    """A timeout is one; a cancel, a value, owner-bound work and a process without a policy are not."""
    assert 1_000 == delay(ProcessAwaitOutput.failure("timeout", "process_timeout", "x"))
    assert delay(ProcessAwaitOutput.cancelled("x")) is None
    assert delay(ProcessAwaitOutput.success()) is None
    assert delay(cancelled=True) is None
    assert delay(retry_policy=None) is None
    assert delay(retry_policy=RetryPolicy()) is None
    assert delay(disposition=RecoveryDisposition.OWNER_BOUND) is None


class FailedSteps:
    """The journaled effects of a run, as far as a retry asks."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        self._keys = keys

    def failed_keys(self) -> tuple[str, ...]:
        """What failed."""
        return self._keys

    def refuse(self) -> None:
        """Nothing more is asked."""


def tries_of(calls: list[int], succeeds_at: int) -> Any:
    """A body that fails until its n-th call."""

    async def body(run: ProcessRun) -> AnyAwaitOutput:
        calls.append(run.record.retries)
        run.effects = cast("Any", FailedSteps((f"step:{len(calls)}",)))
        return ProcessAwaitOutput.success(len(calls)) if len(calls) == succeeds_at else FAILED

    return body


async def test_a_failed_process_runs_again_and_its_failed_steps_are_dropped() -> None:
    """No terminal event in between; retries are counted, attempts too, deaths are not; the audit says why."""
    calls: list[int] = []
    stores = InMemoryStores()
    registry = stores.process_registry
    retry, dropped = registry.retry_process, list[tuple[str, ...]]()

    async def watched(lease: ProcessLease, *, delay_ms: int, drop: Sequence[str], detail: str) -> int:
        dropped.append(tuple(drop))
        return await retry(lease, delay_ms=delay_ms, drop=drop, detail=detail)

    registry.retry_process = watched
    async with running(stores, tries_of(calls, 3)) as rig:
        await rig.put(registration("p", retry_policy=RetryPolicy(attempts_max=3, backoff_ms=10)))
        assert 3 == (await rig.output_of("p", Success)).value

        record = await rig.row("p")
        assert (2, 3, 0) == (record.retries, record.attempt, record.deaths)
        assert [0, 1, 2] == calls
        assert [("step:1",), ("step:2",)] == dropped
        assert ["process.completed"] == [event.event_type for event in await registry.events_after("p", 0)]
        entries = [entry for entry in await registry.audit_entries("p") if entry.kind == "retry"]
        assert ["execution / process_failed: ValueError: no"] * 2 == [entry.evidence["detail"] for entry in entries]
        assert 2.0 == rig.sample("lash_processes_retried_total", kind="work")
        assert 1.0 == rig.sample("lash_processes_finished_total", kind="work", outcome="completed")


async def test_the_last_failure_stands() -> None:
    """Two tries, two failures, one terminal event."""
    calls: list[int] = []
    async with running(InMemoryStores(), tries_of(calls, 99)) as rig:
        await rig.put(registration("p", retry_policy=RetryPolicy(attempts_max=2, backoff_ms=0)))

        assert FAILED == await rig.output_of("p", FailureOutput)
        assert [0, 1] == calls


async def test_a_lost_reply_of_a_retry_counts_once() -> None:
    """It is sent again until its answer is known."""
    calls: list[int] = []
    stores = InMemoryStores()
    registry = stores.process_registry
    retry, sent = registry.retry_process, list[int]()

    async def lossy(lease: ProcessLease, *, delay_ms: int, drop: Sequence[str], detail: str) -> int:
        sent.append(1)
        if len(sent) == 1:
            raise StoreUnreachableError("no route")
        answer = await retry(lease, delay_ms=delay_ms, drop=drop, detail=detail)
        if len(sent) == 2:
            raise OutcomeUnknownError("the reply was lost")
        return answer

    registry.retry_process = lossy
    async with running(stores, tries_of(calls, 2)) as rig:
        await rig.put(registration("p", retry_policy=RetryPolicy(attempts_max=5, backoff_ms=2_000)))
        await eventually(lambda: "p" not in rig.driver.executor.runs and len(sent) == 3)

        assert 1 == (await rig.row("p")).retries


async def test_a_cancel_ends_a_row_that_waits_for_its_retry() -> None:
    """It is offered at once and ends as cancelled."""

    async def body(run: ProcessRun) -> AnyAwaitOutput:
        if run.cancellation.cancelled:
            return ProcessAwaitOutput.cancelled(run.cancellation.reason or "")
        return FAILED

    async with running(InMemoryStores(), body) as rig:
        await rig.put(registration("p", retry_policy=RetryPolicy(attempts_max=2, backoff_ms=60_000)))
        await eventually(lambda: rig.sample("lash_processes_retried_total", kind="work") == 1.0)
        await rig.registry.append_event("p", ProcessEventAppendRequest.cancel_requested("p", "enough"))

        assert "cancelled" == (await rig.end_of("p", 2)).status.state


async def test_a_failure_on_the_way_of_a_cancel_stands() -> None:
    """Whoever asked for the end does not get another try."""

    async def body(run: ProcessRun) -> AnyAwaitOutput:
        await run.cancellation.wait()
        return FAILED

    async with running(InMemoryStores(), body) as rig:
        await rig.put(registration("p", retry_policy=RetryPolicy(attempts_max=9)))
        await eventually(lambda: "p" in rig.driver.executor.runs)
        await rig.registry.append_event("p", ProcessEventAppendRequest.cancel_requested("p", "enough"))

        assert FAILED == await rig.output_of("p", FailureOutput, 2)
        assert 0 == (await rig.row("p")).retries


async def test_a_retried_process_has_its_time_anew() -> None:
    """A timeout is a failure like others: its time begins again when the retry is due, and only then."""
    clock = VirtualClock()
    left_ms: list[float] = []

    async def body(run: ProcessRun) -> AnyAwaitOutput:
        left_ms.append((run.deadline_ms or 0.0) - run.started_at_ms)
        started = run.unrecorded_start()
        if started is not None:
            await run.context.registry.record_first_started("p", started, lease=run.require())
        if len(left_ms) == 3:
            return ProcessAwaitOutput.success()
        clock.advance_ms(50_000)
        return FAILED

    async with running(InMemoryStores(clock), body, lease_ttl_ms=600_000) as rig:
        policy = RetryPolicy(attempts_max=3, backoff_ms=0)
        await rig.put(registration("p", timeout_ms=60_000, retry_policy=policy))
        await rig.end_of("p")

        assert 0 == (await rig.row("p")).deaths
        assert [60_000, 60_000, 60_000] == [round(left, -3) for left in left_ms]
