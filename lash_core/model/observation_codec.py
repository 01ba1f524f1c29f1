"""What watchers are told, as JSON text that any program of the fleet reads (``docs/contracts/observation.md`` 2). Pure.

A session's history is append-only. So a long ``committed`` need not be carried: its facts and the leaf it stands on
say which history it is, and whoever reads it takes that from the session's store.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import PydanticSerializationError, from_json

from lash_core.errors import CorruptRecordError, InvalidJsonError, NewerRecordError
from lash_core.model.base import JsonValue, Model
from lash_core.model.canonical_json import canonical_json, check_json
from lash_core.model.fast_build import fast_build
from lash_core.model.session import SessionPolicy
from lash_core.model.session_cursor import SessionCursor, SessionRevision
from lash_core.model.session_node import SessionNodeRecord
from lash_core.model.session_observation import (
    AgentFrameSwitchedPayload,
    CommittedPayload,
    ProcessChangedPayload,
    QueueChangedPayload,
    SessionObservation,
    SessionObservationEvent,
    SessionObservationEventPayload,
    SessionProcessEventKind,
    SessionQueueEventKind,
    TurnActivityPayload,
)
from lash_core.model.session_read_model import SessionReadModel
from lash_core.model.session_state import SessionReadView
from lash_core.model.turn_activity import TurnActivity, TurnEvent
from lash_core.model.usage import TokenUsage

PAYLOAD_VERSION: Final = 1
"""``v`` of each payload's JSON; a reader that meets a higher one cannot show it, and says so with a gap."""

COMMITTED_INLINE_BYTES_MAX: Final = 16 * 1024
"""A ``committed`` over it is stored by reference: most turns of short sessions are below."""

COMMITTED_BYTES: Final = 1024
"""What a ``committed`` counts in a ring in memory: its messages are the history's own, shared and not copied."""

_SCALARS = frozenset((str, int, bool, type(None)))

_SURROGATES = re.compile("[\ud800-\udfff]")

quoted: Callable[[str], str] = getattr(json.encoder, "encode_basestring")  # noqa: B009 - not in every stub
"""A text as JSON, escaped no more than JSON needs."""


@dataclass(frozen=True, slots=True)
class CommittedReference:
    """A ``committed`` without its history: ``facts`` of the view, and the leaf the history ends at."""

    session_id: str
    leaf_node_id: str | None
    facts: Mapping[str, Any]

    def resolved(self, read_model: SessionReadModel) -> CommittedPayload:
        """The payload, from the history that ends at the leaf.

        Raises:
            CorruptRecordError: the facts are no facts of a view.
        """
        return CommittedPayload(_view_of(self.facts, read_model))


# -- payloads ------------------------------------------------------------------------------------------


def encode_payload(
    payload: SessionObservationEventPayload, *, inline_bytes_max: int = COMMITTED_INLINE_BYTES_MAX
) -> str:
    """The JSON text of a payload; ``committed`` over ``inline_bytes_max`` bytes without its history.

    Raises:
        InvalidJsonError: something in it is not JSON: NaN, a lone surrogate.
    """
    match payload:
        case TurnActivityPayload(activity=activity):
            return f'{{"v":{PAYLOAD_VERSION},"type":"turn_activity","activity":{_activity_text(activity)}}}'
        case CommittedPayload(read_view=view):
            return _committed_text(view, inline_bytes_max)
        case AgentFrameSwitchedPayload(frame_id=frame_id):
            return _text(payload.type, {"frame_id": frame_id})
        case QueueChangedPayload(kind=kind, batch_ids=ids):
            return _text(payload.type, {"kind": str(kind), "batch_ids": ids})
        case ProcessChangedPayload(kind=kind, process_ids=ids):
            return _text(payload.type, {"kind": str(kind), "process_ids": ids})


def decode_payload(text: str | bytes) -> SessionObservationEventPayload | CommittedReference:
    """A payload read back; a ``committed`` that came by reference has to be resolved.

    Raises:
        NewerRecordError: a later release wrote it. CorruptRecordError: it is no payload.
    """
    try:
        return _payload_of(_read(text))
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptRecordError(f"unreadable event of a session: {error!r}") from error


