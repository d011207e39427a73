"""A journal as a reader finds it: where a replay can begin, when its events happened, and their state at any point."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from gateway.core import layout as a
from gateway.journal import format as f
from gateway.journal.read import Entry, JournalError, Segment, entries, read_segment, segment_files, segment_number
from gateway.journal.replayer import Replayer
from gateway.journal.scan import KIND_MASK
from gateway.journal.snapshot import load, snapshot_files, snapshot_segment
from gateway.settings import Settings, restore_settings

VALUE_WORD = f.HEAD_WORDS + 5  # of `value` in an IN record
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Watch = Callable[[int, int], None]
"""Told of progress: segments done, and how many there are."""


def unwatched(done: int, total: int) -> None:
    """A Watch that does nothing."""


def journal_folder(path: Path) -> Path:
    """The journal folder that `path` is, or that the state folder `path` has; raises JournalError."""
    for folder in (path, path / "journal"):
        if segment_files(folder):
            return folder
    raise JournalError(f"{path}: has no journal, want a folder with files like 00000001.journal, or its state folder")


@dataclass(frozen=True)
class Part:
    """One segment with the wall-clock time of each record (int64, ns since 1970) and the settings in force."""

    segment: Segment
    wall_ns: np.ndarray
    settings: list[tuple[int, Settings]]  # by the record from which they hold

    def settings_at(self, record: int) -> Settings:
        """The settings in force when record `record` was written."""
        return [settings for first, settings in self.settings if first <= record][-1]


class History:
    """The segments of a journal folder from the first that a replay can begin with; `beginning` says which that is."""

    def __init__(self, folder: Path) -> None:
        """Look at a folder; raises JournalError when no replay can begin there."""
        self.folder = folder
        self._files = segment_files(folder)
        self._snapshot: Path | None = None
        self._settings: Settings | None = None
        self._offset_ns = 0
        self._follows = (1, 1)  # number of the first segment, and of its first record
        self.beginning = "the beginning of the journal"
        first = segment_number(self._files[0])
        if first > 1:
            self._begin_with_snapshot(first)

    def _begin_with_snapshot(self, first: int) -> None:
        """Choose the oldest snapshot that can be used and has the segments behind it."""
        notes = []
        for path in reversed(snapshot_files(self.folder)):
            if snapshot_segment(path) < first - 1:
                continue
            try:
                snapshot = load(path)
            except JournalError as error:
                notes.append(f"; {error}")
                continue
            self._snapshot = path
            self._settings = snapshot.settings
            self._offset_ns = int(snapshot.state.record.wall_offset_ns)
            self._follows = (snapshot.segment + 1, snapshot.sequence + (1 if any(snapshot.seal) else 2))
            self._files = [file for file in self._files if segment_number(file) > snapshot.segment]
            self.beginning = f"snapshot {path.name}"
            return
        raise JournalError(
            f"{self._files[0]}: the segments before it are gone, and no snapshot stands for them{''.join(notes)}"
        )

    def replayer(self) -> Replayer:
        """A state as it was in front of the first segment; raises JournalError."""
        if self._snapshot is None:
            return Replayer()
        snapshot = load(self._snapshot)
        return Replayer(snapshot.state, snapshot.settings, snapshot.sequence)

    def parts(self, watch: Watch = unwatched) -> Iterator[Part]:
        """The segments in order; raises JournalError where one is missing or damaged."""
        settings, offset_ns = self._settings, self._offset_ns
        follows = self._follows
        for done, path in enumerate(self._files):
            watch(done, len(self._files))
            segment = read_segment(path)
            follows = _check_follows(segment, follows)
            found = [(k, restore_settings(zlib.decompress(data))) for k, data in _settings_of(segment)]
            if settings is None and segment.committed() > 0 and (not found or found[0][0] > 0):
                raise JournalError(f"{path}: does not begin with settings")
            wall_ns, offset_ns = _wall_times(segment, offset_ns)
            yield Part(segment, wall_ns, ([(0, settings)] if settings else []) + found)
            settings = found[-1][1] if found else settings
        watch(len(self._files), len(self._files))


def _check_follows(segment: Segment, follows: tuple[int, int]) -> tuple[int, int]:
    """See that a segment follows the one before; returns what the next must be: its number, and its first record's."""
    if (segment.number, segment.first_sequence) != follows:
        raise JournalError(
            f"{segment.path}: is segment {segment.number} from record {segment.first_sequence}, "
            f"want segment {follows[0]} from record {follows[1]}: what lies between is lost"
        )
    if segment.lost_records() > 0:
        raise JournalError(
            f"{segment.path}: damaged behind record {segment.last_sequence}, whole records come after it"
        )
    # The number of a SEAL that could not be written is left out.
    last = segment.first_sequence + segment.committed() - 1 + (1 if segment.seal is None else 0)
    return segment.number + 1, last + 1


