"""What is stored reads back as what was given, and the fast paths make what the plain ones make."""

from __future__ import annotations

from typing import Any

import pytest

from lash_core.model.await_output import AbandonEvidence, AbandonWriter, ProcessAwaitOutput
from lash_core.model.completion import terminal_append
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.event_type import WAKE_TYPE, ProcessEventType
from lash_core.model.facts import ProcessStarted, SignalWait, WaitState
from lash_core.model.owner import LeaseOwnerIdentity, LocalProcessLiveness
from lash_core.model.process_input import PreparedToolCall, ProcessIdentity, ProcessInput
from lash_core.model.record import new_record
from lash_core.model.registration import ProcessRegistration, RetryPolicy
from lash_core.model.scope import CausalRef, ProcessOriginator, ProcessProvenance, SessionScope
from lash_core.redis_store.event_codec import replay_field
from lash_core.redis_store.event_writer import EncodedEnding, EncodedEvent
from lash_core.redis_store.row_codec import (
    decode_first_started,
    decode_record,
    decode_registration,
    decode_wait,
    encode_first_started,
    encode_registration,
    encode_wait,
)
from tests.redis_store.rows import registration

SCOPE = SessionScope(session_id="s/1", agent_frame_id="f")
REGISTRATIONS: dict[str, dict[str, Any]] = {
    "minimal": {"event_types": ()},
    "delayed": {"delay_ms": 5_000},
    "full": {
        "identity": ProcessIdentity(kind="report", label="räport", definition={"a": [1, 2.5, None]}),
        "event_types": (
            WAKE_TYPE,
            ProcessEventType.signal("go", {"type": "object"}),
        ),
        "provenance": ProcessProvenance(
            originator=ProcessOriginator.session(SCOPE), caused_by=CausalRef.process_event("p", 3), host_profile_id="h"
        ),
        "wake_target": SCOPE,
        "queue": "slow",
        "due_at_ms": 1_900_000_000_000,
        "timeout_ms": 5,
        "app_version": "1",
        "version_pin": "2",
        "retry_policy": RetryPolicy(attempts_max=3),
    },
    "tool": {"input": ProcessInput.tool_call(PreparedToolCall(call_id="c", tool_id="t", tool_name="n", args={"x": 1}))},
    "turn": {"input": ProcessInput.session_turn({"session_id": "s"}, {"text": "hi"}), "env_ref": None},
    "external": {
        "input": ProcessInput.external({"label": "job"}),
        "disposition": RecoveryDisposition.EXTERNALLY_OWNED,
        "env_ref": None,
    },
}


@pytest.mark.parametrize("name", REGISTRATIONS)
def test_a_registration_reads_back(name: str) -> None:
    """Of every input, with and without defaults: the same record as the one made from what was given."""
    given = registration("p{1}/a:b", **REGISTRATIONS[name]).validated()

    read = decode_registration(given.id, encode_registration(given), key="key")

    control = {"v": "1", "dg": given.registration_hash, "ca": "7000"}
    record = decode_record(given.id, read, control, key="key")
    expected = new_record(given, given.registration_hash, 7_000)
    names = [event_type.name for event_type in expected.event_types]
    assert sorted(names) == sorted(event_type.name for event_type in record.event_types)
    assert expected.model_copy(update={"event_types": ()}) == record.model_copy(update={"event_types": ()})
    assert [expected.event_type(kind) for kind in names] == [record.event_type(kind) for kind in names]
    assert given.registration_hash == read.registration_hash


def test_records_made_without_validation_are_whole() -> None:
    """A record built from trusted data validates, copies and dumps like one that was checked."""
    given = registration("p", event_types=()).validated()
    read = decode_registration("p", encode_registration(given), key="key")
    record = decode_record("p", read, {"v": "1", "dg": "h", "ca": "1", "at": "2"}, key="key")

    assert record == type(record).model_validate(record.model_dump(by_alias=True))
    assert 3 == record.model_copy(update={"attempt": 3}).attempt
    assert ProcessRegistration.model_validate(given.model_dump(by_alias=True)) == given


@pytest.mark.parametrize("local", [True, False])
def test_a_first_start_reads_back(local: bool) -> None:
    """With and without what proves the death of its owner."""
    owner = LeaseOwnerIdentity.opaque("w;1", "i;1")
    if local:
        liveness = LocalProcessLiveness(
            host_id="h;1", boot_id="b", pid_namespace="pid:[4026;1]", pid=7, process_start=123_456
        )
        owner = LeaseOwnerIdentity(owner_id="w;1", incarnation_id="i;1", liveness=liveness)
    started = ProcessStarted(owner=owner, started_at_ms=5)

    assert started == decode_first_started(encode_first_started(started))


def test_a_wait_reads_back() -> None:
    """Type and key follow from name and ordinal."""
    kind = SignalWait(name="go", event_type="signal.go", key="process:p:signal.go:2", ordinal=2)
    wait = WaitState(since_ms=9, kind=kind)

    assert wait == decode_wait("p", encode_wait(wait))


@pytest.mark.parametrize(
    "output",
    [
        ProcessAwaitOutput.success(),
        ProcessAwaitOutput.success({"text": 'grüß "dich"\n', "n": [1, 2.5, None]}),
        ProcessAwaitOutput.failure("execution", "code", "message", raw={"a": 1}),
        ProcessAwaitOutput.cancelled("stop"),
        ProcessAwaitOutput.abandoned(AbandonEvidence(writer=AbandonWriter.SWEEP, epoch_ms=3)),
    ],
    ids=lambda output: output.type,
)
def test_an_encoded_ending_is_the_terminal_append(output: Any) -> None:
    """The short way writes the very bytes of the long way, else a repeat would read as a conflict."""
    process_id = 'ä"{x}/1'

    long_way = EncodedEvent.of(process_id, terminal_append(process_id, output))
    short_way = EncodedEnding.of(process_id, output)

    assert (long_way.field, long_way.body, long_way.payload_bytes) == (
        short_way.field,
        short_way.body,
        short_way.payload_bytes,
    )


def test_replay_fields_are_short_and_apart() -> None:
    """A key with the process's prefix and the same rest without it are two fields; long ones are hashed."""
    cut, plain = replay_field("p", "process:p:x"), replay_field("p", "x")
    hashed = replay_field("p", "process:p:" + "x" * 100)

    assert ("k:x", "K:x") == (cut, plain)
    assert 35 == len(hashed)
