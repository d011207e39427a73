"""When a session is to be logged on, by the wall clock of its zone."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from gateway.config.sections import WEEKDAYS, ScheduleSection

PASSED_S = 10.0  # an end must have passed for so long: a clock that jumps is put right by then
WEEK = 7


def begun(now: datetime, section: ScheduleSection) -> datetime | None:
    """When the session that lasts at `now` (aware) began, in UTC; None: there is none now.

    Times that clocks skip or have twice are taken as Python takes them: the first of two, an hour later of none.
    """
    zone = ZoneInfo(section.zone)
    today = now.astimezone(zone).date()
    (first_day, first), (last_day, last) = section.start, section.end
    for back in range(WEEK + 1):
        day = today - timedelta(days=back)
        if first_day is None and section.days and WEEKDAYS[day.weekday()] not in section.days:
            continue
        if first_day is not None and day.weekday() != first_day:
            continue
        lasts = 0 if first_day is None or last_day is None else (last_day - first_day) % WEEK
        if lasts == 0 and last <= first:
            lasts = 1 if first_day is None else WEEK
        start = datetime.combine(day, first, zone).astimezone(UTC)
        end = datetime.combine(day + timedelta(days=lasts), last, zone).astimezone(UTC)
        if start <= now < end:
            return start
    return None


class Schedule:
    """Watches the wall clock for one session."""

    def __init__(self, section: ScheduleSection) -> None:
        """Open until it is known to be closed, but for the first look."""
        self._section = section
        self._begun: datetime | None = None
        self._looked = False
        self._same_s = time.monotonic()

    @property
    def resets(self) -> bool:
        """Whether MsgSeqNums begin with 1 at each start."""
        return self._section.reset

    def look(self) -> int | None:
        """When the session that lasts now has begun, seconds since 1970; None: it is closed. Call it often: that it is
        closed, or another than before, counts when it has been so for PASSED_S.
        """
        found = begun(datetime.now(UTC), self._section)
        if found == self._begun or not self._looked or self._begun is None:
            self._looked = True
            self._begun = found
            self._same_s = time.monotonic()
        elif time.monotonic() - self._same_s > PASSED_S:
            self._begun = found
        return None if self._begun is None else int(self._begun.timestamp())
