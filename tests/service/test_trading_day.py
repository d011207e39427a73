"""Trading days end once a day at the local time of the config, whatever clocks do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.config.sections import DaySection
from gateway.service.trading_day import next_day_end


def section(zone: str, end: str) -> DaySection:
    return DaySection.model_validate({"zone": zone, "end": end})


NEW_YORK = section("America/New_York", "17:30")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "end", "now", "wanted"),
    [
        ("America/New_York", "17:30", "2026-01-15 12:00", "2026-01-15 22:30"),
        ("America/New_York", "17:30", "2026-07-15 12:00", "2026-07-15 21:30"),
        ("America/New_York", "17:30", "2026-01-15 22:29:59.999999", "2026-01-15 22:30"),
        ("America/New_York", "17:30", "2026-01-15 22:30", "2026-01-16 22:30"),
        ("America/New_York", "17:30", "2026-01-16 03:00", "2026-01-16 22:30"),
        # Clocks go forward on 2026-03-08 and back on 2026-11-01.
        ("America/New_York", "17:30", "2026-03-07 22:30", "2026-03-08 21:30"),
        ("America/New_York", "17:30", "2026-10-31 21:30", "2026-11-01 22:30"),
        ("America/New_York", "02:30", "2026-03-08 06:00", "2026-03-08 07:30"),
        ("America/New_York", "02:30", "2026-03-08 07:30", "2026-03-09 06:30"),
        ("America/New_York", "01:30", "2026-11-01 05:00", "2026-11-01 05:30"),
        ("America/New_York", "01:30", "2026-11-01 05:30", "2026-11-02 06:30"),
        ("America/New_York", "01:30", "2026-11-01 06:15", "2026-11-02 06:30"),
        ("Asia/Tokyo", "06:00", "2026-07-15 20:59", "2026-07-15 21:00"),
        ("Asia/Tokyo", "06:00", "2026-07-15 21:00", "2026-07-16 21:00"),
        # Samoa had no 2011-12-30.
        ("Pacific/Apia", "17:30", "2011-12-30 03:30", "2011-12-31 03:30"),
        ("Pacific/Apia", "17:30", "2011-12-31 03:30", "2012-01-01 03:30"),
        ("UTC", "00:00", "2026-12-31 23:59", "2027-01-01 00:00"),
    ],
)
def test_next_day_end(zone: str, end: str, now: str, wanted: str) -> None:
    found = next_day_end(utc(now), section(zone, end))
    assert found == utc(wanted)
    assert found.tzinfo is UTC


def test_the_zone_of_now_does_not_matter() -> None:
    now = datetime.fromisoformat("2026-07-15T23:00:00+09:00")
    assert next_day_end(now, NEW_YORK) == utc("2026-07-15 21:30")


def test_a_year_has_one_end_a_day() -> None:
    now = utc("2026-01-01 00:00")
    ends = []
    while now < utc("2026-12-31 22:30"):
        now = next_day_end(now, NEW_YORK)
        ends.append(now)
    assert len(ends) == 365
    assert {later - earlier for earlier, later in zip(ends, ends[1:], strict=False)} == {
        timedelta(hours=hours) for hours in (23, 24, 25)
    }


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(TypeError):
        next_day_end(datetime(2026, 7, 15, 12), NEW_YORK)
