"""What every live replay store refuses, and how long it remembers a session (``docs/contracts/observation.md`` 3, 4).

Pure. Each refusal names the field: the same event would be refused again, so nobody sends it a second time.
"""

from __future__ import annotations

from lash_core.errors.observation import LiveReplayFailedError
from lash_core.model.session_cursor import U64_MAX, SessionRevision
from lash_core.store.live_replay_store import LiveAppend

EVENT_BYTES_MAX = 1024 * 1024
"""Of one event as JSON: every watching process gets it, and servers cut listeners off that are 8 MB behind."""

FORGOTTEN_KEPT_MS = 24 * 3_600_000
"""How long the tail of a deleted session is remembered: whoever comes back within a day is told of a gap."""


def check_append(append: LiveAppend) -> None:
    """Refuse an append without events, or with a negative number. Raises: LiveReplayFailedError."""
    if not append.payloads or append.generation < 0 or append.dropped < 0:
        raise LiveReplayFailedError(
            f"an append has events, and no negative numbers: {len(append.payloads)} events, generation "
            f"{append.generation}, dropped {append.dropped}",
            field="appends",
        )


def check_event_bytes(size: int) -> None:
    """Refuse an event whose JSON has so many bytes. Raises: LiveReplayFailedError: over ``EVENT_BYTES_MAX``."""
    if size > EVENT_BYTES_MAX:
        raise LiveReplayFailedError(
            f"an event of {size} bytes is over the limit of {EVENT_BYTES_MAX}",
            field="payload",
            value=size,
            limit=EVENT_BYTES_MAX,
        )


def checked_revision(revision: int) -> SessionRevision:
    """The revision of an event. Raises: LiveReplayFailedError: negative, or over 2^64 - 1."""
    if type(revision) is SessionRevision:
        return revision
    try:
        return SessionRevision(revision)
    except ValueError as error:
        raise LiveReplayFailedError(str(error), field="revision", value=revision, limit=U64_MAX) from error
