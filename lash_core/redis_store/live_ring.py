"""The ring of a session's newest events as it is stored (``docs/contracts/observation.md`` 4; docs/adr/0215). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from lash_core.errors import CorruptRecordError
from lash_core.model.session_cursor import U64_MAX
from lash_core.model.session_observation import LiveReplayGapReason
from lash_core.redis_store.commands import Command
from lash_core.redis_store.keys import PartitionKeys

LIVE_EPOCH: Final = 2**20
"""Positions skipped after a failover: more than any ring has, so a position is never given twice."""

MARK: Final = "\n"
"""The field of the hash of tails that has the replication id; no session id has a line break."""

GONE: Final = "gone"
"""What watchers hear when the session is deleted."""

_FIELDS: Final = 11


@dataclass(frozen=True, slots=True)
class LiveTail:
    """What is known of a session's ring: its record, or where a ring without a record would begin.

    Attributes:
        known: there is a record.
        tail: position of the last event, 0 = none.
        first: position of the first kept event, ``tail + 1`` = none is kept.
        commit_revision: of the last ``committed``, 0 = none.
        commit_position: of the same.
    """

    known: bool
    tail: int
    first: int
    commit_revision: int = 0
    commit_position: int = 0

    def gap_after(self, position: int) -> LiveReplayGapReason | None:
        """Why the events behind a position are not all kept; None = they are.

        A ring that nobody wrote to has nothing behind the position that ``current_cursor`` gives for it, nor behind 0.
        """
        if not self.known:
            return None if position in (0, self.tail) else LiveReplayGapReason.UNAVAILABLE
        if position > self.tail:
            return LiveReplayGapReason.UNAVAILABLE
        return LiveReplayGapReason.TRIMMED if position + 1 < self.first else None


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as it is stored or published; ``at_ms`` by the server's clock."""

    position: int
    revision: int
    at_ms: int
    payload: str


def live_ring_keys(keys: PartitionKeys, session_id: str) -> tuple[str, str, str, str]:
    """Ring, tails, idle rings, channel: the first keys of every script about one ring."""
    return (keys.live_ring(session_id), keys.live_tails, keys.live_idle, keys.live_channel(session_id))


def tail_command(keys: PartitionKeys, session_ids: Sequence[str]) -> Command:
    """Reads the records of sessions of one partition, and the mark behind them."""
    return Command(keys.live_tails, ("HMGET", keys.live_tails, *session_ids, MARK))


def entries_command(keys: PartitionKeys, session_id: str, first: int, last: int | str, count: int) -> Command:
    """Reads at most ``count`` events from ``first`` to ``last`` (``+`` = the end)."""
    ring = keys.live_ring(session_id)
    return Command(ring, ("XRANGE", ring, str(min(first, U64_MAX)), str(last), "COUNT", count))


def decode_tails(reply: Sequence[str | None], *, key: str) -> list[LiveTail]:
    """The reply of ``tail_command``, without the mark.

    Raises:
        CorruptRecordError: a record is none.
    """
    mark = reply[-1]
    try:
        start = 0 if mark is None else int(mark.partition(";")[2]) * LIVE_EPOCH
        return [_decode_tail(text, start) for text in reply[:-1]]
    except (ValueError, IndexError) as error:
        raise CorruptRecordError(f"{key} has an unreadable record of a ring: {error}", key=key) from error


def _decode_tail(text: str | None, start: int) -> LiveTail:
    if text is None:
        return LiveTail(known=False, tail=start, first=start + 1)
    numbers = [int(number) for number in text.split(";")]
    if len(numbers) != _FIELDS:
        raise ValueError(f"{len(numbers)} fields")
    return LiveTail(
        known=True, tail=numbers[0], first=numbers[1], commit_revision=numbers[7], commit_position=numbers[8]
    )


def decode_entries(reply: Sequence[Any], *, key: str) -> list[StoredEvent]:
    """The reply of ``entries_command``.

    Raises:
        CorruptRecordError: an entry is none.
    """
    found: list[StoredEvent] = []
    try:
        for entry_id, fields in reply:
            facts = dict(zip(fields[::2], fields[1::2], strict=True))
            position = int(entry_id.partition("-")[0])
            found.append(StoredEvent(position, int(facts["r"]), int(facts["m"]), facts["p"]))
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptRecordError(f"{key} has an unreadable event: {error!r}", key=key) from error
    return found


def decode_message(message: str) -> list[StoredEvent]:
    """The events of a message of the channel (``tell_live`` in ``lua/includes/live_ring.lua``).

    Raises:
        CorruptRecordError: it is no such message.
    """
    head, *payloads = message.split("\n")
    try:
        _, first, revision, at_ms = head.split(";")
        return [
            StoredEvent(int(first) + number, int(revision), int(at_ms), payload)
            for number, payload in enumerate(payloads)
        ]
    except ValueError as error:
        raise CorruptRecordError(f"unreadable message of a session's events: {head[:80]!r}") from error
