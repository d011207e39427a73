"""Values of a message's fields, read through its index. Kernels only."""

from __future__ import annotations

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