def payload_bytes(payload: SessionObservationEventPayload) -> int:
    """What a payload counts in a ring in memory: bytes of its JSON; ``COMMITTED_BYTES`` for a ``committed``.

    Raises:
        InvalidJsonError: as ``encode_payload``.
    """
    return sized_payload(payload)[1]


def sized_payload(payload: SessionObservationEventPayload) -> tuple[str, int]:
    """``encode_payload`` and ``payload_bytes`` in one: for who needs both, as a writer does.

    The text of a ``committed`` is "": it is made when it is stored, for few are and each is long.

    Raises:
        InvalidJsonError: as ``encode_payload``.
    """
    if isinstance(payload, CommittedPayload):
        return "", COMMITTED_BYTES
    text = encode_payload(payload)
    return text, len(text) if text.isascii() else len(text.encode())


def _activity_text(activity: TurnActivity) -> str:
    event = activity.event
    facts = event.facts
    if len(facts) == 1 and type(said := facts.get("text")) is str:
        # What streams: as pydantic would write it, in a fifth of the time.
        text = (
            f'{{"id":{quoted(activity.id)},"correlation_id":{quoted(activity.correlation_id)},'
            f'"event":{{"type":"{event.type}","facts":{{"text":{quoted(said)}}}}}}}'
        )
        if text.isascii() or not _SURROGATES.search(text):
            return text
    if any(type(value) not in _SCALARS for value in facts.values()):
        check_json(facts, field="activity.facts")
    return _model_text(activity, "activity")


def _model_text(model: Model, field: str) -> str:
    try:
        return model.model_dump_json(exclude_none=True)
    except PydanticSerializationError as error:
        raise InvalidJsonError(f"{field}: not JSON: {error}", field=field) from error


def _text(kind: str, fields: dict[str, Any]) -> str:
    return canonical_json({"v": PAYLOAD_VERSION, "type": kind, **fields}, field=kind)


def _committed_text(view: SessionReadView, inline_bytes_max: int) -> str:
    facts = canonical_json(_facts(view), field="read_view")
    head = f'{{"v":{PAYLOAD_VERSION},"type":"committed","facts":{facts}'
    nodes: list[str] = []
    size = len(head.encode())
    for node in view.read_model.active_events:
        text = _model_text(node, "read_view")
        size += len(text.encode()) + 1
        if size > inline_bytes_max:
            return head + "}"
        nodes.append(text)
    return f'{head},"nodes":[{",".join(nodes)}]}}'


def _payload_of(value: Any) -> SessionObservationEventPayload | CommittedReference:
    if value["v"] > PAYLOAD_VERSION:
        raise NewerRecordError(f"an event of a session has version {value['v']}, known is {PAYLOAD_VERSION}")
    match value["type"]:
        case "turn_activity":
            return TurnActivityPayload(_activity_of(value["activity"]))
        case "committed":
            facts = value["facts"]
            nodes = value.get("nodes")
            if nodes is None:
                return CommittedReference(facts["session_id"], facts["leaf_node_id"], facts)
            return CommittedPayload(_view_of(facts, _read_model_of(nodes)))
        case "agent_frame_switched":
            return AgentFrameSwitchedPayload(str(value["frame_id"]))
        case "queue_changed":
            return QueueChangedPayload(SessionQueueEventKind(value["kind"]), _ids(value["batch_ids"]))
        case "process_changed":
            return ProcessChangedPayload(SessionProcessEventKind(value["kind"]), _ids(value["process_ids"]))
        case kind:
            raise NewerRecordError(f"an event of a session has the unknown type {kind!r}")


def _read(text: str | bytes) -> Any:
    try:
        # A third of the time of ``json``, and short texts that many events have are there once.
        return from_json(text)
    except ValueError:
        return json.loads(text)  # it has what the other refuses, or says why it has none


