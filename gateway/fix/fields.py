"""Values of a message's fields, read through its index. Kernels only."""

from __future__ import annotations

from gateway.fix import tags as t
from gateway.fix.index import find
from gateway.fix.layout import DECIMALS, POINT, TOO_PRECISE
from gateway.fix.values import parse_decimal
from gateway.jit import kernel


@kernel
def char_of(index, buf, tag, absent):
    """First byte of a field's value, or `absent`."""
    f = find(index, tag)
    return int(buf[index.start[f]]) if f >= 0 else absent


@kernel
def is_yes(index, buf, tag):
    """Whether a flag is there and set."""
    f = find(index, tag)
    return f >= 0 and index.length[f] == 1 and buf[index.start[f]] == t.YES


@kernel
def message_type_of(index, buf):
    """MsgType(35) as an integer, see `tags.message_type`; 0 when it is not one or two bytes."""
    f = find(index, t.MsgType)
    if f < 0 or not 1 <= index.length[f] <= 2:
        return 0
    first = int(buf[index.start[f]])
    return first if index.length[f] == 1 else first + 256 * int(buf[index.start[f] + 1])


@kernel
def decimal_of(index, buf, tag):
    """Value of a decimal field in 10^-8; 0 when it is not there; below zero when it is malformed."""
    f = find(index, tag)
    return parse_decimal(buf, index.start[f], index.length[f]) if f >= 0 else 0


@kernel
def price_of(index, buf, tag):
    """Value of a price that is told, in 10^-8: digits beyond are cut off, it may be below zero; 0 when it is not there
    or malformed.
    """
    f = find(index, tag)
    if f < 0:
        return 0
    start = index.start[f]
    length = index.length[f]
    for k in range(start, start + length):
        if buf[k] == POINT:
            length = min(length, k + 1 + DECIMALS - start)
            break
    value = parse_decimal(buf, start, length)
    return value if value > TOO_PRECISE else 0
