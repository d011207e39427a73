"""Read segments: their records, and the events that these make up. Files are read, never mapped: a file that shrinks
under a map is SIGBUS, not an error.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gateway.core.driver import Event, Output, output_of
from gateway.journal import format as f
from gateway.journal.decision import NO_FINDINGS, breaches_of, read_decision
from gateway.journal.scan import BROKEN, NEWER, find_later_record, scan_records, words_crc
from gateway.machine import MEMORY_PREFIX, boot_hash, memory_name

SUFFIX, PACKED_SUFFIX = f.SUFFIX, f.PACKED_SUFFIX


def is_spare(path: Path) -> bool:
    """Whether a file is a segment made ahead that was never begun: it holds zeros only."""
    if path.name.endswith(PACKED_SUFFIX) or path.stat().st_size != f.SEGMENT_BYTES:
        return False
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            if part.count(0) < len(part):
                return False
    return True


class JournalError(Exception):
    """A journal that cannot be used; one line with the file and what is wrong."""


def segment_path(folder: Path, number: int) -> Path:
    """File of a segment while it is not compressed."""
    return folder / f"{number:08d}{SUFFIX}"


def disk_path(path: Path) -> Path:
    """The copy on disk of a segment that is in memory, see `gateway.journal.memory`."""
    return path.with_name(path.name + f.DISK_SUFFIX)


@functools.cache
def _memory_suffix() -> str:
    return f"-{boot_hash():x}"


def memory_name_of(path: Path) -> str:
    """Name of the memory of a segment. What an earlier boot of the machine has left under such a name, where memory is
    on a disk, nobody has synced.
    """
    return memory_name(path) + _memory_suffix()


def memory_of(path: Path) -> Path | None:
    """Where a segment in memory is, by the link that has its name; None where it is not, or where the link leads to
    what is not this folder's and its owner's: the folder is a copy of another.
    """
    try:
        memory = Path(os.readlink(path))
        is_ours = os.lstat(memory).st_uid == os.stat(path.parent).st_uid
    except OSError:
        return None
    return memory if is_ours and memory.name == memory_name_of(path) else None


def _file_of(path: Path) -> Path:
    """The file that has the bytes of a segment of this name."""
    if not path.is_symlink() or memory_of(path) is not None:
        return path
    disk = disk_path(path)
    if disk.exists():
        return disk
    try:
        leads_to = os.readlink(path)
    except OSError:
        return path  # it was sealed in this moment
    if Path(leads_to).name.startswith(MEMORY_PREFIX):
        raise JournalError(f"{path}: leads to memory that is not of this folder, and {disk.name} is missing")
    return path


def segment_files(folder: Path) -> list[Path]:
    """Files of all segments in order, compressed or not; one that is there in both forms counts once, as it was. Of one
    whose memory is gone the copy on disk. Raises JournalError where that is missing.

    The last ones may be spares, see `is_spare`.
    """
    found: dict[str, Path] = {}
    for suffix in (PACKED_SUFFIX, SUFFIX):
        for path in folder.glob(f"[0-9]*{suffix}"):
            found[path.name.removesuffix(suffix)] = _file_of(path)
    return [found[name] for name in sorted(found)]


def is_closed(path: Path) -> bool:
    """Whether a segment file ends with a SEAL, as far as its last bytes tell; a compressed one was closed."""
    if path.name.endswith(PACKED_SUFFIX):
        return True
    size = f.SEAL_RECORD.itemsize
    with path.open("rb") as file:
        file.seek(max(os.fstat(file.fileno()).st_size - size, 0))
        tail = file.read(size)
    if len(tail) < size:
        return False
    head = np.frombuffer(tail, f.SEAL_RECORD)["head"][0]
    return int(head["length"]) == size and int(head["kind"]) == f.SEAL


def segment_number(path: Path) -> int:
    """Number of a segment, from the name of its file."""
    return int(path.name.partition(".")[0])


def segment_head(number: int, first_sequence: int, run: int, wall_ns: int) -> bytes:
    """The SEGMENT_HEAD of a new segment."""
    head = np.zeros(1, f.SEGMENT_HEAD)
    head[0] = (f.MAGIC, f.VERSION, number, first_sequence, run, wall_ns, 0, 0)
    head["crc"] = words_crc(head.view("i8"), 0, f.SEGMENT_HEAD_WORDS - 1)
    return head.tobytes()


class NewerReleaseError(JournalError):
    """A journal that a newer release has written: nothing is wrong with it, but it is not for this one."""


@dataclass(frozen=True)
class Segment:
    """One segment, read whole: `words` (int64) and `octets` (uint8) of its file; `starts`: word of each good record."""

    path: Path
    number: int
    first_sequence: int
    run: int
    created_wall_ns: int
    words: np.ndarray
    octets: np.ndarray
    starts: np.ndarray
    end: int  # word behind the last good record
    broken: bool  # what follows the last good record is neither the end nor a record

    @staticmethod
    def of(path: Path, content: bytes | np.ndarray) -> Segment:
        """Take the content of a segment file apart (uint8 where it is an array, which is not copied); raises
        JournalError when its head is of no use.
        """
        size = len(content) // 8 * 8
        begin = bytes(content[: f.SEGMENT_HEAD.itemsize])
        if size < f.SEGMENT_HEAD.itemsize or not begin.startswith(f.MAGIC):
            raise JournalError(f"{path}: is not a journal segment, want a file that starts with {f.MAGIC.decode()}")
        head = np.frombuffer(bytearray(begin), f.SEGMENT_HEAD)
        if words_crc(head.view("i8"), 0, f.SEGMENT_HEAD_WORDS - 1) != head["crc"][0]:
            raise JournalError(f"{path}: the head of the segment is damaged")
        head = head[0]
        version = int(head["version"])
        if version > f.VERSION:
            raise NewerReleaseError(
                f"{path}: was written by a newer release (journal version {version}, this one reads up to {f.VERSION})"
            )
        number, first, run, wall_ns = (
            int(head[name]) for name in ("number", "first_sequence", "run", "created_wall_ns")
        )
        octets = np.frombuffer(bytearray(content), np.uint8) if isinstance(content, bytes) else content
        octets = octets[:size]
        words = octets.view(np.int64)
        starts = np.zeros(words.size // f.HEAD_WORDS + 1, np.int64)
        count, end, how = scan_records(words, first, starts)
        if how == NEWER:
            raise NewerReleaseError(
                f"{path}: holds a record of a newer release, this one reads up to version {f.VERSION}"
            )
        return Segment(path, number, first, run, wall_ns, words, octets, starts[:count], int(end), how == BROKEN)

    @property
    def last_sequence(self) -> int:
        """Number of the last good record; one less than the first when there is none."""
        return self.first_sequence + self.starts.size - 1

    def kind(self, k: int) -> int:
        """Kind of record k of the segment."""
        return int(self.words[self.starts[k] + 3]) & 0xFFFFFFFF

    def version(self, k: int) -> int:
        """Version of record k of the segment."""
        return int(self.words[self.starts[k] + 3]) >> 32

    def record(self, k: int, dtype: np.dtype) -> np.record:
        """The fixed part of record k."""
        return np.frombuffer(self.octets, dtype, 1, int(self.starts[k]) * 8)[0]

    def data(self, k: int, dtype: np.dtype) -> bytes:
        """The bytes behind the fixed part of record k, of which its field `size` tells."""
        start = int(self.starts[k]) * 8 + dtype.itemsize
        length = int(self.words[self.starts[k]]) - dtype.itemsize
        size = min(int(self.record(k, dtype)["size"]), length)
        return self.octets[start : start + size].tobytes()

    @property
    def seal(self) -> np.record | None:
        """The SEAL at the end, None when there is none."""
        if self.starts.size == 0 or self.kind(self.starts.size - 1) != f.SEAL:
            return None
        return self.record(self.starts.size - 1, f.SEAL_RECORD)

    def committed(self) -> int:
        """How many records make up whole events, settings and seals; the rest is of an event without its COMMIT."""
        count = 0
        for k in range(self.starts.size - 1, -1, -1):
            if self.kind(k) in (f.COMMIT, f.SETTINGS, f.SEAL):
                count = k + 1
                break
        return count

    def lost_records(self) -> int:
        """How many records lie behind the break, as far as they can be found; 0 when it is only a torn end."""
        at = find_later_record(self.words, self.end, self.last_sequence)
        return 0 if at < 0 else int(self.words[at + 2]) - self.last_sequence


def read_segment(path: Path) -> Segment:
    """Read a segment file, compressed or not; raises JournalError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise JournalError(f"{path}: cannot be read: {error.strerror}") from None
    if path.name.endswith(PACKED_SUFFIX):
        content = unpack(path, content)
    return Segment.of(path, content)


