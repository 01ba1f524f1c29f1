"""What the demo enqueues, and what must be true of it afterwards. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from lash_core.model.event import ProcessEvent
from lash_core.model.lease import ProcessLease
from lash_core.model.record import ProcessRecord
from lash_worker.demo.census import ModuleCount, ModuleParams

PATROL_ID = "patrol"
BROKEN_ID = "module:broken"


def module_id(params: ModuleParams) -> str:
    """Process id of one module."""
    return f"module:{params.module}"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the demo's verdict."""

    what: str
    expected: str
    seen: str
    ok: bool


@dataclass(slots=True)
class Observed:
    """What the demo saw of the fleet."""

    records: Mapping[str, ProcessRecord]
    events: Mapping[str, Sequence[ProcessEvent]]
    stranded: Sequence[ProcessLease]
    takeover_ms: Mapping[str, int] = field(default_factory=dict)


def checks(counts: Mapping[str, ModuleCount], observed: Observed) -> list[Check]:
    """Compare what the fleet wrote with what was counted directly."""
    wrong = [pid for pid, count in counts.items() if not _same_count(observed.records[pid], count)]
    ends = {pid: _terminal_events(events) for pid, events in observed.events.items()}
    holes = [pid for pid, events in observed.events.items() if not _is_dense(events)]
    patrol, broken = observed.records[PATROL_ID], observed.records[BROKEN_ID]
    stranded = [lease for lease in observed.stranded if lease.process_id != PATROL_ID]
    risen = [lease for lease in stranded if _fence(observed.records[lease.process_id]) > lease.fencing_token]
    return [
        Check("modules counted as in one process", f"{len(counts)}", f"{len(counts) - len(wrong)}", not wrong),
        Check(
            "exactly one terminal event each",
            f"{len(ends)}",
            f"{sum(1 for number in ends.values() if number == 1)}",
            all(number == 1 for number in ends.values()),
        ),
        Check("event logs without holes", f"{len(observed.events)}", f"{len(observed.events) - len(holes)}", not holes),
        Check("the long process", "cancelled", patrol.status.state, patrol.status.state == "cancelled"),
        Check(
            "the file that is not Python",
            "failed: SyntaxError",
            _failure(broken),
            _failure(broken) == "failed: SyntaxError",
        ),
        Check(
            "work of the killed worker taken over",
            f"{len(stranded)}",
            f"{_completed(observed, stranded)}",
            _completed(observed, stranded) == len(stranded),
        ),
        Check("… each under a higher fence", f"{len(stranded)}", f"{len(risen)}", len(risen) == len(stranded)),
    ]


def _same_count(record: ProcessRecord, count: ModuleCount) -> bool:
    value = _value(record)
    return {name: value.get(name) for name in asdict(count)} == asdict(count)


def _value(record: ProcessRecord) -> dict[str, Any]:
    output = record.await_output
    value = getattr(output, "value", None)
    return value if isinstance(value, dict) else {}


def _fence(record: ProcessRecord) -> int:
    return int(_value(record).get("fence", 0))


def _failure(record: ProcessRecord) -> str:
    message = str(getattr(record.await_output, "message", ""))
    return f"{record.status.state}: {message.split(':', 1)[0]}"


def _completed(observed: Observed, leases: Sequence[ProcessLease]) -> int:
    return sum(1 for lease in leases if observed.records[lease.process_id].status.state == "completed")


def _terminal_events(events: Sequence[ProcessEvent]) -> int:
    return sum(1 for event in events if event.semantics.terminal is not None)


def _is_dense(events: Sequence[ProcessEvent]) -> bool:
    return [event.sequence for event in events] == list(range(1, len(events) + 1))
