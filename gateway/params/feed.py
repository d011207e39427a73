"""What publishers changed, as events for the core. Used by the core's thread only.

Nothing that a publisher writes raises here or makes the core wait: what is read is copied whole (`seqlock`), checked,
and left aside and told in the log if it is of no use. One thing remains: a file that is shortened while it is mapped
ends the process (SIGBUS) if it is read before the next `check`. Only who may write the file can do that, and no
publisher of ours does.
"""

from __future__ import annotations

import mmap
import os
import stat
import struct
import time
from typing import Any

import numpy as np
import structlog

from gateway.config.sections import SourceSection
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.catalogue import LIMITS, PER_INSTRUMENT_SCOPES, PUSHABLE
from gateway.core.driver import Event
from gateway.core.layout import NONE, UNLIMITED
from gateway.machine import boot_hash
from gateway.params import store
from gateway.params.seqlock import DAMAGED, TORN, changed_records
from gateway.params.store import EPOCH_WORD, padded_text
from gateway.state.memory import State

SETTLE_NS = 50_000_000  # a record that has been half written for so long was left so
NOT_OF_PAIRS = (a.MAX_OPEN_ORDERS, a.MAX_MESSAGES)
HOLD = -1  # value of a PARAMETER event: none, what was in force holds
FAULTS = {TORN: "it was left half written", DAMAGED: "its checksum is wrong"}
NO_FILE = bytes(store.HEADER_BYTES)  # reads as a file of no records that never changes

log = structlog.get_logger()


