"""Rows, owners and leases for the cases: each with its own ids and its own queue, so cases never meet."""

from __future__ import annotations

import secrets
from typing import Any

from lash_core.model.await_output import AbandonEvidence, AbandonWriter, AnyAwaitOutput, ProcessAwaitOutput
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.environment import EMPTY_ENV_REF
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.event_type import (
    ConstDedupe,
    ProcessEventSemantics,
    ProcessEventType,
    SelectorDedupe,
    TerminalSemantics,
    WakeSemantics,
)
from lash_core.model.lease import Acquired, ClaimedProcess, ProcessLease
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.process_input import ProcessInput
from lash_core.model.record import ProcessRecord
from lash_core.model.registration import ProcessRegistration
from lash_core.model.reports import ChangeCursor
from lash_core.model.scope import SessionScope
from lash_core.model.selector import Selector
from lash_core.testing.conformance.stores import ConformanceStores

TTL_MS = 600_000
"""A lease that no case outlives by accident."""

CORE_NAMES = (
    "process.cancel_requested",
    "process.waiting",
    "process.resumed",
    "process.completed",
    "process.failed",
    "process.cancelled",
    "process.abandoned",
)

NOTE = ProcessEventType(name="note")
MEASURED = ProcessEventType(
    name="measured",
    payload_schema={"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}},
)
PING = ProcessEventType(
    name="ping", semantics=ProcessEventSemantics(wake=WakeSemantics(input=Selector.pointer("/text")))
)
PING_WHEN = ProcessEventType(
    name="ping.when",
    semantics=ProcessEventSemantics(
        wake=WakeSemantics(
            when=Selector.pointer("/urgent"),
            input=Selector.template("{who} says hi", {"who": Selector.pointer("/who")}),
        )
    ),
)
PING_TOPIC = ProcessEventType(
    name="ping.topic",
    semantics=ProcessEventSemantics(
        wake=WakeSemantics(input=Selector.payload(), dedupe_key=SelectorDedupe(selector=Selector.pointer("/topic")))
    ),
)
PING_CONST = ProcessEventType(
    name="ping.const",
    semantics=ProcessEventSemantics(
        wake=WakeSemantics(input=Selector.const("wake up"), dedupe_key=ConstDedupe(value="only-once"))
    ),
)
FINISHED = ProcessEventType(
    name="finished", semantics=ProcessEventSemantics(terminal=TerminalSemantics(state="completed"))
)
BROKEN = ProcessEventType(
    name="broken",
    semantics=ProcessEventSemantics(terminal=TerminalSemantics(state="failed", await_output=Selector.pointer("/why"))),
)
DROPPED = ProcessEventType(
    name="dropped",
    semantics=ProcessEventSemantics(
        terminal=TerminalSemantics(state="cancelled", await_output=Selector.pointer("/why"))
    ),
)
GIVEN_UP = ProcessEventType(
    name="given_up",
    semantics=ProcessEventSemantics(terminal=TerminalSemantics(state="abandoned", await_output=Selector.payload())),
)
APPROVE = ProcessEventType.signal("approve", {"type": "object", "required": ["by"]})

DECLARED = (
    NOTE,
    MEASURED,
    PING,
    PING_WHEN,
    PING_TOPIC,
    PING_CONST,
    FINISHED,
    BROKEN,
    DROPPED,
    GIVEN_UP,
    APPROVE,
)
"""What every row of ``registration`` declares beside the core types."""


def unique(label: str) -> str:
    """A name that no other case uses."""
    return f"{label}-{secrets.token_hex(6)}"


def registration(process_id: str | None = None, **changes: Any) -> ProcessRegistration:
    """A rerunnable engine process with a queue of its own; ``changes`` replace fields."""
    facts: dict[str, Any] = {
        "id": process_id or unique("process"),
        "input": ProcessInput.engine("conformance.work", {"n": 1}),
        "disposition": RecoveryDisposition.RERUNNABLE,
        "event_types": DECLARED,
        "env_ref": EMPTY_ENV_REF,
        "queue": unique("queue"),
    }
    return ProcessRegistration(**(facts | changes))


def owner_bound(process_id: str | None = None, **changes: Any) -> ProcessRegistration:
    """An owner-bound engine process."""
    return registration(process_id, **({"disposition": RecoveryDisposition.OWNER_BOUND} | changes))


def external(process_id: str | None = None, **changes: Any) -> ProcessRegistration:
    """An externally owned process with an external input."""
    facts: dict[str, Any] = {
        "input": ProcessInput.external({"label": "outside"}),
        "disposition": RecoveryDisposition.EXTERNALLY_OWNED,
        "env_ref": None,
    }
    return registration(process_id, **(facts | changes))


def worker(label: str = "worker") -> LeaseOwnerIdentity:
    """An owner whose death nobody can prove."""
    return LeaseOwnerIdentity.opaque(unique(label), unique("incarnation"))


def scope(session_id: str | None = None, frame: str | None = None) -> SessionScope:
    """A session scope of its own."""
    return SessionScope(session_id=session_id or unique("session"), agent_frame_id=frame)


def note(text: str = "hello", key: str | None = None) -> ProcessEventAppendRequest:
    """A plain event, with a replay key when one is given."""
    request = ProcessEventAppendRequest(event_type="note", payload={"text": text})
    return request if key is None else request.with_replay_key(key)


def event(event_type: str, payload: Any, key: str | None = None) -> ProcessEventAppendRequest:
    """An append request."""
    request = ProcessEventAppendRequest(event_type=event_type, payload=payload)
    return request if key is None else request.with_replay_key(key)


OUTPUTS: dict[str, AnyAwaitOutput] = {
    "completed": ProcessAwaitOutput.success({"answer": 42}),
    "failed": ProcessAwaitOutput.failure("execution", "process_failed", "ValueError: no", raw={"at": 3}),
    "cancelled": ProcessAwaitOutput.cancelled("asked to stop"),
    "abandoned": ProcessAwaitOutput.abandoned(AbandonEvidence(writer=AbandonWriter.SWEEP, epoch_ms=1_700_000_000_000)),
}
"""One outcome a terminal state."""

SUCCESS = OUTPUTS["completed"]


async def registered(
    stores: ConformanceStores, wanted: ProcessRegistration | None = None, **changes: Any
) -> ProcessRecord:
    """A fresh row."""
    return await stores.process_registry.register_process(wanted or registration(**changes))


async def claimed(
    stores: ConformanceStores, process_id: str, owner: LeaseOwnerIdentity | None = None, ttl_ms: int = TTL_MS
) -> ProcessLease:
    """A lease on a row that nobody holds."""
    outcome = await stores.process_registry.claim_process_lease(process_id, owner or worker(), ttl_ms)
    assert isinstance(outcome, Acquired), f"expected a lease, got {outcome!r}"
    return outcome.lease


async def running(
    stores: ConformanceStores, wanted: ProcessRegistration | None = None, **changes: Any
) -> tuple[ProcessRecord, ProcessLease]:
    """A fresh row and a long lease on it."""
    record = await registered(stores, wanted, **changes)
    return record, await claimed(stores, record.id)


async def completed(
    stores: ConformanceStores, wanted: ProcessRegistration | None = None, output: AnyAwaitOutput = SUCCESS
) -> ProcessRecord:
    """A fresh row that has ended."""
    record = await registered(stores, wanted)
    lease = await claimed(stores, record.id)
    return await stores.process_registry.complete_process_with_lease(lease, output)


async def current(stores: ConformanceStores, process_id: str) -> ProcessRecord:
    """The row, which must be there."""
    record = await stores.process_registry.get_process(process_id)
    assert record is not None, f"process {process_id} has no row"
    return record


async def claim_ready(
    stores: ConformanceStores,
    queue: str,
    *,
    owner: LeaseOwnerIdentity | None = None,
    limit: int = 10,
    ttl_ms: int = TTL_MS,
) -> tuple[ClaimedProcess, ...]:
    """Due rows of one queue. Asks three times: giving expired leases back is bounded per call."""
    found: list[ClaimedProcess] = []
    for _ in range(3):
        found.extend(
            await stores.process_registry.claim_ready_processes(
                owner or worker(), limit - len(found), ttl_ms, queues=(queue,)
            )
        )
        if len(found) >= limit:
            break
    return tuple(found)


async def feed_end(stores: ConformanceStores) -> ChangeCursor:
    """A cursor after everything that has been written so far; at most 1,000 pages."""
    cursor = ChangeCursor.initial()
    for _ in range(1_000):
        changes = await stores.process_registry.processes_changed_since(cursor, 1_000)
        if not changes.records:
            return changes.cursor
        cursor = changes.cursor
    raise AssertionError("the change feed did not end within 1,000 pages")


async def in_feed(stores: ConformanceStores, after: ChangeCursor, process_id: str) -> bool:
    """Whether a row changed after a cursor; at most 1,000 pages."""
    cursor = after
    for _ in range(1_000):
        changes = await stores.process_registry.processes_changed_since(cursor, 1_000)
        if any(record.id == process_id for record in changes.records):
            return True
        if not changes.records:
            return False
        cursor = changes.cursor
    raise AssertionError("the change feed did not end within 1,000 pages")


def unknown_text(process_id: str) -> str:
    """The text of every operation on an id without a row."""
    return f"unknown process `{process_id}`"


LOST = "is missing or expired"
"""What every write with a lost lease says."""
