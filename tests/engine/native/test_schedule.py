"""When a session is to be logged on, and how the wall clock may jump."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from gateway.config.sections import ScheduleSection
from gateway.engine.native import schedule as module
from gateway.engine.native.schedule import Schedule, begun

NEW_YORK = "America/New_York"
DAY = {"zone": NEW_YORK, "start": "07:00", "end": "17:30"}
NIGHT = {"zone": "UTC", "start": "22:00", "end": "06:00"}
WEEK = {"zone": NEW_YORK, "start": "sun 17:00", "end": "fri 17:00"}
ALWAYS = {"zone": "UTC", "start": "17:00", "end": "17:00"}
WEEKDAYS = ["mon", "tue", "wed", "thu", "fri"]


def section(**keys: object) -> ScheduleSection:
    return ScheduleSection.model_validate(keys)


@pytest.mark.parametrize(
    ("keys", "now", "want"),
    [
        (DAY, "2026-07-13 10:59", None),  # New York is four hours behind
        (DAY, "2026-07-13 11:00", "2026-07-13 11:00"),
        (DAY, "2026-07-13 21:29", "2026-07-13 11:00"),
        (DAY, "2026-07-13 21:30", None),
        (DAY, "2026-12-01 11:30", None),  # and five in winter
        (DAY, "2026-12-01 12:00", "2026-12-01 12:00"),
        (DAY | {"days": WEEKDAYS}, "2026-07-11 15:00", None),  # a Saturday
        (DAY | {"days": WEEKDAYS}, "2026-07-10 15:00", "2026-07-10 11:00"),
        (NIGHT, "2026-07-13 23:00", "2026-07-13 22:00"),
        (NIGHT, "2026-07-14 05:59", "2026-07-13 22:00"),
        (NIGHT, "2026-07-14 06:00", None),
        (NIGHT | {"days": ["sun"]}, "2026-07-13 05:00", "2026-07-12 22:00"),  # it started on Sunday
        (NIGHT | {"days": ["sun"]}, "2026-07-13 23:00", None),
        (WEEK, "2026-07-12 20:59", None),
        (WEEK, "2026-07-12 21:00", "2026-07-12 21:00"),
        (WEEK, "2026-07-17 20:59", "2026-07-12 21:00"),
        (WEEK, "2026-07-17 21:00", None),
        (ALWAYS, "2026-07-13 16:59", "2026-07-12 17:00"),
        (ALWAYS, "2026-07-13 17:00", "2026-07-13 17:00"),
        ({"zone": "UTC", "start": "sat 08:00", "end": "sat 08:00"}, "2026-07-18 07:59", "2026-07-11 08:00"),
    ],
)
def test_when_the_session_began(keys: dict, now: str, want: str | None) -> None:
    found = begun(datetime.fromisoformat(now).replace(tzinfo=UTC), section(**keys))
    assert (found and f"{found:%Y-%m-%d %H:%M}") == want


class Clock:
    """Stands in for the wall clock and the monotonic one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, wall: str) -> None:
        self.monotonic_s = 1000.0
        self.set(wall)
        monkeypatch.setattr(module, "datetime", self)
        monkeypatch.setattr(module, "time", self)
        self.combine = datetime.combine

    def now(self, _: object) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.monotonic_s

    def set(self, wall: str) -> None:
        self.wall = datetime.fromisoformat(wall).replace(tzinfo=UTC)


def test_a_clock_that_jumps_past_the_end_and_back_closes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, "2026-07-13 20:00")
    schedule = Schedule(section(**DAY))
    first = schedule.look()
    assert first == int(datetime(2026, 7, 13, 11, tzinfo=UTC).timestamp())
    clock.set("2026-07-13 22:00")
    clock.monotonic_s += 5
    assert schedule.look() == first
    clock.set("2026-07-13 20:00")
    clock.monotonic_s += 60
    assert schedule.look() == first
    clock.set("2026-07-13 21:31")
    assert schedule.look() == first
    clock.monotonic_s += 11
    assert schedule.look() is None
    clock.set("2026-07-14 11:00")
    assert schedule.look() == first + 24 * 3600  # at once


def test_at_the_start_of_the_process_the_clock_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch, "2026-07-13 22:00")
    assert Schedule(section(**DAY)).look() is None


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"start": "7:00"}, "17:30"),
        ({"start": "sun 07:00"}, "both name a day"),
        (WEEK | {"days": ["sun"]}, "names a day already"),
        ({"days": ["someday"]}, "'mon'"),
    ],
)
def test_what_is_no_schedule(keys: dict, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        section(**(DAY | keys))
