"""Leases of sessions as stored: ``<fence>;<claimed ms>;<owner digest>;<b|s>;<token>`` (``T:slo``), end in ``T:sle``."""

from __future__ import annotations

from lash_core.errors import CorruptRecordError
from lash_core.model.fast_build import fast_build
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.session_lease import SessionExecutionLease
from lash_core.redis_store.lease_codec import attempt_identity, decode_identity


def owner_digest_of(value: str) -> str:
    """The digest of the owner (of its worker's incarnation) in a stored lease."""
    return value.split(";", 3)[2]


def decode_session_lease(
    session_id: str, value: str, expires_at_ms: int, identity: str | None, *, key: str
) -> SessionExecutionLease:
    """The lease behind a stored value. A missing identity (it was swept meanwhile) reads as its digest.

    Raises:
        CorruptRecordError: it cannot be decoded.
    """
    try:
        fence, claimed, digest, letter, token = value.split(";", 4)
        owner = LeaseOwnerIdentity.opaque(digest, digest) if identity is None else decode_identity(identity)
        if letter == "b":
            owner = attempt_identity(owner, token)
        return build_session_lease(session_id, owner, token, int(fence), (int(claimed), expires_at_ms))
    except ValueError as error:
        raise CorruptRecordError(f"{key} has an unreadable lease {value[:80]!r}", key=key) from error


def build_session_lease(
    session_id: str, owner: LeaseOwnerIdentity, token: str, fence: int, times: tuple[int, int]
) -> SessionExecutionLease:
    """A lease from its parts, unchecked; ``times``: claimed and expires, in ms."""
    return fast_build(
        SessionExecutionLease,
        {
            "session_id": session_id,
            "owner": owner,
            "lease_token": token,
            "fencing_token": fence,
            "claimed_at_ms": times[0],
            "expires_at_ms": times[1],
        },
    )
