"""Find the messages in a stream of bytes. Kernels only.

A message begins with `8=`, says how long it is in its second field, and ends with `10=`, three digits and SOH. What is
no message by FIX 4.4 volume 2 ("garbled": another order of the first three fields, a wrong length or checksum) is
passed over as if it had never come: the gap that it leaves in the numbers is asked for.
"""

from __future__ import annotations

import numpy as np

from gateway.fix.layout import SOH
from gateway.jit import kernel

MORE, FRAME, GARBLED = 0, 1, 2
MAX_FRAME = 65_536  # bytes of a message; one that says it is longer is garbled
LENGTH_DIGITS = 6


@kernel
def _find_begin(buf, start, end):
    """Where the next `8=` is, or may be begun by the last byte; `end` when there is none."""
    at = start
    while at < end:
        if buf[at] == 56 and (at + 1 == end or buf[at + 1] == 61):
            return at
        at += 1
    return end


@kernel
def _find_end(buf, start, end):
    """Behind the SOH of the first CheckSum(10) field whose tag begins at `start` or later; -1: not there yet; -2: the
    next message begins before.
    """
    at = start
    while at + 4 <= end:
        if buf[at] == SOH and buf[at + 1] == 56 and buf[at + 2] == 61:
            return -2
        if buf[at] == SOH and buf[at + 1] == 49 and buf[at + 2] == 48 and buf[at + 3] == 61:
            last = at + 4
            while last < end and buf[last] != SOH:
                last += 1
            return last + 1 if last < end else -1
        at += 1
    return -1


@kernel
def _checksum_fits(buf, start, end):
    """Whether the last seven bytes are the right CheckSum(10) of those before."""
    if buf[end - 8] != SOH or buf[end - 7] != 49 or buf[end - 6] != 48 or buf[end - 5] != 61:
        return False
    said = 0
    for k in range(end - 4, end - 1):
        if not 48 <= buf[k] <= 57:
            return False
        said = said * 10 + int(buf[k]) - 48
    total = np.uint64(0)
    for k in range(np.uint64(start), np.uint64(end - 7)):
        total += np.uint64(buf[k])
    return int(total & np.uint64(255)) == said


@kernel
def next_frame(buf, start, end):
    """The next message in the bytes from `start` to `end`: (what, where it begins, where what comes next begins).

    MORE: it is not whole yet; FRAME: it is; GARBLED: bytes to be passed over.
    """
    begin = _find_begin(buf, start, end)
    if begin > start:
        return (GARBLED, start, begin)
    at = begin + 2
    while at < end and buf[at] != SOH and at - begin < 16:
        at += 1
    if at >= end:
        return (MORE, begin, begin)
    if buf[at] != SOH:
        return (GARBLED, begin, begin + 2)
    if at + 3 > end:
        return (MORE, begin, begin)
    if buf[at + 1] != 57 or buf[at + 2] != 61:
        return (GARBLED, begin, begin + 2)
    at += 3
    length = 0
    first = at
    while at < end and 48 <= buf[at] <= 57 and at - first <= LENGTH_DIGITS:
        length = length * 10 + int(buf[at]) - 48
        at += 1
    if at >= end:
        return (MORE, begin, begin)
    if buf[at] != SOH or at == first or length > MAX_FRAME:
        return (GARBLED, begin, begin + 2)
    body = at + 1
    if body + length > end:
        return (MORE, begin, begin)
    last = _find_end(buf, body + length - 1, end)
    if last == -2:
        return (GARBLED, begin, begin + 2)
    if last < 0:
        return (GARBLED, begin, begin + 2) if end - begin > MAX_FRAME + 64 else (MORE, begin, begin)
    third = buf[body] == 51 and buf[body + 1] == 53 and buf[body + 2] == 61
    if last == body + length + 7 and third and _checksum_fits(buf, begin, last):
        return (FRAME, begin, last)
    return (GARBLED, begin, last)
