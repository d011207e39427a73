"""When a trading day ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from gateway.settings import DaySection


def next_day_end(now: datetime, section: DaySection) -> datetime:
    """The first end of a trading day after `now` (aware), in UTC.

    Where clocks go back over the end, the first of the two counts; where they skip it, it comes as much later.
    """
    today = now.astimezone(ZoneInfo(section.zone)).date()
    # A zone may skip a whole day, and a skipped time may fall on the day after.
    days = (today + timedelta(days=k) for k in (-1, 0, 1, 2))
    ends = (datetime.combine(day, section.end, ZoneInfo(section.zone)).astimezone(UTC) for day in days)
    return next(end for end in ends if end > now)
