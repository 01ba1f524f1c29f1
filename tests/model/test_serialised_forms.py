"""Forms that outlive a release, and the texts made from them (contract 1.1, 1.9, 1.11)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from lash_core.errors import InvalidArgumentError, InvalidJsonError, PluginSessionError
from lash_core.model.completion import cancelled_before_start
from lash_core.model.environment import EMPTY_ENV_REF, EMPTY_ENVIRONMENT, ProcessExecutionEnvSpec
from lash_core.model.event import ProcessEvent, ProcessEventAppendRequest, ProcessWakeDelivery, wake_id
from lash_core.model.facts import ProcessExternalRef, ProcessHandleDescriptor
from lash_core.model.limits import Limits
from lash_core.model.process_handle import parse_process_handle, process_handle_json, process_handle_summary
from lash_core.model.process_input import ProcessIdentity
from lash_core.model.record import new_record
from lash_core.model.scope import (
    AnyOriginator,
    CausalRef,
    HostOriginator,
    ProcessOriginator,
    ProcessProvenance,
    SessionScope,
)
from lash_core.model.wake_draft import ProcessWakeDraft
from tests.model.registrations import engine
from tests.model.strategies import json_values, texts

ORIGINATORS: TypeAdapter[AnyOriginator] = TypeAdapter(AnyOriginator)


def test_scope_ids() -> None:
    """A session, a frame of it, the host, a host with a label; an empty frame counts as absent."""
    assert ["session:s", "session:s", "session:s/frame:f", "host", "host:team", "session:s/frame:f"] == [
        SessionScope("s").scope_id,
        SessionScope("s", "").scope_id,
        SessionScope.for_agent_frame("s", "f").scope_id,
        ProcessOriginator.host().scope_id,
        ProcessOriginator.host("team").scope_id,
        ProcessOriginator.session(SessionScope("s", "f")).scope_id,
    ]
    assert SessionScope("s") == SessionScope("s", "")
    assert SessionScope("").is_empty
    with pytest.raises(InvalidArgumentError, match="agent frame id"):
        SessionScope("s", "a\nb").validated()


def test_originators_decode_their_old_form() -> None:
    """An absent host scope is left out, so what was written before scopes existed still reads."""
    assert {"type": "host"} == HostOriginator().to_json_value()
    assert HostOriginator() == ORIGINATORS.validate_python({"type": "host"})
    assert {"type": "host", "scope": "t"} == HostOriginator("t").to_json_value()
    assert {"type": "session", "scope": {"session_id": "s"}} == ProcessOriginator.session(
        SessionScope("s")
    ).to_json_value()


def test_provenance_reads_its_older_form() -> None:
    """An owner scope is the originator's session; an empty one means the host."""
    older = ProcessProvenance.model_validate({"owner_scope": {"session_id": "s"}, "host_profile_id": "h"})

    assert ProcessProvenance.for_session(SessionScope("s"), host_profile_id="h") == older
    assert SessionScope("s") == older.owner_scope
    assert ProcessProvenance() == ProcessProvenance.model_validate({"owner_scope": {"session_id": ""}})
    assert ProcessProvenance().owner_scope.is_empty


@given(st.dictionaries(texts, json_values, max_size=3))
def test_environments_are_content_addressed(options: dict[str, Any]) -> None:
    """The same spec has the same reference, and reads back from its bytes."""
    spec = ProcessExecutionEnvSpec(options)

    assert spec == ProcessExecutionEnvSpec.decode(spec.encode())
    assert spec.env_ref == ProcessExecutionEnvSpec.decode(spec.encode()).env_ref
    assert (spec == EMPTY_ENVIRONMENT) is (spec.env_ref == EMPTY_ENV_REF)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b'{"metadata": {}}', b'{"policy": 1}', b"[]"])
def test_an_environment_is_closed(data: bytes) -> None:
    """Unknown fields and everything else that does not fit have the contract's text."""
    with pytest.raises(PluginSessionError, match="failed to decode process execution env"):
        ProcessExecutionEnvSpec.decode(data)


def test_an_environment_reference_is_the_same_for_ever() -> None:
    """It is stored in rows."""
    expected = "process-env:sha256:a13b5594b865118f2574c4c7a3cb0684d81cf56d5f122508e2d8d9923c66bfa3"

    assert expected == EMPTY_ENV_REF


def test_a_cancel_request_is_one_event_per_reason() -> None:
    """The key follows from the reason; who asked is no part of it."""
    first = ProcessEventAppendRequest.cancel_requested("p", "why")
    again = ProcessEventAppendRequest.cancel_requested("p", "why", requested_by="ops")
    other = ProcessEventAppendRequest.cancel_requested("p")

    assert ("process.cancel_requested", {"reason": "why"}) == (first.event_type, first.payload)
    assert {"reason": None} == other.payload
    assert first.replay_key == again.replay_key != other.replay_key
    assert first.replay_key is not None
    prefix, _, digest = first.replay_key.rpartition(":")
    assert ("process:p:cancel_requested", 64) == (prefix, len(digest))


