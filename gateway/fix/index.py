"""Index a FIX message where it lies: tag, start and length of every field, found again by tag in one step.

Kernels only. The bytes are never copied; everything later reads through the index.
"""

from __future__ import annotations

import numpy as np

from gateway.jit import kernel

MAX_FIELDS = 512
MAX_TAG = 10_000  # tags from here on are listed but not found by tag; 5000 to 9999 are user-defined
SOH = 1

INDEX = np.dtype(
    [
        ("stamp", "i8"),  # number of the message indexed last; makes old entries of `where` void without clearing
        ("count", "i8"),
        ("empty_tag", "i8"),  # tag of the first field without a value, 0: none
        ("tag", "i8", MAX_FIELDS),
        ("start", "i8", MAX_FIELDS),  # first byte of the value
        ("length", "i8", MAX_FIELDS),  # bytes of the value
        ("where", "i8", MAX_TAG),  # stamp * MAX_FIELDS + number of the first field with this tag
    ]
)

# Results of `index_message`.
INDEXED = 0
BAD_TAG = 1  # no digits before '=', a leading zero, or more than nine digits
EMPTY_VALUE = 2  # the rest is indexed all the same
TRUNCATED = 3  # the last field has no SOH, or a data field runs past the end
TOO_MANY_FIELDS = 4
BAD_DATA_LENGTH = 5


TAG_TOO_LARGE = 10**9


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
def index_message(index, buf, start, size, data_length_tag):
    """Index `size` bytes of `buf` from `start`; return INDEXED or the first thing that is wrong.

    `data_length_tag` maps the tag of a data field (96, 213, 355 ...) to the tag of its length (95, 212, 354 ...), 0 for
    others: a data field may hold SOH, and its preceding length says where it ends (FIX 4.4 volume 1, "data" type).
    """
    index.stamp += 1
    index.count = 0
    index.empty_tag = 0
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
        if at >= end:
            return TRUNCATED
        if at == first or tag >= TAG_TOO_LARGE or buf[at] != 61 or buf[first] == 48:
            return BAD_TAG
        at += one
        count = index.count
        if count == MAX_FIELDS:
            return TOO_MANY_FIELDS
        value = at
        length_tag = data_length_tag[tag] if tag < MAX_TAG else 0
        if length_tag > 0 and count > 0 and index.tag[count - 1] == length_tag:
            length = 0
            for k in range(index.start[count - 1], index.start[count - 1] + index.length[count - 1]):
                if not 48 <= buf[k] <= 57 or length > size:
                    return BAD_DATA_LENGTH
                length = length * 10 + int(buf[k]) - 48
            at = value + np.uint64(length)
            if at >= end or buf[at] != SOH:
                return BAD_DATA_LENGTH
        else:
            while at < end and buf[at] != SOH:
                at += one
            if at >= end:
                return TRUNCATED
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
