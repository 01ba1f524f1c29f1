"""Cron and intervals: daylight saving, leap days, missed ticks (docs/contracts/triggers.md 4)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lash_core.errors import InvalidArgumentError, InvalidScheduleError
from lash_core.model.trigger_schedule import CATCH_UP_MAX, TriggerSchedule
from lash_core.runtime.schedule import (
    MACROS,
    check_schedule,
    next_tick,
    ticks_after,
    ticks_between,
    ticks_to_emit,
)

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000


def at(zone: str, *parts: int, fold: int = 0) -> int:
    """The ms of a wall-clock time."""
    year, month, day, hour, minute = (*parts, 0, 0)[:5]
    return int(datetime(year, month, day, hour, minute, tzinfo=ZoneInfo(zone), fold=fold).timestamp() * 1_000)


def texts(schedule: TriggerSchedule, from_ms: int, until_ms: int) -> list[str]:
    """Ticks of a span as the wall clock of the schedule shows them, with their offset in hours."""
    shown: list[str] = []
    for tick in ticks_between(schedule, from_ms, until_ms):
        moment = datetime.fromtimestamp(tick / 1_000, ZoneInfo(schedule.timezone))
        offset = moment.utcoffset() or timedelta()
        shown.append(f"{moment:%d %H:%M} {offset.total_seconds() / 3_600:+g}")
    return shown


# The clock goes from 2 to 3 on the spring day, and from 3 back to 2 (Berlin) or from 2 back to 1 (New York) in autumn.
SPRING = {BERLIN: (2026, 3, 29), NEW_YORK: (2026, 3, 8)}
AUTUMN = {BERLIN: (2026, 10, 25), NEW_YORK: (2026, 11, 1)}


def day(zone: str, cron: str, date: tuple[int, int, int]) -> list[str]:
    """The ticks of one local day."""
    start = at(zone, *date)
    following = datetime(*date, tzinfo=UTC) + timedelta(days=1)
    end = at(zone, following.year, following.month, following.day)
    return texts(TriggerSchedule(cron=cron, timezone=zone), start, end)


@pytest.mark.parametrize(
    ("zone", "cron", "expected"),
    [
        (BERLIN, "30 2 * * *", ["29 03:00 +2"]),
        (BERLIN, "0,15,30,45 2 * * *", ["29 03:00 +2"]),
        (BERLIN, "*/15 2 * * *", ["29 03:00 +2"]),
        (BERLIN, "30 2,3 * * *", ["29 03:00 +2", "29 03:30 +2"]),
        (BERLIN, "0 2,3 * * *", ["29 03:00 +2"]),
        (BERLIN, "0 */6 * * *", ["29 00:00 +1", "29 06:00 +2", "29 12:00 +2", "29 18:00 +2"]),
        (NEW_YORK, "30 2 * * *", ["08 03:00 -4"]),
        (NEW_YORK, "0 3 * * *", ["08 03:00 -4"]),
    ],
)
def test_a_skipped_time_ticks_once_at_the_end_of_the_gap(zone: str, cron: str, expected: list[str]) -> None:
    """However many times of the day fall into the gap, and also when another one is at its end."""
    assert expected == day(zone, cron, SPRING[zone])


@pytest.mark.parametrize(
    ("zone", "cron", "expected"),
    [
        (BERLIN, "30 2 * * *", ["25 02:30 +2"]),
        (BERLIN, "0,30 2 * * *", ["25 02:00 +2", "25 02:30 +2"]),
        (BERLIN, "*/30 2 * * *", ["25 02:00 +2", "25 02:30 +2"]),
        (BERLIN, "0 3 * * *", ["25 03:00 +1"]),
        (NEW_YORK, "30 1 * * *", ["01 01:30 -4"]),
        (NEW_YORK, "0 */12 * * *", ["01 00:00 -4", "01 12:00 -5"]),
    ],
)
def test_a_repeated_time_ticks_at_its_first_pass(zone: str, cron: str, expected: list[str]) -> None:
    """Once."""
    assert expected == day(zone, cron, AUTUMN[zone])


@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK])
@pytest.mark.parametrize("cron", ["0 * * * *", "@hourly", "0 0-23 * * *", "0 */1 * * *"])
def test_every_hour_is_every_hour_that_happens(zone: str, cron: str) -> None:
    """23 of them in spring and 25 in autumn, one hour apart."""
    for date, count in ((SPRING[zone], 23), (AUTUMN[zone], 25)):
        assert count == len(day(zone, cron, date)), date
    start = at(zone, *AUTUMN[zone])
    found = ticks_between(TriggerSchedule(cron=cron, timezone=zone), start, start + 30 * HOUR_MS)
    assert {HOUR_MS} == {after - before for before, after in pairwise(found)}


def test_asked_from_within_the_second_pass_no_tick_comes_again() -> None:
    """2:10 for the second time: the tick of 2:30 was in the first pass."""
    asked = at(BERLIN, 2026, 10, 25, 2, 10, fold=1)

    assert at(BERLIN, 2026, 10, 26, 2, 30) == next_tick(TriggerSchedule(cron="30 2 * * *", timezone=BERLIN), asked)


def test_a_zone_that_skips_a_day() -> None:
    """Samoa had no 30 December 2011: the noon of it is the midnight after it."""
    schedule = TriggerSchedule(cron="0 12 * * *", timezone="Pacific/Apia")

    shown = texts(schedule, at("Pacific/Apia", 2011, 12, 29), at("Pacific/Apia", 2012, 1, 1))

    assert ["29 12:00 -10", "31 00:00 +14", "31 12:00 +14"] == shown


def test_leap_days() -> None:
    """29 February comes in leap years; 2100 is none."""
    schedule = TriggerSchedule(cron="0 6 29 2 *")
    found = ticks_between(schedule, at("UTC", 2024, 1, 1), at("UTC", 2041, 1, 1))
    years = [datetime.fromtimestamp(tick / 1_000, UTC).year for tick in found]

    assert [2024, 2028, 2032, 2036, 2040] == years
    assert at("UTC", 2104, 2, 29, 6) == next_tick(schedule, at("UTC", 2096, 3, 1))


def test_the_last_day_of_a_month() -> None:
    """``L`` knows February."""
    schedule = TriggerSchedule(cron="0 0 L * *", timezone=BERLIN)

    shown = texts(schedule, at(BERLIN, 2028, 1, 1), at(BERLIN, 2028, 5, 1))

    assert ["31 00:00 +1", "29 00:00 +1", "31 00:00 +2", "30 00:00 +2"] == shown


def test_names_for_common_schedules() -> None:
    """Each is a cron that can tick."""
    for name in MACROS:
        assert next_tick(check_schedule(TriggerSchedule(cron=name)), 0) is not None


@pytest.mark.parametrize(
    ("schedule", "field"),
    [
        (TriggerSchedule(cron="0 3 * *"), "cron"),
        (TriggerSchedule(cron="0 0 3 * * *"), "cron"),
        (TriggerSchedule(cron="0 24 * * *"), "cron"),
        (TriggerSchedule(cron="@fortnightly"), "cron"),
        (TriggerSchedule(cron=""), "cron"),
        (TriggerSchedule(cron="0 0 31 4 *"), "cron"),
        (TriggerSchedule(cron="0 3 * * *", timezone="CET+1"), "timezone"),
        (TriggerSchedule(cron="0 3 * * *", timezone="../etc/passwd"), "timezone"),
        (TriggerSchedule(cron="0 3 * * *", timezone=""), "timezone"),
        (TriggerSchedule(interval_ms=999), "interval_ms"),
        (TriggerSchedule(interval_ms=60_000, missed_within_ms=-1), "missed_within_ms"),
        (TriggerSchedule(interval_ms=60_000, anchor_ms=-1), "anchor_ms"),
    ],
)
def test_what_cannot_tick_is_refused(schedule: TriggerSchedule, field: str) -> None:
    """Naming the field."""
    with pytest.raises(InvalidArgumentError) as caught:
        check_schedule(schedule)

    assert field == caught.value.field
    if field in ("timezone",):
        assert isinstance(caught.value, InvalidScheduleError)


def test_intervals_are_aligned_to_their_anchor() -> None:
    """To the epoch unless told otherwise, so every worker finds the same ticks."""
    assert 600_000 == next_tick(TriggerSchedule(interval_ms=600_000), 1)
    assert 1_200_000 == next_tick(TriggerSchedule(interval_ms=600_000), 600_000)
    anchored = TriggerSchedule(interval_ms=600_000, anchor_ms=90_000)
    assert [90_000, 690_000] == list(ticks_between(anchored, 0, 700_000))
    assert 90_000 == next_tick(TriggerSchedule(interval_ms=600_000, anchor_ms=690_000), 0)


def test_a_schedule_ends_with_the_calendar() -> None:
    """No error, no tick."""
    assert next_tick(TriggerSchedule(cron="0 0 1 1 *"), 2**53) is None
    assert next_tick(TriggerSchedule(interval_ms=60_000), 2**53) is None


class TestMissedTicks:
    """What is emitted when nobody was there in time."""

    NOON = at("UTC", 2026, 6, 1, 12, 0)

    def test_skip_emits_the_newest(self) -> None:
        """One run stands for all that were missed."""
        schedule = TriggerSchedule(cron="*/10 * * * *")
        due = self.NOON - 3 * HOUR_MS

        assert (self.NOON,) == ticks_to_emit(schedule, due, self.NOON + 5 * MINUTE_MS)

    def test_skip_drops_what_is_too_late(self) -> None:
        """A nightly tick that is 30 hours old is not run any more; one that is 9 hours old is."""
        nightly = TriggerSchedule(cron="0 3 * * *", missed_within_ms=DAY_MS // 2)
        due = at("UTC", 2026, 5, 20, 3)

        assert () == ticks_to_emit(nightly, due, at("UTC", 2026, 6, 1, 18))
        assert (at("UTC", 2026, 6, 1, 3),) == ticks_to_emit(nightly, due, self.NOON)

    def test_all_emits_each_in_order(self) -> None:
        """From the one that was due, oldest first, within the bound of lateness."""
        schedule = TriggerSchedule(cron="0 * * * *", missed="all", missed_within_ms=4 * HOUR_MS)

        assert tuple(self.NOON - n * HOUR_MS for n in (2, 1, 0)) == ticks_to_emit(
            schedule, self.NOON - 2 * HOUR_MS, self.NOON
        )
        assert tuple(self.NOON - n * HOUR_MS for n in (4, 3, 2, 1, 0)) == ticks_to_emit(
            schedule, self.NOON - 9 * HOUR_MS, self.NOON
        )

    def test_all_is_bounded(self) -> None:
        """The newest thousand."""
        schedule = TriggerSchedule(cron="* * * * *", missed="all", missed_within_ms=31 * DAY_MS)

        found = ticks_to_emit(schedule, self.NOON - 30 * DAY_MS, self.NOON)

        assert CATCH_UP_MAX == len(found)
        assert (self.NOON - (CATCH_UP_MAX - 1) * MINUTE_MS, self.NOON) == (found[0], found[-1])

    def test_a_tick_in_time_is_emitted_by_both(self) -> None:
        """Also with no tolerance but a moment's."""
        for missed in ("skip", "all"):
            schedule = TriggerSchedule(cron="0 12 * * *", missed=missed, missed_within_ms=1_000)
            assert (self.NOON,) == ticks_to_emit(schedule, self.NOON, self.NOON + 40)


