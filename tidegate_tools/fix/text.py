"""FIX messages as plain text: what every tool needs and no engine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from gateway import shipped

SOH = "\x01"

Fields = list[tuple[int, str]]
"""A FIX message as (tag, value) pairs in wire order, header and trailer included."""


def dictionary_path(begin_string: str) -> Path:
    """Where the project keeps the QuickFIX dictionary of a version such as `FIX.4.4`."""
    return shipped("fix_specs") / f"{begin_string.replace('.', '')}.xml"


def split_fields(raw: str) -> Fields:
    """A raw message to its (tag, value) pairs."""
    return [(int(tag), value) for tag, _, value in (part.partition("=") for part in raw.split(SOH) if part)]


def first(fields: Fields, tag: int, default: str = "") -> str:
    """Value of the first field with this tag."""
    return next((value for number, value in fields if number == tag), default)


def utc_now() -> str:
    """The time now as a FIX UTCTimestamp with milliseconds."""
    return datetime.now(UTC).strftime("%Y%m%d-%H:%M:%S.%f")[:-3]


def parse_address(text: str) -> tuple[str, int]:
    """`host:port` to its parts; ValueError names what was wanted."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit():
        raise ValueError(f"wanted host:port, not {text!r}")
    return host, int(port)


def input_lines(path: str) -> Iterator[str]:
    """Lines of a file, or of stdin for `-`."""
    if path == "-":
        yield from sys.stdin
        return
    with Path(path).open(encoding="utf-8") as lines:
        yield from lines


def body_length_and_checksum(raw: bytes) -> tuple[int, int]:
    """BodyLength(9) and CheckSum(10) that a message of SOH-ended fields should carry."""
    start = raw.index(b"\x01", raw.index(b"\x019=") + 1) + 1
    end = raw.rindex(b"\x0110=") + 1
    return end - start, sum(raw[:end]) % 256
