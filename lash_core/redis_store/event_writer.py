"""Append requests made ready for the append script, and its answer made into results (contract 2.5). No I/O.

The client evaluates type, schema and selectors and hands the script its verdict; the script answers replay or conflict
before it looks at the verdict, so an event that was stored once is answered whatever the rules say now (decision 20).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lash_core.errors import (
    AlreadyTerminalError,
    LashError,
    LimitExceededError,
    ReplayKeyConflictError,
)
from lash_core.model.await_output import AnyAwaitOutput
from lash_core.model.canonical_json import canonical_json
from lash_core.model.completion import cancelled_before_start
from lash_core.model.event import MaterializedSemantics, ProcessEventAppendRequest, ProcessEventAppendResult
from lash_core.model.event_type import CANCEL_REQUESTED, TERMINAL_EVENT_TYPES
from lash_core.model.limits import Limits
from lash_core.model.materialize import check_append, materialize, wake_delivery
from lash_core.redis_store.event_codec import byte_size, decode_event, encode_event_body, encode_payload, replay_field
from lash_core.redis_store.fenced_writes import FencedWrite
from lash_core.redis_store.keys import PartitionKeys
from lash_core.redis_store.outbox_steps import OutboxEntry, decode_entry, told_entry, wake_step
from lash_core.redis_store.process_base import lease_answer
from lash_core.redis_store.row_codec import STATUS_LETTERS, STATUS_WORDS, decode_record
from lash_core.redis_store.row_reader import StoredRegistration
from lash_core.redis_store.scripts import Call

FIELDS_PER_EVENT = 4
HEAD = 7


@dataclass(frozen=True, slots=True)
class EncodedEvent:
    """A request as text, checked as JSON: what is compared and stored."""

    request: ProcessEventAppendRequest
    field: str
    body: str
    payload_bytes: int

    @classmethod
    def of(cls, process_id: str, request: ProcessEventAppendRequest) -> EncodedEvent:
        """Encode a request.

        Raises:
            InvalidJsonError: the payload. InvalidArgumentError: the replay key is too long.
        """
        key = request.replay_key
        field = "" if key is None else replay_field(process_id, key)
        payload = encode_payload(request)
        return cls(request, field, encode_event_body(request, payload), byte_size(payload))


@dataclass(frozen=True, slots=True)
class EncodedEnding:
    """The terminal event of an outcome as text: as ``EncodedEvent.of`` makes it, in a third of the time.

    A worker encodes one for every process it runs.
    """

    replay_key: str
    field: str
    body: str
    payload_bytes: int

    @classmethod
    def of(cls, process_id: str, output: AnyAwaitOutput) -> EncodedEnding:
        """Encode an outcome. Raises: InvalidJsonError."""
        event_type = TERMINAL_EVENT_TYPES[output.state]
        outcome = canonical_json(output.to_json_value(), field="payload.await_output")
        payload = f'{{"await_output":{outcome}}}'
        replay_key = f"process:{process_id}:terminal:{event_type}"
        body = f'{{"k":{json.dumps(replay_key, ensure_ascii=False)},"p":{payload},"t":"{event_type}"}}'
        return cls(replay_key, f"k:terminal:{event_type}", body, byte_size(payload))


@dataclass(frozen=True, slots=True)
class JudgedEvent:
    """An encoded event with the verdict on it: why it must not be written, or what it means."""

    encoded: EncodedEvent
    error: LashError | None
    kind: str
    wake: str
    wake_source: str

    def args(self) -> tuple[str, ...]:
        """The script's six arguments of this event."""
        verdict = "" if self.error is None else self.error.code
        return (self.encoded.field, self.encoded.body, self.kind, verdict, self.wake, self.wake_source)

    @property
    def always_fits(self) -> bool:
        """Terminal events and cancel requests are let through on a full server."""
        return self.kind != "p"


def judge(
    process_id: str, stored: StoredRegistration, encoded: EncodedEvent, limits: Limits, refusal: LashError | None = None
) -> JudgedEvent:
    """Steps 3 to 6 of an append; ``refusal`` is a further rule's verdict (the authority of a completion)."""
    request, registration = encoded.request, stored.registration
    error, semantics = refusal, MaterializedSemantics()
    if error is None:
        try:
            event_type = check_append(process_id, registration.event_type(request.event_type), request)
            semantics = materialize(process_id, 0, event_type, request.payload)
            limits.check_payload_size(encoded.payload_bytes, process_id=process_id)
        except LashError as failure:
            error = failure
    kind = "p"
    if request.event_type == CANCEL_REQUESTED:
        kind = "c"
    elif semantics.terminal is not None:
        kind = "t" + STATUS_LETTERS[semantics.terminal.state]
    target = request.wake_target_scope or registration.wake_target
    wake = "" if semantics.wake is None or target is None else wake_step(process_id, target)
    return JudgedEvent(encoded, error, kind, wake, "o" if request.wake_target_scope is not None else "r")


