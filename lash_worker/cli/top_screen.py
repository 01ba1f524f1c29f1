"""How ``lash top`` looks: what presses first comes first, and nothing is wider or higher than the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lash_core.model.await_output import AbandonedOutput, CancelledOutput, FailureOutput
from lash_core.model.manifest import WorkerEntry
from lash_core.model.record import ProcessRecord
from lash_core.store.process_maintenance import FleetFacts
from lash_worker.cli.output import STATUS_STYLES, ago, cell, safe, status_cell
from lash_worker.cli.top_looks import Looks, Rates, pressing_queues
from lash_worker.cli.worker_ls import turns_text, worker_state

HEIGHT_MIN: Final = 12
"""Lower terminals are filled as if they had so many lines."""

WIDE: Final = 110
"""Columns of a terminal that has room for all of them."""

_STATES = ("running", "completed", "failed", "cancelled", "abandoned")


@dataclass(frozen=True, slots=True)
class Section:
    """A table and how many of its rows are there in all; the best ones come first."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Text, ...]]
    left: tuple[str, ...]


def screen(looks: Looks, *, width: int, height: int | None, note: str | None = None) -> RenderableType:
    """One screen.

    Args:
        looks: what is known.
        width: columns of the terminal.
        height: its lines; None = as many as there is to show.
        note: something wrong with looking itself.
    """
    facts, wide = looks.facts, width >= WIDE
    head = list(_head(looks, note))
    sections = [_queues(facts), _workers(looks.workers, facts.server_time_ms, wide=wide), _failures(looks, wide=wide)]
    sections = [section for section in sections if section.rows]
    # Title and header of a section, and its rows; a blank line before each.
    room = None if height is None else max(height, HEIGHT_MIN) - len(head) - 2 * len(sections) - len(sections)
    shown = (
        [len(section.rows) for section in sections] if room is None else shared([len(s.rows) for s in sections], room)
    )
    parts: list[RenderableType] = [_cut(line, width) for line in head]
    for section, rows in zip(sections, shown, strict=True):
        parts += [Text(""), _title(section, rows), _table(section, rows, width)]
    return Group(*parts)


def shared(wanted: Sequence[int], room: int) -> list[int]:
    """How much each gets of what there is room for: one each in turn, while it wants more."""
    given = [0] * len(wanted)
    left = max(room, 0)
    while left > 0 and any(has < wants for has, wants in zip(given, wanted, strict=True)):
        for place, wants in enumerate(wanted):
            if left > 0 and given[place] < wants:
                given[place] += 1
                left -= 1
    return given


def _head(looks: Looks, note: str | None) -> Iterator[Text]:
    facts, rates = looks.facts, looks.rates
    counts = Text()
    for state in _STATES:
        count = facts.processes.get(state, 0)
        if count or state == "running":
            counts.append(f"{state} ", "dim").append(f"{count:,}", STATUS_STYLES[state]).append("   ")
    yield counts
    slots, busy = sum(entry.concurrency for entry in looks.workers), sum(entry.busy for entry in looks.workers)
    per_second = Text("per second  ", "dim").append(_rates(rates))
    per_second.append("   slots ", "dim").append(f"{busy}/{slots}").append("   leases ", "dim").append(
        str(facts.leases)
    )
    if facts.outbox_depth:
        per_second.append("   outbox ", "dim").append(str(facts.outbox_depth))
    yield per_second
    if facts.sessions_due or facts.session_leases or any(entry.facts.get("sessions") for entry in looks.workers):
        yield _sessions(looks)
    if facts.grace_until_ms is not None:
        left_s = max(0, facts.grace_until_ms - facts.server_time_ms) / 1_000
        yield Text(f"failover grace: nothing is claimed for {left_s:.0f} s more", "yellow")
    if not looks.workers:
        yield Text("no live worker; start one with: lash worker run --app MODULE:ATTR", "yellow")
    if note is not None:
        yield Text(safe(note), "red")


def _rates(rates: Rates | None) -> str:
    if rates is None:
        return "– started, – ended, – failed"
    return f"{rates.started:,.1f} started, {rates.ended:,.1f} ended, {rates.failed:,.1f} failed"


