"""The decision table of recovery, row by row (contract 3.4)."""

from __future__ import annotations

from typing import Any

import pytest

from lash_core.model.await_output import AbandonEvidence, AbandonWriter, ProcessAwaitOutput
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.environment import EMPTY_ENV_REF
from lash_core.model.facts import AbandonRequest, ProcessStarted
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.process_input import PreparedToolCall, ProcessInput
from lash_core.model.record import ProcessRecord, new_record, terminal_status
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import ProcessProvenance
from lash_worker.recovery import (
    AlreadyTerminal,
    Circumstances,
    CompleteAbandoned,
    Decline,
    KnownWork,
    Poison,
    Postpone,
    ReleaseUntilEvent,
    Run,
    decide,
)

OWNER = LeaseOwnerIdentity.opaque("worker-a", "1")
NOW = Circumstances(now_ms=5_000)
KNOWN = KnownWork({"report": "1"}, tools={"search"}, host_profile_id="here")


def row(disposition: str = "rerunnable", **facts: Any) -> ProcessRecord:
    """A row of the known kind with these facts."""
    registration = ProcessRegistration(
        id="p", input=ProcessInput.engine("report"), disposition=RecoveryDisposition(disposition), env_ref=EMPTY_ENV_REF
    )
    return new_record(registration, "hash", 1_000).model_copy(update=facts)


STARTED: dict[str, Any] = {"first_started": ProcessStarted(owner=OWNER, started_at_ms=2_000)}
ABANDON: dict[str, Any] = {"abandon_request": AbandonRequest(requested_by="ops", requested_at_ms=3_000)}


def test_terminal_row_is_only_released() -> None:
    """A row that ended before the claim is never run again."""
    ended = row(status=terminal_status("completed", ProcessAwaitOutput.success(1)))

    assert decide(ended, KNOWN, NOW) == AlreadyTerminal()


def test_rerunnable_runs_whatever_happened_before() -> None:
    """Another owner may execute rerunnable work again, started or not."""
    assert decide(row(**STARTED), KNOWN, NOW) == Run(start_first=False)


def test_owner_bound_that_was_not_started_runs_with_its_start_written_first() -> None:
    """Before its first start anyone may run it; the start is recorded before the function is called."""
    assert decide(row("owner_bound"), KNOWN, NOW) == Run(start_first=True)


def test_owner_bound_started_with_evidence_is_abandoned_by_the_sweep() -> None:
    """Proof of the owner's death ends started owner-bound work."""
    decision = decide(row("owner_bound", **STARTED), KNOWN, Circumstances(now_ms=5_000, dead_owner=OWNER))

    evidence = AbandonEvidence(writer=AbandonWriter.SWEEP, owner=OWNER, epoch_ms=5_000)
    assert decision == CompleteAbandoned(evidence)


def test_owner_bound_started_with_an_abandon_request_is_reconciled() -> None:
    """A recorded human authorization ends it too, against the owner that started it."""
    decision = decide(row("owner_bound", **STARTED, **ABANDON), KNOWN, NOW)

    evidence = AbandonEvidence(writer=AbandonWriter.RECONCILED_REQUEST, owner=OWNER, epoch_ms=5_000)
    assert decision == CompleteAbandoned(evidence)


def test_owner_bound_started_without_either_waits_for_ever() -> None:
    """Elapsed time alone never makes a terminal."""
    assert isinstance(decide(row("owner_bound", **STARTED), KNOWN, NOW), ReleaseUntilEvent)


def test_externally_owned_is_never_run() -> None:
    """Without an abandon request nothing is done, with one it is reconciled without an owner."""
    assert isinstance(decide(row("externally_owned"), KNOWN, NOW), ReleaseUntilEvent)

    evidence = AbandonEvidence(writer=AbandonWriter.RECONCILED_REQUEST, owner=None, epoch_ms=5_000)
    assert decide(row("externally_owned", **ABANDON), KNOWN, NOW) == CompleteAbandoned(evidence)


@pytest.mark.parametrize(("deaths", "limit", "expected"), [(8, 8, Poison(8)), (7, 8, Run(False)), (99, 0, Run(False))])
def test_poison_after_the_limit_of_deaths(deaths: int, limit: int, expected: object) -> None:
    """Eight deaths in a row fail a process; 0 switches that off."""
    decision = decide(row(deaths=deaths), KNOWN, Circumstances(now_ms=5_000, poison_deaths_max=limit))

    assert decision == expected


