"""The history of a gateway, read from its journal: each event with its wall time, and the state after it."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from gateway.carry import carry
from gateway.core import layout as a
from gateway.core.driver import Driver, Event
from gateway.journal import format as f
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
from gateway.journal.seal import NO_DIGEST, digest_of
from gateway.journal.snapshot import load, snapshot_files, snapshot_segment
from gateway.settings import Settings, restore_settings
from gateway.state import State, build_state

TELL_EVERY = 5_000  # events between two words on progress
ALWAYS = (-(2**63), 2**63)
EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")

Tell = Callable[[float], None]
"""Called now and then with the share that is done, 0 to 1."""


@dataclass(frozen=True)
class Period:
    """Which part of a history is asked for: a day, or from one time to before another, or all of it.

    A day, and a time without an offset, are of the zone of `day.zone` in the settings of that time, else of UTC.
    """

    day: str = ""
    start: str = ""
    end: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError with one line when a date or time cannot be read."""
        if self.day and (self.start or self.end):
            raise ValueError("--day: want either a day, or --from and --to")
        for option, text, read in (
            ("--day", self.day, date.fromisoformat),
            ("--from", self.start, datetime.fromisoformat),
            ("--to", self.end, datetime.fromisoformat),
        ):
            try:
                if text:
                    read(text)
            except ValueError:
                want = "YYYY-MM-DD" if option == "--day" else "an ISO time such as 2026-07-11T14:30:00+00:00"
                raise ValueError(f"{option}: want {want}, got {text!r}") from None

    def bounds(self, settings: Settings) -> tuple[int, int]:
        """First wall time and the one behind the last, in ns since 1970."""
        zone = ZoneInfo(zone_of(settings))
        if self.day:
            first = date.fromisoformat(self.day)
            return _wall_ns(datetime.combine(first, time(), zone)), _wall_ns(
                datetime.combine(first + timedelta(days=1), time(), zone)
            )
        start, end = ALWAYS
        if self.start:
            start = _wall_ns(_in_zone(self.start, zone))
        if self.end:
            end = _wall_ns(_in_zone(self.end, zone))
        return start, end

    def __str__(self) -> str:
        """In words."""
        if self.day:
            return self.day
        words = f"from {self.start} " if self.start else ""
        return (words + (f"to {self.end}" if self.end else "")).strip() or "all of the journal"


def zone_of(settings: Settings) -> str:
    """Name of the zone that days are told in."""
    return settings.config.day.zone if settings.config.day is not None else "UTC"


def _in_zone(text: str, zone: ZoneInfo) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)


def _wall_ns(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1) * 1000


@dataclass(frozen=True, slots=True)
class Step:
    """One event, after it was applied. `fault_before`: the fault word before it."""

    sequence: int  # of its COMMIT
    wall_ns: int
    entry: Entry
    fault_before: int


@dataclass(frozen=True, slots=True)
class Change:
    """Settings came into force; `before` is None for the first."""

    sequence: int
    wall_ns: int
    before: Settings | None
    settings: Settings


class Names:
    """Names by row of a state: `entities` as (scope, name), `instruments` and `sessions` as their names."""

    def __init__(self, state: State) -> None:
        """Read the names of a state; they stay the same until its settings change."""
        s = state.record
        self.entities = list(state.entities)
        self.instruments = list(state.instruments)
        self.sessions = [self.entities[int(row)][1] for row in s.sessions["entity"][: s.session_count]]
        self.roles = [int(role) for role in s.sessions["role"][: s.session_count]]
        self.limits: dict[tuple[bytes, bytes, int], list[Any]] = {}  # what orders were held to, see `limits_in_force`

    def entity(self, row: int) -> str | None:
        """Name of an entity, None where there is none."""
        return None if row < 0 else self.entities[row][1]

    def instrument(self, row: int) -> str | None:
        """Symbol of an instrument, None where there is none."""
        return None if row < 0 else self.instruments[row]

    def session(self, row: int) -> str | None:
        """Id of a session, None where there is none."""
        return None if row < 0 else self.sessions[row]

    def place(self, entity: int, paired: int, instrument: int) -> str | None:
        """Where a limit stands: `account ACC1`, `firm`, or with an instrument `account ACC1*AAPL`."""
        if entity < 0:
            return None
        scope, name = self.entities[entity]
        words = f"{a.SCOPE_NAMES[scope]} {name}".strip()
        return f"{words}*{self.instruments[instrument]}" if paired else words


