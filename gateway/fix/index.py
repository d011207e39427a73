"""Index a FIX message where it lies: tag, start and length of every field, found again by tag in one step.

Kernels only. The bytes are never copied; everything later reads through the index.
"""

from __future__ import annotations

import numpy as np

from gateway.fix.layout import (
    BAD_DATA_LENGTH,
    BAD_TAG,
    EMPTY_VALUE,
    INDEXED,
    MAX_FIELDS,
    MAX_TAG,
    SOH,
    TOO_MANY_FIELDS,
    TRUNCATED,
)
from gateway.jit import kernel

TAG_TOO_LARGE = 10**9
NO_LENGTH = -1
FEW_FIELDS = MAX_FIELDS // 2  # up to so many are kept whole in a lenient reading


@kernel
def _data_length(index, buf, f, most):
    """Value of the length field number `f` in front of a data field, NO_LENGTH when it is no number up to `most`."""
    length = 0
    for k in range(index.start[f], index.start[f] + index.length[f]):
        if not 48 <= buf[k] <= 57 or length > most:
            return NO_LENGTH
        length = length * 10 + int(buf[k]) - 48
    return length if length <= most else NO_LENGTH


@kernel
def find(index, tag):
    """Number of the first field with `tag`, or -1. Tags of MAX_TAG and above are never found."""
    entry = index.where[tag]
    base = index.stamp * MAX_FIELDS
    return entry - base if entry >= base else -1


@kernel
def forget_message(index):
    """Nothing is found any more: the event in hand has no message."""
    index.stamp += 1
    index.count = 0


@kernel
def index_message(index, buf, start, size, data_length_tag, lenient):
    """Index `size` bytes of `buf` from `start`; return INDEXED or the first thing that is wrong.

    A `lenient` reading goes on behind what is wrong and counts it in `garbled`: what can be read of a fill counts. A
    data field whose length is wrong ends at the next delimiter and loses its tag; of a message with very many fields
    the repeated ones are left out.

    `data_length_tag` maps the tag of a data field (96, 213, 355 ...) to the tag of its length (95, 212, 354 ...), 0 for
    others: a data field may hold SOH, and its preceding length says where it ends (FIX 4.4 volume 1, "data" type).
    """
    index.stamp += 1
    index.count = 0
    index.garbled = 0
    index.empty_tag = 0
    index.bad_length = 0
    base = index.stamp * MAX_FIELDS
    # Unsigned: numba would ask of each signed index whether it counts from the end.
    one = np.uint64(1)
    end = np.uint64(start + size)
    at = np.uint64(start)
    while at < end:
        tag = 0
        first = at
        while at < end and 48 <= buf[at] <= 57 and tag < TAG_TOO_LARGE:
            tag = tag * 10 + int(buf[at]) - 48
            at += one
        bad = at >= end or at == first or tag >= TAG_TOO_LARGE or buf[at] != 61 or buf[first] == 48
        if bad and not lenient:
            index.bad_start = first
            while at < end and buf[at] != SOH and buf[at] != 61:
                at += one
            index.bad_length = at - first
            return TRUNCATED if at >= end else BAD_TAG
        if bad:
            index.garbled += 1
            while at < end and buf[at] != SOH:
                at += one
            at += one
            continue
        at += one
        count = index.count
        if count == MAX_FIELDS and not lenient:
            return TOO_MANY_FIELDS
        value = at
        length_tag = data_length_tag[tag] if tag < MAX_TAG else 0
        length = NO_LENGTH
        if length_tag > 0 and count > 0 and index.tag[count - 1] == length_tag:
            length = _data_length(index, buf, count - 1, size)
            if length == NO_LENGTH or value + np.uint64(length) >= end or buf[value + np.uint64(length)] != SOH:
                if not lenient:
                    return BAD_DATA_LENGTH
                index.garbled += 1
                index.tag[count - 1] = 0
                tag = 0
                length = NO_LENGTH
        if length != NO_LENGTH:
            at = value + np.uint64(length)
        else:
            while at < end and buf[at] != SOH:
                at += one
        if at >= end:
            if not lenient:
                return TRUNCATED
            index.garbled += 1
            break
        if lenient and count >= FEW_FIELDS and (count == MAX_FIELDS or (tag < MAX_TAG and index.where[tag] >= base)):
            at += one
            continue
        index.tag[count] = tag
        index.start[count] = value
        index.length[count] = at - value
        if tag < MAX_TAG and index.where[tag] < base:
            index.where[tag] = base + count
        index.count = count + 1
        if at == value and index.empty_tag == 0:
            index.empty_tag = tag
        at += one
    return INDEXED if index.empty_tag == 0 else EMPTY_VALUE
