"""Read and write field values: decimals as fixed-point integers, UTC time stamps, text. Kernels only.

Prices and quantities are int64 in units of 10^-8 (`_e8`), money in 10^-4 (`_e4`).
"""

from __future__ import annotations

import numpy as np

from gateway.fix.layout import (
    DAY_NS,
    DECIMALS,
    E4,
    E8,
    MALFORMED,
    MAX_WHOLE,
    MINUS,
    NO_TIME,
    POINT,
    TOO_LARGE,
    TOO_PRECISE,
)
from gateway.jit import kernel


@kernel
def parse_decimal(buf, start, length):
    """Value in 10^-8 of a FIX float (optional sign, digits, optional point, no exponent), exact.

    Returns MALFORMED, TOO_PRECISE or TOO_LARGE (all below any legal value) when it cannot be held exactly.
    """
    at = start
    end = start + length
    negative = at < end and buf[at] == 45
    if negative:
        at += 1
    whole = 0
    fraction = 0
    scale = E8
    digits = 0
    while at < end and 48 <= buf[at] <= 57:
        if whole <= MAX_WHOLE:
            whole = whole * 10 + int(buf[at]) - 48
        digits += 1
        at += 1
    if at < end and buf[at] == 46:
        at += 1
        while at < end and 48 <= buf[at] <= 57:
            if scale > 1:
                scale //= 10
                fraction += (int(buf[at]) - 48) * scale
            elif buf[at] != 48:
                return TOO_PRECISE
            digits += 1
            at += 1
    if at != end or digits == 0:
        return MALFORMED
    if whole > MAX_WHOLE:
        return TOO_LARGE
    value = whole * E8 + fraction
    return -value if negative else value


@kernel
def parse_decimal_up(buf, start, length):
    """As `parse_decimal`, but more than eight decimals are rounded away from zero instead of being TOO_PRECISE."""
    value = parse_decimal(buf, start, length)
    if value != TOO_PRECISE:
        return value
    point = start
    while buf[point] != POINT:
        point += 1
    for k in range(point + 1, start + length):
        if not 48 <= buf[k] <= 57:
            return MALFORMED
    kept = parse_decimal(buf, start, point + 1 + DECIMALS - start)
    if kept <= TOO_LARGE:
        return kept
    return kept - 1 if buf[start] == MINUS else kept + 1


@kernel
def parse_int(buf, start, length):
    """Value of an unsigned integer of up to 18 digits, or -1."""
    if length == 0 or length > 18:
        return -1
    value = 0
    for k in range(start, start + length):
        if not 48 <= buf[k] <= 57:
            return -1
        value = value * 10 + int(buf[k]) - 48
    return value


@kernel
def _two_digits(buf, at):
    return (int(buf[at]) - 48) * 10 + int(buf[at + 1]) - 48


@kernel
def days_from_civil(year, month, day):
    """Days since 1970-01-01 of a date in the Gregorian calendar."""
    if month <= 2:
        year -= 1
        month += 12
    era_day = (year % 400) * 365 + (year % 400) // 4 - (year % 400) // 100 + (153 * (month - 3) + 2) // 5 + day - 1
    return (year // 400) * 146_097 + era_day - 719_468


@kernel
def _days_in_month(year, month):
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31


@kernel
def parse_utc_date(buf, start, length):
    """Nanoseconds since 1970 of the beginning of a UTCDateOnly (YYYYMMDD), or NO_TIME."""
    if length != 8:
        return NO_TIME
    for k in range(start, start + 8):
        if not 48 <= buf[k] <= 57:
            return NO_TIME
    year = _two_digits(buf, start) * 100 + _two_digits(buf, start + 2)
    month = _two_digits(buf, start + 4)
    day = _two_digits(buf, start + 6)
    if not (1970 <= year <= 2200 and 1 <= month <= 12 and 1 <= day <= _days_in_month(year, month)):
        return NO_TIME
    return days_from_civil(year, month, day) * DAY_NS


@kernel
def parse_utc_time(buf, start, length):
    """Nanoseconds since midnight of a UTCTimeOnly (HH:MM:SS with 0, 3, 6 or 9 decimals), or NO_TIME."""
    if length != 8 and length != 12 and length != 15 and length != 18:
        return NO_TIME
    for k in range(8):
        if k == 2 or k == 5:
            if buf[start + k] != 58:
                return NO_TIME
        elif not 48 <= buf[start + k] <= 57:
            return NO_TIME
    hour = _two_digits(buf, start)
    minute = _two_digits(buf, start + 3)
    second = _two_digits(buf, start + 6)
    if hour > 23 or minute > 59 or second > 60:
        return NO_TIME
    nanos = 0
    if length > 8:
        if buf[start + 8] != 46:
            return NO_TIME
        unit = 100_000_000
        for k in range(start + 9, start + length):
            if not 48 <= buf[k] <= 57:
                return NO_TIME
            nanos += (int(buf[k]) - 48) * unit
            unit //= 10
    return ((hour * 60 + minute) * 60 + second) * 1_000_000_000 + nanos


@kernel
def parse_utc_timestamp(buf, start, length):
    """Nanoseconds since 1970 of a UTCTimestamp (YYYYMMDD-HH:MM:SS with 0, 3, 6 or 9 decimals), or NO_TIME."""
    if length != 17 and length != 21 and length != 24 and length != 27:
        return NO_TIME
    date = parse_utc_date(buf, start, 8)
    time = parse_utc_time(buf, start + 9, length - 9)
    if date == NO_TIME or time == NO_TIME or buf[start + 8] != 45:
        return NO_TIME
    return date + time


@kernel
def multiply_up(quantity_e8, price_e8):
    """quantity x price in 10^-4, rounded up, exact; -1 when it does not fit or an argument is negative or too large.

    The product of two int64 needs 128 bits. Split at the decimal point instead, every partial product fits 64:
    (a + b/10^8)(c + d/10^8) with a, c at most MAX_WHOLE.
    """
    if quantity_e8 < 0 or price_e8 < 0 or quantity_e8 > MAX_WHOLE * E8 or price_e8 > MAX_WHOLE * E8:
        return -1
    a = quantity_e8 // E8
    b = quantity_e8 % E8
    c = price_e8 // E8
    d = price_e8 % E8
    if c > 0 and a > 400_000_000_000_000 // c:
        return -1
    cross = a * d + b * c
    low = (cross % E4) * E8 + b * d
    return a * c * E4 + cross // E4 + (low + 999_999_999_999) // 1_000_000_000_000


@kernel
def hash_bytes(buf, start, length):
    """31-bit FNV-1a hash; arithmetic stays inside int64, so plain Python gives the same value."""
    h = 0x811C9DC5 & 0x7FFFFFFF
    for k in range(start, start + length):
        h = ((h ^ int(buf[k])) * 16_777_619) & 0x7FFFFFFF
    return h ^ (h >> 15)


@kernel
def same_bytes(left, left_start, right, right_start, length):
    """Whether two ranges of bytes are equal."""
    of_left = np.uint64(left_start)
    of_right = np.uint64(right_start)
    for k in range(np.uint64(max(length, 0))):
        if left[of_left + k] != right[of_right + k]:
            return False
    return True


@kernel
def copy_bytes(target, target_start, source, source_start, length):
    """Copy a range of bytes.

    Unsigned indices: numba would ask of each signed one whether it counts from the end, and LLVM could not copy blocks.
    """
    to = np.uint64(target_start)
    of = np.uint64(source_start)
    for k in range(np.uint64(max(length, 0))):
        target[to + k] = source[of + k]
