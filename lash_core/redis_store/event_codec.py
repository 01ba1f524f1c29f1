"""Events as stored: ``<ms>;<json>``, json = canonical ``{"k": replay key, "p": payload, "t": type}``.

What an event means (terminal, wake) is computed again from its type and payload, so it is not stored.
"""

from __future__ import annotations

import hashlib
import json

from lash_core.errors import CorruptRecordError, LashError
from lash_core.model.canonical_json import canonical_json
from lash_core.model.event import ProcessEvent, ProcessEventAppendRequest
from lash_core.model.fast_build import fast_build
from lash_core.model.ids import check_replay_key
from lash_core.model.materialize import NO_SEMANTICS, materialize
from lash_core.model.record import AnyProcessStatus, terminal_status
from lash_core.model.registration import ProcessRegistration

REPLAY_FIELD_BYTES_MAX = 40
"""Longer replay keys are stored as a hash: one field over 64 bytes would cost the control hash its compact form."""


def encode_payload(request: ProcessEventAppendRequest) -> str:
    """The payload's canonical JSON. Raises: InvalidJsonError."""
    return canonical_json(request.payload, field="payload")


def byte_size(text: str) -> int:
    """Bytes of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def encode_event_body(request: ProcessEventAppendRequest, payload: str) -> str:
    """The stored json of an event, without its time; ``payload`` as ``encode_payload`` gave it."""
    key = request.replay_key
    head = "{" if key is None else f'{{"k":{json.dumps(key, ensure_ascii=False)},'
    return f'{head}"p":{payload},"t":{json.dumps(request.event_type, ensure_ascii=False)}}}'


def replay_field(process_id: str, key: str) -> str:
    """Field of the control hash under which a replay key's sequence stands.

    ``k:`` and the key without the prefix ``process:<pid>:``, ``K:`` and the key when it has another start; over
    ``REPLAY_FIELD_BYTES_MAX`` bytes ``#`` and 16 bytes of SHA-256 instead.
    """
    check_replay_key(key)
    prefix = f"process:{process_id}:"
    letter, short = ("k", key[len(prefix) :]) if key.startswith(prefix) else ("K", key)
    data = short.encode(errors="surrogatepass")
    if len(data) > REPLAY_FIELD_BYTES_MAX:
        return f"{letter}:#{hashlib.sha256(data).hexdigest()[:32]}"
    return f"{letter}:{short}"


def decode_event(
    process_id: str, sequence: int, entry: str, registration: ProcessRegistration, *, key: str
) -> ProcessEvent:
    """The event at ``sequence``; ``key`` is the log's key, for errors.

    Raises:
        CorruptRecordError: the entry cannot be decoded.
    """
    try:
        occurred, _, text = entry.partition(";")
        stored = json.loads(text)
        name, payload = stored["t"], stored["p"]
        event_type = registration.event_type(name)
        semantics = NO_SEMANTICS
        if event_type is not None and not event_type.semantics.is_plain:
            semantics = materialize(process_id, sequence, event_type, payload)
        return fast_build(
            ProcessEvent,
            {
                "process_id": process_id,
                "sequence": sequence,
                "event_type": name,
                "payload": payload,
                "occurred_at_ms": int(occurred),
                "replay_key": stored.get("k"),
                "semantics": semantics,
            },
        )
    except (ValueError, TypeError, KeyError, AttributeError, LashError) as error:
        raise CorruptRecordError(
            f"{key} has an unreadable event at {sequence}: {error!r}", key=key, process_id=process_id
        ) from error


def decode_terminal_status(event: ProcessEvent, *, key: str) -> AnyProcessStatus:
    """The status that a terminal event projects. Raises: CorruptRecordError when it is not one."""
    terminal = event.semantics.terminal
    if terminal is None:
        raise CorruptRecordError(
            f"{key} has no terminal event at {event.sequence}", key=key, process_id=event.process_id
        )
    return terminal_status(terminal.state, terminal.await_output)
