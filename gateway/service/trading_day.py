"""When a trading day ends, and when orders are taken."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from gateway.config.sections import DaySection

PASSED_S = 10.0  # an end of day must have passed for so long: a clock that jumps is put right by then


def next_day_end(now: datetime, section: DaySection) -> datetime:
    """The first end of a trading day after `now` (aware), in UTC.

    Where clocks go back over the end, the first of the two counts; where they skip it, it comes as much later.
    """
    today = now.astimezone(ZoneInfo(section.zone)).date()
    # A zone may skip a whole day, and a skipped time may fall on the day after.
    days = (today + timedelta(days=k) for k in (-1, 0, 1, 2))
    ends = (datetime.combine(day, section.end, ZoneInfo(section.zone)).astimezone(UTC) for day in days)
    return next(end for end in ends if end > now)


def is_open(now: datetime, section: DaySection) -> bool:
    """Whether orders are taken at `now` (aware): from `start` to before `end`, at all times without a start."""
    if section.start is None:
        return True
    local = now.astimezone(ZoneInfo(section.zone)).time()
    if section.start < section.end:
        return section.start <= local < section.end
    return local >= section.start or local < section.end


class TradingDay:
    """Watches the wall clock for the end of the trading day and its hours; without a section nothing ever ends."""

    def __init__(self, section: DaySection | None) -> None:
        """To be told by `begin` which day it is."""
        self.section = section
        self._end: datetime | None = None
        self._not_passed_s = time.monotonic()

    def begin(self, wall_ns: int) -> None:
        """The end of the day that a time (ns since 1970) lies in; one that has passed is made up for."""
        if self.section is not None:
            self._end = next_day_end(datetime.fromtimestamp(wall_ns / 1e9, UTC), self.section)

    def has_ended(self) -> bool:
        """Whether the day's end has passed, for some seconds; to be asked ten times a second."""
        if self._end is None or datetime.now(UTC) < self._end:
            self._not_passed_s = time.monotonic()
        return time.monotonic() - self._not_passed_s > PASSED_S

    def is_open(self) -> bool:
        """Whether orders are taken now."""
        return self.section is None or is_open(datetime.now(UTC), self.section)
