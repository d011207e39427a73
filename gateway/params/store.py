"""Files in shared memory by which a process pushes limits (TIDEPARM) or quotes (TIDEQUOT): their layout, to the byte.

Standard library only, so that a publisher is quick to import. Fields are given as numpy has them: `np.dtype(PARAMETER)`
is the dtype of a record. A file is a header of 128 bytes, then `capacity` records of `record_size` bytes. Every number
is a little-endian int64 at a multiple of 8; times are nanoseconds of CLOCK_MONOTONIC.

A file has one writer, which holds flock(LOCK_EX) on it. A key (scope, name, symbol and limit; or a quote's symbol)
keeps its record for as long as the file lives. To publish a record:

1. store its `sequence`, made odd, as one aligned word;
2. write the rest of it;
3. store the next even `sequence`, with release order;
4. if the record is new, store `used` + 1;
5. store `epoch` + 1, with release order, and `heartbeat_ns`.

Never shorten a file that a gateway may have mapped. To begin anew write another file and rename it to this path.
"""

from __future__ import annotations

import re

from gateway.vocabulary import HIGHER_IS_TIGHTER, LIMIT_KINDS, SCOPE_NAMES

VERSION = 1
PARAMETER_MAGIC = b"TIDEPARM"
QUOTE_MAGIC = b"TIDEQUOT"
CAPACITY = 1024  # records of a new file
MAX_CAPACITY = 65_536
MAX_VALUE = 10**18  # of anything published, in its unit: 10^10 with 8 decimals
NAME = re.compile(r"[A-Za-z0-9_.:/+-]{1,32}")

HEADER = [
    ("magic", "S8"),  # 0: written last
    ("version", "<i8"),  # 8
    ("record_size", "<i8"),  # 16: bytes
    ("capacity", "<i8"),  # 24: records that the file has room for
    ("used", "<i8"),  # 32: records in use, from the first on
    ("pid", "<i8"),  # 40: of the publisher
    ("boot", "<i8"),  # 48: first 15 hexadecimal digits of the machine's boot id, as a number
    ("heartbeat_ns", "<i8"),  # 56: when the publisher was last about
    ("epoch", "<i8"),  # 64: changes so far
    ("reserved", "S56"),  # 72: zero
]
PARAMETER = [
    ("sequence", "<i8"),  # 0: odd while it is being written; 0: never was
    ("epoch", "<i8"),  # 8: of the header, as it will be once this is written
    ("time_ns", "<i8"),  # 16: when it was pushed
    ("expires_ns", "<i8"),  # 24: 0: never
    ("scope", "<i8"),  # 32: see SCOPES
    ("limit", "<i8"),  # 40: see LIMITS
    ("value", "<i8"),  # 48: in units of 10^-decimals, see DECIMALS
    ("model", "<i8"),  # 56: the publisher's own: what computed the value
    ("tier", "<i8"),  # 64: the publisher's own
    ("name", "S32"),  # 72: of the entity, padded with zeros; empty for the firm
    ("symbol", "S32"),  # 104: of the instrument, where it is a limit of a pair; else zeros
    ("checksum", "<i8"),  # 136: CRC-32, as zlib.crc32, of bytes 8 to 135
]
QUOTE = [
    ("sequence", "<i8"),  # 0: odd while it is being written; 0: never was
    ("time_ns", "<i8"),  # 8: of the prices
    ("bid_e8", "<i8"),  # 16: 0: none, as in the five that follow
    ("ask_e8", "<i8"),  # 24
    ("last_e8", "<i8"),  # 32
    ("bid_qty_e8", "<i8"),  # 40
    ("ask_qty_e8", "<i8"),  # 48
    ("last_qty_e8", "<i8"),  # 56
    ("symbol", "S32"),  # 64
    ("checksum", "<i8"),  # 96: CRC-32 of bytes 8 to 95
]

WORD = 8
HEADER_BYTES, PARAMETER_BYTES, QUOTE_BYTES = 128, 144, 104
VERSION_WORD, RECORD_SIZE_WORD, CAPACITY_WORD, USED_WORD = 1, 2, 3, 4
PID_WORD, BOOT_WORD, HEARTBEAT_WORD, EPOCH_WORD = 5, 6, 7, 8
FIXED_BYTES = 32  # of the header: they never change

# Formats for `struct`, of a whole record and of what its checksum covers.
PARAMETER_FORMAT, PARAMETER_BODY = "<9q32s32sq", "<8q32s32s"
QUOTE_FORMAT, QUOTE_BODY = "<8q32sq", "<7q32s"

SCOPES = {name: number for number, name in enumerate(SCOPE_NAMES)}
# Number and kind of every limit that may be pushed.
LIMITS = {
    key: (number, kind) for number, (key, kind) in enumerate(LIMIT_KINDS.items()) if number not in HIGHER_IS_TIGHTER
}
DECIMALS = {"quantity": 8, "money": 4, "bps": 0, "count": 0, "duration": 9}  # a duration counts in seconds


def file_bytes(head: bytes, record_size: int) -> int:
    """Size of a file, from its header."""
    return HEADER_BYTES + _word(head, CAPACITY_WORD) * record_size


def header_fault(head: bytes, size: int, magic: bytes, record_size: int) -> str:
    """What is wrong with the header (bytes `head`) of a file of `size` bytes; empty: nothing."""
    if head[: len(magic)] != magic or len(head) < HEADER_BYTES:
        return f"is not a {magic.decode()} file"
    if _word(head, VERSION_WORD) != VERSION:
        return f"has version {_word(head, VERSION_WORD)}, want {VERSION}"
    its_size, capacity = _word(head, RECORD_SIZE_WORD), _word(head, CAPACITY_WORD)
    if its_size != record_size or not 0 < capacity <= MAX_CAPACITY:
        return f"has {capacity} records of {its_size} bytes, want 1 to {MAX_CAPACITY} of {record_size}"
    if size < file_bytes(head, record_size):
        return f"is cut short: {size} bytes, want {file_bytes(head, record_size)}"
    return ""


def padded_text(padded: bytes) -> str:
    """Text of a fixed field."""
    return padded.partition(b"\0")[0].decode("ascii", "replace")


def _word(head: bytes, k: int) -> int:
    return int.from_bytes(head[WORD * k : WORD * (k + 1)], "little", signed=True)
