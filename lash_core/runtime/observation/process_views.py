"""Processes as a session and as a fleet sees them (``docs/contracts/observation.md`` 7). Reads only, bounded."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import Any, Final

from lash_core.errors import InvalidArgumentError
from lash_core.model.await_output import FailureOutput
from lash_core.model.canonical_json import canonical_json_bytes
from lash_core.model.event import ProcessEvent
from lash_core.model.facts import ProcessHandleGrant
from lash_core.model.manifest import WorkerEntry
from lash_core.model.process_filter import FilterStatus
from lash_core.model.record import ProcessRecord
from lash_core.model.reports import ChangeCursor
from lash_core.store.client_stores import FleetRegistry
from lash_core.store.fleet_directory import FleetDirectory
from lash_core.store.process_maintenance import FleetFacts
from lash_core.store.process_observation import PAGE_MAX, TAIL_MAX, ProcessObservation

PAYLOAD_BYTES_MAX: Final = 4 * 1024
"""A payload over it is left out of a view's JSON and told by its size: a screen shows no more of it."""

MESSAGE_CHARS_MAX: Final = 500
"""Of a failure's message in a view's JSON."""


@dataclass(frozen=True, slots=True)
class ProcessView:
    """A process with the tail of its log: ``events`` ascending, ``events_before`` older ones."""

    record: ProcessRecord
    events: tuple[ProcessEvent, ...] = ()

    @property
    def events_before(self) -> int:
        """How many events came before the tail."""
        return self.events[0].sequence - 1 if self.events else self.record.last_sequence

    def to_json_value(self) -> dict[str, Any]:
        """What a view shows: neither input nor environment, large payloads by their size."""
        record = self.record
        output = record.await_output
        failure = None
        if isinstance(output, FailureOutput):
            failure = {"class": output.class_.value, "code": output.code, "message": output.message[:MESSAGE_CHARS_MAX]}
        return {
            "process_id": record.id,
            "kind": record.identity.kind,
            "label": record.identity.label,
            "queue": record.queue,
            "status": record.status.state,
            "waiting": record.wait is not None,
            "cancelling": record.cancel_request is not None and not record.is_terminal,
            "disposition": record.disposition.value,
            "attempt": record.attempt,
            "created_at_ms": record.created_at_ms,
            "updated_at_ms": record.updated_at_ms,
            "failure": failure,
            "events": [_event_json(event) for event in self.events],
            "events_before": self.events_before,
        }


@dataclass(frozen=True, slots=True)
class SessionProcessView(ProcessView):
    """A process of a session: the ``grants`` of its scopes, and whether it ``wakes`` the session."""

    grants: tuple[ProcessHandleGrant, ...] = ()
    wakes: bool = False

    def to_json_value(self) -> dict[str, Any]:
        """As of ``ProcessView``, with the scopes that hold it."""
        value = ProcessView.to_json_value(self)
        return {**value, "scopes": [grant.scope_id for grant in self.grants], "wakes": self.wakes}


@dataclass(frozen=True, slots=True)
class SessionProcesses:
    """A session's newest processes, newest first; ``total`` is how many it has."""

    session_id: str
    processes: tuple[SessionProcessView, ...]
    total: int

    def to_json_value(self) -> dict[str, Any]:
        """``{session_id, total, items}``."""
        items = [view.to_json_value() for view in self.processes]
        return {"session_id": self.session_id, "total": self.total, "items": items}


@dataclass(frozen=True, slots=True)
class FleetProcessSnapshot:
    """The whole fleet at a glance.

    Attributes:
        facts: counts, queues, leases, sessions.
        workers: live ones.
        processes: those that changed last, newest change first.
        cursor: of the change feed, from before they were read: going on from it misses no change.
    """

    facts: FleetFacts
    workers: tuple[WorkerEntry, ...]
    processes: tuple[ProcessView, ...]
    cursor: ChangeCursor

    def to_json_value(self) -> dict[str, Any]:
        """``{facts, workers, items, cursor}``."""
        return {
            "facts": asdict(self.facts),
            "workers": [worker.model_dump(mode="json", by_alias=True) for worker in self.workers],
            "items": [view.to_json_value() for view in self.processes],
            "cursor": self.cursor.token,
        }


async def session_processes(
    registry: ProcessObservation, session_id: str, *, live_only: bool = False, limit: int = 50, events: int = 5
) -> SessionProcesses:
    """The processes that a session has handles on or is woken by, newest first.

    Args:
        registry: the store.
        session_id: the session; one that is not there has none.
        live_only: without those that ended.
        limit: processes at most, 0 to ``PAGE_MAX``.
        events: of each log's end at most, 0 to ``TAIL_MAX``.

    Raises:
        InvalidArgumentError: a bound. CorruptRecordError, NewerRecordError.
    """
    _check_bounds(limit, events)
    page = await registry.processes_of_session(session_id, live_only=live_only, limit=limit)
    tails = await registry.recent_events_of([one.record.id for one in page.processes], events)
    views = tuple(
        SessionProcessView(one.record, tail, one.grants, one.wakes)
        for one, tail in zip(page.processes, tails, strict=True)
    )
    return SessionProcesses(session_id, views, page.total)


async def fleet_snapshot(
    registry: FleetRegistry,
    directory: FleetDirectory,
    *,
    limit: int = 50,
    events: int = 0,
    status: FilterStatus = "any",
) -> FleetProcessSnapshot:
    """The fleet at a glance. Parts are read beside each other, each as it is then.

    Args:
        registry: the store.
        directory: who works here.
        limit: processes at most, 0 to ``PAGE_MAX``.
        events: of each log's end at most, 0 to ``TAIL_MAX``.
        status: processes of this status only.

    Raises:
        InvalidArgumentError: a bound. CorruptRecordError, NewerRecordError.
    """
    _check_bounds(limit, events)
    facts, workers, newest = await asyncio.gather(
        registry.fleet_facts(), directory.list_workers(), registry.newest_changes(limit, status=status)
    )
    tails = await registry.recent_events_of([record.id for record in newest.records], events)
    views = tuple(ProcessView(record, tail) for record, tail in zip(newest.records, tails, strict=True))
    return FleetProcessSnapshot(facts, workers, views, newest.cursor)


def _check_bounds(limit: int, events: int) -> None:
    for name, value, most in (("limit", limit, PAGE_MAX), ("events", events, TAIL_MAX)):
        if not 0 <= value <= most:
            raise InvalidArgumentError(
                f"{name} is {value}; it must be 0 to {most}", field=name, value=value, limit=most
            )


def _event_json(event: ProcessEvent) -> dict[str, Any]:
    value = {"sequence": event.sequence, "event_type": event.event_type, "occurred_at_ms": event.occurred_at_ms}
    size = len(canonical_json_bytes(event.payload))
    return {**value, "payload_bytes": size} if size > PAYLOAD_BYTES_MAX else {**value, "payload": event.payload}
