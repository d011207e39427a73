"""Write fields of a message: digits, decimals, times. Kernels only.

`out` is a record with `bytes` and `used`, where the next field goes; the caller has seen that there is room.
"""

from __future__ import annotations

from gateway.fix.layout import DAY_NS, E8, SOH
from gateway.fix.values import copy_bytes
from gateway.jit import kernel


@kernel
def write_digits(target, at, value):
    """Write a non-negative integer at a position of a byte array; returns the position after it."""
    size = 1
    rest = value // 10
    while rest > 0:
        size += 1
        rest //= 10
    rest = value
    for k in range(at + size - 1, at - 1, -1):
        target[k] = 48 + rest % 10
        rest //= 10
    return at + size


@kernel
def write_decimal(target, at, value, scale):
    """Write a fixed-point value in units of 1/scale as a decimal without trailing zeros."""
    if value < 0:
        target[at] = 45
        at += 1
        value = -value
    at = write_digits(target, at, value // scale)
    fraction = value % scale
    if fraction > 0:
        target[at] = 46
        at += 1
        unit = scale // 10
        while fraction > 0:
            target[at] = 48 + fraction // unit
            fraction %= unit
            unit //= 10
            at += 1
    return at


@kernel
def open_message(out, session, message_type):
    """Open a message to a session in `out` (a `core.events.OUT`) for which there is room."""
    m = out.message[out.count]
    m.session = session
    m.message_type = message_type
    m.start = out.used


@kernel
def finish(out):
    """Close the message in hand."""
    m = out.message[out.count]
    m.length = out.used - m.start
    out.count += 1


@kernel
def put_tag(out, tag):
    """Append `tag=`."""
    at = write_digits(out.bytes, out.used, tag)
    out.bytes[at] = 61
    out.used = at + 1


@kernel
def put_soh(out):
    """Append the field delimiter."""
    out.bytes[out.used] = SOH
    out.used += 1


@kernel
def put_int(out, tag, value):
    """Append a field with a non-negative integer."""
    put_tag(out, tag)
    out.used = write_digits(out.bytes, out.used, value)
    put_soh(out)


@kernel
def put_char(out, tag, value):
    """Append a field with one byte."""
    put_tag(out, tag)
    out.bytes[out.used] = value
    out.used += 1
    put_soh(out)


@kernel
def put_slice(out, tag, source, start, size):
    """Append a field with bytes copied from elsewhere; nothing when there are none."""
    if size > 0:
        put_tag(out, tag)
        copy_bytes(out.bytes, out.used, source, start, size)
        out.used += size
        put_soh(out)


@kernel
def put_decimal(out, tag, value_e8):
    """Append a field with a value of 10^-8."""
    put_tag(out, tag)
    out.used = write_decimal(out.bytes, out.used, value_e8, E8)
    put_soh(out)


@kernel
def _two(target, at, value):
    target[at] = 48 + value // 10
    target[at + 1] = 48 + value % 10


@kernel
def put_utc_timestamp(out, tag, wall_ns):
    """Append a UTCTimestamp in milliseconds. The date is by Hinnant's days-to-civil."""
    put_tag(out, tag)
    days = wall_ns // DAY_NS + 719_468
    era = days // 146_097
    day_of_era = days - era * 146_097
    year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    march_month = (5 * day_of_year + 2) // 153
    month = march_month + 3 if march_month < 10 else march_month - 9
    year = year_of_era + era * 400 + (1 if month <= 2 else 0)
    millis = wall_ns % DAY_NS // 1_000_000
    text = out.bytes
    at = out.used
    _two(text, at, year // 100)
    _two(text, at + 2, year % 100)
    _two(text, at + 4, month)
    _two(text, at + 6, day_of_year - (153 * march_month + 2) // 5 + 1)
    text[at + 8] = 45
    _two(text, at + 9, millis // 3_600_000)
    text[at + 11] = 58
    _two(text, at + 12, millis // 60_000 % 60)
    text[at + 14] = 58
    _two(text, at + 15, millis // 1_000 % 60)
    text[at + 17] = 46
    text[at + 18] = 48 + millis // 100 % 10
    _two(text, at + 19, millis % 100)
    out.used = at + 21
    put_soh(out)
