"""Outbox steps: what a script of one partition leaves to be done in another (``docs/contracts/redis_layout.md``). Pure.

A script writes a step with its own change (``XADD T:out * o <text>``, further fields as the step says), so that a crash
between the two partitions loses nothing. Carrying a step out twice changes nothing.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lash_core.errors import CorruptRecordError
from lash_core.model.canonical_json import canonical_json
from lash_core.model.facts import ProcessHandleDescriptor, ProcessHandleGrant
from lash_core.model.scope import SessionScope

STEP_FIELD = "o"


@dataclass(frozen=True, slots=True)
class GrantPlace:
    """Where a grant is kept on the session's side."""

    scope_id: str
    session_id: str

    @classmethod
    def of(cls, scope: SessionScope) -> GrantPlace:
        """The place of a scope."""
        return cls(scope.scope_id, scope.session_id)


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """One step as it stands in ``T:out`` of partition ``partition`` under ``entry_id``."""

    partition: int
    entry_id: str
    step: Mapping[str, Any]
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def op(self) -> str:
        """The step's verb."""
        return str(self.step.get("op", ""))

    def numbered(self) -> list[tuple[str, str]]:
        """Pairs of the fields ``0``/``v0``, ``1``/``v1`` and so on."""
        pairs: list[tuple[str, str]] = []
        while str(len(pairs)) in self.fields:
            number = len(pairs)
            pairs.append((self.fields[str(number)], self.fields.get(f"v{number}", "")))
        return pairs


def decode_entry(partition: int, entry_id: str, fields: Mapping[str, str], *, key: str) -> OutboxEntry:
    """An entry as read from the stream.

    Raises:
        CorruptRecordError: its step is not a JSON object.
    """
    try:
        step = json.loads(fields[STEP_FIELD])
    except (KeyError, ValueError) as error:
        raise CorruptRecordError(f"outbox entry {entry_id} of {key} is not a step", key=key) from error
    if not isinstance(step, dict):
        raise CorruptRecordError(f"outbox entry {entry_id} of {key} is not a step", key=key)
    return OutboxEntry(partition, entry_id, step, fields)


def new_request_id() -> str:
    """A request id, 16 hex: by it a transfer or a session deletion is known when it is repeated."""
    return secrets.token_hex(8)


def encode_grant(scope: SessionScope, descriptor: ProcessHandleDescriptor) -> str:
    """A grant as it stands in ``T:g`` and ``T:sg``."""
    return canonical_json({"d": descriptor.to_json_value(), "s": scope.session_id})


def decode_grant(process_id: str, scope_id: str, text: str, *, key: str) -> ProcessHandleGrant:
    """The grant behind a stored text.

    Raises:
        CorruptRecordError: it cannot be decoded.
    """
    try:
        stored = json.loads(text)
        return ProcessHandleGrant(
            session_id=stored["s"],
            process_id=process_id,
            scope_id=scope_id,
            descriptor=ProcessHandleDescriptor.model_validate(stored["d"]),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise CorruptRecordError(f"{key} holds an unreadable grant", key=key, process_id=process_id) from error


def grants_step(process_id: str, places: Sequence[GrantPlace]) -> str:
    """Make the session side of these grants equal to the process side. Written with every change of ``T:g``."""
    named = [[place.scope_id, place.session_id] for place in places]
    return canonical_json({"op": "grants", "p": process_id, "s": named})


def transfer_step(request_id: str, source: SessionScope, target: SessionScope) -> str:
    """Move grants on the process side; the script adds the fields ``0``/``v0`` … = process id and grant."""
    return canonical_json(
        {
            "op": "transfer",
            "i": request_id,
            "f": source.scope_id,
            "fs": source.session_id,
            "t": target.scope_id,
            "ts": target.session_id,
        }
    )


def forget_step(request_id: str, session_id: str) -> str:
    """Take a deleted session out of its processes; the script adds its ``T:sg`` entries as ``0``/``v0`` …."""
    return canonical_json({"op": "forget", "i": request_id, "s": session_id})


def watch_step(session_id: str, process_id: str, registration_hash: str) -> str:
    """Note at a session that a row wakes it. Written when a row with a wake target is registered."""
    return canonical_json({"op": "watch", "s": session_id, "p": process_id, "h": registration_hash})


def prune_step(
    process_id: str, registration_hash: str, wake_session_id: str | None, delivery: str | None = None
) -> str:
    """Take a pruned row out of the sessions, and out of the trigger that started it.

    The script adds the row's ``T:g`` as ``0``/``v0`` ….
    """
    step: dict[str, Any] = {"op": "prune", "p": process_id}
    if delivery is not None:
        step["d"] = delivery
    if wake_session_id is not None:
        step |= {"s": wake_session_id, "h": registration_hash}
    return canonical_json(step)


def wake_step(process_id: str, target: SessionScope) -> str:
    """Deliver an event's wake; the script adds the field ``q`` = the event's sequence."""
    frame = {"f": target.agent_frame_id} if target.agent_frame_id else {}
    return canonical_json({"op": "wake", "p": process_id, "s": target.session_id} | frame)


def start_step(
    process_id: str, field: str, registration_id: str, registration: str, grant: Sequence[Any] | None
) -> str:
    """Start a child: the registration's stored text, and the grant as ``[session id, frame or None, descriptor]``."""
    return canonical_json(
        {"op": "start", "p": process_id, "f": field, "c": registration_id, "r": registration, "g": grant}
    )


TOLD_STEP = '{"op":"told"}'
"""Tell the watchers of a process that it has ended; the scripts add ``p`` = its id and ``w`` = theirs, a line each."""


def told_entry(partition: int, entry_id: str, process_id: str, watchers: str) -> OutboxEntry:
    """The ``told`` step that a script of this client has just written."""
    fields = {STEP_FIELD: TOLD_STEP, "p": process_id, "w": watchers}
    return OutboxEntry(partition, entry_id, {"op": "told"}, fields)
