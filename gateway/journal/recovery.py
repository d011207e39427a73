"""What a start finds: the newest valid snapshot and the journal behind it, applied up to the last whole event."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gateway.config.settings import Settings
from gateway.core.events import REBOOTED, START, START_ENDED
from gateway.journal import format as f
from gateway.journal.read import (
    Entry,
    JournalError,
    NewerReleaseError,
    Segment,
    entries,
    is_spare,
    read_segment,
    segment_files,
    segment_number,
    segment_path,
)
from gateway.journal.replayer import Replayer
from gateway.journal.seal import previous_digest, seal
from gateway.journal.snapshot import newest_snapshot

LATE_NS = 60_000_000_000  # longer than a kernel keeps what was written to itself
MOST_LATE = 100_000  # records
TIME_WORD = 4  # of a record's HEAD
RECENT_SEGMENTS = 4  # in which outputs that may not have been sent can lie
TORN_SUFFIX, DAMAGED_SUFFIX = ".torn", ".damaged"


@dataclass(frozen=True)
class Recent:
    """One of the last segments, with the settings that its events were applied under."""

    segment: Segment
    settings: Settings | None

    def outputs(self, after: int) -> Iterator[NamedOutput]:
        """What was journaled to be sent behind a record."""
        if self.segment.last_sequence <= after or self.settings is None:
            return
        ids = [section.id for section in self.settings.config.sessions]
        for entry in entries(self.segment, after):
            if isinstance(entry, Entry):
                for output in entry.outputs:
                    session = ids[output.session] if 0 <= output.session < len(ids) else None
                    yield NamedOutput(session, output.message_type, output.body, output.alert)


@dataclass(frozen=True)
class NamedOutput:
    """An output with the id of its session, which outlives the rows of a config; None: an alert."""

    session: str | None
    message_type: str
    body: bytes
    alert: int = 0


@dataclass
class Recovered:
    """The state after the last whole event, and what a start must know beside it."""

    replayer: Replayer  # its state is None when there was nothing
    next_segment: int = 1
    next_sequence: int = 1
    segments: int = 0  # applied behind the snapshot
    handed: int = 0  # sequence up to which all outputs were given to the engine
    unsent_known: bool = True  # False: the segment that would say is damaged
    rebooted: bool = False  # the last starts came after a power cut, and died before they had made good what it took
    recent: list[Recent] = field(default_factory=list)  # the last segments
    last_ns: int = 0  # time of the last event of the last run that made good what the one before had left
    unsent: list[NamedOutput] = field(
        default_factory=list
    )  # may have been sent or not: journaled, then the process ended
    notes: list[str] = field(default_factory=list)  # what was left aside, for the log
    lost: str = ""  # what is missing in the journal; a person must accept that


def recover(folder: Path) -> Recovered:
    """Rebuild the state from a journal folder; raises JournalError when no way leads to it.

    Changes nothing on disk: `repair` does, once the start is decided.
    """
    found = newest_snapshot(folder)
    notes = list(found.notes)
    replayer = Replayer()
    first = 1
    if found.snapshot is not None:
        replayer = Replayer(found.snapshot.state, found.snapshot.settings, found.snapshot.sequence)
        first = found.snapshot.segment + 1
    result = Recovered(replayer, first, replayer.sequence + 1, notes=notes)
    recent: deque[Recent] = deque(maxlen=RECENT_SEGMENTS)
    for path in segment_files(folder):
        if segment_number(path) == first - 1:
            try:
                covered = read_segment(path)
                recent.append(Recent(covered, replayer.settings))  # its end may not have been sent
                if covered.broken:
                    raise JournalError(f"{path}: is damaged; the state is that of the snapshot behind it")
            except NewerReleaseError:
                raise
            except JournalError as error:
                result.unsent_known = False
                notes.append(str(error))
        if segment_number(path) < first or result.lost or is_spare(path):
            continue
        segment = _next_segment(path, result)
        if segment is None:
            continue
        replayer.apply(segment)
        recent.append(Recent(segment, replayer.settings))
        result.segments += 1
        if segment.committed() > 0:
            result.next_segment = segment.number + 1
            result.next_sequence = replayer.sequence + (1 if segment.seal is not None else 2)
        if segment.lost_records() > 0:
            result.lost = (
                f"{path.name}: damaged behind record {segment.last_sequence}, {segment.lost_records()} records"
            )
        else:
            _note_torn(result, segment)
    _find_unsent(result, recent)
    return result


def _next_segment(path: Path, result: Recovered) -> Segment | None:
    """The segment of a file when it follows the one before; else None, with what is lost in the result."""
    try:
        segment = read_segment(path)
    except NewerReleaseError:
        raise
    except JournalError as error:
        result.lost = str(error)
        return None
    if segment.number != result.next_segment or segment.first_sequence != result.next_sequence:
        if result.replayer.state is None and segment.number > 1:
            raise JournalError(f"{path}: the segments before it are gone, and no snapshot reaches to it")
        result.lost = (
            f"{path.name}: begins with record {segment.first_sequence}, want {result.next_sequence}: what lies between"
        )
        return None
    return segment


def _note_torn(result: Recovered, segment: Segment) -> None:
    left = segment.starts.size - segment.committed()
    if left or segment.broken:
        result.notes.append(f"{segment.path.name}: the last event was not whole and never happened ({left} records)")


def _find_unsent(result: Recovered, recent: Iterable[Recent]) -> None:
    """Add the outputs of events behind the last that is known to have been handed to the engine."""
    result.handed = 0
    for segment in (r.segment for r in recent):
        for k in range(segment.committed() - 1, -1, -1):
            if segment.kind(k) == f.COMMIT:
                result.handed = int(segment.record(k, f.COMMIT_RECORD)["handed"])
                break
    result.recent = list(recent)
    result.last_ns = _find_last_run(result, recent)
    for part in recent:
        result.unsent += part.outputs(result.handed)


def late_outputs(recovered: Recovered) -> list[NamedOutput]:
    """All outputs of the last minute, and those not sent: after a power cut the engine's files may lack any of them."""
    outputs: list[NamedOutput] = []
    for part in recovered.recent:
        first = min(_sequence_at(part.segment, recovered.last_ns - LATE_NS), recovered.handed)
        outputs += part.outputs(max(first, part.segment.last_sequence - MOST_LATE))
    return outputs


