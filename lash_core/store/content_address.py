"""Content addresses: ``<family>:sha256:<hex>``. Bytes that do not hash to their address are refused both ways."""

from __future__ import annotations

import hashlib
import re

from lash_core.errors import CorruptRecordError, InvalidArgumentError, InvalidCursorError, LimitExceededError

_DIGEST = re.compile(r"[0-9a-f]{64}")


def content_ref(family: str, data: bytes) -> str:
    """The address of ``data`` in a family."""
    return f"{family}:sha256:{hashlib.sha256(data).hexdigest()}"


def digest_of(ref: str, family: str, *, field: str = "ref") -> str:
    """The hex digest in an address of that family.

    Raises:
        InvalidArgumentError: not such an address.
    """
    prefix, digest = f"{family}:sha256:", ref.rpartition(":")[2]
    if not ref.startswith(prefix) or len(ref) != len(prefix) + 64 or not _DIGEST.fullmatch(digest):
        raise InvalidArgumentError(f"{field} {ref[:120]!r} must be `{prefix}<64 hex digits>`", field=field, value=ref)
    return digest


def check_content(ref: str, family: str, data: bytes, *, size_max: int, field: str = "ref") -> str:
    """Check what is about to be stored and return its digest.

    Raises:
        InvalidArgumentError: the address is malformed or is not the data's.
        LimitExceededError: the data is over ``size_max`` bytes.
    """
    digest = digest_of(ref, family, field=field)
    if len(data) > size_max:
        raise LimitExceededError(
            f"{family} has {len(data)} bytes; the limit is {size_max}", field=field, value=len(data), limit=size_max
        )
    if hashlib.sha256(data).hexdigest() != digest:
        raise InvalidArgumentError(f"{field} {ref!r} is not the address of its bytes", field=field, value=ref)
    return digest


def is_content(data: bytes, digest: str) -> bool:
    """True when ``data`` hashes to ``digest``."""
    return hashlib.sha256(data).hexdigest() == digest


def corrupt_content(key: str) -> CorruptRecordError:
    """Stored bytes that do not hash to their address."""
    return CorruptRecordError(f"the bytes at {key} do not hash to their address", key=key)


def digest_after(cursor: str | None) -> str:
    """The digest that a page of digests starts behind; empty for the first page.

    Raises:
        InvalidCursorError: not a digest.
    """
    if cursor is None:
        return ""
    if not _DIGEST.fullmatch(cursor):
        raise InvalidCursorError(f"{cursor[:80]!r} is no cursor of this listing", field="cursor", value=cursor)
    return cursor
