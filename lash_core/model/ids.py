"""Ids: process, session, signal, batch (DESIGN 3.1), queues and namespaces."""

from __future__ import annotations

import re
import unicodedata

from lash_core.errors import InvalidArgumentError

ID_BYTES_MAX = 200
"""Longest id in bytes of UTF-8."""

REPLAY_KEY_BYTES_MAX = 512
"""Longest replay key in bytes of UTF-8; room for ``process:<200 byte id>:signal.<name>:<200 byte id>``."""

LEASE_TTL_MS_MAX = 7 * 24 * 3_600_000
"""Longest lease, in ms: a week. A dead owner's row would stand still for that long."""

_QUEUE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NAMESPACE = re.compile(r"[a-z0-9-]{1,32}")
_SIGNAL_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
_PLAIN_ID = re.compile(r"[A-Za-z0-9._:/{}@=+,~-]{1,200}")


def check_id(value: object, *, field: str = "process_id", subject: str = "process id") -> str:
    """Return ``value`` when it is a legal id.

    Raises:
        InvalidArgumentError: blank, over 200 bytes, a control character, leading or trailing white space, ``#``.
    """
    if isinstance(value, str) and _PLAIN_ID.fullmatch(value):
        return value
    if not isinstance(value, str) or not value.strip():
        raise InvalidArgumentError(f"{subject} must be a non-empty string", field=field, value=value)
    reason = _id_fault(value)
    if reason is not None:
        raise InvalidArgumentError(f"{subject} {value[:80]!r} {reason}", field=field, value=value, limit=ID_BYTES_MAX)
    return value


def check_projector_name(name: object) -> str:
    """Return ``name`` when it is a legal name of a reader of the change feed: any id. Raises: InvalidArgumentError."""
    return check_id(name, field="name", subject="projector name")


def _id_fault(value: str) -> str | None:
    if "#" in value:
        return "must not contain the reserved segment separator `#`"
    if value != value.strip():
        return "must not start or end with white space"
    if any(unicodedata.category(char) == "Cc" for char in value):
        return "must not contain control characters"
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        return "must be UTF-8 text without lone surrogates"
    if size > ID_BYTES_MAX:
        return f"has {size} bytes; the limit is {ID_BYTES_MAX}"
    return None


def check_queue(value: str, *, field: str = "queue") -> str:
    """Return ``value`` when it is a legal queue name: 1-64 of letters, digits, ``.``, ``_``, ``-``."""
    if not _QUEUE.fullmatch(value):
        raise InvalidArgumentError(
            f"queue {value[:80]!r} must be 1-64 letters, digits, '.', '_' or '-'", field=field, value=value, limit=64
        )
    return value


def check_namespace(value: str, *, field: str = "namespace") -> str:
    """Return ``value`` when it is a legal namespace: 1-32 of lower-case letters, digits, ``-``."""
    if not _NAMESPACE.fullmatch(value):
        raise InvalidArgumentError(
            f"namespace {value[:80]!r} must be 1-32 of a-z, 0-9 and '-'", field=field, value=value, limit=32
        )
    return value


def check_signal_name(value: str, *, field: str = "signal_name") -> str:
    """Return ``value`` when it is a legal signal name: ASCII letters, digits, ``_``, ``-``."""
    if not _SIGNAL_NAME.fullmatch(value):
        raise InvalidArgumentError(
            f"signal name {value[:80]!r} must be non-empty ASCII letters, digits, '_' or '-'", field=field, value=value
        )
    return value


def signal_event_type(name: str) -> str:
    """Event type of a declared signal: ``signal.<name>``."""
    return f"signal.{check_signal_name(name)}"


process_signal_event_type = signal_event_type
"""Under the name of the contract."""


def check_lease_ttl(lease_ttl_ms: int) -> int:
    """Return ``lease_ttl_ms`` when it is 0 to ``LEASE_TTL_MS_MAX``; 0 gives a lease that is expired at once.

    Raises:
        InvalidArgumentError: outside of that.
    """
    if not 0 <= lease_ttl_ms <= LEASE_TTL_MS_MAX:
        raise InvalidArgumentError(
            f"lease_ttl_ms is {lease_ttl_ms}; it must be 0 to {LEASE_TTL_MS_MAX}",
            field="lease_ttl_ms",
            value=lease_ttl_ms,
            limit=LEASE_TTL_MS_MAX,
        )
    return lease_ttl_ms


def check_replay_key(value: str, *, field: str = "replay_key") -> str:
    """Return ``value`` when it fits ``REPLAY_KEY_BYTES_MAX``."""
    size = len(value.encode(errors="surrogatepass"))
    if size > REPLAY_KEY_BYTES_MAX:
        raise InvalidArgumentError(
            f"replay key has {size} bytes; the limit is {REPLAY_KEY_BYTES_MAX}",
            field=field,
            value=value,
            limit=REPLAY_KEY_BYTES_MAX,
        )
    return value
