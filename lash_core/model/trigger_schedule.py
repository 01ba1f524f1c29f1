"""When a schedule is due, as it is stored; the arithmetic is in ``lash_core.runtime.schedule``. Pure."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field

from lash_core.errors import InvalidArgumentError
from lash_core.model.base import Model

SCHEDULE_SOURCE_TYPE = "schedule"
"""Source type of ticks. Only schedules and their backfill emit it; the source key is the subscription's id."""

INTERVAL_MS_MIN = 1_000
"""Shortest interval, in ms: a tick costs three round trips, and a process every second is what a loop is for."""
INTERVAL_MS_MAX = 366 * 24 * 3_600_000
"""Longest interval, in ms: a year."""

MISSED_WITHIN_MS_DEFAULT = 24 * 3_600_000
"""A nightly job that was missed runs when the fleet is back in the morning, and not when it is back next week."""
MISSED_WITHIN_MS_MAX = 31 * 24 * 3_600_000

CATCH_UP_MAX = 1_000
"""Ticks that one catch-up emits at most, the newest: a minute's schedule after a night, not after a year."""

CRON_BYTES_MAX = 256

MissedPolicy = Literal["skip", "all"]


class TriggerSchedule(Model):
    """A cron expression or an interval.

    Attributes:
        cron: five fields, or ``@hourly``, ``@daily``, ``@weekly``, ``@monthly``, ``@yearly``.
        interval_ms: a tick at each ``anchor_ms + n * interval_ms``.
        timezone: IANA name in which the cron fields are read.
        anchor_ms: an epoch time that is a tick; ms since 1970, so intervals of a day tick at midnight UTC.
        missed: ``skip``: of the ticks that nobody emitted in time only the newest is; ``all``: each, oldest first.
        missed_within_ms: ticks that are later than this are dropped.
    """

    cron: str | None = None
    interval_ms: int | None = None
    timezone: str = "UTC"
    anchor_ms: int = 0
    missed: MissedPolicy = "skip"
    missed_within_ms: int = Field(default=MISSED_WITHIN_MS_DEFAULT)

    def validated(self) -> Self:
        """Return self when exactly one of cron and interval is given and all numbers are in their bounds.

        The expression and the zone themselves are checked by ``lash_core.runtime.schedule.check_schedule``.

        Raises:
            InvalidArgumentError: naming field, value and limit.
        """
        if (self.cron is None) == (self.interval_ms is None):
            raise InvalidArgumentError("a schedule has either cron or interval_ms", field="cron", value=self.cron)
        if self.cron is not None and len(self.cron.encode(errors="surrogatepass")) > CRON_BYTES_MAX:
            raise InvalidArgumentError(
                f"cron has over {CRON_BYTES_MAX} bytes", field="cron", value=self.cron, limit=CRON_BYTES_MAX
            )
        if self.interval_ms is not None:
            _check_range("interval_ms", self.interval_ms, INTERVAL_MS_MIN, INTERVAL_MS_MAX)
        _check_range("anchor_ms", self.anchor_ms, 0, 2**53)
        _check_range("missed_within_ms", self.missed_within_ms, 0, MISSED_WITHIN_MS_MAX)
        return self

    def same_ticks(self, other: TriggerSchedule | None) -> bool:
        """True when both tick at the same times; what happens to missed ticks may differ."""
        return other is not None and (self.cron, self.interval_ms, self.timezone, self.anchor_ms) == (
            other.cron,
            other.interval_ms,
            other.timezone,
            other.anchor_ms,
        )

    def __str__(self) -> str:
        if self.cron is not None:
            return f"{self.cron} ({self.timezone})"
        return f"every {duration_text(self.interval_ms or 0)}"


def duration_text(ms: int) -> str:
    """``90s``, ``10m``, ``12h``, ``7d``: the largest unit that divides it."""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)):
        if ms and ms % size == 0:
            return f"{ms // size}{unit}"
    return f"{ms}ms"


def _check_range(field: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise InvalidArgumentError(
            f"{field} is {value}; it must be {low} to {high}", field=field, value=value, limit=high
        )
