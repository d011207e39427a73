"""Numbers and tables of the FIX kernels: the index of a message, a dictionary, fixed-point scales, results."""

from __future__ import annotations

import numpy as np


def phrase(text: str) -> np.ndarray:
    """ASCII text as the bytes that kernels append."""
    return np.frombuffer(text.encode("ascii"), np.uint8).copy()


# Fixed point: prices and quantities in 10^-8, money in 10^-4; and what a value is that is none.
E4 = 10_000
E8 = 100_000_000
MAX_WHOLE = 10_000_000_000  # largest whole part of a price or quantity; 10^10 x 10^8 still fits int64
MALFORMED = -(2**62)
TOO_PRECISE = MALFORMED + 1  # more than eight decimals that matter
TOO_LARGE = MALFORMED + 2
POINT, MINUS, DECIMALS = 46, 45, 8
DAY_NS = 86_400_000_000_000
NO_TIME = -1

MAX_FIELDS = 512
MAX_TAG = 10_000  # tags from here on are listed but not found by tag; 5000 to 9999 are user-defined
SOH = 1

INDEX = np.dtype(
    [
        ("stamp", "i8"),  # number of the message indexed last; makes old entries of `where` void without clearing
        ("count", "i8"),
        ("garbled", "i8"),  # pieces of a lenient reading that are no fields, or are not to be relied on
        ("empty_tag", "i8"),  # tag of the first field without a value, 0: none
        ("bad_start", "i8"),  # of BAD_TAG: what stands where a tag should
        ("bad_length", "i8"),
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

# Dictionaries.
MAX_MESSAGE_TYPES = 32
MAX_TYPES = 192
MAX_REQUIRED = 32
MAX_GROUPS = 48
MAX_ENUM_VALUES = 4096
VALID = -1

# Role of a tag in a message: where it may stand. GROUP + g: a member of group g of the message.
ABSENT, HEADER, BODY, TRAILER, GROUP = 0, 1, 2, 3, 4

# How a field's value is written.
TEXT, INTEGER, DECIMAL, CHARACTER, BOOLEAN, TIMESTAMP, DIGITS, MULTIPLE, DATA = 1, 2, 3, 4, 5, 6, 7, 8, 9

GROUP_TABLE = np.dtype([("count_tag", "i8"), ("delimiter", "i8"), ("parent", "i8")])  # parent: group number, -1 body

MESSAGE_TABLE = np.dtype(
    [
        ("message_type", "i8"),
        ("required_count", "i8"),
        ("required", "i8", MAX_REQUIRED),
        ("group_count", "i8"),
        ("groups", np.dtype((np.record, GROUP_TABLE)), MAX_GROUPS),
        ("role", "u1", MAX_TAG),
        ("group_of", "u1", MAX_TAG),  # for the count tag of group g: g + 1
    ]
)

DICTIONARY_TABLE = np.dtype(
    [
        ("type_count", "i8"),
        ("types", "i8", MAX_TYPES),  # every MsgType(35) of the FIX version, served or not
        ("message_count", "i8"),
        ("messages", np.dtype((np.record, MESSAGE_TABLE)), MAX_MESSAGE_TYPES),
        ("format", "u1", MAX_TAG),  # TEXT ... DATA; 0: not in the dictionary
        ("enum_start", "i4", MAX_TAG),
        ("enum_count", "i4", MAX_TAG),
        ("enum_value", "u8", MAX_ENUM_VALUES),  # up to eight bytes, little-endian
        ("data_length_tag", "i8", MAX_TAG),
    ]
)
