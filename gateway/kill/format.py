"""What a kill switch is and how the switch file holds it. Standard library only.

Numbers are little-endian. A page of header, then RECORDS records of RECORD_BYTES:

| header | | record | |
|---|---|---|---|
| 0 | magic, 8 bytes | 0 | word: FREE, SET or RELEASED |
| 8 | version, u32 | 8 | set_ns, i64: CLOCK_MONOTONIC, taken when the switch could be seen; 0: not yet |
| 12 | number of records, u32 | 16 | sequence, u32; number of the record, u32 |
| 16 | CRC-32 of 0 to 15, u32 | 24 | hash of the boot id, u64; wall clock, i64, ns since 1970 |
| 24 | records used, u32 | 40 | scope, u32; name, user, reason: 32, 32 and 128 bytes, filled with zeros |
| 28 | firm released, u32 | 236 | CRC-32 of 16 to 235, u32 |
| 32 | epoch, u32: changes with every change | | |
| 36 | firm killed, u32: anything but `firm released` kills the firm | | |
"""

from __future__ import annotations

import os
import struct
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.machine import boot_hash
from gateway.vocabulary import SCOPE_NAMES

FILE = "switches"
FIRM = 0
NAME_BYTES, USER_BYTES, REASON_BYTES = 32, 32, 128

MAGIC = b"TGSWITCH"
VERSION = 1
RECORDS = 512
PAGE = 4096
RECORD_BYTES = 256
SIZE = PAGE + RECORDS * RECORD_BYTES
HEADER = struct.Struct("<8sIII4xIIII")  # magic, version, records, crc, used, firm released, epoch, firm killed
FIXED_BYTES = 16  # of the header, under its CRC
BODY = struct.Struct("<IIQqI32s32s128sxxxx")  # sequence, number, boot, wall_ns, scope, name, user, reason
CRC = struct.Struct("<I")
BODY_AT = 16
CRC_AT = BODY_AT + BODY.size
# No byte of one is that of another: no single damaged byte makes a released switch of one that is set.
FREE, SET, RELEASED = 0, int.from_bytes(b"KILLED!\x01", "little"), int.from_bytes(b"released", "little")
# Words by their number: halves of 4 bytes, words of 8. The core's word holds epoch and `firm killed`.
USED, FIRM_RELEASED, EPOCH, FIRM_KILLED = 6, 7, 8, 9
CORES_WORD = 4
HALF = 0xFFFFFFFF
LAST_EPOCH = 0xFFFF0000  # seconds since 1970 begin it: one beyond is damage
UNKNOWN_SETTER = "whole firm, since a switch could not be set"


class SwitchFault(Exception):
    """The file is missing, damaged or cannot be written now: the firm counts as killed. One line."""


@dataclass(frozen=True)
class Switch:
    """A switch that is set. `scope` numbers SCOPE_NAMES; `name` is empty for the firm.

    `sequence` changes when it is set again. `set_ns` is CLOCK_MONOTONIC of the boot with the hash `boot`, 0: not known.
    """

    scope: int
    name: str
    sequence: int
    set_ns: int
    boot: int
    wall_ns: int
    user: str
    reason: str

    @property
    def key(self) -> tuple[int, str]:
        """What it kills: (scope, name)."""
        return self.scope, self.name


def parse_scope(text: str) -> tuple[int, str]:
    """(scope, name) of `firm` or `SCOPE=NAME`; raises ValueError with what was wanted."""
    scope, _, name = text.partition("=")
    if scope not in SCOPE_NAMES:
        raise ValueError(f"{text}: want firm or SCOPE=NAME with one of {', '.join(SCOPE_NAMES[1:])}")
    number = SCOPE_NAMES.index(scope)
    if text == "firm=":
        raise ValueError(f"{text}: want firm, which has no name")
    check_name(number, name)
    return number, name


def scope_text(scope: int, name: str) -> str:
    """A scope as people read it: `firm`, `strategy MOMO`."""
    return f"{SCOPE_NAMES[scope]} {name}".strip()


def check_name(scope: int, name: str) -> None:
    """Raises ValueError when there can be no switch of this scope and name."""
    if scope == FIRM:
        if name:
            raise ValueError(f"firm={name}: want firm, which has no name")
    elif not 0 < len(name.encode("utf-8", "replace")) <= NAME_BYTES or not name.isprintable() or name.strip() != name:
        raise ValueError(f"{SCOPE_NAMES[scope]}={name}: want a name of 1 to {NAME_BYTES} bytes")


def number_without(taken: set[int]) -> int:
    """A number of four bytes, none of which is zero or taken."""
    free = [byte for byte in os.urandom(256) if byte not in {0, *taken}]
    return int.from_bytes(bytes(free[:4]), "little")


