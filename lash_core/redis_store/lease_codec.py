"""Leases as stored: ``<fence>;<claimed ms>;<owner digest>;<b|s>;<queue>;<token>`` (``T:own``), expiry in ``T:lse``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

from pydantic import ValidationError

from lash_core.errors import CorruptRecordError
from lash_core.model.canonical_json import canonical_json
from lash_core.model.fast_build import fast_build
from lash_core.model.lease import LEASE_SCHEMA_VERSION, ProcessLease
from lash_core.model.owner import LeaseOwnerIdentity


@dataclass(frozen=True, slots=True)
class StoredLease:
    """One entry of ``T:own``. ``batch``: the attempt's incarnation is ``<identity's incarnation>:<token>``."""

    fence: int
    claimed_at_ms: int
    owner_digest: str
    batch: bool
    queue: str
    token: str


def parse_own(value: str, *, key: str) -> StoredLease:
    """Decode an entry of ``T:own``. Raises: CorruptRecordError."""
    try:
        fence, claimed, digest, letter, queue, token = value.split(";", 5)
        return StoredLease(int(fence), int(claimed), digest, letter == "b", queue, token)
    except ValueError as error:
        raise CorruptRecordError(f"{key} has an unreadable lease {value[:80]!r}", key=key) from error


def owner_digest(owner: LeaseOwnerIdentity) -> str:
    """16 hex of SHA-256 over ``[owner_id, incarnation_id]``: the short name of an incarnation."""
    return _digest(owner.owner_id, owner.incarnation_id)


@lru_cache(maxsize=4_096)
def _digest(owner_id: str, incarnation_id: str) -> str:
    return hashlib.sha256(canonical_json([owner_id, incarnation_id]).encode()).hexdigest()[:16]


def attempt_of(owner: LeaseOwnerIdentity) -> tuple[str, str]:
    """(digest of the worker incarnation, token) when ``owner`` names an attempt of a batch claim, else two blanks."""
    base, separator, token = owner.incarnation_id.rpartition(":")
    if not separator or not base or not token:
        return "", ""
    return _digest(owner.owner_id, base), token


def holder_digest(lease: ProcessLease) -> str:
    """The digest of a lease's owner in ``T:own``: of the worker incarnation for an attempt of a batch."""
    owner = lease.owner
    suffix = f":{lease.lease_token}"
    if owner.incarnation_id.endswith(suffix):
        return _digest(owner.owner_id, owner.incarnation_id[: -len(suffix)])
    return _digest(owner.owner_id, owner.incarnation_id)


def fence_argument(lease: ProcessLease) -> str:
    """What scripts compare beside the token: ``<fence>;<owner digest>``."""
    return f"{lease.fencing_token};{holder_digest(lease)}"


def encode_identity(owner: LeaseOwnerIdentity) -> str:
    """The identity as stored in ``T:ow``."""
    return canonical_json(owner.to_json_value())


@lru_cache(maxsize=4_096)
def decode_identity(text: str) -> LeaseOwnerIdentity:
    """The identity behind an entry of ``T:ow``. Raises: CorruptRecordError."""
    try:
        return LeaseOwnerIdentity.model_validate_json(text)
    except ValidationError as error:
        raise CorruptRecordError(f"an owner identity cannot be decoded: {text[:200]!r}") from error


def decode_lease(
    process_id: str, stored: StoredLease, expires_at_ms: int, identity: str | None, fenced_writes: int = 0
) -> ProcessLease:
    """The lease of an entry. A missing identity (it was swept while the entry was read) reads as its digest."""
    if identity is None:
        owner = LeaseOwnerIdentity.opaque(stored.owner_digest, stored.owner_digest)
    else:
        owner = decode_identity(identity)
    if stored.batch:
        owner = attempt_identity(owner, stored.token)
    return build_lease(process_id, owner, stored, expires_at_ms, fenced_writes)


def attempt_identity(owner: LeaseOwnerIdentity, token: str) -> LeaseOwnerIdentity:
    """The identity of one attempt: the worker's, with the incarnation ``<worker incarnation>:<token>``."""
    return fast_build(
        LeaseOwnerIdentity,
        {"owner_id": owner.owner_id, "incarnation_id": f"{owner.incarnation_id}:{token}", "liveness": owner.liveness},
    )


def build_lease(
    process_id: str, owner: LeaseOwnerIdentity, stored: StoredLease, expires_at_ms: int, fenced_writes: int
) -> ProcessLease:
    """A lease from its parts, unchecked."""
    return fast_build(
        ProcessLease,
        {
            "schema_version": LEASE_SCHEMA_VERSION,
            "process_id": process_id,
            "owner": owner,
            "lease_token": stored.token,
            "fencing_token": stored.fence,
            "claimed_at_epoch_ms": stored.claimed_at_ms,
            "expires_at_epoch_ms": expires_at_ms,
            "queue": stored.queue,
            "fenced_writes": fenced_writes,
        },
    )
