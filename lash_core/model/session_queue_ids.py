"""Ids of batches and claims of a session's queue (``docs/contracts/sessions.md`` 1.10; decision 22). Pure."""

from __future__ import annotations

import hashlib

from lash_core.model.canonical_json import canonical_json_bytes


def batch_id_of(session_id: str, *, source_key: str | None = None, nonce: str = "") -> str:
    """``qwb:<64 hex digits>``. Without a nonce it is the same for each try: what a commit puts out under a key."""
    return f"qwb:{_digest('batch', session_id, source_key, nonce)}"


def item_id_of(batch_id: str, index: int) -> str:
    """The id of a payload of a batch."""
    return f"{batch_id}:{index}"


def input_id_of(session_id: str, *, source_key: str | None = None, nonce: str = "") -> str:
    """``ti:<64 hex digits>``: the id of a pending input that brought none."""
    return f"ti:{_digest('input', session_id, source_key, nonce)}"


def queue_claim_id(head_seq: int, fencing_token: int) -> str:
    """``qwc:<sequence of the first row>:<fencing token>``."""
    return f"qwc:{head_seq}:{fencing_token}"


def input_claim_id(head_seq: int, fencing_token: int) -> str:
    """``tic:<sequence of the first row>:<fencing token>``."""
    return f"tic:{head_seq}:{fencing_token}"


def claim_token(session_id: str, claim_id: str, session_lease_token: str, generation: int) -> str:
    """32 hex digits that only the holder of the session's lease can know; the same for the same claim."""
    return _digest("claim", session_id, claim_id, session_lease_token, generation)[:32]


def _digest(*parts: str | int | None) -> str:
    return hashlib.sha256(canonical_json_bytes(list(parts))).hexdigest()
