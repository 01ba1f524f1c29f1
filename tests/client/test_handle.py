"""Handles: result, cancel, signal, status, events."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from pydantic import BaseModel

from lash_core.client import LashClient
from lash_core.errors import (
    InvalidArgumentError,
    InvalidPayloadError,
    ProcessAbandoned,
    ProcessCancelled,
    ProcessFailed,
    ReplayKeyConflictError,
    TerminalProcessError,
    UnknownProcessError,
    UnknownSignalError,
)
from lash_core.model.await_output import AbandonEvidence, AbandonWriter, ProcessAwaitOutput
from lash_core.model.event import ProcessEvent
from lash_core.model.process_input import EngineInput
from tests.client.app_stub import REPORT, StubApp, claim, finish
from tests.client.conftest import AnyStores


class Approval(BaseModel):
    """Payload of a signal."""

    by: str


@dataclass
class Month:
    """Params, and a payload that any schema takes."""

    month: str


async def start(lash: LashClient, process_id: str = "p") -> None:
    await lash.enqueue("k", process_id=process_id, disposition="rerunnable")


async def test_a_result_is_the_success_value(stores: AnyStores, lash: LashClient) -> None:
    """Waiting begins before the end is there."""
    await start(lash)
    waiting = asyncio.ensure_future(lash.handle("p").result(timeout=10))
    await asyncio.sleep(0)
    await finish(stores, "p", ProcessAwaitOutput.success({"pages": 3}))

    assert {"pages": 3} == await waiting
    assert "completed" == await lash.handle("p").status()


async def test_a_failure_is_raised_with_its_facts(stores: AnyStores, lash: LashClient) -> None:
    """Class, code, message and raw arrive as they were recorded."""
    await start(lash)
    await finish(stores, "p", ProcessAwaitOutput.failure("timeout", "process_timeout", "too slow", {"after_ms": 5}))

    with pytest.raises(ProcessFailed) as caught:
        await lash.handle("p").result()

    error = caught.value
    assert ("timeout", "process_timeout", "too slow", {"after_ms": 5}, "p") == (
        error.class_,
        error.code,
        error.message,
        error.raw,
        error.process_id,
    )


async def test_cancelled_and_abandoned_are_raised(stores: AnyStores, lash: LashClient) -> None:
    """Each end has its own exception."""
    for process_id in ("c", "a"):
        await start(lash, process_id)
    await finish(stores, "c", ProcessAwaitOutput.cancelled("enough"))
    await finish(stores, "a", ProcessAwaitOutput.abandoned(AbandonEvidence(writer=AbandonWriter.SWEEP, epoch_ms=5)))

    with pytest.raises(ProcessCancelled, match="enough"):
        await lash.handle("c").result()
    with pytest.raises(ProcessAbandoned, match="provably dead") as caught:
        await lash.handle("a").result()
    assert {"writer": "sweep", "epoch_ms": 5} == caught.value.evidence


@pytest.mark.parametrize("timeout", [0, 0.05])
async def test_a_result_that_does_not_come_is_a_timeout(lash: LashClient, timeout: float) -> None:
    """The caller bounds the wait; the process goes on."""
    await start(lash)

    with pytest.raises(TimeoutError, match="still running"):
        await lash.handle("p").result(timeout=timeout)

    assert "running" == await lash.handle("p").status()


async def test_what_is_not_there_is_unknown(lash: LashClient) -> None:
    """Every verb says so."""
    handle = lash.handle("nobody")
    for call in (handle.result(0), handle.status(), handle.cancel(), handle.signal("x"), handle.why()):
        with pytest.raises(UnknownProcessError):
            await call
    with pytest.raises(UnknownProcessError):
        await anext(handle.events(follow=True))
    assert await lash.get("nobody") is None
    with pytest.raises(InvalidArgumentError):
        lash.handle("a#b")


async def test_cancelling_what_never_started_ends_it(lash: LashClient) -> None:
    """No worker is needed for that."""
    await start(lash)

    receipt = await lash.handle("p").cancel("not needed")

    assert ("cancelled", "cancelled") == (receipt.outcome, receipt.status)
    with pytest.raises(ProcessCancelled):
        await lash.handle("p").result()


async def test_cancelling_what_runs_is_a_request(stores: AnyStores, lash: LashClient) -> None:
    """The same reason again changes nothing; another reason is another request."""
    await start(lash)
    await claim(stores, "p")
    handle = lash.handle("p")

    outcomes = [(await handle.cancel(reason)).outcome for reason in ("a", "a", "b")]

    assert ["requested", "already_requested", "requested"] == outcomes
    record = await handle.record()
    assert record.cancel_request is not None
    assert "a" == record.cancel_request.reason
    assert record.cancel_request.requested_by is not None


async def test_cancelling_what_has_ended_writes_nothing(stores: AnyStores, lash: LashClient) -> None:
    """The receipt says how it had ended."""
    await start(lash)
    await finish(stores, "p", ProcessAwaitOutput.success())
    before = await lash.handle("p").record()

    receipt = await lash.handle("p").cancel("late")

    assert ("already_terminal", "completed") == (receipt.outcome, receipt.status)
    assert before == await lash.handle("p").record()


async def test_when_a_run_saw_the_request_is_in_the_receipt(stores: AnyStores, lash: LashClient) -> None:
    """The run's mark comes back with the next receipt."""
    await start(lash)
    lease = await claim(stores, "p")
    await lash.handle("p").cancel("a")
    await stores.process_registry.mark_cancel_seen(lease)

    receipt = await lash.handle("p").cancel("a")

    assert "already_requested" == receipt.outcome
    assert receipt.seen_at_ms is not None


