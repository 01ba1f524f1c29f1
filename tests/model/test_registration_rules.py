"""What a registration may not be (contract 1.2, 1.5, 2.1; decisions 14 and 34)."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from lash_core.errors import InvalidArgumentError, InvalidRegistrationError, LimitExceededError
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.environment import EMPTY_ENV_REF
from lash_core.model.event_type import (
    CORE_BY_NAME,
    CORE_EVENT_TYPES,
    ProcessEventSemantics,
    ProcessEventType,
    TerminalSemantics,
)
from lash_core.model.limits import Limits
from lash_core.model.process_input import PreparedToolCall, ProcessIdentity, ProcessInput, default_identity
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import ProcessProvenance, SessionScope
from tests.model.registrations import engine

CALL = ProcessInput.tool_call(PreparedToolCall("c", "t", "search", {"q": 1}))
TURN = ProcessInput.session_turn({"session_id": "s"}, {"items": []})
SESSION = ProcessProvenance.for_session(SessionScope("s"))


def refused(registration: ProcessRegistration, text: str, field: str | None = None) -> None:
    """The registration is refused with this text and field."""
    with pytest.raises(InvalidRegistrationError) as refusal:
        registration.validated()
    assert text in str(refusal.value)
    if field is not None:
        assert field == refusal.value.field


def test_a_plain_one_is_accepted() -> None:
    """``validated`` answers with the registration itself."""
    registration = engine()

    assert registration is registration.validated()


def test_disposition_has_no_default() -> None:
    """Not even in decoding."""
    with pytest.raises(ValidationError, match="disposition"):
        ProcessRegistration.model_validate({"id": "p", "input": {"type": "external"}})


@pytest.mark.parametrize("process_id", ["", "  ", "a#b", "a\nb", "x" * 201])
def test_bad_ids(process_id: str) -> None:
    """The id's own rules, as a registration error."""
    refused(engine(process_id), "process id", "id")
    with pytest.raises(InvalidArgumentError):
        engine(process_id).validated()


@pytest.mark.parametrize("given", [CALL, ProcessInput.engine("k")])
def test_work_needs_an_environment_or_a_session(given: Any) -> None:
    """A captured environment, or a session whose runtime is rebuilt."""
    refused(engine(input=given, env_ref=None), "requires a captured execution env", "env_ref")
    assert engine(input=given, env_ref=None, provenance=SESSION).validated()
    assert engine(input=given, provenance=SESSION).validated()


@pytest.mark.parametrize("given", [TURN, ProcessInput.external({})])
def test_other_inputs_must_not_have_one(given: Any) -> None:
    """A child session and outside work have nothing to capture."""
    refused(engine(input=given), "must not capture an execution env for this input kind", "env_ref")
    assert engine(input=given, env_ref=None).validated()


def test_an_engine_kind_is_not_blank() -> None:
    """A kind is looked up by name."""
    refused(engine(input=ProcessInput.engine(" ")), "engine kind", "input.kind")


@pytest.mark.parametrize(
    ("types", "text"),
    [
        ((ProcessEventType(" "),), "event type name must be a non-empty string"),
        ((ProcessEventType("a"), ProcessEventType("a")), "duplicate event type `a`"),
        ((CORE_BY_NAME["process.waiting"], CORE_BY_NAME["process.waiting"]), "duplicate event type"),
        ((ProcessEventType("a", {"type": "no such"}),), "not a JSON schema"),
        ((ProcessEventType("a", 7),), "not a JSON schema"),
        ((ProcessEventType("a", {"$ref": "https://example.org/s.json"}),), "only references into the schema itself"),
        ((ProcessEventType("a", {"description": "x" * 70_000}),), "the limit is 65536"),
        ((ProcessEventType("process.completed"),), "core event type `process.completed`"),
        ((ProcessEventType("process.waiting", {"type": "object"}),), "core event type `process.waiting`"),
    ],
)
def test_bad_event_types(types: tuple[ProcessEventType, ...], text: str) -> None:
    """Names, duplicates, schemas, and core types with a meaning of their own."""
    refused(engine(event_types=types), text)


