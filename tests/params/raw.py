"""A publisher in plain struct code, made of the documented layout alone: it shares no line with `gateway.params`."""

from __future__ import annotations

import mmap
import struct
import time
import zlib
from pathlib import Path

HEADER_BYTES = 128
BYTES = {b"TIDEPARM": 144, b"TIDEQUOT": 104}


def boot() -> int:
    return int(Path("/proc/sys/kernel/random/boot_id").read_text().replace("-", "")[:15], 16)


class RawFile:
    """A file of `capacity` records; what is written may be as wrong as a test likes."""

    def __init__(self, path: Path, magic: bytes = b"TIDEPARM", capacity: int = 8) -> None:
        self.record_bytes = BYTES[magic]
        self.path = path
        with path.open("wb") as file:
            file.truncate(HEADER_BYTES + capacity * self.record_bytes)
        with path.open("r+b") as file:
            self.map = mmap.mmap(file.fileno(), 0)
        self.map[:8] = magic
        for offset, word in ((8, 1), (16, self.record_bytes), (24, capacity), (40, 4711), (48, boot())):
            self.put(offset, word)
        self.beat()

    def put(self, offset: int, word: int) -> None:
        struct.pack_into("<q", self.map, offset, word)

    def get(self, offset: int) -> int:
        return int(struct.unpack_from("<q", self.map, offset)[0])

    def at(self, row: int) -> int:
        """Offset of a record."""
        return HEADER_BYTES + row * self.record_bytes

    def beat(self) -> None:
        self.put(56, time.monotonic_ns())

    def write(self, row: int, body: bytes) -> None:
        """Write a record but for its sequence and checksum, which follow."""
        start = self.at(row)
        sequence = self.get(start) | 1
        self.put(start, sequence)
        self.map[start + 8 : start + self.record_bytes - 8] = body
        self.put(start + self.record_bytes - 8, zlib.crc32(body))
        self.put(start, sequence + 1)
        self.put(32, max(self.get(32), row + 1))
        self.put(64, self.get(64) + 1)
        self.beat()

    def parameter(self, row: int = 0, **changes: int | bytes) -> None:
        """Push max_order_qty 400 of strategy MOMO, but for what is said."""
        fields: dict[str, int | bytes] = {"epoch": self.get(64) + 1, "time": time.monotonic_ns(), "expires": 0}
        fields |= {"scope": 3, "limit": 0, "value": 400 * 10**8, "model": 12, "tier": 2, "name": b"MOMO", "symbol": b""}
        assert changes.keys() <= fields.keys()
        self.write(row, struct.pack("<8q32s32s", *(fields | changes).values()))

    def quote(self, row: int = 0, **changes: int | bytes) -> None:
        """Publish AAPL 99.99 x 100.01, last 100, but for what is said."""
        fields: dict[str, int | bytes] = {"time": time.monotonic_ns(), "bid": 9999 * 10**6, "ask": 10001 * 10**6}
        fields |= {"last": 100 * 10**8, "bid_qty": 10**8, "ask_qty": 2 * 10**8, "last_qty": 0, "symbol": b"AAPL"}
        assert changes.keys() <= fields.keys()
        self.write(row, struct.pack("<7q32s", *(fields | changes).values()))
