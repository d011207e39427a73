"""Dictionary tables for the kernels, built from a FIX dictionary in XML (`fix_specs/`)."""

from __future__ import annotations

import numpy as np

from gateway.fix import layout as fix_layout
from gateway.fix.dictionary import Dictionary, DictionaryError, Group, data_lengths
from gateway.fix.layout import MAX_TAG
from gateway.fix.message_types import STANDARD
from gateway.fix.tags import message_type

FORMATS = {
    **dict.fromkeys(("INT", "SEQNUM", "LENGTH", "NUMINGROUP", "DAYOFMONTH"), fix_layout.INTEGER),
    **dict.fromkeys(("PRICE", "QTY", "AMT", "FLOAT", "PERCENTAGE", "PRICEOFFSET"), fix_layout.DECIMAL),
    **dict.fromkeys(("LOCALMKTDATE", "UTCDATE", "UTCDATEONLY"), fix_layout.DIGITS),
    **dict.fromkeys(("MULTIPLEVALUESTRING", "MULTIPLESTRINGVALUE", "MULTIPLECHARVALUE"), fix_layout.MULTIPLE),
    "CHAR": fix_layout.CHARACTER,
    "BOOLEAN": fix_layout.BOOLEAN,
    "UTCTIMESTAMP": fix_layout.TIMESTAMP,
    "DATA": fix_layout.DATA,
}


# What FIX requires and we do without: a mass cancel should pass, and its TransactTime(60) changes nothing.
NOT_NEEDED = {("q", 60)}


def fill_dictionary_table(table: np.record, dictionary: Dictionary) -> None:
    """Write `dictionary` into a DICTIONARY_TABLE record; raises DictionaryError where it does not fit."""
    _fill_fields(table, dictionary)
    types = sorted(STANDARD.get(dictionary.begin_string, ()))
    table.types[: len(types)] = [message_type(each) for each in types]
    table.type_count = len(types)
    if len(dictionary.messages) > fix_layout.MAX_MESSAGE_TYPES:
        raise DictionaryError(f"{dictionary.begin_string}: more than {fix_layout.MAX_MESSAGE_TYPES} messages")
    for row, message in enumerate(dictionary.messages.values()):
        record = table.messages[row]
        record.message_type = message_type(message.msgtype)
        for members, role in ((dictionary.header, fix_layout.HEADER), (dictionary.trailer, fix_layout.TRAILER)):
            for tag in members.fields:
                record.role[tag] = role
            for group in members.groups.values():
                _fill_group(record, group, parent=-1, role=role)
        required = [tag for tag, needed in message.members.fields.items() if needed]
        required = [tag for tag in required if (message.msgtype, tag) not in NOT_NEEDED]
        required += [group.count_tag for group in message.members.groups.values() if group.required]
        if len(required) > fix_layout.MAX_REQUIRED:
            raise DictionaryError(f"{message.name}: more than {fix_layout.MAX_REQUIRED} required fields")
        record.required[: len(required)] = required
        record.required_count = len(required)
        for tag in message.members.fields:
            record.role[tag] = fix_layout.BODY
        for group in message.members.groups.values():
            _fill_group(record, group, parent=-1, role=fix_layout.BODY)
    table.message_count = len(dictionary.messages)


def allow_user_tags(table: np.record, user_tags: list[int]) -> None:
    """Allow user-defined tags (5000 to 9999), as text, in every message of a filled table."""
    for tag in user_tags:
        if table.format[tag] == 0:
            table.format[tag] = fix_layout.TEXT
        for record in table.messages[: table.message_count]:
            if record.role[tag] == fix_layout.ABSENT:
                record.role[tag] = fix_layout.BODY


def _fill_fields(table: np.record, dictionary: Dictionary) -> None:
    used = 0
    for field in dictionary.fields.values():
        if field.tag >= MAX_TAG:
            raise DictionaryError(f"{dictionary.begin_string}: field {field.tag}: tags must be below {MAX_TAG}")
        table.format[field.tag] = FORMATS.get(field.type, fix_layout.TEXT)
        values = [value.encode() for value in field.values if len(value.encode()) <= 8]
        if used + len(values) > fix_layout.MAX_ENUM_VALUES:
            raise DictionaryError(
                f"{dictionary.begin_string}: more than {fix_layout.MAX_ENUM_VALUES} enumerated values"
            )
        table.enum_start[field.tag] = used
        table.enum_count[field.tag] = len(values)
        table.enum_value[used : used + len(values)] = [int.from_bytes(value, "little") for value in values]
        used += len(values)
    for tag, length_tag in data_lengths(dictionary).items():
        table.data_length_tag[tag] = length_tag


def _fill_group(record: np.record, group: Group, parent: int, role: int) -> None:
    number = int(record.group_count)
    if number == fix_layout.MAX_GROUPS:
        raise DictionaryError(f"group {group.count_tag}: more than {fix_layout.MAX_GROUPS} groups in a message")
    record.group_count = number + 1
    record.groups[number].count_tag = group.count_tag
    record.groups[number].delimiter = group.delimiter_tag
    record.groups[number].parent = parent
    record.role[group.count_tag] = role
    record.group_of[group.count_tag] = number + 1
    for tag in group.fields:
        record.role[tag] = fix_layout.GROUP + number
    for nested in group.groups.values():
        _fill_group(record, nested, parent=number, role=fix_layout.GROUP + number)