def unpack(path: Path, content: bytes) -> bytes:
    """Content of a compressed segment or snapshot; raises JournalError."""
    import zstandard

    try:
        return zstandard.ZstdDecompressor().decompress(content, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise JournalError(f"{path}: cannot be decompressed: {error}") from None


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of the journal with all that it gave. `decision` and `findings` are of orders and replaces only."""

    sequence: int  # of its COMMIT
    event: Event
    outputs: list[Output]
    took_ns: int
    fault: int
    segment: Segment
    decision: np.record | None
    findings: np.ndarray

    @property
    def breaches(self) -> np.ndarray:
        """The findings for which it was refused."""
        return breaches_of(self.findings)


def entries(segment: Segment, after: int = 0) -> Iterator[Entry | bytes]:
    """The events of a segment in order, those after COMMIT `after`; where settings changed, their zlib-compressed JSON
    instead.
    """
    event: Event | None = None
    outputs: list[Output] = []
    decision, findings = None, NO_FINDINGS
    for k in range(max(after + 1 - segment.first_sequence, 0), segment.committed()):
        kind = segment.kind(k)
        if kind == f.SETTINGS:
            yield segment.data(k, f.SETTINGS_RECORD)
        elif kind == f.IN:
            event, outputs, decision, findings = _event(segment, k), [], None, NO_FINDINGS
        elif kind == f.OUT:
            record = segment.record(k, f.OUT_RECORD)
            numbers = int(record["session"]), int(record["message_type"])
            outputs.append(output_of(*numbers, segment.data(k, f.OUT_RECORD), int(record["msg_seq_num"])))
        elif kind == f.DECISION:
            try:
                decision, findings = read_decision(segment, k)
            except ValueError as error:
                raise JournalError(f"{segment.path}: record {segment.first_sequence + k}: {error}") from None
        elif kind == f.COMMIT and event is not None:
            commit = segment.record(k, f.COMMIT_RECORD)
            sequence = segment.first_sequence + k
            took_ns, fault = int(commit["took_ns"]), int(commit["fault"])
            yield Entry(sequence, event, outputs, took_ns, fault, segment, decision, findings)
            event = None


def _event(segment: Segment, k: int) -> Event:
    record = segment.record(k, f.IN_RECORD)
    data = segment.data(k, f.IN_RECORD)
    size = int(record["size"])
    if size > len(data):
        data += bytes(size - len(data))  # what was longer than MAX_MESSAGE_BYTES was not kept, only that it was
    return Event(
        int(record["event_kind"]),
        int(record["head"]["time_ns"]),
        int(record["session"]),
        int(record["msg_seq_num"]),
        bool(record["poss_dup"]),
        data,
        tuple(int(v) for v in record["value"]),
    )
