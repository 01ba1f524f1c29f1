"""Session leases and ids of queues: what two of them have in common, and what is refused (1.9, 1.10)."""

from __future__ import annotations

import pytest

from lash_core.errors import SettingsError
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.session_lease import SessionExecutionLease, SessionLeaseTimings
from lash_core.model.session_queue_ids import batch_id_of, claim_token, queue_claim_id

LEASE = SessionExecutionLease(
    session_id="s",
    owner=LeaseOwnerIdentity.opaque("o", "i"),
    lease_token="t",
    fencing_token=5,
    claimed_at_ms=1,
    expires_at_ms=2,
)


def test_times_are_no_part_of_an_acquisition() -> None:
    """Session, incarnation, token and fence are."""
    assert LEASE.same_acquisition(LEASE.model_copy(update={"expires_at_ms": 9}).fence)
    assert LEASE.fence == LEASE.completion
    others = (
        {"session_id": "x"},
        {"owner": LeaseOwnerIdentity.opaque("o", "j")},
        {"lease_token": "u"},
        {"fencing_token": 6},
    )
    assert [False] * 4 == [LEASE.same_acquisition(LEASE.model_copy(update=change)) for change in others]


def test_three_renewals_fit_in_a_life() -> None:
    """The error names the setting, the value and the limit."""
    assert (30_000, 10_000) == (SessionLeaseTimings().ttl_ms, SessionLeaseTimings().renew_interval_ms)
    assert SessionLeaseTimings(ttl_ms=100, renew_interval_ms=33) == SessionLeaseTimings.from_ttl(100)
    for ttl_ms, renew_ms in ((29, 10), (0, 0), (2, 1), (30_000, 0), (-3, -1)):
        with pytest.raises(SettingsError, match="three times") as refusal:
            SessionLeaseTimings(ttl_ms=ttl_ms, renew_interval_ms=renew_ms)
        assert "ttl_ms" == refusal.value.field
    with pytest.raises(SettingsError):
        SessionLeaseTimings.from_ttl(2)


def test_ids_of_batches_are_the_same_for_the_same_source_key() -> None:
    """Of one session; a nonce makes another."""
    ids = [
        batch_id_of("s", source_key="k"),
        batch_id_of("s", source_key="k", nonce="1"),
        batch_id_of("t", source_key="k"),
        batch_id_of("s", source_key="l"),
        batch_id_of("s", nonce="k"),
    ]

    assert 5 == len(set(ids))
    assert ids[0] == batch_id_of("s", source_key="k")
    assert all(len("qwb:") + 64 == len(one) and one.startswith("qwb:") for one in ids)


def test_a_claims_token_is_its_leases_secret() -> None:
    """The same for the same claim; another lease's is another."""
    claim_id = queue_claim_id(3, 4)

    assert "qwc:3:4" == claim_id
    assert claim_token("s", claim_id, "t", 5) == claim_token("s", claim_id, "t", 5)
    others = {
        claim_token("s", claim_id, "t", 6),
        claim_token("s", claim_id, "u", 5),
        claim_token("r", claim_id, "t", 5),
    }
    assert 3 == len(others - {claim_token("s", claim_id, "t", 5)})