def new_image(switches: list[Switch], epoch: int, firm: bool) -> bytes:
    """Content of a new file."""
    if len(switches) >= RECORDS:
        raise SwitchFault(f"{FILE}: has no room for {len(switches)} switches")
    image = bytearray(SIZE)
    fixed = struct.pack("<8sII", MAGIC, VERSION, RECORDS)
    released = number_without(set())
    killed = number_without(set(released.to_bytes(4, "little"))) if firm else released
    HEADER.pack_into(image, 0, MAGIC, VERSION, RECORDS, zlib.crc32(fixed), len(switches), released, epoch, killed)
    for number, switch in enumerate(switches):
        at = PAGE + number * RECORD_BYTES
        struct.pack_into("<qq", image, at, SET, switch.set_ns)
        image[at + BODY_AT : at + CRC_AT + CRC.size] = record_body(replace(switch, sequence=epoch), number)
    return bytes(image)


def record_body(switch: Switch, number: int) -> bytes:
    """Body and CRC of a record."""
    texts = (switch.name.encode(), _cut(switch.user, USER_BYTES), _cut(switch.reason, REASON_BYTES))
    body = BODY.pack(switch.sequence & HALF, number, switch.boot, switch.wall_ns, switch.scope, *texts)
    return body + CRC.pack(zlib.crc32(body))


def _cut(text: str, size: int) -> bytes:
    """At most so many bytes of a text, on one line."""
    one_line = " ".join(text.replace("\0", " ").split())
    return one_line.encode("utf-8", "replace")[:size].decode("utf-8", "ignore").encode()


def set_records(data: bytes | memoryview, strict: bool = True, path: Path | str = FILE) -> list[tuple[int, Switch]]:
    """(number, switch) of every record that is SET; raises SwitchFault. Not `strict`: what can be read of them."""
    if strict:
        _check_header(data, path)
    size = (len(data) - PAGE) // RECORD_BYTES if len(data) > PAGE else 0
    used = HEADER.unpack_from(data)[4] if strict else 0
    found = []
    for number in range(min(size, RECORDS)):
        at = PAGE + number * RECORD_BYTES
        (word,) = struct.unpack_from("<q", data, at)
        if word == SET and _is_sound(data, number):
            found.append((number, _switch(data, number)))
        elif strict and word != RELEASED and (word != FREE or number < used):
            raise SwitchFault(f"{path}: record {number} is damaged")
    return found


def _check_header(data: bytes | memoryview, path: Path | str) -> None:
    if len(data) != SIZE:
        raise SwitchFault(f"{path}: has {len(data)} bytes or more, want {SIZE}")
    magic, version, records, crc, used, _, epoch, _ = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise SwitchFault(f"{path}: is no file of kill switches")
    if version != VERSION:
        raise SwitchFault(f"{path}: has version {version}, want {VERSION}")
    sound = crc == zlib.crc32(data[:FIXED_BYTES]) and records == RECORDS
    if not sound or used > RECORDS or epoch > LAST_EPOCH:
        raise SwitchFault(f"{path}: its header is damaged")


def _is_sound(data: bytes | memoryview, number: int) -> bool:
    at = PAGE + number * RECORD_BYTES
    body = data[at + BODY_AT : at + CRC_AT]
    told = BODY.unpack(body)
    return (
        zlib.crc32(body) == CRC.unpack_from(data, at + CRC_AT)[0] and told[1] == number and told[4] < len(SCOPE_NAMES)
    )


def _switch(data: bytes | memoryview, number: int) -> Switch:
    at = PAGE + number * RECORD_BYTES
    (set_ns,) = struct.unpack_from("<q", data, at + 8)
    sequence, _, boot, wall_ns, scope, *texts = BODY.unpack_from(data, at + BODY_AT)
    name, user, reason = (text.rstrip(b"\0").decode("utf-8", "replace") for text in texts)
    return Switch(scope, name, sequence, set_ns, boot, wall_ns, user, reason)


def firm_records(data: bytes) -> list[tuple[int, Switch]]:
    """The firm as killed without a record of its own, if it is."""
    *_, released, _, killed = HEADER.unpack_from(data)
    return [] if killed == released else [(RECORDS, firm_killed(killed << 32, 0))]


def firm_killed(word: int, set_ns: int) -> Switch:
    """The firm's switch as `kill_firm` sets it: nobody had the time to say who and why."""
    boot, wall_ns = (boot_hash(), time.time_ns()) if set_ns else (0, 0)
    return Switch(FIRM, "", (word >> 32 & HALF) << 32, set_ns, boot, wall_ns, "", UNKNOWN_SETTER)


def merged(records: Iterable[tuple[int, Switch]]) -> Iterator[Switch]:
    """One switch of each key: the newest, where a setter died before it could release the older one.

    Of the firm the one with a name and a reason, and a sequence that tells both apart.
    """
    newest: dict[tuple[int, str], Switch] = {}
    for _, switch in records:
        other = newest.get(switch.key)
        if other is None:
            newest[switch.key] = switch
        elif switch.sequence >> 32 and not other.sequence >> 32:
            newest[switch.key] = replace(other, sequence=switch.sequence | other.sequence)
        elif switch.sequence > other.sequence:
            newest[switch.key] = switch
    yield from newest.values()