def append_call(
    keys: PartitionKeys,
    process_id: str,
    stored: StoredRegistration,
    events: Sequence[JudgedEvent],
    write: FencedWrite,
    limits: Limits,
) -> Call:
    """The script call that appends ``events``."""
    requested_by, end_field, end_body = "", "", ""
    for event in events:
        if event.kind == "c":
            request = event.encoded.request
            reason: Any = request.payload.get("reason") if isinstance(request.payload, dict) else None
            ending = EncodedEvent.of(
                process_id, cancelled_before_start(process_id, reason if isinstance(reason, str) else None)
            )
            requested_by, end_field, end_body = request.requested_by or "", ending.field, ending.body
            break
    script_keys = (
        keys.control(process_id),
        keys.events(process_id),
        keys.owners,
        keys.leases,
        keys.marks,
        keys.ready(stored.registration.queue),
        keys.meta,
        keys.changes,
        keys.notices,
        keys.outbox,
    )
    args: list[str | int] = [process_id, stored.hash, *write.args]
    args += [limits.events_max, limits.log_bytes_max, limits.notices_max]
    args += [keys.owner_channel(""), keys.done_channel(process_id), requested_by, end_field, end_body]
    for event in events:
        args += event.args()
    script = "complete_process" if all(event.always_fits for event in events) else "append_events"
    return Call(script, script_keys, tuple(args))


def append_error(
    process_id: str, events: Sequence[JudgedEvent], reply: Sequence[Any], write: FencedWrite, limits: Limits
) -> LashError | None:
    """The error that the script's answer stands for; None for ``ok`` and ``stale``."""
    word, detail = reply[0], reply[1] if len(reply) > 1 else None
    match word:
        case "ok" | "stale":
            return None
        case "conflict":
            key = events[int(detail or 1) - 1].encoded.request.replay_key or ""
            return ReplayKeyConflictError(process_id, key)
        case "invalid":
            return events[int(detail or 1) - 1].error
        case "terminal":
            return AlreadyTerminalError(process_id, STATUS_WORDS.get(str(detail)))
        case "limit":
            limit = limits.events_max if detail == "events" else limits.log_bytes_max
            return LimitExceededError(
                f"process `{process_id}` would pass the limit of its log: {detail} {limit}",
                field=str(detail),
                limit=limit,
                process_id=process_id,
            )
        case _:
            return lease_answer(process_id, str(word), detail, acknowledged=int(write.args[2] or 0))


@dataclass(frozen=True, slots=True)
class Appended:
    """An accepted append: what the caller gets, and what is to be carried out in other partitions."""

    results: tuple[ProcessEventAppendResult, ...]
    entries: tuple[OutboxEntry, ...]
    fenced_writes: int
    status: str


def read_answer(
    keys: PartitionKeys,
    process_id: str,
    stored: StoredRegistration,
    events: Sequence[JudgedEvent],
    reply: Sequence[Any],
) -> Appended:
    """Results of an ``ok`` answer, one an event."""
    results: list[ProcessEventAppendResult] = []
    entries: list[OutboxEntry] = []
    cleared = bool(reply[4])
    if reply[5]:
        entries.append(told_entry(keys.index, str(reply[5]), process_id, str(reply[6])))
    for number, event in enumerate(events):
        at = HEAD + FIELDS_PER_EVENT * number
        sequence, occurred, flag, entry_id = reply[at : at + FIELDS_PER_EVENT]
        results.append(_result(keys, process_id, stored, event, (int(sequence), str(occurred), flag == "r", cleared)))
        if entry_id:
            fields = {"o": event.wake, "q": str(sequence)}
            entries.append(decode_entry(keys.index, str(entry_id), fields, key=keys.outbox))
    return Appended(tuple(results), tuple(entries), int(reply[2]), STATUS_WORDS[str(reply[3])])


def _result(
    keys: PartitionKeys,
    process_id: str,
    stored: StoredRegistration,
    event: JudgedEvent,
    facts: tuple[int, str, bool, bool],
) -> ProcessEventAppendResult:
    sequence, occurred, replayed, cleared = facts
    entry = f"{occurred};{event.encoded.body}"
    written = decode_event(process_id, sequence, entry, stored.registration, key=keys.events(process_id))
    delivery = None
    if written.semantics.wake is not None:
        control = {"v": "1", "dg": stored.hash, "ca": "0"} | ({"wc": "1"} if cleared else {})
        record = decode_record(process_id, stored.registration, control, key=keys.control(process_id))
        delivery = wake_delivery(written, record, event.encoded.request.wake_target_scope)
    return ProcessEventAppendResult(event=written, wake_delivery=delivery, replayed=replayed)
