"""Rows as stored: registration text, control hash, and the record made of both (``docs/contracts/redis_layout.md``).

Decoding raises ``NewerRecordError`` for a record version above ours and ``CorruptRecordError`` for everything else that
cannot be read; both carry the key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter

from lash_core.errors import CorruptRecordError, NewerRecordError
from lash_core.model.canonical_json import canonical_json
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.event_type import CORE_BY_NAME, CORE_EVENT_TYPES_VERSION, ProcessEventType, with_core_event_types
from lash_core.model.facts import (
    AbandonRequest,
    CancelRequest,
    ProcessExternalRef,
    ProcessStarted,
    SignalWait,
    WaitState,
)
from lash_core.model.fast_build import fast_build
from lash_core.model.owner import LeaseOwnerIdentity, LocalProcessLiveness, OpaqueLiveness
from lash_core.model.process_input import AnyProcessInput, EngineInput, ProcessIdentity, default_identity
from lash_core.model.record import RUNNING, AnyProcessStatus, ProcessRecord
from lash_core.model.registration import HASH_VERSION, ProcessRegistration, RetryPolicy
from lash_core.model.scope import HostOriginator, ProcessProvenance, SessionScope

RECORD_VERSION = 1
"""Version of rows that this release writes; it reads this one and the one before."""

DISPOSITION_LETTERS = {
    RecoveryDisposition.RERUNNABLE: "r",
    RecoveryDisposition.OWNER_BOUND: "o",
    RecoveryDisposition.EXTERNALLY_OWNED: "e",
}
STATUS_LETTERS = {"running": "r", "completed": "c", "failed": "f", "cancelled": "x", "abandoned": "a"}
STATUS_WORDS = {letter: word for word, letter in STATUS_LETTERS.items()}

_INPUT: TypeAdapter[AnyProcessInput] = TypeAdapter(AnyProcessInput)
_DISPOSITIONS = {disposition.value: disposition for disposition in RecoveryDisposition}
_HOST_PROVENANCE = ProcessProvenance()
_PLAIN_FIELDS = ("env_ref", "due_at_ms", "delay_ms", "timeout_ms", "app_version", "version_pin")


def encode_registration(registration: ProcessRegistration) -> str:
    """The stored text of a validated registration: canonical JSON without the id and without defaults."""
    stored: dict[str, Any] = {
        "v": RECORD_VERSION,
        "hv": HASH_VERSION,
        "core": CORE_EVENT_TYPES_VERSION,
        "disposition": registration.disposition.value,
        "input": _input_json(registration.input),
    }
    if registration.identity is not None:
        stored["identity"] = registration.identity.to_json_value()
    declared = [kind.to_json_value() for kind in registration.event_types if CORE_BY_NAME.get(kind.name) != kind]
    if declared:
        stored["event_types"] = declared
    if not _is_host_provenance(registration.provenance):
        stored["provenance"] = registration.provenance.to_json_value()
    if registration.wake_target is not None:
        stored["wake_target"] = registration.wake_target.to_json_value()
    if registration.queue != "default":
        stored["queue"] = registration.queue
    if registration.retry_policy is not None:
        stored["retry_policy"] = registration.retry_policy.to_json_value()
    for name in _PLAIN_FIELDS:
        value = getattr(registration, name)
        if value is not None:
            stored[name] = value
    return canonical_json(stored, field="registration")


def decode_registration(process_id: str, text: str, *, key: str) -> ProcessRegistration:
    """The registration behind a stored text.

    Raises:
        NewerRecordError: a newer release wrote it. CorruptRecordError: not decodable.
    """
    try:
        stored = json.loads(text)
        version = stored["v"]
    except (ValueError, TypeError, KeyError) as error:
        raise CorruptRecordError(f"{key} is not a registration", key=key, process_id=process_id) from error
    if version != RECORD_VERSION or stored.get("core") != CORE_EVENT_TYPES_VERSION:
        raise NewerRecordError(
            f"{key} has record version {version}; this release reads {RECORD_VERSION}", key=key, process_id=process_id
        )
    try:
        return _registration_of(process_id, stored)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CorruptRecordError(f"{key} cannot be decoded: {error}", key=key, process_id=process_id) from error


def decode_record(
    process_id: str,
    registration: ProcessRegistration,
    control: Mapping[str, str],
    *,
    key: str,
    status: AnyProcessStatus = RUNNING,
    cancel_reason: str | None = None,
) -> ProcessRecord:
    """The record of a row.

    Args:
        process_id: its id.
        registration: as ``decode_registration`` gave it.
        control: every field of the control hash.
        key: the control hash's key, for errors.
        status: the terminal status, decoded from the terminal event, or ``RUNNING``.
        cancel_reason: of the first cancel request's event.

    Raises:
        NewerRecordError, CorruptRecordError.
    """
    check_control_version(process_id, control, key=key)
    try:
        return _record_of(process_id, registration, control, status, cancel_reason)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CorruptRecordError(f"{key} cannot be decoded: {error!r}", key=key, process_id=process_id) from error


def check_control_version(process_id: str, control: Mapping[str, str], *, key: str) -> None:
    """Refuse a control hash of a newer release. Raises: NewerRecordError, CorruptRecordError."""
    version = control.get("v")
    if version == "1":
        return
    if version is None or not version.isdigit():
        raise CorruptRecordError(f"{key} has no record version", key=key, process_id=process_id)
    raise NewerRecordError(
        f"{key} has record version {version}; this release reads {RECORD_VERSION}", key=key, process_id=process_id
    )


def encode_first_started(started: ProcessStarted) -> dict[str, str]:
    """Control fields of a first start. The parts stand in fields of their own, so that none passes 64 bytes."""
    fields = {"fo": started.owner.owner_id, "fi": started.owner.incarnation_id, "ft": str(started.started_at_ms)}
    liveness = started.owner.liveness
    if isinstance(liveness, LocalProcessLiveness):
        fields["fh"] = liveness.host_id
        fields["fb"] = liveness.boot_id
        fields["fp"] = f"{liveness.pid};{liveness.process_start};{liveness.pid_namespace}"
    return fields


def decode_first_started(control: Mapping[str, str]) -> ProcessStarted | None:
    """The first start of a row, or None."""
    if "fo" not in control:
        return None
    liveness: LocalProcessLiveness | OpaqueLiveness = OpaqueLiveness()
    if "fp" in control:
        pid, start, namespace = control["fp"].split(";", 2)
        liveness = LocalProcessLiveness(
            host_id=control["fh"],
            boot_id=control["fb"],
            pid_namespace=namespace,
            pid=int(pid),
            process_start=int(start),
        )
    owner = LeaseOwnerIdentity(owner_id=control["fo"], incarnation_id=control["fi"], liveness=liveness)
    return ProcessStarted(owner=owner, started_at_ms=int(control["ft"]))


def encode_wait(wait: WaitState) -> str:
    """Control field ``wt``."""
    return f"{wait.since_ms};{wait.kind.ordinal};{wait.kind.name}"


def decode_wait(process_id: str, text: str) -> WaitState:
    """The wait behind ``wt``; type and key follow from name and ordinal."""
    since, ordinal, name = text.split(";", 2)
    event_type = f"signal.{name}"
    kind = SignalWait(
        name=name, event_type=event_type, key=f"process:{process_id}:{event_type}:{ordinal}", ordinal=int(ordinal)
    )
    return WaitState(since_ms=int(since), kind=kind)


def _input_json(process_input: AnyProcessInput) -> dict[str, Any]:
    if type(process_input) is EngineInput:
        return {"type": "engine", "kind": process_input.kind, "payload": process_input.payload}
    return process_input.model_dump(mode="json", by_alias=True)


def _is_host_provenance(provenance: ProcessProvenance) -> bool:
    originator = provenance.originator
    return (
        type(originator) is HostOriginator
        and originator.scope is None
        and provenance.caused_by is None
        and not provenance.host_profile_id
    )


def _registration_of(process_id: str, stored: dict[str, Any]) -> ProcessRegistration:
    identity, provenance = stored.get("identity"), stored.get("provenance")
    wake_target, retry_policy = stored.get("wake_target"), stored.get("retry_policy")
    event_types = stored.get("event_types")
    return fast_build(
        ProcessRegistration,
        {
            "id": process_id,
            "input": _decode_input(stored["input"]),
            "disposition": _DISPOSITIONS[stored["disposition"]],
            "identity": _decode_identity(identity) if identity else None,
            "event_types": _declared_types(json.dumps(event_types)) if event_types else (),
            "provenance": ProcessProvenance.model_validate(provenance) if provenance else _HOST_PROVENANCE,
            "env_ref": stored.get("env_ref"),
            "wake_target": SessionScope.model_validate(wake_target) if wake_target else None,
            "queue": stored.get("queue", "default"),
            "due_at_ms": stored.get("due_at_ms"),
            "delay_ms": stored.get("delay_ms"),
            "timeout_ms": stored.get("timeout_ms"),
            "app_version": stored.get("app_version"),
            "version_pin": stored.get("version_pin"),
            "retry_policy": RetryPolicy.model_validate(retry_policy) if retry_policy else None,
        },
    )


def _decode_input(stored: dict[str, Any]) -> AnyProcessInput:
    if stored["type"] == "engine":
        return fast_build(EngineInput, {"type": "engine", "kind": stored["kind"], "payload": stored["payload"]})
    return _INPUT.validate_python(stored)


def _decode_identity(stored: dict[str, Any]) -> ProcessIdentity:
    return fast_build(
        ProcessIdentity,
        {"kind": stored["kind"], "label": stored.get("label"), "definition": stored.get("definition")},
    )


@lru_cache(maxsize=512)
def _declared_types(text: str) -> tuple[ProcessEventType, ...]:
    return tuple(ProcessEventType.model_validate(stored) for stored in json.loads(text))


@lru_cache(maxsize=512)
def _engine_identity(kind: str) -> ProcessIdentity:
    return ProcessIdentity(kind=kind)


def _identity_of(registration: ProcessRegistration) -> ProcessIdentity:
    if registration.identity is not None:
        return registration.identity
    if type(registration.input) is EngineInput:
        return _engine_identity(registration.input.kind)
    return default_identity(registration.input)


def _record_of(
    process_id: str,
    registration: ProcessRegistration,
    control: Mapping[str, str],
    status: AnyProcessStatus,
    cancel_reason: str | None,
) -> ProcessRecord:
    get = control.get
    external_ref, wait = get("xr"), get("wt")
    return fast_build(
        ProcessRecord,
        {
            "id": process_id,
            "input": registration.input,
            "disposition": registration.disposition,
            "identity": _identity_of(registration),
            "event_types": with_core_event_types(registration.event_types),
            "provenance": registration.provenance,
            "env_ref": registration.env_ref,
            "wake_target": None if "wc" in control else registration.wake_target,
            "queue": registration.queue,
            "timeout_ms": registration.timeout_ms,
            "app_version": registration.app_version,
            "version_pin": registration.version_pin,
            "retry_policy": registration.retry_policy,
            "registration_hash": control["dg"],
            "created_at_ms": int(control["ca"]),
            "updated_at_ms": int(get("ua") or control["ca"]),
            "due_at_ms": _due_of(registration, control),
            "status": status,
            "external_ref": ProcessExternalRef.model_validate_json(external_ref) if external_ref else None,
            "wait": decode_wait(process_id, wait) if wait else None,
            "first_started": decode_first_started(control),
            "abandon_request": _abandon_of(control),
            "cancel_request": _cancel_of(control, cancel_reason),
            "attempt": int(get("at", 0)),
            "deaths": int(get("dt", 0)),
            "retries": int(get("rt", 0)),
            "last_sequence": int(get("q", 0)),
            "fenced_writes": int(get("wn", 0)),
        },
    )


def _due_of(registration: ProcessRegistration, control: Mapping[str, str]) -> int | None:
    if "du" in control:
        return int(control["du"])
    if registration.due_at_ms is None and registration.delay_ms is not None:
        return int(control["ca"]) + registration.delay_ms
    return registration.due_at_ms


def _abandon_of(control: Mapping[str, str]) -> AbandonRequest | None:
    if "ar" not in control:
        return None
    return AbandonRequest(
        requested_by=control.get("ab", ""), requested_at_ms=int(control["ar"]), reason=control.get("aw")
    )


def _cancel_of(control: Mapping[str, str], reason: str | None) -> CancelRequest | None:
    if "cr" not in control:
        return None
    seen = control.get("cs")
    return CancelRequest(
        requested_at_ms=int(control["cr"].partition(";")[0]),
        requested_by=control.get("cb"),
        reason=reason,
        seen_at_ms=int(seen) if seen else None,
    )