@pytest.mark.parametrize(
    ("deaths", "expected"),
    [(1, Run(False)), (2, Postpone(1_000)), (3, Postpone(5_000)), (4, Postpone(15_000)), (7, Postpone(60_000))],
)
def test_first_takeover_is_immediate_then_ever_later(deaths: int, expected: object) -> None:
    """What kills its workers must not kill them all at once."""
    decision = decide(row(deaths=deaths), KNOWN, Circumstances(now_ms=5_000, dead_owner=OWNER, taken_over=True))

    assert decision == expected


@pytest.mark.parametrize(("declines", "delay_ms"), [(0, 1_000), (1, 2_000), (4, 16_000), (5, 30_000), (500, 30_000)])
def test_unknown_kind_is_declined_ever_longer(declines: int, delay_ms: int) -> None:
    """A row whose kind this worker lacks goes back, at most every 30 s."""
    unknown = row(input=ProcessInput.engine("elsewhere"))

    assert decide(unknown, KNOWN, Circumstances(now_ms=0, declines=declines)) == Decline(delay_ms, "kind elsewhere")


def test_other_version_tool_and_host_profile_are_declined() -> None:
    """Pinned versions, unknown tools and foreign profiles are another worker's; none of them fails."""
    tool = ProcessInput.tool_call(PreparedToolCall(call_id="c", tool_id="t", tool_name="fly"))

    assert decide(row(version_pin="2"), KNOWN, NOW) == Decline(1_000, "version 2 of kind report")
    assert decide(row(version_pin="1"), KNOWN, NOW) == Run(start_first=False)
    assert decide(row(input=tool), KNOWN, NOW) == Decline(1_000, "tool fly")
    foreign = row(provenance=ProcessProvenance(host_profile_id="there"))
    assert decide(foreign, KNOWN, NOW) == Decline(1_000, "host profile there")


def test_a_turn_of_a_session_is_left_to_a_worker_with_its_model_provider() -> None:
    """One without providers cannot take it; one that the request names must be there, an inherited one is not known."""
    plain = row(input=ProcessInput.session_turn({}, "hello"))
    named = row(input=ProcessInput.session_turn({"policy": {"provider_id": "far"}}, "hello"))
    agents = KnownWork({}, host_profile_id="here", providers=("near",))

    assert Decline(1_000, "a turn of a session, which needs a model provider") == decide(plain, KNOWN, NOW)
    assert Run(start_first=False) == decide(plain, agents, NOW)
    assert Decline(1_000, "model provider far") == decide(named, agents, NOW)
    assert Run(start_first=False) == decide(row(input=ProcessInput.session_turn([], "hello")), agents, NOW)


def test_row_gives_back_the_registration_it_was_made_from() -> None:
    """It is built unchecked for speed: every field is there, and it hashes alike."""
    registration = ProcessRegistration(
        id="p", input=ProcessInput.engine("report", {"a": 1}), disposition=RecoveryDisposition.RERUNNABLE, timeout_ms=7
    )
    made = new_record(registration, registration.registration_hash, 1_000).to_registration()

    assert set(ProcessRegistration.model_fields) == set(made.__dict__)
    assert registration.registration_hash == made.registration_hash
    assert 7 == made.timeout_ms


def test_rows_for_work_horses_are_held_up_to_a_bound() -> None:
    """More would block slots that other work could use; they are offered again soon, and to workers that have room."""
    known = KnownWork({"report": "1"}, host_profile_id="here", isolated_kinds=frozenset({"report"}), isolated_max=2)

    assert decide(row(), known, Circumstances(now_ms=5_000, isolated_held=1)) == Run(start_first=False)
    delays = [
        decide(row(), known, Circumstances(now_ms=5_000, isolated_held=2, declines=declines)) for declines in (0, 1, 90)
    ]
    assert [Decline(delay_ms, "all work-horses are busy") for delay_ms in (250, 500, 4_000)] == delays


def test_a_kind_without_its_work_horses_is_declined_with_the_way_out() -> None:
    """As any kind that a worker lacks, but the text says what would help."""
    known = KnownWork({}, host_profile_id="here", isolated_kinds=frozenset({"report"}))

    text = "kind report, which runs in work-horses: lash worker run --isolated N"
    assert Decline(1_000, text) == decide(row(), known, NOW)