class SealChain:
    """Checks that segments follow each other without a gap, and that none was changed since it was sealed."""

    def __init__(self, number: int = 0, next_sequence: int = 1, seal: bytes = NO_DIGEST) -> None:
        """Begin behind segment `number`, whose SEAL has this digest."""
        self._number = number
        self._next_sequence = next_sequence
        self._seal = seal
        self._unsealed = ""

    def previous(self, segment: Segment) -> bytes:
        """What the digest of the next segment is chained to; its own word is taken where the one before is missing."""
        if segment.number == self._number + 1:
            return self._seal
        return NO_DIGEST if segment.seal is None else bytes(segment.seal["previous"])

    def take(self, segment: Segment, digest: bytes) -> list[str]:
        """What is wrong with the next segment, one line each. `digest`: of what its seal covers, as it is now."""
        name, seal = segment.path.name, segment.seal
        faults = list(self._gap(segment))
        if segment.number != segment_number(segment.path):
            faults.append(f"{name}: is segment {segment.number} by its head, the file was renamed")
        if segment.lost_records() > 0:
            faults.append(f"{name}: damaged behind record {segment.last_sequence}, {segment.lost_records()} lost")
        if seal is not None:
            if digest != bytes(seal["digest"]):
                faults.append(f"{name}: is not what was sealed")
            if bytes(seal["previous"]) != self.previous(segment):
                faults.append(f"{name}: its seal does not follow from the segment before")
            if segment.octets[segment.end * 8 :].any():
                faults.append(f"{name}: has something behind its seal")
        self._number = segment.number
        self._next_sequence = segment.last_sequence + (1 if seal is not None else 2)
        self._seal = NO_DIGEST if seal is None else bytes(seal["digest"])
        self._unsealed = name if seal is None else ""
        return faults

    def _gap(self, segment: Segment) -> Iterator[str]:
        if self._unsealed:
            yield f"{self._unsealed}: has no seal, though segment {segment.number} follows: was changed or not repaired"
        first, last = self._number + 1, segment.number - 1
        if first <= last:
            yield f"segment {first}: is missing" if first == last else f"segments {first} to {last}: are missing"
        elif segment.number < first:
            yield f"{segment.path.name}: stands behind segment {self._number}"
        elif segment.first_sequence != self._next_sequence and not self._unsealed:
            yield f"{segment.path.name}: begins with record {segment.first_sequence}, want {self._next_sequence}"


def content_digest(segment: Segment, records: int, previous: bytes) -> bytes:
    """Digest of a segment's first records as its SEAL would have it: SHA-256 of them and of the seal before."""
    end = int(segment.starts[records]) if records < segment.starts.size else segment.end
    return digest_of(segment.octets[: end * 8].tobytes(), previous)


