"""The registration hash: what it covers, and that nothing else moves it (decision 17)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from lash_core.model.event_type import CORE_EVENT_TYPES, ProcessEventType
from lash_core.model.process_input import ProcessIdentity, ProcessInput
from lash_core.model.registration import ProcessRegistration, RetryPolicy
from lash_core.model.scope import CausalRef, ProcessOriginator, ProcessProvenance, SessionScope
from tests.model.registrations import engine
from tests.model.strategies import json_values

COVERED: dict[str, Any] = {
    "id": "other",
    "input": ProcessInput.engine("report.build", {"n": 2}),
    "identity": ProcessIdentity("report.build", "a label"),
    "disposition": "owner_bound",
    "event_types": (ProcessEventType("note"),),
    "provenance": ProcessProvenance(ProcessOriginator.host("team")),
    "env_ref": "process-env:sha256:other",
    "wake_target": SessionScope("s"),
}
NOT_COVERED: dict[str, Any] = {
    "queue": "slow",
    "due_at_ms": 5,
    "delay_ms": 5,
    "timeout_ms": 5,
    "app_version": "2",
    "version_pin": "2",
    "retry_policy": RetryPolicy(attempts_max=3),
}


def changed(field: str, value: Any) -> ProcessRegistration:
    """The plain registration with one field changed."""
    return ProcessRegistration(**(engine("p", {"n": 1}).model_dump() | {field: value}))


@pytest.mark.parametrize("field", COVERED)
def test_these_facts_are_covered(field: str) -> None:
    """Another value is another registration."""
    assert engine("p", {"n": 1}).registration_hash != changed(field, COVERED[field]).registration_hash


@pytest.mark.parametrize("field", NOT_COVERED)
def test_dispatch_is_not_covered(field: str) -> None:
    """When, where and how often it runs does not change what it is."""
    assert engine("p", {"n": 1}).registration_hash == changed(field, NOT_COVERED[field]).registration_hash


def test_every_field_is_in_one_of_the_two_lists() -> None:
    """A new field has to be decided on."""
    assert set(ProcessRegistration.model_fields) == set(COVERED) | set(NOT_COVERED)


@pytest.mark.parametrize(
    "provenance",
    [
        ProcessProvenance(host_profile_id="profile"),
        ProcessProvenance(caused_by=CausalRef.process("parent")),
        ProcessProvenance(caused_by=CausalRef.process_event("parent", 1)),
        ProcessProvenance(ProcessOriginator.session(SessionScope("s"))),
        ProcessProvenance(ProcessOriginator.session(SessionScope("s", "f"))),
    ],
)
def test_every_part_of_provenance_is_covered(provenance: ProcessProvenance) -> None:
    """Origin, cause and host profile."""
    assert engine().registration_hash != engine(provenance=provenance).registration_hash


def test_core_types_do_not_count() -> None:
    """Declaring what every process has anyway changes nothing."""
    assert engine().registration_hash == engine(event_types=CORE_EVENT_TYPES).registration_hash


def test_the_default_identity_does_not_count() -> None:
    """An identity that says what the input says is the same registration."""
    assert engine().registration_hash == engine(identity=ProcessIdentity("report.build")).registration_hash


@given(json_values)
def test_it_is_deterministic(payload: Any) -> None:
    """The same content has the same hash, also after a round trip through JSON."""
    registration = engine("p", payload)
    again = ProcessRegistration.model_validate_json(registration.model_dump_json(by_alias=True))

    assert registration.registration_hash == engine("p", payload).registration_hash == again.registration_hash


def test_the_order_of_keys_does_not_count() -> None:
    """Inputs are equal when their JSON is."""
    first, second = engine(payload={"a": 1, "b": [1]}), engine(payload={"b": (1,), "a": 1})

    assert first.registration_hash == second.registration_hash


def test_it_is_the_same_for_ever() -> None:
    """A stored hash must mean the same in the next release: a change needs another ``hash_version``."""
    expected = "7ee2a462583d128316d801e49528627090bf07f233535e53841c9c0c1642f48b"

    assert expected == engine("p", {"n": 1}).registration_hash
