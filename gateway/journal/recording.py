"""A recording of a run: every event that went into the core and every message that came out, and its replay.

The file is a HEADER, then for each event an IN record (the event's fields and bytes) and its OUT records. The state is
not in it: settings and run number give the same state again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from gateway.core.driver import Driver, Event, Output
from gateway.settings import Settings
from gateway.state import build_state

MAGIC = b"TIDEREC1"
IN, OUT = 1, 2
HEADER = np.dtype([("magic", "S8"), ("run", "i8"), ("settings", "S64")])
RECORD = np.dtype(
    [
        ("kind", "i8"),  # IN or OUT
        ("event_kind", "i8"),
        ("time_ns", "i8"),
        ("session", "i8"),
        ("msg_seq_num", "i8"),
        ("poss_dup", "i8"),
        ("value", "i8", 4),
        ("message_type", "S8"),
        ("length", "i8"),  # bytes that follow
    ]
)


class RecordingError(Exception):
    """A recording that cannot be replayed; the message is one line with the file and what is wrong."""


def settings_digest(settings: Settings) -> bytes:
    """Digest of everything in the settings that the state is made of."""
    config = settings.config.model_dump(exclude={"gateway": {"state_dir"}})
    parts = repr((config, settings.instruments, settings.limits, settings.positions))
    return hashlib.sha256(parts.encode()).hexdigest().encode()


class Recorder:
    """Appends events and outputs to a file."""

    def __init__(self, path: Path, settings: Settings, run: int) -> None:
        """Start the recording of a run."""
        self._file = path.open("xb")
        self._file.write(np.array((MAGIC, run, settings_digest(settings)), HEADER).tobytes())
        self._record = np.zeros((), RECORD)

    def write(self, event: Event, outputs: list[Output]) -> None:
        """Append an event and what it gave."""
        value = (*event.value, 0, 0, 0, 0)[:4]
        self._record[()] = (
            *(IN, event.kind, event.time_ns, event.session, event.msg_seq_num, event.poss_dup, value, b""),
            len(event.data),
        )
        self._file.write(self._record.tobytes() + event.data)
        for output in outputs:
            self._record[()] = (OUT, 0, 0, output.session, 0, 0, 0, output.message_type.encode(), len(output.body))
            self._file.write(self._record.tobytes() + output.body)

    def flush(self) -> None:
        """Write out what is buffered."""
        self._file.flush()

    def close(self) -> None:
        """Write out what is buffered and close the file."""
        self._file.close()


@dataclass(frozen=True, slots=True)
class Difference:
    """An event whose replay gave other outputs than the run."""

    number: int
    event: Event
    recorded: list[Output]
    replayed: list[Output]


def read_recording(path: Path) -> tuple[int, bytes, Iterator[tuple[Event, list[Output]]]]:
    """Run number, settings digest, and the events with their outputs; raises RecordingError."""
    file = path.open("rb")
    head = file.read(HEADER.itemsize)
    if len(head) < HEADER.itemsize or not head.startswith(MAGIC):
        file.close()
        raise RecordingError(f"{path}: is not a recording, want a file that starts with {MAGIC.decode()}")
    header = np.frombuffer(head, HEADER)[0]
    return int(header["run"]), bytes(header["settings"]), _events(path, file)


def _events(path: Path, file: BinaryIO) -> Iterator[tuple[Event, list[Output]]]:
    event: Event | None = None
    outputs: list[Output] = []
    with file:
        while head := file.read(RECORD.itemsize):
            data = b""
            if len(head) == RECORD.itemsize:
                record = np.frombuffer(head, RECORD)[0]
                data = file.read(int(record["length"]))
            if len(head) < RECORD.itemsize or len(data) < record["length"]:
                raise RecordingError(f"{path}: the last record is cut short")
            if record["kind"] == OUT:
                outputs.append(Output(int(record["session"]), bytes(record["message_type"]).decode(), data))
                continue
            if event is not None:
                yield event, outputs
            outputs = []
            event = Event(
                kind=int(record["event_kind"]),
                time_ns=int(record["time_ns"]),
                session=int(record["session"]),
                msg_seq_num=int(record["msg_seq_num"]),
                poss_dup=bool(record["poss_dup"]),
                data=data,
                value=tuple(record["value"].tolist()),
            )
        if event is not None:
            yield event, outputs


def replay(path: Path, settings: Settings) -> tuple[int, list[Difference]]:
    """Apply a recording to a fresh state: (number of events, those that gave something else than recorded)."""
    run, digest, events = read_recording(path)
    if digest != settings_digest(settings):
        raise RecordingError(f"{path}: was made with other settings")
    driver = Driver(build_state(settings, run).block)
    differences = []
    count = 0
    for event, recorded in events:
        count += 1
        replayed = driver.handle(event)
        if replayed != recorded:
            differences.append(Difference(count, event, recorded, replayed))
    return count, differences