def _find_last_run(result: Recovered, recent: Iterable[Recent]) -> int:
    """Time of the last event of the last run that got as far as sending what the run before may not have sent.

    A start after a power cut that died before that leaves the next one in the same place.
    """
    state = result.replayer.state
    last_ns = 0 if state is None else int(state.record.now_ns)
    newest = [part.segment for part in recent]
    for segment, before in zip(newest[:0:-1], newest[-2::-1], strict=True):
        k = next((k for k in range(segment.committed()) if segment.kind(k) == f.IN), None)
        if k is None or int(segment.record(k, f.IN_RECORD)["event_kind"]) != START:
            break
        if segment.first_sequence + k < result.handed:
            break
        result.rebooted |= int(segment.record(k, f.IN_RECORD)["value"][START_ENDED]) == REBOOTED
        times = [int(before.words[at + TIME_WORD]) for at in before.starts[-3:]]
        last_ns = max(times, default=last_ns)
    return last_ns


def _sequence_at(segment: Segment, time_ns: int) -> int:
    """Number of the last record of a segment that is older than a time; a SEAL has none."""
    k = segment.starts.size
    while k > 0 and (segment.kind(k - 1) == f.SEAL or int(segment.words[segment.starts[k - 1] + TIME_WORD]) >= time_ns):
        k -= 1
    return segment.first_sequence + k - 1


def repair(folder: Path, recovered: Recovered) -> None:
    """Make the journal end where the state does: cut and seal the last segment, put what cannot be used aside.

    Raises OSError. What is cut off is kept beside it (`.torn`, `.damaged`).
    """
    for path in segment_files(folder):
        if segment_number(path) >= recovered.next_segment and is_spare(path):
            path.unlink()
        elif segment_number(path) >= recovered.next_segment:
            path.rename(path.with_name(path.name + (DAMAGED_SUFFIX if recovered.lost else TORN_SUFFIX)))
    path = segment_path(folder, recovered.next_segment - 1)
    if not path.exists() or recovered.segments == 0:
        return  # behind a snapshot there is nothing to make good
    segment = read_segment(path)
    if segment.seal is not None and not segment.broken:
        return
    committed = segment.committed()
    end = int(segment.starts[committed]) * 8 if committed < segment.starts.size else segment.end * 8
    rest = segment.octets[end:].tobytes().rstrip(b"\0")
    if rest:
        path.with_name(path.name + TORN_SUFFIX).write_bytes(rest)
    file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.ftruncate(file, end)
        seal(path, file, end, previous_digest(folder, segment.number))
    finally:
        os.close(file)