def kinds_of(segment: Segment) -> np.ndarray:
    """Kind of every record of a segment."""
    kinds: np.ndarray = segment.words[segment.starts + 3] & KIND_MASK
    return kinds


def _settings_of(segment: Segment) -> Iterator[tuple[int, bytes]]:
    for k in np.flatnonzero(kinds_of(segment) == f.SETTINGS):
        yield int(k), segment.data(int(k), f.SETTINGS_RECORD)


def _wall_times(segment: Segment, offset_ns: int) -> tuple[np.ndarray, int]:
    """Wall-clock time of every record, and the offset of the wall clock behind the last; CLOCK and START change it."""
    words, starts = segment.words, segment.starts
    ins = np.flatnonzero(kinds_of(segment) == f.IN)
    event_kinds = words[starts[ins] + f.HEAD_WORDS]
    told = np.where(event_kinds == a.CLOCK, 0, np.where(event_kinds == a.START, a.START_WALL_OFFSET, -1))
    changes = ins[told >= 0]
    offsets = np.concatenate([[offset_ns], words[starts[changes] + VALUE_WORD + told[told >= 0]]])
    wall_ns = words[starts + 4] + offsets[np.searchsorted(changes, np.arange(starts.size), "right")]
    return wall_ns, int(offsets[-1])


def stretch(segment: Segment, first: int, last: int) -> Segment:
    """The records from `first` to before `last` of a segment, as a segment."""
    x = segment
    return Segment(
        *(x.path, x.number, x.first_sequence + first, x.run, x.created_wall_ns, x.words, x.octets),
        *(x.starts[first:last], x.end, False),
    )


def event_at(part: Part, record: int) -> tuple[int, int]:
    """The records of the event that `record` belongs to: its IN, and behind its COMMIT."""
    kinds = kinds_of(part.segment)
    first = int(np.flatnonzero(kinds[: record + 1] == f.IN)[-1])
    return first, record + 1 + int(np.flatnonzero(kinds[record:] == f.COMMIT)[0])


def entry_at(part: Part, first: int, last: int) -> Entry:
    """The event of the records from `first` to before `last`."""
    entry = next(entries(stretch(part.segment, first, last)))
    assert isinstance(entry, Entry)
    return entry


def parse_wall_ns(text: str) -> int:
    """Nanoseconds since 1970 of an ISO 8601 time, UTC where it names no zone; raises ValueError."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return (time - EPOCH) // timedelta(microseconds=1) * 1000


def wall_text(wall_ns: int) -> str:
    """A wall-clock time in UTC, to the microsecond."""
    time = EPOCH + timedelta(microseconds=wall_ns // 1000)
    return time.strftime("%Y-%m-%d %H:%M:%S.%f")


@dataclass(frozen=True)
class Moment:
    """The state behind the event whose COMMIT has number `sequence` (0: before all)."""

    replayer: Replayer
    sequence: int
    wall_ns: int


def state_at(history: History, until: str, watch: Watch = unwatched) -> Moment:
    """The state at the number of a COMMIT, or at an ISO 8601 time; raises JournalError when there is no such point."""
    sequence = int(until) if until.isdecimal() else None
    try:
        wanted_ns = 0 if sequence is not None else parse_wall_ns(until)
    except ValueError:
        raise JournalError(f"--until {until}: want the number of a COMMIT or a time like 2026-07-11T12:00:00") from None
    replayer = history.replayer()
    reached = (replayer.sequence, 0)
    for part in history.parts(watch):
        commits = np.flatnonzero(kinds_of(part.segment) == f.COMMIT)
        if sequence is not None:
            later = part.segment.first_sequence + commits > sequence
        else:
            later = part.wall_ns[commits] > wanted_ns
        stop = bool(later.any())
        taken = commits[: int(np.argmax(later))] if stop else commits
        replayer.apply(part.segment, int(taken[-1]) + 1 if taken.size else 0)
        if taken.size:
            reached = (part.segment.first_sequence + int(taken[-1]), int(part.wall_ns[taken[-1]]))
        if stop:
            break
    if replayer.state is None or (sequence is not None and reached[0] != sequence):
        near = f"the last before it is {reached[0]}" if reached[0] else "the journal begins behind it"
        raise JournalError(f"--until {until}: no event ends there, {near}")
    return Moment(replayer, *reached)
