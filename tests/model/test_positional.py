"""Positional construction (ADR 0042) and plain dicts."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from lash_core.model.await_output import AbandonEvidence, CancelledOutput, FailureOutput, Success
from lash_core.model.base import positional_fields
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.environment import ProcessExecutionEnvSpec
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.event_type import ProcessEventType
from lash_core.model.facts import (
    AbandonRequest,
    ProcessExternalRef,
    ProcessHandleDescriptor,
    ProcessStarted,
    SignalWait,
    WaitState,
)
from lash_core.model.lease import ProcessLeaseCompletion, ReleaseReason
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.process_input import EngineInput, PreparedToolCall, ProcessIdentity, ProcessInput
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import ProcessProvenance, SessionScope
from lash_core.model.selector import PayloadSelector, PointerSelector, TemplateSelector

ORDER: dict[type[BaseModel], tuple[str, ...]] = {
    AbandonEvidence: ("writer", "owner", "epoch_ms"),
    AbandonRequest: ("requested_by", "requested_at_ms", "reason"),
    CancelledOutput: ("message", "raw", "control"),
    EngineInput: ("kind", "payload"),
    FailureOutput: ("class_", "code", "message", "raw", "control"),
    LeaseOwnerIdentity: ("owner_id", "incarnation_id", "liveness"),
    PointerSelector: ("pointer",),
    PreparedToolCall: ("call_id", "tool_id", "tool_name", "args"),
    ProcessEventAppendRequest: ("event_type", "payload"),
    ProcessEventType: ("name", "payload_schema", "semantics"),
    ProcessExecutionEnvSpec: ("plugin_options", "policy"),
    ProcessExternalRef: ("backend", "id", "metadata"),
    ProcessHandleDescriptor: ("kind", "label"),
    ProcessIdentity: ("kind", "label", "definition"),
    ProcessLeaseCompletion: ("process_id", "lease_token"),
    ProcessProvenance: ("originator",),
    ProcessRegistration: ("id", "input", "disposition"),
    ProcessStarted: ("owner", "started_at_ms"),
    ReleaseReason: ("kind", "due_in_ms"),
    SessionScope: ("session_id", "agent_frame_id"),
    SignalWait: ("name", "event_type", "key", "ordinal"),
    Success: ("value", "control"),
    TemplateSelector: ("template", "fields"),
    WaitState: ("since_ms", "kind"),
}


@pytest.mark.parametrize("model", ORDER)
def test_the_order_is_fixed(model: type[BaseModel]) -> None:
    """It is public: code calls these models by position."""
    assert ORDER[model] == positional_fields(model)


def test_position_and_name_are_one() -> None:
    """The same model either way, mixed too."""
    by_name = ProcessRegistration(
        id="p", input=ProcessInput.external({}), disposition=RecoveryDisposition.EXTERNALLY_OWNED
    )

    assert by_name == ProcessRegistration("p", ProcessInput.external({}), RecoveryDisposition.EXTERNALLY_OWNED)
    assert by_name == ProcessRegistration(
        "p", ProcessInput.external({}), disposition=RecoveryDisposition.EXTERNALLY_OWNED
    )


def test_too_many_or_twice_is_an_error() -> None:
    """As for any Python call."""
    too_many: tuple[Any, ...] = ("s", "f", "x")
    twice: dict[str, Any] = {"session_id": "t"}
    none_at_all: tuple[Any, ...] = ("p",)

    with pytest.raises(TypeError, match="at most 2 positional arguments, 3 were given"):
        SessionScope(*too_many)
    with pytest.raises(TypeError, match="'session_id' by position and by name"):
        SessionScope("s", **twice)
    with pytest.raises(TypeError, match="at most 0 positional"):
        PayloadSelector(*none_at_all)


def test_positional_values_are_validated() -> None:
    """Position is only another way to name a field."""
    wrong: Any = 7

    with pytest.raises(ValidationError):
        SessionScope(wrong)


def test_plain_dicts_are_accepted() -> None:
    """Nested models may be given as the JSON that they read back from."""
    facts: dict[str, Any] = {
        "id": "p",
        "input": {"type": "engine", "kind": "k", "payload": {"n": 1}},
        "disposition": "rerunnable",
        "env_ref": "process-env:sha256:x",
        "wake_target": {"session_id": "s"},
        "provenance": {"originator": {"type": "session", "scope": {"session_id": "s", "agent_frame_id": ""}}},
        "event_types": [{"name": "note"}],
    }

    registration = ProcessRegistration(**facts)

    assert EngineInput("k", {"n": 1}) == registration.input
    assert SessionScope("s") == registration.wake_target == registration.provenance.owner_scope
    assert (ProcessEventType("note"),) == registration.event_types


def test_misspelled_fields_are_errors() -> None:
    """A closed model: a lost option is worse than an error."""
    misspelled: dict[str, Any] = {"agent_frame": "f"}

    with pytest.raises(ValidationError, match="agent_frame"):
        SessionScope("s", **misspelled)


def test_records_are_frozen() -> None:
    """A change is a copy."""
    scope: Any = SessionScope("s")

    with pytest.raises(ValidationError, match="frozen"):
        scope.session_id = "t"


def test_request_builders_return_copies() -> None:
    """The original stays as it was."""
    plain = ProcessEventAppendRequest("note", {"n": 1})
    key: Any = {"replay_key": "k"}

    built = plain.with_replay_key("k").with_wake_target_scope(SessionScope("s")).with_payload(2)

    assert (None, None, {"n": 1}) == (plain.replay_key, plain.wake_target_scope, plain.payload)
    assert ("k", SessionScope("s"), 2) == (built.replay_key, built.wake_target_scope, built.payload)
    assert None is plain.with_replay_key("").replay_key
    assert plain.with_replay_key("k") == ProcessEventAppendRequest("note", {"n": 1}, **key)


def test_waits_are_built_from_their_facts() -> None:
    """Type and key follow from process, name and ordinal."""
    wait = WaitState(5, SignalWait.of("p", "go", 2))

    assert ("signal.go", "process:p:signal.go:2") == (wait.kind.event_type, wait.kind.key)
    with pytest.raises(ValidationError):
        SignalWait.of("p", "go", 0)
