"""Is a message well formed by its dictionary? Table-driven; kernels only. `tables.py` builds the tables.

The order of the tests and the SessionRejectReason(373) given are those of FIX 4.4 volume 2, "Reject".
"""

from __future__ import annotations

import numpy as np

from gateway.fix import tags as t
from gateway.fix.index import find
from gateway.fix.layout import (
    ABSENT,
    BOOLEAN,
    CHARACTER,
    DECIMAL,
    DIGITS,
    GROUP,
    INTEGER,
    MALFORMED,
    MAX_TAG,
    MULTIPLE,
    NO_TIME,
    TEXT,
    TIMESTAMP,
    VALID,
)
from gateway.fix.values import parse_decimal, parse_int, parse_utc_timestamp
from gateway.jit import kernel


@kernel
def find_message(dictionary, message_type):
    """Row of the message type in the dictionary, or -1."""
    for m in range(dictionary.message_count):
        if dictionary.messages[m].message_type == message_type:
            return m
    return -1


@kernel
def is_of_version(dictionary, message_type):
    """Whether the FIX version of the dictionary has a message of this type, served here or not."""
    for m in range(dictionary.type_count):
        if dictionary.types[m] == message_type:
            return True
    return False


@kernel
def _enum_holds(dictionary, tag, buf, start, length):
    if length > 8:
        return False
    word = np.uint64(0)
    for k in range(length - 1, -1, -1):
        word = word << np.uint64(8) | np.uint64(buf[start + k])
    for e in range(dictionary.enum_start[tag], dictionary.enum_start[tag] + dictionary.enum_count[tag]):
        if dictionary.enum_value[e] == word:
            return True
    return False


@kernel
def _format_holds(form, buf, start, length):
    if form == INTEGER or form == DIGITS:
        first = start + 1 if form == INTEGER and buf[start] == 45 and length > 1 else start
        for k in range(first, start + length):
            if not 48 <= buf[k] <= 57:
                return False
        return True
    if form == DECIMAL:
        return parse_decimal(buf, start, length) != MALFORMED
    if form == CHARACTER:
        return length == 1
    if form == BOOLEAN:
        return length == 1 and (buf[start] == 89 or buf[start] == 78)
    if form == TIMESTAMP:
        return parse_utc_timestamp(buf, start, length) != NO_TIME
    return True


@kernel
def value_reason(dictionary, tag, buf, start, length):
    """SessionRejectReason for a value of wrong form or outside its enumeration, else VALID."""
    form = dictionary.format[tag]
    if not _format_holds(form, buf, start, length):
        return t.REJECT_INCORRECT_DATA_FORMAT
    if dictionary.enum_count[tag] == 0:
        return VALID
    if form != MULTIPLE:
        return VALID if _enum_holds(dictionary, tag, buf, start, length) else t.REJECT_VALUE_INCORRECT
    token = start
    for k in range(start, start + length + 1):
        if k == start + length or buf[k] == 32:
            if not _enum_holds(dictionary, tag, buf, token, k - token):
                return t.REJECT_VALUE_INCORRECT
            token = k + 1
    return VALID


@kernel
def _descends(message, group, ancestor):
    while group >= 0 and group != ancestor:
        group = message.groups[group].parent
    return group == ancestor


@kernel
def _group_instances(message, index, first, group):
    """Instances of the group whose count field is number `first`; -1 when one does not begin with the delimiter."""
    instances = 0
    for i in range(first + 1, index.count):
        tag = index.tag[i]
        role = int(message.role[tag]) if tag < MAX_TAG else 0
        if role < GROUP or not _descends(message, role - GROUP, group):
            break
        if role - GROUP == group and tag == message.groups[group].delimiter:
            instances += 1
        elif instances == 0:
            return -1
    return instances


@kernel
def _member_reason(message, index, i, tag, group):
    """SessionRejectReason for a member of a group that stands outside it or twice in one of its entries, else VALID."""
    for k in range(i - 1, -1, -1):
        before = index.tag[k]
        if before == message.groups[group].count_tag or before == message.groups[group].delimiter:
            return VALID
        if before == tag:
            return t.REJECT_REPEATED_TAG
        role = int(message.role[before]) if before < MAX_TAG else 0
        if role < GROUP or not _descends(message, role - GROUP, group):
            return t.REJECT_TAG_NOT_DEFINED_FOR_MESSAGE
    return t.REJECT_TAG_NOT_DEFINED_FOR_MESSAGE


@kernel
def _group_reason(message, index, buf, i, tag, role):
    """SessionRejectReason for a group's count field or a member of one, else VALID."""
    group = int(message.group_of[tag]) - 1
    if group >= 0:
        instances = _group_instances(message, index, i, group)
        if instances < 0:
            return t.REJECT_GROUP_FIELDS_OUT_OF_ORDER
        if parse_int(buf, index.start[i], index.length[i]) != instances:
            return t.REJECT_GROUP_COUNT
    if role >= GROUP:
        return _member_reason(message, index, i, tag, role - GROUP)
    return VALID


@kernel
def validate(dictionary, index, buf, message_row):
    """First fault of an indexed message: (SessionRejectReason, tag), or (VALID, 0).

    Tests each field (known, allowed here, form, enumeration, repeated outside groups), each group's count and first
    field, then the required fields. Header fields are the session layer's and only tested for form.
    """
    message = dictionary.messages[message_row]
    for i in range(index.count):
        tag = index.tag[i]
        form = dictionary.format[tag] if tag < MAX_TAG else 0
        if form == 0:
            return t.REJECT_INVALID_TAG, tag
        role = int(message.role[tag])
        if role == ABSENT:
            return t.REJECT_TAG_NOT_DEFINED_FOR_MESSAGE, tag
        start = index.start[i]
        length = index.length[i]
        if form != TEXT or dictionary.enum_count[tag] > 0:
            reason = value_reason(dictionary, tag, buf, start, length)
            if reason != VALID:
                return reason, tag
        if role < GROUP and find(index, tag) != i:
            return t.REJECT_REPEATED_TAG, tag
        if role >= GROUP or message.group_of[tag] != 0:
            reason = _group_reason(message, index, buf, i, tag, role)
            if reason != VALID:
                return reason, tag
    for r in range(message.required_count):
        if find(index, message.required[r]) < 0:
            return t.REJECT_REQUIRED_TAG_MISSING, message.required[r]
    return VALID, 0