def _activity_of(value: Any) -> TurnActivity:
    # Unchecked: this package wrote it, and a busy session has thousands a second.
    event = fast_build(TurnEvent, {"type": value["event"]["type"], "facts": value["event"]["facts"]})
    return fast_build(TurnActivity, {"id": value["id"], "correlation_id": value["correlation_id"], "event": event})


def _ids(value: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(one) for one in value)


# -- read views, observations and events ---------------------------------------------------------------


def read_view_value(view: SessionReadView) -> dict[str, Any]:
    """The view as a JSON object, history included: ``facts`` and ``nodes``."""
    return {"facts": _facts(view), "nodes": [node.to_json_value() for node in view.read_model.active_events]}


def read_view_of(value: Mapping[str, Any]) -> SessionReadView:
    """A view from ``read_view_value``.

    Raises:
        CorruptRecordError: it is no view.
    """
    try:
        return _view_of(value["facts"], _read_model_of(value["nodes"]))
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptRecordError(f"unreadable view of a session: {error!r}") from error


def encode_event(event: SessionObservationEvent) -> str:
    """One event as a line of JSON, history included: what a cursor-keeping reader stores.

    Raises:
        InvalidJsonError: as ``encode_payload``.
    """
    head = canonical_json(
        {"session_id": event.session_id, "revision": int(event.revision), "cursor": str(event.cursor)}
    )
    return f'{head[:-1]},"payload":{encode_payload(event.payload, inline_bytes_max=2**62)}}}'


def decode_event(text: str | bytes) -> SessionObservationEvent:
    """An event from ``encode_event``.

    Raises:
        NewerRecordError, CorruptRecordError: as ``decode_payload``.
    """
    try:
        value = json.loads(text)
        payload = _payload_of(value["payload"])
        if isinstance(payload, CommittedReference):
            raise CorruptRecordError(f"an event of session `{payload.session_id}` came without its history")
        return SessionObservationEvent(
            value["session_id"], SessionRevision(value["revision"]), SessionCursor(value["cursor"]), payload
        )
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptRecordError(f"unreadable event of a session: {error!r}") from error


def observation_value(observation: SessionObservation) -> dict[str, Any]:
    """An observation as a JSON object."""
    return {"read_view": read_view_value(observation.read_view), "cursor": str(observation.cursor)}


def observation_of(value: Mapping[str, Any]) -> SessionObservation:
    """An observation from ``observation_value``. Raises: CorruptRecordError."""
    return SessionObservation(read_view_of(value["read_view"]), SessionCursor(value["cursor"]))


def _facts(view: SessionReadView) -> dict[str, Any]:
    last_usage = view.last_prompt_usage
    return {
        "session_id": view.session_id,
        "policy": view.policy.to_json_value(),
        "turn_index": view.turn_index,
        "token_usage": view.token_usage.to_json_value(),
        "last_prompt_usage": None if last_usage is None else last_usage.to_json_value(),
        "protocol_turn_options": view.protocol_turn_options,
        "current_agent_frame_id": view.current_agent_frame_id,
        "leaf_node_id": view.leaf_node_id,
    }


def _view_of(facts: Mapping[str, JsonValue], read_model: SessionReadModel) -> SessionReadView:
    try:
        last_usage = facts["last_prompt_usage"]
        return SessionReadView(
            session_id=facts["session_id"],
            policy=SessionPolicy.model_validate(facts["policy"]),
            turn_index=facts["turn_index"],
            token_usage=TokenUsage.model_validate(facts["token_usage"]),
            last_prompt_usage=None if last_usage is None else TokenUsage.model_validate(last_usage),
            protocol_turn_options=facts["protocol_turn_options"],
            current_agent_frame_id=facts["current_agent_frame_id"],
            leaf_node_id=facts["leaf_node_id"],
            read_model=read_model,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptRecordError(f"unreadable facts of a session: {error!r}") from error


def _read_model_of(nodes: Sequence[Any]) -> SessionReadModel:
    return SessionReadModel.of_nodes(SessionNodeRecord.model_validate(node) for node in nodes)