@pytest.mark.parametrize("state", ["failed", "cancelled", "abandoned"])
def test_a_non_completed_end_needs_an_outcome(state: Any) -> None:
    """Only a completed end may take the whole payload."""
    end = ProcessEventType("end", semantics=ProcessEventSemantics(terminal=TerminalSemantics(state=state)))

    refused(engine(event_types=(end,)), "terminal event type `end` must declare await_output")


def test_core_types_come_after_the_declared_ones() -> None:
    """Declared or not, each core type is there once, at the end."""
    declared = (CORE_BY_NAME["process.completed"], ProcessEventType("note"))

    registration = engine(event_types=declared).validated()

    assert (ProcessEventType("note"), *CORE_EVENT_TYPES) == registration.all_event_types


@pytest.mark.parametrize("field", ["due_at_ms", "delay_ms", "timeout_ms"])
@pytest.mark.parametrize("value", [-1, 2**53 + 1])
def test_times_have_a_range(field: str, value: int) -> None:
    """0 to 2^53, so that every store can hold them."""
    changes: dict[str, Any] = {field: value}

    refused(engine(**changes), field, field)


def test_bad_json_is_named_by_its_path() -> None:
    """In the input, the definition and the wake target."""
    refused(engine(payload={"a": [float("nan")]}), "input.payload.a[0]", "input.payload.a[0]")
    refused(engine(identity=ProcessIdentity("k", None, {1: 2})), "identity.definition")
    refused(engine(wake_target=SessionScope("")), "session id must be a non-empty string", "session_id")
    refused(engine(queue="a b"), "queue", "queue")


def test_size_is_bounded() -> None:
    """The input alone, and the registration as a whole."""
    limits = Limits(payload_bytes_max=2_000)

    engine(payload="x" * 1_900).check_size(limits)
    with pytest.raises(LimitExceededError, match="the limit is 2000") as refusal:
        engine(payload="x" * 2_000).check_size(limits)
    assert "input" == refusal.value.field
    with pytest.raises(LimitExceededError) as refusal:
        engine(identity=ProcessIdentity("k", "x" * 2_000)).check_size(limits)
    assert "registration" == refusal.value.field


@pytest.mark.parametrize(
    ("given", "kind", "label"),
    [
        (CALL, "tool", "search"),
        (ProcessInput.engine("k"), "k", None),
        (ProcessInput.session_turn({"session_id": "s", "usage_source": "u"}, {}), "session_turn", "u"),
        (ProcessInput.session_turn({"session_id": "s", "subagent": {"capability": "c"}}, {}), "session_turn", "c"),
        (TURN, "session_turn", "s"),
        (ProcessInput.session_turn(None, None), "session_turn", None),
        (ProcessInput.external({"title": "t", "name": "n"}), "external", "n"),
        (ProcessInput.external({"label": 1, "title": "t"}), "external", "t"),
        (ProcessInput.external(), "external", None),
        (ProcessInput.external(["label"]), "external", None),
    ],
)
def test_default_identities(given: Any, kind: str, label: str | None) -> None:
    """What an input is called when the registration does not say (contract 1.3)."""
    assert ProcessIdentity(kind, label) == default_identity(given)


def test_builders_return_copies() -> None:
    """The original stays as it was."""
    plain = ProcessRegistration("p", ProcessInput.external({}), RecoveryDisposition.EXTERNALLY_OWNED)
    scope, provenance = SessionScope("s"), ProcessProvenance(host_profile_id="h")

    built = (
        plain.with_identity(ProcessIdentity("k"))
        .with_event_types([ProcessEventType("note")])
        .with_provenance(provenance)
        .with_wake_target(scope)
        .with_queue("slow")
        .with_due_at_ms(5)
        .with_delay_ms(6)
        .with_timeout_ms(7)
        .with_env_ref(EMPTY_ENV_REF)
    )

    assert (None, (), "default") == (plain.identity, plain.event_types, plain.queue)
    assert (ProcessIdentity("k"), (ProcessEventType("note"),), provenance, scope, "slow", 5, 6, 7, EMPTY_ENV_REF) == (
        built.identity,
        built.event_types,
        built.provenance,
        built.wake_target,
        built.queue,
        built.due_at_ms,
        built.delay_ms,
        built.timeout_ms,
        built.env_ref,
    )
