"""Outcomes and tool outputs (contract 1.8)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from lash_core.model.await_output import (
    AbandonEvidence,
    AbandonWriter,
    AnyAwaitOutput,
    ProcessAwaitOutput,
    ToolFailureClass,
    decode_await_output,
)
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.tool_output import ToolFailure, ToolSuccess, from_tool_output, to_tool_output
from tests.model.strategies import json_values

OWNER = LeaseOwnerIdentity.opaque("w", "i")
OUTPUTS: list[AnyAwaitOutput] = [
    ProcessAwaitOutput.success(),
    ProcessAwaitOutput.success({"a": None}, control={"c": 1}),
    *(ProcessAwaitOutput.failure(name, "some_code", "text", raw=[1], control=2) for name in ToolFailureClass),
    ProcessAwaitOutput.cancelled("stop"),
    ProcessAwaitOutput.cancelled("stop", raw={"by": "ops"}, control=False),
]
ABANDONED = [ProcessAwaitOutput.abandoned(AbandonEvidence(writer, OWNER, 5)) for writer in AbandonWriter]


@pytest.mark.parametrize("output", OUTPUTS + ABANDONED)
def test_outcomes_read_back(output: AnyAwaitOutput) -> None:
    """The stored form decodes to the same outcome."""
    assert output == decode_await_output(output.to_json_value())


def test_the_stored_form() -> None:
    """Tagged by ``type``; absent parts are left out, the value of a success is always there."""
    assert {"type": "success", "value": None} == ProcessAwaitOutput.success().to_json_value()
    assert {"type": "failure", "class": "timeout", "code": "c", "message": "m"} == ProcessAwaitOutput.failure(
        "timeout", "c", "m"
    ).to_json_value()
    assert {"type": "abandoned", "evidence": {"writer": "sweep", "epoch_ms": 7}} == ProcessAwaitOutput.abandoned(
        AbandonEvidence(AbandonWriter.SWEEP, epoch_ms=7)
    ).to_json_value()


@given(json_values)
def test_success_keeps_its_value(value: Any) -> None:
    """Nulls inside a value are values."""
    output = decode_await_output(ProcessAwaitOutput.success(value).to_json_value())

    assert ProcessAwaitOutput.success(value) == output


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "success",
        {"type": "done"},
        {"type": "failure"},
        {"type": "success", "extra": 1},
        {"type": "failure", "class": "no such", "code": "c", "message": "m"},
        {"value": 1},
    ],
)
def test_anything_else_is_no_outcome(value: Any) -> None:
    """A value that does not decode completely is a plain value."""
    assert None is decode_await_output(value)


@pytest.mark.parametrize("output", OUTPUTS)
def test_tool_outputs_map_one_to_one(output: AnyAwaitOutput) -> None:
    """There and back nothing is lost."""
    assert output == from_tool_output(to_tool_output(output))


@pytest.mark.parametrize(
    ("writer", "message"),
    [
        (AbandonWriter.OWNER_DRAIN, "owner drained without recording an outcome"),
        (AbandonWriter.SWEEP, "recovery observed the owner provably dead"),
        (AbandonWriter.RECONCILED_REQUEST, "reconciled abandon request after the lease lapsed"),
    ],
)
def test_an_abandoned_process_is_an_external_failure(writer: AbandonWriter, message: str) -> None:
    """Text by writer, evidence as ``raw``; it is never mapped back."""
    evidence = AbandonEvidence(writer, OWNER, 5)

    found = to_tool_output(ProcessAwaitOutput.abandoned(evidence))

    expected = ToolFailure(
        class_=ToolFailureClass.EXTERNAL, code="process_abandoned", message=message, raw=evidence.to_json_value()
    )
    assert expected == found
    assert "failed" == from_tool_output(found).state


def test_a_tool_output_by_position() -> None:
    """The short form that tools use."""
    assert ToolSuccess(value=[1]) == ToolSuccess([1])
