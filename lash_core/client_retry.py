"""Retries by hand: a terminal process is immutable, so a retry is a new process that is linked to the first one.

The retries of ``r-10`` are ``r-10.retry-1``, ``r-10.retry-2``, …, all caused by ``r-10``, whichever of them was
retried. At most one of them runs at a time: to ask again while one is under way answers that one, so that a call
whose reply was lost may be repeated.
"""

from __future__ import annotations

import re

from lash_core.errors import InvalidArgumentError, NotRetryableError, UnknownProcessError
from lash_core.model.ids import check_id
from lash_core.model.record import ProcessRecord
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import CausalRef
from lash_core.store.client_stores import FleetRegistry

RETRIES_MAX = 1_000
"""Retries of one process; who needs more has a process to repair."""
WINDOW = 16
"""Ids that are looked up at once: one round trip a partition."""

_RETRY_ID = re.compile(r"(?P<first>.+)\.retry-[1-9][0-9]{0,3}", re.DOTALL)


def retry_of(record: ProcessRecord) -> str | None:
    """The id of the first process that this row retries; None for one that is no retry."""
    caused_by = record.provenance.caused_by
    if caused_by is None or caused_by.kind != "process" or caused_by.process_id is None:
        return None
    match = _RETRY_ID.fullmatch(record.id)
    return caused_by.process_id if match is not None and match["first"] == caused_by.process_id else None


async def retries_of(registry: FleetRegistry, first_id: str) -> tuple[ProcessRecord, ...]:
    """The stored retries of a process, in their order; behind a whole window of pruned ones none is looked for."""
    found: list[ProcessRecord] = []
    for start in range(1, RETRIES_MAX + 1, WINDOW):
        ids = [f"{first_id}.retry-{number}" for number in range(start, start + WINDOW)]
        rows = [row for row in await registry.get_processes([name for name in ids if _is_legal(name)]) if row]
        found += [row for row in rows if retry_of(row) == first_id]
        if not rows:
            break
    return tuple(found)


async def retry_registration(
    registry: FleetRegistry, process_id: str, new_id: str | None, *, force: bool
) -> ProcessRegistration | ProcessRecord:
    """What a retry registers, or the row of a retry that is under way.

    Raises:
        UnknownProcessError. InvalidArgumentError: the new id is not legal. NotRetryableError: see ``LashClient.retry``.
    """
    record = await registry.get_process(process_id)
    if record is None:
        raise UnknownProcessError(process_id)
    first_id = retry_of(record) or record.id
    if new_id is not None:
        _check_ended(record, force=force)
        return _registration(record, first_id, check_id(new_id, field="new_id", subject="new id"))
    retries = await retries_of(registry, first_id)
    last = retries[-1] if retries else record
    if retries and not last.is_terminal:
        return last
    _check_ended(record, force=force)
    _check_ended(last, force=force)
    number = int(last.id.rpartition("-")[2]) + 1 if retries else 1
    name = f"{first_id}.retry-{number}"
    if number > RETRIES_MAX or not _is_legal(name):
        raise InvalidArgumentError(
            f"`{name[:80]}` cannot be the id of a retry; give another one",
            field="new_id",
            value=name,
            limit=RETRIES_MAX,
        )
    return _registration(record, first_id, name)


def _check_ended(record: ProcessRecord, *, force: bool) -> None:
    state = record.status.state
    if state == "running":
        text = f"process `{record.id}` has not ended; cancel it first"
    elif state == "completed" and not force:
        text = f"process `{record.id}` has completed; force runs its work again"
    else:
        return
    raise NotRetryableError(text, field="process_id", value=state, process_id=record.id)


def _registration(record: ProcessRecord, first_id: str, new_id: str) -> ProcessRegistration:
    """The same request under another id: input, kind, label, queue, signals, timeout, pin, retry policy of the row."""
    provenance = record.provenance.model_copy(update={"caused_by": CausalRef.process(first_id)})
    return record.to_registration().model_copy(update={"id": new_id, "provenance": provenance, "due_at_ms": None})


def _is_legal(name: str) -> bool:
    try:
        check_id(name)
    except InvalidArgumentError:
        return False
    return True
