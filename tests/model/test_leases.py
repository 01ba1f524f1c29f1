"""Lease timings, back-off, liveness of leases and of owners (contract 1.10; decisions 6, 35)."""

from __future__ import annotations

import contextlib
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lash_core.errors import SettingsError
from lash_core.model.lease import LeaseTimings, ProcessLease, ProcessLeaseCompletion, takeover_backoff_ms
from lash_core.model.owner import (
    AnyLiveness,
    LeaseOwnerIdentity,
    LocalProcessLiveness,
    OpaqueLiveness,
    is_provably_dead,
)

HERE: dict[str, Any] = {"host_id": "h", "boot_id": "b", "pid_namespace": "n", "pid": 10, "process_start": 100}


class Processes:
    """A process table in which exactly pid 10 with start 100 is gone."""

    def __init__(self) -> None:
        self.asked = 0

    def is_dead(self, pid: int, process_start: int) -> bool:
        """True for that one process."""
        self.asked += 1
        return (10, 100) == (pid, process_start)


def owner(liveness: AnyLiveness, name: str = "w") -> LeaseOwnerIdentity:
    """An owner."""
    return LeaseOwnerIdentity(name, "i", liveness)


def lease(**changes: Any) -> ProcessLease:
    """A lease until 100."""
    facts: dict[str, Any] = {
        "process_id": "p",
        "owner": owner(OpaqueLiveness()),
        "lease_token": "t",
        "fencing_token": 7,
        "claimed_at_epoch_ms": 1,
        "expires_at_epoch_ms": 100,
    }
    return ProcessLease(**(facts | changes))


@given(st.integers(-5, 200_000), st.integers(-5, 100_000))
def test_timings_keep_two_missed_renewals(ttl_ms: int, renew_interval_ms: int) -> None:
    """They exist exactly when the TTL is at least 300 ms and three renewals long."""
    legal = ttl_ms >= 300 and renew_interval_ms >= 1 and ttl_ms >= 3 * renew_interval_ms

    with contextlib.nullcontext() if legal else pytest.raises(SettingsError, match="LASH_LEASE_TTL_MS"):
        timings = LeaseTimings(ttl_ms, renew_interval_ms)
        assert (ttl_ms, renew_interval_ms) == (timings.ttl_ms, timings.renew_interval_ms)


def test_default_timings() -> None:
    """30 s and 10 s; a TTL alone renews at a third."""
    assert (30_000, 10_000) == (LeaseTimings().ttl_ms, LeaseTimings().renew_interval_ms)
    assert (1_000, 333) == (LeaseTimings.from_ttl(1_000).ttl_ms, LeaseTimings.from_ttl(1_000).renew_interval_ms)
    with pytest.raises(SettingsError, match="LASH_LEASE_TTL_MS is 20000 and LASH_RENEW_INTERVAL_MS is 10000"):
        LeaseTimings(20_000, 10_000)


def test_the_back_off_after_deaths() -> None:
    """The first takeover is immediate, then 1, 5, 15, 60 s, and 60 s for ever."""
    waits = [takeover_backoff_ms(deaths) for deaths in range(1, 8)]

    assert [0, 1_000, 5_000, 15_000, 60_000, 60_000, 60_000] == waits


def test_a_lease_is_live_strictly_before_its_expiry() -> None:
    """At the very millisecond it is over, and without a token it never was."""
    assert (True, False, False) == (lease().is_live(99), lease().is_live(100), lease(lease_token="").is_live(1))


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"expires_at_epoch_ms": 5, "fenced_writes": 9}, True),
        ({"owner": owner(LocalProcessLiveness(**HERE))}, True),
        ({"process_id": "q"}, False),
        ({"lease_token": "u"}, False),
        ({"fencing_token": 8}, False),
        ({"owner": LeaseOwnerIdentity("w", "j")}, False),
        ({"owner": LeaseOwnerIdentity("x", "i")}, False),
    ],
)
def test_the_same_acquisition(changes: dict[str, Any], same: bool) -> None:
    """Process, incarnation, token and fence; neither times nor liveness."""
    assert same is lease().same_acquisition(lease(**changes))


def test_a_completion_names_process_and_token() -> None:
    """Nothing else is needed to release."""
    assert ProcessLeaseCompletion("p", "t") == ProcessLeaseCompletion.from_lease(lease())


@pytest.mark.parametrize("changed", [None, "host_id", "boot_id", "pid_namespace"])
@pytest.mark.parametrize(("pid", "start"), [(10, 100), (10, 101), (11, 100)])
def test_death_is_proved_in_one_place_only(changed: str | None, pid: int, start: int) -> None:
    """Same host, boot and pid namespace, and the table is certain; anything else means alive."""
    theirs = LocalProcessLiveness.model_validate({**HERE, "pid": pid, "process_start": start})
    elsewhere = {changed: "other"} if changed else {}
    ours = LocalProcessLiveness.model_validate({**HERE, "pid": 1, "process_start": 1, **elsewhere})
    table = Processes()

    assert (changed is None and (pid, start) == (10, 100)) is is_provably_dead(owner(theirs), owner(ours), table)
    assert (0 if changed else 1) == table.asked


@pytest.mark.parametrize("pair", list(product([OpaqueLiveness(), LocalProcessLiveness(**HERE)], repeat=2))[:3])
def test_an_opaque_side_proves_nothing(pair: tuple[AnyLiveness, AnyLiveness]) -> None:
    """Neither a dead-looking owner nor a knowing claimant is enough alone."""
    assert not is_provably_dead(owner(pair[0]), owner(pair[1]), Processes())


def test_another_incarnation_is_no_proof() -> None:
    """A restarted worker is another owner; that alone says nothing about the first."""
    first = LeaseOwnerIdentity("w", "one")

    assert not first.same_incarnation(LeaseOwnerIdentity("w", "two"))
    assert not is_provably_dead(first, LeaseOwnerIdentity("w", "two"), Processes())


@pytest.mark.parametrize(
    ("incarnation", "is_attempt"), [("i", True), ("i:nonce", True), ("i:a:b", True), ("ii", False), ("", False)]
)
def test_attempts_of_a_worker(incarnation: str, is_attempt: bool) -> None:
    """``<worker incarnation>:<nonce>`` of the same owner id."""
    worker = LeaseOwnerIdentity("w", "i")

    assert is_attempt is LeaseOwnerIdentity("w", incarnation).is_attempt_of(worker)
    assert not LeaseOwnerIdentity("x", incarnation).is_attempt_of(worker)


def test_liveness_needs_every_part() -> None:
    """What misses a part is decoded and proves nothing; absent liveness is opaque."""
    partial = LocalProcessLiveness.model_validate(
        {name: value for name, value in HERE.items() if name != "pid_namespace"}
    )

    assert not partial.is_complete
    assert OpaqueLiveness() == LeaseOwnerIdentity.model_validate({"owner_id": "w", "incarnation_id": "i"}).liveness