async def test_signals_are_recorded_once_per_signal_id(stores: AnyStores) -> None:
    """A repeat is the same event; other content under the id is a conflict."""
    lash = LashClient(stores, app=StubApp(REPORT))
    handle = await lash.enqueue("report.build", {"month": "2026-10"})

    first = await handle.signal("approve", {"by": "ops"}, signal_id="s1")
    again = await handle.signal("approve", {"by": "ops"}, signal_id="s1")
    other = await handle.signal("stop")

    assert ("recorded", "exists", "recorded") == (first.status, again.status, other.status)
    assert first.sequence == again.sequence
    assert other.sequence > first.sequence
    with pytest.raises(ReplayKeyConflictError):
        await handle.signal("approve", {"by": "someone else"}, signal_id="s1")


async def test_models_and_dataclasses_are_payloads(stores: AnyStores) -> None:
    """What declares a signal or params may be sent as it is; the event holds its JSON."""
    lash = LashClient(stores, StubApp(REPORT))
    handle = await lash.enqueue("report.build", Month("2026-10"), process_id="r-typed")

    await handle.signal("approve", Approval(by="ops"))
    await handle.signal("stop", Month("2026-11"))

    assert EngineInput("report.build", {"month": "2026-10"}) == (await handle.record()).input
    assert [{"by": "ops"}, {"month": "2026-11"}] == [event.payload async for event in handle.events()]
    assert "r-typed" == handle.id


async def test_signals_are_checked(stores: AnyStores) -> None:
    """An undeclared name tells the declared ones; a payload must fit its schema."""
    lash = LashClient(stores, app=StubApp(REPORT))
    handle = await lash.enqueue("report.build", {"month": "2026-10"})

    with pytest.raises(UnknownSignalError, match="`approve`, `stop`"):
        await handle.signal("aprove")
    with pytest.raises(InvalidPayloadError):
        await handle.signal("approve", {"who": "ops"})
    with pytest.raises(InvalidArgumentError):
        await handle.signal("not a name")


async def test_nobody_hears_a_signal_after_the_end(stores: AnyStores) -> None:
    """Only the repeat of one that was sent in time is answered."""
    lash = LashClient(stores, app=StubApp(REPORT))
    handle = await lash.enqueue("report.build", {"month": "2026-10"}, process_id="p")
    await handle.signal("stop", signal_id="s1")
    await finish(stores, "p", ProcessAwaitOutput.success())

    with pytest.raises(TerminalProcessError):
        await handle.signal("stop", signal_id="s2")
    assert "exists" == (await handle.signal("stop", signal_id="s1")).status


async def test_events_come_in_order_and_after_a_sequence(stores: AnyStores) -> None:
    """The log as it is, or what is new in it."""
    lash = LashClient(stores, app=StubApp(REPORT))
    handle = await lash.enqueue("report.build", {"month": "2026-10"}, process_id="p")
    await handle.signal("stop")
    await finish(stores, "p", ProcessAwaitOutput.success())

    everything = [event async for event in handle.events()]

    assert ["signal.stop", "process.completed"] == [event.event_type for event in everything]
    assert [2] == [event.sequence async for event in handle.events(after=1)]
    with pytest.raises(InvalidArgumentError):
        await anext(handle.events(after=-1))


async def test_following_ends_with_the_process(stores: AnyStores) -> None:
    """A follower gets what comes, and stops after the terminal event."""
    lash = LashClient(stores, app=StubApp(REPORT))
    handle = await lash.enqueue("report.build", {"month": "2026-10"}, process_id="p")
    seen: list[ProcessEvent] = []

    async def follow() -> None:
        async for event in handle.events(follow=True):
            seen.append(event)

    follower = asyncio.ensure_future(follow())
    await handle.signal("stop")
    await finish(stores, "p", ProcessAwaitOutput.success())
    await asyncio.wait_for(follower, 10)

    assert [1, 2] == [event.sequence for event in seen]
