"""Follow the journal of a gateway that runs: its events, once they are committed.

The segment in use is read, never mapped, and nothing is locked: the gateway does not notice. What is needed to read it
stands here, without compiled code, so that a process which follows starts in a moment.

The core's thread writes the CRC of a record behind all else of it; a COMMIT that has one is whole, and so is what lies
before it. Processors may show another the stores of a moment in another order: what was found is read a moment later.
"""

from __future__ import annotations

import os
import struct
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gateway.core import events as ev
from gateway.journal import format as f

READ_BYTES = 512 << 10  # at a time: more than any event takes
MOMENT_S = 0.001

# The records of `journal.format`, by their places.
HEAD = struct.Struct("<qqqiiq")
IN = struct.Struct(f"<5q{ev.VALUES}q")
OUT = struct.Struct("<4q")
COMMIT = struct.Struct("<iiqqq")
for _record, _fields in ((f.IN_RECORD, IN), (f.OUT_RECORD, OUT), (f.COMMIT_RECORD, COMMIT)):
    assert _record.itemsize == HEAD.size + _fields.size
assert HEAD.size == f.HEAD.itemsize and READ_BYTES > 2 * f.MAX_EVENT_BYTES


@dataclass(slots=True)
class Committed:
    """An event of the journal, see `core.events`, and what it gave: (row of the session, MsgType(35), body) of each
    message; alerts have the row NONE. `verdict`: of a message of an EMS, see `format.COMMIT_RECORD`.
    """

    kind: int
    time_ns: int
    session: int
    value: tuple[int, ...]
    data: bytes
    outputs: list[tuple[int, str, bytes]] = field(default_factory=list)
    sequence: int = 0
    verdict: int = 0
    took_ns: int = 0


class Tail:
    """Reads from the beginning of a segment on, across segments, also those that were compressed meanwhile."""

    def __init__(self, folder: Path, number: int) -> None:
        """Of the journal in a folder, from segment `number` on. Raises OSError when that is not there."""
        self._folder = folder
        self._file = -1
        self.sequence = 0
        """Of the last record that was read."""
        self._open(number)

    @property
    def number(self) -> int:
        """Of the segment in hand."""
        return self._number

    @property
    def behind(self) -> int:
        """How many segments have been begun after the one in hand."""
        count = 0
        while self._is_begun(self._number + count + 1):
            count += 1
        return count

    def skip(self, segments: int) -> None:
        """Go on so many segments further on. Raises OSError."""
        self._open(self._number + segments)

    def read(self) -> Iterator[Committed]:
        """The events that have been committed since the last call, in order, to the end of a segment at most. Raises
        OSError when a segment has gone.
        """
        ended = self._is_begun(self._number + 1)  # nothing more comes in the one in hand
        while (end := self._end()) > self._at:
            time.sleep(MOMENT_S)
            yield from self._events(os.pread(self._file, end - self._at, self._at))
        if ended:
            self._open(self._number + 1)

    def _end(self) -> int:
        """Where the last event ends that is committed, among the next READ_BYTES."""
        if not int.from_bytes(os.pread(self._file, 8, self._at), "little"):
            return self._at
        part = os.pread(self._file, READ_BYTES, self._at)
        at, end, sequence = 0, 0, self.sequence
        while at + HEAD.size <= len(part):
            length, crc, number, kind, _, _ = HEAD.unpack_from(part, at)
            sequence += 1
            if at == 0 and kind == f.SETTINGS and length > len(part) and crc != 0 and number == sequence:
                return self._at + length  # larger than any event; nothing in it is told
            if length < HEAD.size or crc == 0 or number != sequence or at + length > len(part):
                break
            at += length
            if kind in (f.COMMIT, f.SETTINGS, f.SEAL):
                end = at
        return self._at + end

    def _events(self, part: bytes) -> Iterator[Committed]:
        """The events in some whole records; what has been read moves on with them."""
        at, event = 0, None
        while at < len(part):
            length, _, number, kind, _, time_ns = HEAD.unpack_from(part, at)
            fields = at + HEAD.size
            if kind == f.IN:
                event_kind, session, _, _, size, *value = IN.unpack_from(part, fields)
                data = part[fields + IN.size : min(fields + IN.size + size, at + length)]
                event = Committed(event_kind, time_ns, session, tuple(value), data)
            elif kind == f.OUT and event is not None:
                session, _, message_type, size = OUT.unpack_from(part, fields)
                body = part[fields + OUT.size : fields + OUT.size + size]
                event.outputs.append(
                    (session, message_type.to_bytes(2, "little").rstrip(b"\0").decode("latin-1"), body)
                )
            at += length
            self._at += length
            self.sequence = number
            if kind == f.COMMIT and event is not None:
                _, event.verdict, event.took_ns, _, _ = COMMIT.unpack_from(part, fields)
                event.sequence = number
                yield event
                event = None

    def _open(self, number: int) -> None:
        path = self._path(number)
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            file = self._unpacked(path.with_suffix(f.PACKED_SUFFIX))
        self.close()
        self._file, self._number, self._at = file, number, f.SEGMENT_HEAD.itemsize
        head = np.frombuffer(os.pread(file, self._at, 0), f.SEGMENT_HEAD)
        self.sequence = int(head["first_sequence"][0]) - 1

    @staticmethod
    def _unpacked(path: Path) -> int:
        """A compressed segment as a file without a name."""
        import zstandard

        with path.open("rb") as packed, tempfile.TemporaryFile() as whole:
            zstandard.ZstdDecompressor().copy_stream(packed, whole)
            whole.flush()
            return os.dup(whole.fileno())

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08d}{f.SUFFIX}"

    def _is_begun(self, number: int) -> bool:
        """Whether a segment is there and was begun: a spare one holds zeros."""
        path = self._path(number)
        try:
            with path.open("rb") as file:
                head = np.frombuffer(file.read(f.SEGMENT_HEAD.itemsize), f.SEGMENT_HEAD)
        except FileNotFoundError:
            return path.with_suffix(f.PACKED_SUFFIX).exists()
        return bool(head["magic"][0] == f.MAGIC and head["crc"][0] != 0)  # the CRC stands at its end

    def close(self) -> None:
        """Close the file in hand."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
