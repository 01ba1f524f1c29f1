"""List filters (contract 1.12)."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lash_core.errors import InvalidFilterError
from lash_core.model.await_output import ProcessAwaitOutput
from lash_core.model.facts import SignalWait, WaitState
from lash_core.model.process_filter import ProcessFilter
from lash_core.model.process_input import ProcessIdentity
from lash_core.model.record import ProcessRecord, new_record, terminal_status
from lash_core.model.scope import CausalRef, ProcessOriginator, ProcessProvenance, SessionScope
from tests.model.registrations import engine
from tests.model.strategies import json_values

OCCURRENCE = CausalRef(kind="trigger_occurrence", occurrence_id="o", subscription_id="u")


def row(**changes: Any) -> ProcessRecord:
    """A running row, created at 100."""
    return new_record(engine(**changes), "hash", 100)


ROW = row(
    identity=ProcessIdentity("k", "l", {"v": 1}),
    provenance=ProcessProvenance(ProcessOriginator.session(SessionScope("s")), caused_by=OCCURRENCE),
    queue="q",
)
MATCHING: dict[str, Any] = {
    "status": "running",
    "definition": {"v": 1},
    "waiting": False,
    "originator_scope_id": "session:s",
    "identity_kind": "k",
    "identity_label": "l",
    "caused_by_occurrence_id": "o",
    "caused_by_subscription_id": "u",
    "created_at_start_ms": 100,
    "created_at_end_ms": 101,
    "queue": "q",
}
OTHER: dict[str, Any] = {
    "status": "failed",
    "definition": {"v": 1.0},
    "waiting": True,
    "originator_scope_id": "session:s/frame:f",
    "identity_kind": "K",
    "identity_label": "",
    "caused_by_occurrence_id": "O",
    "caused_by_subscription_id": "U",
    "created_at_start_ms": 101,
    "created_at_end_ms": 100,
    "queue": "default",
}


@given(st.sets(st.sampled_from(sorted(MATCHING))), st.sets(st.sampled_from(sorted(OTHER)), max_size=2))
def test_facets_and_together(fitting: set[str], failing: set[str]) -> None:
    """A row matches exactly when every given facet fits it."""
    facets = {name: MATCHING[name] for name in fitting} | {name: OTHER[name] for name in failing}

    assert (not failing) is ProcessFilter.from_args(facets).matches(ROW)


def test_every_facet_is_tested() -> None:
    """A new facet needs a line in both tables."""
    assert set(ProcessFilter.model_fields) == set(MATCHING) == set(OTHER)


def test_running_is_the_default_and_any_is_any() -> None:
    """Other states list history; the default lists live rows."""
    ended = row().model_copy(
        update={"status": terminal_status("failed", ProcessAwaitOutput.failure("timeout", "c", "m"))}
    )

    assert (True, False) == (ProcessFilter().matches(row()), ProcessFilter().matches(ended))
    assert (True, True) == (ProcessFilter(status="any").matches(row()), ProcessFilter(status="any").matches(ended))
    assert ProcessFilter(status="failed").matches(ended)
    assert (False, True, True) == (
        ProcessFilter().lists_history,
        ProcessFilter(status="any").lists_history,
        ProcessFilter(status="completed").lists_history,
    )


def test_waiting_is_a_facet() -> None:
    """A waiting row is running too."""
    waiting = row().model_copy(update={"wait": WaitState(1, SignalWait.of("p", "go", 1))})

    assert ProcessFilter(waiting=True).matches(waiting)
    assert not ProcessFilter(waiting=False).matches(waiting)
    assert ProcessFilter().matches(waiting)


def test_a_row_without_a_subscription_never_matches_one() -> None:
    """Nor does one without a cause."""
    plain = row(provenance=ProcessProvenance(caused_by=CausalRef.process("x")))

    for record in (plain, row()):
        assert not ProcessFilter(caused_by_subscription_id="u").matches(record)


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ([], "must be an object"),
        (None, "must be an object"),
        ("running", "must be an object"),
        ({"stauts": "running"}, "processes.list unknown filter `stauts`"),
        ({1: 2}, "processes.list unknown filter"),
        ({"status": "waiting"}, "status 'waiting'"),
        ({"status": ["running"]}, "status"),
        ({"status": None}, "status"),
        ({"waiting": 1}, "must be a boolean"),
        ({"waiting": "true"}, "must be a boolean"),
        ({"identity_kind": 1}, "must be a string"),
        ({"queue": ["q"]}, "must be a string"),
        ({"caused_by_occurrence_id": {}}, "must be a string"),
        ({"created_at_start_ms": "1"}, "must be an integer"),
        ({"created_at_end_ms": 1.5}, "must be an integer"),
        ({"created_at_end_ms": True}, "must be an integer"),
    ],
)
def test_bad_arguments_are_named(args: Any, text: str) -> None:
    """Each fault has the contract's text."""
    with pytest.raises(InvalidFilterError) as refusal:
        ProcessFilter.from_args(args)

    assert text in str(refusal.value)


@given(st.dictionaries(st.sampled_from([*MATCHING, "x"]), json_values, max_size=3))
def test_decoding_accepts_or_names_the_fault(args: dict[str, Any]) -> None:
    """Whatever comes in: a filter, or the contract's error; nothing else."""
    with contextlib.suppress(InvalidFilterError):
        ProcessFilter.from_args(args)
