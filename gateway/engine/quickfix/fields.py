"""What the engine reads of QuickFIX's messages. Values that a peer sends can be anything."""

from __future__ import annotations

import quickfix as fix

MAX_DIGITS = 18  # the core's integers have 64 bits


def text_of(fields: fix.FieldMap, tag: int) -> str:
    """A field's value, "" without one."""
    return str(fields.getField(tag)) if fields.isSetField(tag) else ""


def number_of(fields: fix.FieldMap, tag: int) -> int | None:
    """A field's value when it is a number that the core can take; QuickFIX itself may not have looked at it yet."""
    text = text_of(fields, tag)
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS else None


def is_again(header: fix.Header) -> bool:
    """Whether PossDupFlag(43) marks a message as sent again."""
    return text_of(header, 43) == "Y"


def bytes_of(message: fix.Message) -> bytes:
    """A message as it is on the wire: the wrapper decodes as UTF-8 with surrogate escapes."""
    return bytes(message.toString().encode("utf-8", "surrogateescape"))
