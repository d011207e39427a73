"""The part of a journal that an export or a report is of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from gateway.config.settings import Settings
from gateway.replay.history import parse_wall_ns, wall_ns

ALWAYS_NS = (-(2**63), 2**63)


@dataclass(frozen=True)
class Period:
    """Which part of a history is asked for: a day, or from one time to before another, or all of it.

    A day, and a time without an offset, are of the zone of `day.zone` in the settings of that time, else of UTC.
    """

    day: str = ""
    start: str = ""
    end: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError with one line when a date or time cannot be read."""
        if self.day and (self.start or self.end):
            raise ValueError("--day: want either a day, or --from and --to")
        for option, text, read in (
            ("--day", self.day, date.fromisoformat),
            ("--from", self.start, datetime.fromisoformat),
            ("--to", self.end, datetime.fromisoformat),
        ):
            try:
                if text:
                    read(text)
            except ValueError:
                want = "YYYY-MM-DD" if option == "--day" else "an ISO time such as 2026-07-11T14:30:00+00:00"
                raise ValueError(f"{option}: want {want}, got {text!r}") from None

    def bounds_ns(self, settings: Settings) -> tuple[int, int]:
        """First wall time and the one behind the last, in ns since 1970."""
        zone = ZoneInfo(zone_of(settings))
        if self.day:
            midnight = datetime.combine(date.fromisoformat(self.day), time(), zone)
            return wall_ns(midnight), wall_ns(midnight + timedelta(days=1))
        first, behind = ALWAYS_NS
        return (
            parse_wall_ns(self.start, zone) if self.start else first,
            parse_wall_ns(self.end, zone) if self.end else behind,
        )

    def __str__(self) -> str:
        """In words."""
        if self.day:
            return self.day
        words = f"from {self.start} " if self.start else ""
        return (words + (f"to {self.end}" if self.end else "")).strip() or "all of the journal"


def zone_of(settings: Settings) -> str:
    """Name of the zone that days are told in."""
    return settings.config.day.zone if settings.config.day is not None else "UTC"
