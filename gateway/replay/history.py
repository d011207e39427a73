"""A journal as a reader finds it: where a replay can begin, when its events happened, and the state at each of them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property
from pathlib import Path

import numpy as np

from gateway.config.settings import Settings, restore_settings
from gateway.core import events as ev
from gateway.journal import format as f
from gateway.journal.chain import Link, SealChain
from gateway.journal.read import (
    Entry,
    JournalError,
    Segment,
    entries,
    is_spare,
    read_segment,
    segment_files,
    segment_number,
)
from gateway.journal.replayer import Replayer
from gateway.journal.scan import KIND_MASK
from gateway.journal.seal import NO_DIGEST
from gateway.journal.snapshot import load, snapshot_files, snapshot_segment

VALUE_WORD = f.HEAD_WORDS + 5  # of `value` in an IN record
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Watch = Callable[[float], None]
"""Told now and then which share of the journal is done, 0 to 1."""


def unwatched(share: float) -> None:
    """A Watch that does nothing."""


def parse_wall_ns(text: str, zone: tzinfo = UTC) -> int:
    """Nanoseconds since 1970 of an ISO 8601 time, of `zone` where it names none; raises ValueError."""
    time = datetime.fromisoformat(text)
    return wall_ns(time if time.tzinfo is not None else time.replace(tzinfo=zone))


def wall_ns(time: datetime) -> int:
    """Nanoseconds since 1970 of a time that has a zone."""
    return (time - EPOCH) // timedelta(microseconds=1) * 1000


def wall_text(wall_ns: int) -> str:
    """A wall-clock time in UTC, to the microsecond."""
    time = EPOCH + timedelta(microseconds=wall_ns // 1000)
    return time.strftime("%Y-%m-%d %H:%M:%S.%f")


@dataclass(frozen=True)
class Part:
    """The whole events of one segment, with the settings in force and when everything happened.

    `wall_ns`: wall-clock time of each record, int64, ns since 1970. `settings`: by the record from which they hold.
    `offset_ns`: what the wall clock is ahead of the gateway's behind the last record.
    """

    segment: Segment
    kinds: np.ndarray  # of each record
    wall_ns: np.ndarray
    settings: list[tuple[int, Settings]]
    offset_ns: int

    @staticmethod
    def of(segment: Segment, settings: Settings | None, offset_ns: int) -> Part:
        """A segment in front of which these settings and this offset hold; raises JournalError when there are none."""
        kinds = segment.words[segment.starts[: segment.committed()] + 3] & KIND_MASK
        changes = np.flatnonzero(kinds == f.SETTINGS).tolist()
        if settings is None and kinds.size and changes[:1] != [0]:
            raise JournalError(f"{segment.path}: does not begin with settings")
        packed = ((k, segment.data(k, f.SETTINGS_RECORD)) for k in changes)
        found = [(k, restore_settings(zlib.decompress(data))) for k, data in packed]
        wall_ns, offset_ns = _wall_times(segment, kinds, offset_ns)
        return Part(segment, kinds, wall_ns, ([(0, settings)] if settings else []) + found, offset_ns)

    @property
    def settings_behind(self) -> Settings | None:
        """The settings in force behind the last record."""
        return self.settings[-1][1] if self.settings else None

    def settings_at(self, record: int) -> Settings:
        """The settings in force when record `record` was written."""
        return [settings for first, settings in self.settings if first <= record][-1]

    @cached_property
    def events(self) -> np.ndarray:
        """(IN, behind COMMIT) of every event, int64[n, 2]."""
        starts, commits = np.flatnonzero(self.kinds == f.IN), np.flatnonzero(self.kinds == f.COMMIT)
        return np.stack((starts[np.searchsorted(starts, commits) - 1], commits + 1), axis=1)

    def event_of(self, record: int) -> tuple[int, int]:
        """The records of the event that `record` belongs to: its IN, and behind its COMMIT."""
        first, last = self.events[np.searchsorted(self.events[:, 1], record, "right")].tolist()
        return first, last

    def cut(self, first: int, last: int | None = None) -> Segment:
        """The records from `first` to before `last` (None: to the end) as a segment."""
        x, last = self.segment, self.kinds.size if last is None else last
        return Segment(
            *(x.path, x.number, x.first_sequence + first, x.run, x.created_wall_ns, x.words, x.octets),
            *(x.starts[first:last], x.end, False),
        )

    def entry(self, first: int, last: int) -> Entry:
        """The event of the records from `first` to before `last`."""
        entry = next(entries(self.cut(first, last)))
        assert isinstance(entry, Entry)
        return entry


def _wall_times(segment: Segment, kinds: np.ndarray, offset_ns: int) -> tuple[np.ndarray, int]:
    """Wall-clock time of every record, and the offset of the wall clock behind the last; CLOCK and START change it."""
    words, starts = segment.words, segment.starts[: kinds.size]
    ins = np.flatnonzero(kinds == f.IN)
    event_kinds = words[starts[ins] + f.HEAD_WORDS]
    told = np.where(event_kinds == ev.CLOCK, 0, np.where(event_kinds == ev.START, ev.START_WALL_OFFSET, -1))
    changes = ins[told >= 0]
    offsets = np.concatenate([[offset_ns], words[starts[changes] + VALUE_WORD + told[told >= 0]]])
    # The settings of a run are written just before its START, the first to know the wall clock.
    changes -= (changes > 0) & (kinds[changes - 1] == f.SETTINGS) & (event_kinds[told >= 0] == ev.START)
    offsets_ns = offsets[np.searchsorted(changes, np.arange(starts.size), "right")]
    wall_ns = np.where(offsets_ns == 0, segment.created_wall_ns, words[starts + 4] + offsets_ns)
    return wall_ns, int(offsets[-1])


def journal_folder(path: Path) -> Path:
    """The journal folder that `path` is, or that the state folder `path` has; raises JournalError."""
    for folder in (path, path / "journal"):
        if _begun_segments(folder):
            return folder
    raise JournalError(f"{path}: has no journal, want a folder with files like 00000001.journal, or its state folder")


def _begun_segments(folder: Path) -> list[Path]:
    files = segment_files(folder)
    while files and is_spare(files[-1]):
        files.pop()
    return files


class History:
    """The segments of a journal from the first that a replay can begin with; `beginning` says which that is."""

    def __init__(self, path: Path) -> None:
        """Look at a journal folder, or a state folder with one; raises JournalError when no replay can begin there."""
        self.folder = journal_folder(path)
        self.beginning = "the beginning of the journal"
        self.snapshot: Path | None = None  # that a replay begins with
        self.settings: Settings | None = None  # in force at the beginning
        self.offset_ns = 0  # what the wall clock is ahead of the gateway's there
        self._behind: tuple[int, int, bytes] = (0, 1, NO_DIGEST)  # as SealChain begins
        self._files = _begun_segments(self.folder)
        self._unusable: list[str] = []  # snapshots
        if segment_number(self._files[0]) > 1:
            self._begin_with_snapshot(segment_number(self._files[0]))

    def _begin_with_snapshot(self, first: int) -> None:
        """Choose the oldest snapshot that can be used and has the segments behind it."""
        for path in reversed(snapshot_files(self.folder)):
            if snapshot_segment(path) < first - 1:
                continue
            try:
                x = load(path)
            except JournalError as error:
                self._unusable.append(str(error))
                continue
            self.snapshot, self.beginning = path, f"snapshot {path.name}"
            self.settings, self.offset_ns = x.settings, int(x.state.record.wall_offset_ns)
            self._behind = (x.segment, x.sequence + (2 if x.seal == NO_DIGEST else 1), x.seal)
            self._files = [file for file in self._files if segment_number(file) > x.segment]
            return
        notes = "".join(f"; {note}" for note in self._unusable)
        raise JournalError(f"{self._files[0]}: the segments before it are gone, and no snapshot stands for them{notes}")

    @property
    def segments(self) -> int:
        """How many there are."""
        return len(self._files)

    def replayer(self) -> Replayer:
        """A state as it was in front of the first segment; raises JournalError."""
        if self.snapshot is None:
            return Replayer()
        x = load(self.snapshot)
        return Replayer(x.state, x.settings, x.sequence)

    def parts(self, watch: Watch = unwatched) -> Iterator[Part]:
        """The segments in order; raises JournalError where one is missing or damaged."""
        settings, offset_ns, chain = self.settings, self.offset_ns, SealChain(*self._behind)
        for path in self._watched(watch):
            segment = read_segment(path)
            for fault in chain.gaps(segment):
                raise JournalError(f"{self.folder}: {fault}")
            chain.advance(segment)
            part = Part.of(segment, settings, offset_ns)
            settings, offset_ns = part.settings_behind, part.offset_ns
            yield part

    def links(self, faults: list[str], watch: Watch = unwatched) -> Iterator[Link]:
        """The segments in order, as far as they can be read; what is wrong with them and their seals goes to `faults`.

        When a segment is given, what is wrong with it is there already.
        """
        faults += self._unusable
        chain = SealChain(*self._behind)
        for path in self._watched(watch):
            try:
                segment = read_segment(path)
            except JournalError as error:
                faults.append(str(error))
                continue
            link = chain.link(segment)
            faults += [*chain.gaps(segment), *chain.broken_seals(link)]
            chain.advance(segment)
            yield link

    def _watched(self, watch: Watch) -> Iterator[Path]:
        for done, path in enumerate(self._files):
            watch(done / self.segments)
            yield path
        watch(1)


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
        commits = part.events[:, 1] - 1
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