class History:
    """Walks through a journal. `state`, `settings` and `names` are as after the last step taken."""

    def __init__(self, folder: Path, tell: Tell | None = None, until: Period | None = None) -> None:
        """Take a journal folder, or a state folder with one; raises JournalError when there is none to begin with.

        With `until` the walk ends in front of the first event behind that period, so the state is as at its end.
        """
        self.folder = folder / "journal" if (folder / "journal").is_dir() else folder
        self._paths = segment_files(self.folder)
        while self._paths and is_spare(self._paths[-1]):
            self._paths.pop()
        if not self._paths:
            raise JournalError(f"{folder}: has no journal, want a folder with files such as 00000001.journal")
        self._tell = tell or (lambda share: None)
        self._done = 0
        self._fault = 0
        self._until = until
        self._end_ns = ALWAYS[1]
        self._over = False
        self._chain = SealChain()
        self._begin: Change | None = None
        self.settings: Settings | None = None
        self.faults: list[str] = []  # of the journal, as far as read
        self.segments: list[dict[str, Any]] = []  # read so far, as in a manifest
        self.differences = 0  # events that gave something else now than was sent then
        self.last_sequence = 0
        if segment_number(self._paths[0]) > 1:
            self._begin_with_snapshot()

    def _begin_with_snapshot(self) -> None:
        """Where the first segments are gone, begin behind the oldest snapshot that reaches to one that is there."""
        first = segment_number(self._paths[0])
        for path in reversed(snapshot_files(self.folder)):
            if snapshot_segment(path) < first - 1:
                continue
            try:
                found = load(path)
            except JournalError as error:
                self.faults.append(str(error))
                continue
            s = found.state.record
            self._take(found.settings, found.state)
            self._fault = int(s.fault)
            sealed = found.seal != NO_DIGEST
            self._chain = SealChain(found.segment, found.sequence + (1 if sealed else 2), found.seal)
            self._begin = Change(found.sequence, int(s.now_ns + s.wall_offset_ns), None, found.settings)
            self._paths = [path for path in self._paths if segment_number(path) > found.segment]
            return
        raise JournalError(f"{self._paths[0]}: the segments before it are gone, and no snapshot reaches to it")

    def _take(self, settings: Settings, state: State) -> None:
        self.settings = settings
        self.state = state
        self.names = Names(state)
        self._driver = Driver(state.block)
        if self._until is not None:
            self._end_ns = self._until.bounds(settings)[1]

    def segment_list(self) -> Iterator[Segment]:
        """The segments in order, each checked before it is given; one that cannot be read is a fault."""
        for done, path in enumerate(self._paths):
            if self._over:
                break
            self._done = done
            try:
                segment = read_segment(path)
            except JournalError as error:
                self.faults.append(str(error))
                continue
            previous = self._chain.previous(segment)
            sealed = segment.seal is not None
            records = segment.starts.size - 1 if sealed else segment.committed()
            digest = content_digest(segment, records, previous)
            self.faults += self._chain.take(segment, digest)
            self.segments.append(
                {
                    "number": segment.number,
                    "first_sequence": segment.first_sequence,
                    "last_sequence": segment.first_sequence + records - 1,
                    "sealed": sealed,
                    "previous": previous.hex(),
                    "digest": digest.hex(),
                }
            )
            yield segment
        self._tell(1.0)

    def steps(self, segment: Segment, last_sequence: int | None = None) -> Iterator[Step | Change]:
        """Everything that happened in a segment, up to a record if one is given. Raises JournalError."""
        if self._begin is not None:
            yield self._begin
            self._begin = None
        kinds = segment.words[segment.starts[: segment.committed()] + 3] & 0xFFFFFFFF
        settings_at = iter(np.flatnonzero(kinds == f.SETTINGS).tolist())
        for number, item in enumerate(entries(segment)):
            if number % TELL_EVERY == 0:
                self._tell((self._done + (number / max(kinds.size, 1))) / len(self._paths))
            at = next(settings_at) if isinstance(item, bytes) else 0
            sequence = segment.first_sequence + at if isinstance(item, bytes) else item.sequence
            if last_sequence is not None and sequence > last_sequence:
                return
            if isinstance(item, Entry) and self._wall_ns(item.event) >= self._end_ns:
                self._over = True
                return
            self.last_sequence = sequence
            yield self._change(segment, at, item) if isinstance(item, bytes) else self._step(item)

    def _change(self, segment: Segment, at: int, packed: bytes) -> Change:
        before, settings = self.settings, restore_settings(zlib.decompress(packed))
        sequence = segment.first_sequence + at
        if before is None:
            self._take(settings, build_state(settings, 0))
        else:
            self._take(settings, carry(self.state, settings) if settings.sources != before.sources else self.state)
        return Change(sequence, self._wall_of_settings(segment, at), before, settings)

    def _wall_of_settings(self, segment: Segment, at: int) -> int:
        """Wall time of a SETTINGS record. The START of a run, which knows its wall clock, comes right behind it."""
        time_ns = int(segment.record(at, f.SETTINGS_RECORD)["head"]["time_ns"])
        if at + 1 < segment.committed() and segment.kind(at + 1) == f.IN:
            event = segment.record(at + 1, f.IN_RECORD)
            if int(event["event_kind"]) == a.START:
                return time_ns + int(event["value"][a.START_WALL_OFFSET])
        offset = int(self.state.record.wall_offset_ns)
        return time_ns + offset if offset else segment.created_wall_ns

    def _step(self, entry: Entry) -> Step:
        if self.settings is None:
            raise JournalError(f"{entry.segment.path}: begins without its settings")
        wall_ns = self._wall_ns(entry.event)
        if self._driver.handle(entry.event) != entry.outputs:
            self.differences += 1
        fault, self._fault = self._fault, entry.fault
        return Step(entry.sequence, wall_ns, entry, fault)

    def _wall_ns(self, event: Event) -> int:
        """Wall time of the next event; START and CLOCK bring an offset of their own."""
        if event.kind == a.START:
            return event.time_ns + event.value[a.START_WALL_OFFSET]
        if event.kind == a.CLOCK:
            return event.time_ns + event.value[0]
        return event.time_ns + (int(self.state.record.wall_offset_ns) if self.settings is not None else 0)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hex; raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