CRONS = st.sampled_from(["30 2 * * *", "*/7 1-3 * * *", "0 * * * *", "15,45 */2 * * *", "5 0 1 * *", "0 2 * * SUN"])
ZONES = st.sampled_from([BERLIN, NEW_YORK, "Australia/Lord_Howe", "Asia/Kolkata", "America/Havana", "UTC"])


@settings(max_examples=150, deadline=None)
@given(cron=CRONS, zone=ZONES, start_s=st.integers(1_577_836_800, 1_893_456_000))
def test_ticks_do_not_depend_on_where_one_asks(cron: str, zone: str, start_s: int) -> None:
    """Rising, without repeats, and the same whether asked one by one or from an earlier time: workers agree."""
    schedule = TriggerSchedule(cron=cron, timezone=zone)
    start_ms = start_s * 1_000
    stream = ticks_after(schedule, start_ms)
    together = [next(stream) for _ in range(12)]
    alone: list[int] = []
    asked: int | None = start_ms
    for _ in range(12):
        asked = next_tick(schedule, asked or 0)
        alone.append(asked or 0)

    assert together == alone
    assert together == sorted(set(together))
    earlier = [tick for tick in ticks_between(schedule, start_ms - 40 * HOUR_MS, together[-1] + 1) if tick > start_ms]
    assert together == earlier


@settings(max_examples=60, deadline=None)
@given(zone=ZONES, hour=st.integers(0, 23), minute=st.integers(0, 59), year=st.integers(2020, 2030))
def test_a_time_of_the_day_ticks_once_on_each_day(zone: str, hour: int, minute: int, year: int) -> None:
    """365 or 366 ticks a year, whatever the clock does."""
    schedule = TriggerSchedule(cron=f"{minute} {hour} * * *", timezone=zone)

    found = ticks_between(schedule, at(zone, year, 1, 1), at(zone, year + 1, 1, 1))

    days = [datetime.fromtimestamp(tick / 1_000, ZoneInfo(zone)).date() for tick in found]
    assert (datetime(year + 1, 1, 1, tzinfo=UTC) - datetime(year, 1, 1, tzinfo=UTC)).days == len(days)
    assert len(days) == len(set(days))
