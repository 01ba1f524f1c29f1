"""When a schedule ticks: cron in a time zone, or an interval (``docs/contracts/triggers.md`` 4). No clock, no store.

Daylight saving: an expression that names hours means times of the day on the wall clock, each once. A time that the
clock skips ticks at the first instant after the gap, once however many times fall into it; one that the clock repeats
ticks at its first pass. An expression for every hour means the flow of time: it ticks in each hour that happens, so a
skipped hour has no ticks and a repeated one has them twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from lash_core.errors import InvalidArgumentError, InvalidScheduleError
from lash_core.model.trigger_schedule import CATCH_UP_MAX, TriggerSchedule

MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

_CRON_FIELDS = 5
_ALL_HOURS = set(range(24))
_FIRST_SPAN_MS = 60_000

_LAST_MS = int(datetime(9000, 1, 1, tzinfo=UTC).timestamp() * 1_000)


def check_schedule(schedule: TriggerSchedule) -> TriggerSchedule:
    """Return ``schedule`` when it can tick.

    Raises:
        InvalidScheduleError: the cron expression or the time zone is wrong, or no time ever matches.
        InvalidArgumentError: another field.
    """
    schedule.validated()
    zone = time_zone(schedule.timezone)
    if schedule.cron is not None:
        _check_cron(schedule.cron)
        if next(_cron_ticks(schedule.cron, zone, datetime(2000, 1, 1, tzinfo=UTC)), None) is None:
            raise _bad_cron(schedule.cron, "no date ever matches")
    return schedule


def next_tick(schedule: TriggerSchedule, after_ms: int) -> int | None:
    """The first tick after ``after_ms`` (ms since the epoch), or None when there is none any more.

    Raises:
        InvalidScheduleError: the schedule cannot be read on this machine.
    """
    return next(ticks_after(schedule, after_ms), None)


def ticks_after(schedule: TriggerSchedule, after_ms: int) -> Iterator[int]:
    """All ticks after ``after_ms``, rising, without end for an interval."""
    if after_ms >= _LAST_MS:
        return
    if schedule.cron is None:
        interval = schedule.interval_ms or 1
        tick = schedule.anchor_ms + ((after_ms - schedule.anchor_ms) // interval + 1) * interval
        while tick < _LAST_MS:
            yield tick
            tick += interval
        return
    moment = datetime.fromtimestamp(after_ms // 1_000, UTC)
    for tick in _cron_ticks(schedule.cron, time_zone(schedule.timezone), moment):
        yield int(tick.timestamp()) * 1_000


def ticks_between(schedule: TriggerSchedule, from_ms: int, until_ms: int, limit: int | None = None) -> tuple[int, ...]:
    """Ticks with ``from_ms <= tick < until_ms``, at most ``limit``, oldest first."""
    found: list[int] = []
    for tick in ticks_after(schedule, from_ms - 1):
        if tick >= until_ms or len(found) == limit:
            break
        found.append(tick)
    return tuple(found)


def ticks_to_emit(schedule: TriggerSchedule, due_ms: int, now_ms: int) -> tuple[int, ...]:
    """What is to be emitted now of the ticks from ``due_ms`` to ``now_ms``, oldest first.

    With ``skip`` the newest one, with ``all`` the newest ``CATCH_UP_MAX``; never one that is later than
    ``missed_within_ms``. Empty when all are too late.

    Args:
        schedule: the schedule.
        due_ms: the next tick that the store had; it is a tick.
        now_ms: the store's time.
    """
    oldest_ms = max(due_ms, now_ms - schedule.missed_within_ms)
    count = 1 if schedule.missed == "skip" else CATCH_UP_MAX
    # From now backwards in a window that doubles: a minute's schedule after a week costs what is emitted, not a week.
    span_ms = _FIRST_SPAN_MS
    while True:
        from_ms = max(oldest_ms, now_ms - span_ms)
        found = ticks_between(schedule, from_ms, now_ms + 1)
        if len(found) >= count or from_ms == oldest_ms:
            return found[-count:]
        span_ms *= 2


@lru_cache(maxsize=256)
def time_zone(name: str) -> tzinfo:
    """The time zone of that IANA name. Raises: InvalidScheduleError."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidScheduleError(
            f"time zone {name[:80]!r} is unknown; write an IANA name such as Europe/Berlin",
            field="timezone",
            value=name,
        ) from error


def _check_cron(cron: str) -> None:
    if cron.startswith("@") and cron not in MACROS:
        raise _bad_cron(cron, f"of the names starting with @ there are {', '.join(MACROS)}")
    fields = _fields(cron)
    if len(fields) != _CRON_FIELDS:
        raise _bad_cron(
            cron, "it must have five fields: minute, hour, day of month, month, day of week (seconds: use an interval)"
        )
    try:
        CronSim(" ".join(fields), datetime(2000, 1, 1))  # noqa: DTZ001 - wall-clock time, on purpose
    except CronSimError as error:
        raise _bad_cron(cron, str(error)) from error


def _bad_cron(cron: str, reason: str) -> InvalidScheduleError:
    return InvalidScheduleError(f"cron {cron[:80]!r}: {reason}", field="cron", value=cron)


def _fields(cron: str) -> list[str]:
    return MACROS.get(cron, cron).split()


def _cron_ticks(cron: str, zone: tzinfo, after: datetime) -> Iterator[datetime]:
    """Ticks after ``after``, as UTC, rising."""
    fields = _fields(cron)
    text = " ".join(fields)
    start = after.astimezone(zone)
    try:
        every_hour = _every_hour(text)
        # CronSim applies rules of its own to a time with a zone; what is asked of it here it answers plainly: every
        # hour with `*`, times of the day without a zone.
        if every_hour:
            text = " ".join([fields[0], "*", *fields[2:]])
            source = CronSim(text, start)
        else:
            source = CronSim(text, start.replace(tzinfo=None))
        last = after
        for found in source:
            tick = found.astimezone(UTC) if every_hour else _instant(found, zone)
            if tick > last:
                yield tick
                last = tick
    except (CronSimError, InvalidArgumentError) as error:
        raise _bad_cron(cron, str(error)) from error
    except OverflowError:
        # The calendar ends with the year 9999.
        return


@lru_cache(maxsize=1_024)
def _every_hour(text: str) -> bool:
    return CronSim(text, datetime(2000, 1, 1)).hours == _ALL_HOURS  # noqa: DTZ001 - wall-clock time, on purpose


def _instant(wall: datetime, zone: tzinfo) -> datetime:
    """The instant of a wall-clock time: its first pass, or the end of the gap that it falls into."""
    instant = wall.replace(tzinfo=zone).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == wall:
        return instant
    late = instant
    early = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    # Between the two readings of a time that does not exist lies the second in which the clock moved.
    offset = early.astimezone(zone).utcoffset()
    while late - early > timedelta(seconds=1):
        middle = early + timedelta(seconds=int((late - early).total_seconds()) // 2)
        if middle.astimezone(zone).utcoffset() == offset:
            early = middle
        else:
            late = middle
    return late