class _Feed:
    """The file of one source: mapped, watched, and read record by record."""

    magic: bytes
    record: struct.Struct

    def __init__(self, section: SourceSection, row: int, state: State) -> None:
        """Watch the file of a source, the `row`-th of the state; it is opened by the first `check`."""
        self.row = row
        self._section = section
        self._state = state
        self._boot = boot_hash()
        self._up: bool | None = None
        self._epoch: int | None  # as seen; None: look at all records
        self._identity: tuple[int, int] | None = None  # device and inode of the file that is mapped
        self._states = state.record.parameters["state"]
        self._unmap()
        changed_records(self._shared, self._seen, self._found, self._copies)  # compiled before it is needed

    def changed(self) -> bool:
        """Whether `observe` may have something; so cheap that it can be asked before every order."""
        return self._words[EPOCH_WORD] != self._epoch

    def word(self) -> tuple[int, int]:
        """Address of the word that `changed` looks at, and its value as seen."""
        return np.frombuffer(self._words, np.int64)[EPOCH_WORD:].ctypes.data, -1 if self._epoch is None else self._epoch

    def check(self, now_ns: int) -> list[Event]:
        """Look after the file and its publisher, ten times a second; `now_ns` is CLOCK_MONOTONIC.

        Gives a SOURCE event when the source is heard for the first time or again, and when it is heard no more (once,
        with the reason as data). Of a source that is heard `changed` is true afterwards: one look at all records finds
        those that were being written, or whose publisher has not counted its epoch.
        """
        fault = self._fault(now_ns)
        if not fault:
            self._words = self._file_words
            self._epoch = None
        if self._up == (not fault):
            return []
        self._up = not fault
        if fault:
            self._words, self._epoch = memoryview(NO_FILE).cast("q"), 0
        else:
            self._seen[:] = 0
            self._torn.clear()
        return [Event(ev.SOURCE, 0, data=fault.encode("utf-8", "replace"), value=(self.row, int(self._up)))]

    def observe(self, now_ns: int, base_ns: int) -> list[Event]:
        """Events of what was published since; `now_ns` is CLOCK_MONOTONIC, `base_ns` the state's `time_base_ns`."""
        if not self._up:
            return []
        count, self._epoch = changed_records(self._shared, self._seen, self._found, self._copies)
        events = []
        for k in range(count):
            row, status = self._found[k].tolist()
            fields = self.record.unpack_from(self._copy_bytes, k * self.record.size)
            if status == TORN and not self._was_left_torn(row, fields[0], now_ns):
                continue
            self._torn.pop(row, None)
            event = self._event(row, fields, FAULTS.get(status, ""), now_ns, base_ns)
            if event is not None:
                events.append(event)
        return events

    def _event(self, row: int, fields: tuple[Any, ...], fault: str, now_ns: int, base_ns: int) -> Event | None:
        """The event of a record; `fault` says why it is not whole."""
        raise NotImplementedError

    def _was_left_torn(self, row: int, sequence: int, now_ns: int) -> bool:
        """Whether a torn record has stood like this for long: a live writer, even one put to sleep, goes on."""
        before, since_ns = self._torn.get(row, (None, 0))
        if sequence != before:
            self._torn[row] = (sequence, now_ns)
            return False
        if now_ns - since_ns < SETTLE_NS:
            return False
        self._seen[row] = sequence
        return True

    def _tell_once(self, row: int, why: str) -> None:
        """Tell of a record that is left aside, once for as long as the file is mapped."""
        if row not in self._told:
            self._told.add(row)
            log.warning("what is published is not used", source=self._section.id, record=row, why=why)

    def _unmap(self) -> None:
        self._identity = None
        self._take(NO_FILE, 1)

    def _take(self, memory: bytes | mmap.mmap, capacity: int) -> None:
        self._shared: np.ndarray = np.frombuffer(memory, np.int64)
        self._file_words: memoryview[int] = memoryview(memory).cast("q")
        self._words = self._file_words  # what `changed` looks at
        self._fixed = self._shared[: store.FIXED_BYTES // store.WORD].tobytes()
        self._epoch = 0
        self._seen: np.ndarray = np.zeros(capacity, np.int64)
        self._found: np.ndarray = np.zeros((capacity, 2), np.int64)
        self._copies: np.ndarray = np.zeros((capacity, self.record.size // store.WORD), np.int64)
        self._copy_bytes = self._copies.data.cast("B")
        self._torn: dict[int, tuple[int, int]] = {}
        self._told: set[int] = set()

    def _fault(self, now_ns: int) -> str:
        """Why the source is not heard; empty: it is."""
        try:
            status = os.stat(self._section.file)
            fault = self._map() if self._identity is None else self._file_fault(status)
        except (OSError, ValueError) as error:
            fault = getattr(error, "strerror", None) or str(error)
        if fault:
            self._unmap()
            return f"{self._section.file}: {fault}"
        return self._silence(now_ns)

    def _file_fault(self, status: os.stat_result) -> str:
        if (status.st_dev, status.st_ino) != self._identity:
            return "was replaced by another file"
        if status.st_size < self._shared.nbytes:
            return f"was cut short: {status.st_size} bytes, want {self._shared.nbytes}"
        if self._shared[: store.FIXED_BYTES // store.WORD].tobytes() != self._fixed:
            return "its header was changed"
        return ""

    def _map(self) -> str:
        """Map the file; returns why that cannot be done. Raises OSError and ValueError."""
        # Opening a pipe would wait for its writer.
        descriptor = os.open(self._section.file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return "is no plain file"
            head = os.pread(descriptor, store.HEADER_BYTES, 0)
            fault = store.header_fault(head, status.st_size, self.magic, self.record.size)
            if not fault:
                size = store.file_bytes(head, self.record.size)
                memory = mmap.mmap(descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ)
                self._take(memory, (size - store.HEADER_BYTES) // self.record.size)
                self._identity = (status.st_dev, status.st_ino)
            return fault
        finally:
            os.close(descriptor)

    def _silence(self, now_ns: int) -> str:
        words, most_ns = self._file_words, self._section.max_silence
        if words[store.BOOT_WORD] != self._boot:
            return f"{self._section.file}: was left from before the machine was started"
        heartbeat_ns = words[store.HEARTBEAT_WORD]
        if most_ns is None:
            return ""
        if now_ns - heartbeat_ns > most_ns:
            silent_ms = (now_ns - heartbeat_ns) // 10**6
            return f"its publisher (process {words[store.PID_WORD]}) has been silent for {silent_ms} ms"
        return "its heartbeat is in the future: want CLOCK_MONOTONIC" if _is_ahead(heartbeat_ns, now_ns) else ""


class ParameterFeed(_Feed):
    """PARAMETER events of pushed limits. A record that is not whole, or that says what cannot be, holds its limit.

    A name, scope or limit that the gateway does not know, or that cannot be pushed, is told once and left aside.
    """

    magic = store.PARAMETER_MAGIC
    record = struct.Struct(store.PARAMETER_FORMAT)

    def _take(self, memory: bytes | mmap.mmap, capacity: int) -> None:
        super()._take(memory, capacity)
        self._places: dict[int, tuple[int, int, int]] = {}  # by record: rows of entity and instrument, limit

    def _event(self, row: int, fields: tuple[Any, ...], fault: str, now_ns: int, base_ns: int) -> Event | None:
        _, epoch, time_ns, expires_ns, scope, limit, value, model, _, name, symbol, _ = fields
        # Of a damaged record the key may be damaged too, and it never changes.
        place = self._places.get(row) if fault else None
        try:
            place = place or self._place(scope, limit, padded_text(name), padded_text(symbol))
        except LookupError as error:
            self._tell_once(row, fault or str(error))
            return None
        if not fault:
            self._places[row] = place
            fault = _unusable(epoch, time_ns, expires_ns, value, now_ns)
        if fault:
            where = f"{padded_text(name)}*{padded_text(symbol)}" if symbol.strip(b"\0") else padded_text(name)
            log.error(
                "pushed limit is not used, it is held",
                **{
                    "source": self._section.id,
                    "limit": LIMITS[place[2]].key,
                    "name": where,
                    "record": row,
                    "why": fault,
                },
            )
            return Event(ev.PARAMETER, 0, value=(self.row, *place, HOLD, 0, 0, 0))
        if time_ns + base_ns <= self._released_ns(place):
            return None  # it was given back since
        expires_ns = expires_ns + base_ns if expires_ns else 0
        return Event(ev.PARAMETER, 0, value=(self.row, *place, value, epoch, model, expires_ns))

    def _released_ns(self, place: tuple[int, int, int]) -> int:
        """When a person gave this limit back, on the gateway's clock; 0 where it is not given back."""
        s = self._state.record
        for row in np.flatnonzero(self._states[: int(s.parameter_count)] == a.RELEASED):
            p = s.parameters[row]
            if (p.source, p.entity, p.instrument, p.limit) == (self.row, *place):
                return int(p.told_ns)
        return 0

    def _place(self, scope: int, limit: int, name: str, symbol: str) -> tuple[int, int, int]:
        """Rows of entity and instrument (NONE: no pair), and the limit; raises LookupError with what is not known."""
        fault = place_fault(scope, limit, symbol != "")
        if fault:
            raise LookupError(fault)
        if (scope, name) not in self._state.entities:
            raise LookupError(f"there is no {a.SCOPE_NAMES[scope]} {name!r}")
        if symbol and symbol not in self._state.instruments:
            raise LookupError(f"there is no instrument {symbol!r}")
        return self._state.entities[scope, name], self._state.instruments[symbol] if symbol else NONE, limit


class QuoteFeed(_Feed):
    """QUOTE events of prices. A record of no use is left aside: the reference price grows old."""

    magic = store.QUOTE_MAGIC
    record = struct.Struct(store.QUOTE_FORMAT)

    def _event(self, row: int, fields: tuple[Any, ...], fault: str, now_ns: int, base_ns: int) -> Event | None:
        _, time_ns, *amounts, symbol_bytes, _ = fields
        symbol = padded_text(symbol_bytes)
        if not fault and symbol not in self._state.instruments:
            self._tell_once(row, f"there is no instrument {symbol!r}")
            return None
        if not fault and not all(0 <= amount <= store.MAX_VALUE for amount in amounts):
            fault = "a price or quantity is out of range"
        if not fault:
            fault = _time_fault(time_ns, now_ns)
        if fault:
            log.error("quote not used", source=self._section.id, symbol=symbol, record=row, why=fault)
            return None
        return Event(ev.QUOTE, 0, value=(self._state.instruments[symbol], *amounts, max(time_ns + base_ns, 1)))


def place_fault(scope: int, limit: int, paired: bool) -> str:
    """Why a limit cannot be pushed at a scope, or `paired` with an instrument; empty: it can."""
    if not 0 <= scope < a.SCOPES:
        return f"there is no scope {scope}"
    if not 0 <= limit < a.LIMITS:
        return f"there is no limit {limit}"
    key, scope_name = LIMITS[limit].key, a.SCOPE_NAMES[scope]
    if not PUSHABLE[limit]:
        return f"{key} cannot be pushed"
    if scope not in LIMITS[limit].scopes:
        return f"{key} cannot stand at scope {scope_name}"
    if paired and (scope == a.INSTRUMENT or scope not in PER_INSTRUMENT_SCOPES or limit in NOT_OF_PAIRS):
        return f"{key} cannot stand at {scope_name} and instrument together"
    return ""


def _unusable(epoch: int, time_ns: int, expires_ns: int, value: int, now_ns: int) -> str:
    """Why the content of a whole record cannot be; empty: it can."""
    if not 0 <= value <= UNLIMITED:
        return f"value {value} is out of range"
    if epoch < 1 or not 0 <= expires_ns <= UNLIMITED:
        return f"epoch {epoch} or expires_ns {expires_ns} is out of range"
    return _time_fault(time_ns, now_ns)


def _time_fault(time_ns: int, now_ns: int) -> str:
    if time_ns < 1 or _is_ahead(time_ns, now_ns):
        return f"its time {time_ns} is not of CLOCK_MONOTONIC, or in the future"
    return ""


def _is_ahead(time_ns: int, now_ns: int) -> bool:
    """Whether a time is in the future; `now_ns` may have been read before it was written."""
    return time_ns > now_ns and time_ns > time.monotonic_ns()
