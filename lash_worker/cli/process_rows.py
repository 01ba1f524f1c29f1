"""How rows are shown by ``ls``, ``get`` and ``changes``."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from lash_core.model.await_output import FailureOutput
from lash_core.model.process_filter import FilterStatus
from lash_core.model.record import ProcessRecord
from lash_worker.cli.output import ago, cell, status_cell, table

STATUSES: tuple[FilterStatus, ...] = ("running", "completed", "failed", "cancelled", "abandoned", "any")

_COLUMNS = ("id", "kind", "label", "queue", "status", "attempt", "created", "updated")
_NARROW_COLUMNS = ("id", "kind", "status", "updated")
_FAILURE_COLUMNS = ("id", "kind", "queue", "failure", "attempt", "updated")
_NARROW_FAILURE_COLUMNS = ("id", "failure", "updated")
_WIDE = 100
"""Columns of a terminal that has room for all of them."""


def row_json(record: ProcessRecord) -> dict[str, Any]:
    """The part of a row that every view prints."""
    output = record.await_output
    return {
        "id": record.id,
        "kind": record.identity.kind,
        "label": record.identity.label,
        "queue": record.queue,
        "status": record.status.state,
        "waiting": record.wait is not None,
        "disposition": record.disposition.value,
        "attempt": record.attempt,
        "created_at_ms": record.created_at_ms,
        "updated_at_ms": record.updated_at_ms,
        "due_at_ms": record.due_at_ms,
        "output": None if output is None else output.to_json_value(),
    }


def rows_table(records: tuple[ProcessRecord, ...], now_ms: int, width: int) -> Table:
    """Rows for people; a narrow terminal gets fewer columns instead of broken words, failed rows their failure."""
    if all(record.status.state == "failed" for record in records):
        columns = _FAILURE_COLUMNS if width >= _WIDE else _NARROW_FAILURE_COLUMNS
    else:
        columns = _COLUMNS if width >= _WIDE else _NARROW_COLUMNS
    rows = ([cells[name] for name in columns] for cells in (row_cells(record, now_ms) for record in records))
    return table(columns, rows, right=("attempt", "created", "updated"))


def row_line(record: ProcessRecord, now_ms: int) -> Text:
    """One row on one line, for a stream of them."""
    return Text("  ").join(cells for name, cells in row_cells(record, now_ms).items() if name != "failure")


def row_cells(record: ProcessRecord, now_ms: int) -> dict[str, Text]:
    """The cells of one row by column."""
    status = status_cell(record.status.state)
    if record.wait is not None:
        status.append(" (waiting)", "dim")
    elif record.cancel_request is not None and not record.is_terminal:
        status.append(" (cancelling)", "dim")
    output = record.await_output
    failure = None if not isinstance(output, FailureOutput) else f"{output.class_.value} / {output.code}"
    return {
        "id": cell(record.id),
        "kind": cell(record.identity.kind),
        "label": cell(record.identity.label),
        "failure": cell(failure),
        "queue": cell(record.queue),
        "status": status,
        "attempt": cell(record.attempt),
        "created": cell(ago(record.created_at_ms, now_ms)),
        "updated": cell(ago(record.updated_at_ms, now_ms)),
    }
