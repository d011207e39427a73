"""Figures as people read them: exact decimals, names, times, latencies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np

from gateway.core import layout as a
from gateway.core.catalogue import LIMITS
from gateway.params.store import DECIMALS
from gateway.state.memory import State
from gateway.state.pulse import LATENCY_BOUNDS_NS

ABOVE_BOUNDS_NS = a.UNLIMITED
UNLIMITED = Decimal("Infinity")
LIMIT_UNITS = {"quantity": "", "money": "", "bps": "bps", "count": "", "duration": "s"}  # by its kind


@dataclass(frozen=True, slots=True)
class Latency:
    """Time of order messages from bytes in to bytes out: each figure is the upper bound of its bucket of the histogram,
    ABOVE_BOUNDS_NS above the last of them, None without messages.
    """

    messages: int
    p50_ns: int | None
    p99_ns: int | None


class Clock:
    """Wall-clock times of the gateway's own clock, which is the machine's monotonic clock and a base."""

    def __init__(self, state: State, monotonic_ns: int) -> None:
        """`monotonic_ns`: the machine's monotonic clock now."""
        self.now_ns = monotonic_ns + int(state.record.time_base_ns)
        self._wall_offset_ns = int(state.record.wall_offset_ns)

    def time(self, time_ns: int) -> datetime:
        """A time of the gateway's clock; one beyond the calendar is its end."""
        seconds = (int(time_ns) + self._wall_offset_ns) / 1e9
        return datetime.fromtimestamp(min(max(seconds, 0), 253_402_300_799), UTC)


def exact(value: int, places: int) -> Decimal:
    """A fixed-point integer as a decimal without trailing zeros, however long it is."""
    digits = str(abs(int(value))).rjust(places + 1, "0")
    whole, part = digits[: len(digits) - places], digits[len(digits) - places :].rstrip("0")
    return Decimal(f"{'-' if value < 0 else ''}{whole}{'.' if part else ''}{part}")


def plain(value: Decimal | int | None) -> str:
    """A number for people: thousands apart, no trailing zeros, never with an exponent; nothing for None."""
    if value is None:
        return ""
    if value == UNLIMITED:
        return "unlimited"
    text = f"{Decimal(value):,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def fixed(value: int, places: int) -> str:
    """A fixed-point integer for people, exactly."""
    return plain(exact(value, places))


def text_of(raw: np.ndarray, size: int) -> str:
    """Text of a fixed array with its length beside it."""
    return bytes(raw[: max(int(size), 0)]).decode("utf-8", "replace")


def name_at(names: Sequence[str], row: int) -> str | None:
    """Name of a row, None where it has none."""
    return names[row] if 0 <= row < len(names) else None


def limit_value(limit: int, value: int) -> Decimal:
    """The value of a limit, exactly; infinite when it is unlimited."""
    return UNLIMITED if value >= a.UNLIMITED else exact(value, DECIMALS[LIMITS[limit].kind])


def limit_text(limit: int, value: int) -> str:
    """The value of a limit for people, with its unit: `not set`, `unlimited`, `1,000`, `50 bps`, `0.25 s`."""
    if value == a.UNSET:
        return "not set"
    unit = "" if value >= a.UNLIMITED else LIMIT_UNITS[LIMITS[limit].kind]
    return f"{plain(limit_value(limit, value))} {unit}".rstrip()


def percentile_ns(counts: np.ndarray, share: float) -> int | None:
    """Upper bound of the bucket in which this share of all latencies is reached; see Latency."""
    total = int(counts.sum())
    if total <= 0:
        return None
    bucket = int(np.searchsorted(np.cumsum(counts), share * total))
    return LATENCY_BOUNDS_NS[bucket] if bucket < len(LATENCY_BOUNDS_NS) else ABOVE_BOUNDS_NS


def latency(counts: np.ndarray) -> Latency:
    """Percentiles of a histogram as the pulse has it, or of the difference of two."""
    return Latency(int(counts.sum()), percentile_ns(counts, 0.5), percentile_ns(counts, 0.99))