def test_a_signal_is_one_event_per_signal_id() -> None:
    """The key names the process, the signal and its id."""
    request = ProcessEventAppendRequest.signal("p", "go", {"n": 1}, signal_id="s-1")

    assert ("signal.go", {"n": 1}, "process:p:signal.go:s-1") == (
        request.event_type,
        request.payload,
        request.replay_key,
    )


def test_the_end_of_a_row_that_never_started() -> None:
    """A cancelled outcome with the reason, and the authority that wrote it beside it."""
    request = cancelled_before_start("p", "why")

    assert ("process.cancelled", "process:p:terminal:process.cancelled") == (request.event_type, request.replay_key)
    assert {
        "await_output": {"type": "cancelled", "message": "why"},
        "completion_authority": {"type": "cancelled_before_start"},
    } == request.payload
    assert "cancelled before start" == cancelled_before_start("p", None).payload["await_output"]["message"]


def test_the_invocation_of_an_event() -> None:
    """Scope ``runtime``, the event as subject, its process as cause, its replay key."""
    event = ProcessEvent(process_id="p", sequence=2, event_type="note", occurred_at_ms=9, replay_key="k")

    assert {
        "scope": "runtime",
        "subject": {"type": "process_event", "process_id": "p", "sequence": 2, "event_type": "note"},
        "caused_by": {"kind": "process", "process_id": "p"},
        "replay": {"key": "k"},
    } == event.invocation.to_json_value()
    assert 9 == event.occurred_at


def test_the_draft_of_a_wake() -> None:
    """At the earliest safe boundary, in a turn of its own, once per event."""
    event = ProcessEvent(process_id="p", sequence=2, event_type="note", occurred_at_ms=9)
    delivery = ProcessWakeDelivery(
        wake_id=wake_id("session:s", "k"),
        target_session_id="s",
        target_scope_id="session:s",
        process_id="p",
        sequence=2,
        event_type="note",
        event_invocation=event.invocation,
        process_caused_by=CausalRef.process("q"),
        dedupe_key="k",
        input="x",
        created_at_ms=9,
    )

    draft = ProcessWakeDraft.of(delivery)

    assert ("s", "process:p:event:2:wake", "earliest_safe_boundary", "exclusive") == (
        draft.session_id,
        draft.source_key,
        draft.delivery,
        draft.slot,
    )
    assert draft == ProcessWakeDraft.model_validate_json(draft.model_dump_json(by_alias=True))


def test_handles() -> None:
    """What code is given, and what a list shows beside it."""
    record = new_record(engine("p", identity=ProcessIdentity("k", None, {"v": 1})), "hash", 1)

    assert {"__handle__": "process", "id": "p"} == process_handle_json("p")
    assert {
        "__handle__": "process",
        "id": "p",
        "process_id": "p",
        "descriptor": {"kind": "tool", "label": "l"},
        "definition": {"v": 1},
        "status": "running",
    } == process_handle_summary(record, ProcessHandleDescriptor("tool", "l"))
    assert "definition" not in process_handle_summary(new_record(engine("p"), "hash", 1))
    assert "p" == parse_process_handle(process_handle_summary(record))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "missing `__handle__`"),
        ("p", "missing `__handle__`"),
        ({"id": "p"}, "missing `__handle__`"),
        ({"__handle__": "file", "id": "p"}, "Invalid process handle kind"),
        ({"__handle__": 1, "id": "p"}, "Invalid process handle kind"),
        ({"__handle__": "process"}, "missing `id`"),
        ({"__handle__": "process", "id": ""}, "missing `id`"),
        ({"__handle__": "process", "id": 3}, "missing `id`"),
    ],
)
def test_bad_handles_are_named(value: Any, text: str) -> None:
    """The contract's texts."""
    with pytest.raises(PluginSessionError) as refusal:
        parse_process_handle(value)

    assert text in str(refusal.value)


def test_external_references_compare_as_json() -> None:
    """1, 1.0 and true are three values; what is no JSON is refused."""
    one = ProcessExternalRef("slurm", "17", {"n": 1})

    assert one.same_as(ProcessExternalRef("slurm", "17", {"n": 1}))
    for metadata in ({"n": 1.0}, {"n": True}, None):
        assert not one.same_as(ProcessExternalRef("slurm", "17", metadata))
    assert one == one.validated(Limits())
    with pytest.raises(InvalidJsonError):
        ProcessExternalRef("slurm", "17", float("nan")).validated(Limits())