def _sessions(looks: Looks) -> Text:
    facts = looks.facts
    line = Text("sessions: ", "dim").append(f"{facts.sessions_due} wait")
    if facts.sessions_due:
        waits = ago(0, facts.oldest_session_due_ms)
        line.append(f" (the first for {waits})", "yellow" if facts.oldest_session_due_ms > 10_000 else "")
    line.append(f", {facts.session_leases} are held")
    sessions = [entry.facts["sessions"] for entry in looks.workers if isinstance(entry.facts.get("sessions"), dict)]
    if sessions:
        busy, room = (sum(int(one.get(name, 0)) for one in sessions) for name in ("busy", "concurrency"))
        line.append("   turns ", "dim").append(f"{busy}/{room}")
    return line


def _queues(facts: FleetFacts) -> Section:
    columns = ("queue", "ready", "later", "leased", "oldest")
    rows = [
        (
            cell(queue),
            cell(facts.ready.get(queue, 0)),
            cell(facts.delayed.get(queue, 0)),
            cell(facts.leases_by_queue.get(queue, 0)),
            cell(ago(0, facts.oldest_ready_ms[queue]) if queue in facts.oldest_ready_ms else None),
        )
        for queue in pressing_queues(facts)
    ]
    return Section("queues", columns, rows, ("queue",))


def _workers(workers: Sequence[WorkerEntry], now_ms: int, *, wide: bool) -> Section:
    columns = ("worker", "state", "busy", "parked", "turns", "seen", "host:pid")
    # Who needs a look comes first: silent and draining ones, then the busiest.
    ordered = sorted(
        workers, key=lambda entry: (worker_state(entry, now_ms) == "running", -entry.busy, entry.worker_id)
    )
    rows: list[tuple[Text, ...]] = []
    for entry in ordered:
        cells = (
            cell(entry.worker_id),
            status_cell(worker_state(entry, now_ms)),
            cell(f"{entry.busy}/{entry.concurrency}"),
            cell(entry.parked),
            cell(turns_text(entry)),
            cell(ago(entry.seen_at_ms, now_ms)),
            cell(f"{entry.host}:{entry.pid}"),
        )
        rows.append((*cells, cell(", ".join(entry.queues)), cell(entry.lash_version)) if wide else cells)
    if wide:
        columns = (*columns, "queues", "lash")
    return Section("workers", columns, rows, ("worker", "host:pid", "queues"))


def _failures(looks: Looks, *, wide: bool) -> Section:
    now_ms = looks.facts.server_time_ms
    columns = ("ago", "process", "kind", "queue", "why") if wide else ("ago", "process", "kind", "why")
    rows: list[tuple[Text, ...]] = []
    for row in looks.failures:
        cells = [cell(ago(row.updated_at_ms, now_ms)), cell(row.id), cell(row.identity.kind)]
        rows.append((*cells, *((cell(row.queue),) if wide else ()), cell(_why(row), "red")))
    return Section("recent failures", columns, rows, columns[1:])


def _why(row: ProcessRecord) -> str:
    match row.await_output:
        case FailureOutput(code=code, message=message):
            return f"{code}: {message.partition(chr(10))[0]}"
        case AbandonedOutput(evidence=evidence):
            return f"abandoned by {evidence.writer.value}"
        case CancelledOutput() | _:
            return row.status.state


def _title(section: Section, shown: int) -> Text:
    more = len(section.rows) - shown
    return Text(section.title, "bold underline").append(f"  {more} more" if more else "", "not bold not underline dim")


def _table(section: Section, shown: int, width: int) -> Table:
    # Unlike tables that stay on a page, one line is one row here: a screen that jumps cannot be read.
    made = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    rows = section.rows[:shown]
    widths = [
        max(cell_len(name), *(row[place].cell_len for row in rows)) if rows else cell_len(name)
        for place, name in enumerate(section.columns)
    ]
    # Numbers are never cut: a name that is, is still known.
    fixed = [section.columns.index(name) for name in section.columns if name not in section.left]
    free = [place for place in range(len(widths)) if place not in fixed]
    room = width - sum(widths[place] for place in fixed) - 2 * len(widths)
    for place, most in zip(free, shared([widths[place] for place in free], room), strict=True):
        widths[place] = max(most, 1)
    for name, most in zip(section.columns, widths, strict=True):
        justify = "left" if name in section.left else "right"
        made.add_column(name, justify=justify, overflow="ellipsis", no_wrap=True, width=most)
    for row in rows:
        made.add_row(*row)
    return made


def _cut(line: Text, width: int) -> Text:
    line.truncate(width, overflow="ellipsis")
    return line
