"""Journals made in process, and a reader of their bytes that shares no code with the gateway's."""

from __future__ import annotations

import hashlib
import random
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gateway.config.settings import load_settings
from gateway.core import events as ev
from gateway.core.driver import Event
from gateway.core.layout import record_dtype
from gateway.journal import format as f
from gateway.journal.read import segment_head
from gateway.journal.writer import NO_SYNC, Journal, JournalingDriver
from gateway.state.build import build_state
from gateway.state.carry_over import carry
from tests.support.core import LIMITS, START_NS, Core, Fields, write_config

SEGMENT_START = 128
HEAD = struct.Struct("<qqqiiq")
SETTINGS, IN, DECISION, OUT, COMMIT, SEAL = 1, 2, 3, 4, 5, 6
ROOMY = LIMITS | {"account": {"default": LIMITS["account"]["default"] | {"max_long": 10**6, "max_short": 10**6}}}


@dataclass(frozen=True)
class Raw:
    """A record as its bytes say: `at` is its first byte in the file, `body` what follows its head."""

    at: int
    length: int
    crc: int
    sequence: int
    kind: int
    version: int
    time_ns: int
    body: bytes


def raw_records(content: bytes) -> list[Raw]:
    """The records of a segment file up to the first length of zero."""
    found, at = [], SEGMENT_START
    while at + HEAD.size <= len(content):
        head = HEAD.unpack_from(content, at)
        if head[0] == 0:
            break
        found.append(Raw(at, *head, content[at + HEAD.size : at + head[0]]))
        at += head[0]
    return found


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


_TABLE = _crc_table()


def crc_32c(data: bytes) -> int:
    """CRC-32C, a byte at a time."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def state_digest(block: np.ndarray) -> bytes:
    """Digest of everything in a state that outlives an event."""
    return hashlib.blake2b(block.view(np.uint8)[: block.dtype.fields["work"][1]]).digest()


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = 20) -> None:
    """Wait for what another thread does without telling."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.002)


class Bare:
    """Memory for one segment and its cursor, without a file. Every word that is not written is UNWRITTEN."""

    UNWRITTEN = 0x5A5A_5A5A_5A5A_5A5A

    def __init__(self, first_sequence: int = 1) -> None:
        self.block = np.zeros(1, record_dtype(f.SEGMENT))
        self.cursor = np.zeros(1, record_dtype(f.CURSOR))
        self.cursor[0].used = SEGMENT_START
        self.cursor[0].limit = f.SEGMENT_BYTES
        self.cursor[0].sequence = self.cursor[0].committed = first_sequence - 1
        self.block[0].words[: (1 << 20) // 8] = self.UNWRITTEN

    @property
    def number(self) -> int:
        return 1

    def make_room(self) -> None:
        """There is always room."""

    def content(self) -> bytes:
        """What was written, behind a head of zeros."""
        return bytes(SEGMENT_START) + self.block[0].bytes[SEGMENT_START : int(self.cursor[0].used)].tobytes()


def fill_executions(core: Core, child: str) -> None:
    """More fills of an order than can be remembered, which is a fault."""
    for k in range(core.record.executions.size + 1):
        core.fill(child, f"FULL{k}", "0.001", "", t14=None, t151=None)


class JournaledCore(Core):
    """A core whose journal has everything since its settings; `log` has the same events with what they gave."""

    def __init__(self, folder: Path, limit_bytes: int = 1 << 20, sync_ns: int = NO_SYNC, **more: Any) -> None:
        """The journal is in the folder `journal`; other keywords go to `Core`."""
        super().__init__(folder, **more)
        self.folder = folder / "journal"
        self.state = build_state(self.settings, 0)
        self.journal_writer = Journal(self.folder, 1, 1, 1, sync_ns=sync_ns, limit_bytes=limit_bytes)
        self.driver = JournalingDriver(self.state.block, self.journal_writer)
        self._closed = False
        self.log.clear()
        self.time_ns = START_NS
        self.begin(ev.STOPPED)

    def begin(self, ended: int) -> None:
        """Begin a run as a process does: its settings, its start, sessions, a price."""
        self.start(ended)
        for name in self.sessions:
            self.logon(name)
        self.synced()
        self.quote("AAPL", 99.99, 100.01, 100)

    def start(self, ended: int) -> list[tuple[str, str, Fields]]:
        """The settings of a run, and its start."""
        self.journal_writer.append_settings(self.settings.to_json(), self.time_ns)
        return super().start(ended)

    def take_settings(self, config: dict, limits: dict = LIMITS, *more: Any) -> None:
        """Stop, and carry the state over to other settings; `more` as in `write_config`. A start comes next."""
        self.settings = load_settings(write_config(self.folder.parent, config, limits, *more))
        self.state = carry(self.state, self.settings)
        self.driver = JournalingDriver(self.state.block, self.journal_writer)

    def close(self) -> None:
        """Close the journal, if that has not been done."""
        if not self._closed:
            self._closed = True
            self.journal_writer.close()

    @property
    def sequence(self) -> int:
        """Of the last COMMIT."""
        return int(self.journal_writer.committed)


@dataclass
class Working:
    """An order as the venue of `Flow` sees it."""

    cl_ord_id: str
    child: str
    symbol: str
    side: str
    qty: int
    cum: int = 0


class Flow:
    """A day of trading that a seed determines: orders, replaces, cancels, fills, busts, market data, lost sessions."""

    def __init__(self, core: Core, seed: int) -> None:
        self.core = core
        self.random = random.Random(seed)
        self.working: list[Working] = []
        self.fills: list[tuple[Working, str, int]] = []
        self.ids = 0
        self.steps: list[tuple[Callable[[], object], int]] = [
            (self.order, 30),
            (self.fill, 18),
            (self.cancel, 14),
            (self.change, 10),
            (self.price, 20),
            (self.bust, 3),
            (self.rubbish, 2),
            (self.idle, 3),
            (self.reconnect, 1),
        ]

    def step(self) -> None:
        """One thing happens, with the answers to it."""
        self.core.wait(self.random.uniform(0.001, 0.02))
        choice = self.random.choices([s for s, _ in self.steps], [w for _, w in self.steps])[0]
        choice()

    def next_id(self, prefix: str) -> str:
        self.ids += 1
        return f"{prefix}{self.ids}" + "x" * self.random.randrange(9)

    def terms(self, w: Working) -> dict[str, Any]:
        return {"symbol": w.symbol, "side": w.side, "px": "100" if w.symbol == "AAPL" else "200"}

    def report(self, w: Working, exec_type: str, status: str, **more: str | None) -> str:
        exec_id = self.next_id("V")
        fields = {"t14": str(w.cum), "t38": str(w.qty), "t151": str(w.qty - w.cum), "t54": w.side, "t55": w.symbol}
        self.core.report(w.child, exec_id, exec_type, status, **(fields | more))
        return exec_id

    def order(self) -> None:
        too_large = self.random.random() < 0.05
        qty = 5000 if too_large else 10 * self.random.randrange(1, 100)
        w = Working(self.next_id("A"), "", self.random.choice(["AAPL", "MSFT"]), self.random.choice("12"), qty)
        child = self.child(self.core.new(w.cl_ord_id, qty=str(qty), **self.terms(w)))
        if child:
            w.child = child
            self.report(w, "0", "0")
            self.working.append(w)

    def child(self, sent: list[tuple[str, str, Fields]]) -> str:
        """ClOrdID of the child among what was sent, empty when there is none."""
        return next((fields[11] for session, _, fields in sent if session == "XNAS"), "")

    def pick(self) -> Working | None:
        return self.random.choice(self.working) if self.working else None

    def fill(self) -> None:
        w = self.pick()
        if w is None:
            return
        qty = w.qty - w.cum if self.random.random() < 0.7 else max(1, (w.qty - w.cum) // 2)
        w.cum += qty
        done = w.cum == w.qty
        exec_id = self.report(w, "F", "2" if done else "1", t32=str(qty), t31="100")
        self.fills.append((w, exec_id, qty))
        if done:
            self.working.remove(w)

    def bust(self) -> None:
        partial = [fill for fill in self.fills if fill[0] in self.working]
        if partial:
            w, exec_id, qty = self.random.choice(partial)
            self.fills.remove((w, exec_id, qty))
            w.cum -= qty
            self.report(w, "H", "1" if w.cum else "0", t19=exec_id, t32=str(qty), t31="100")

    def cancel(self) -> None:
        w = self.pick()
        if w is None:
            return
        orig, own = w.child, self.next_id("C")
        child = self.child(self.core.cancel(own, w.cl_ord_id, symbol=w.symbol, side=w.side))
        if not child:
            return
        if self.random.random() < 0.2:
            self.core.cancel_reject(child, orig)
            return
        w.child = child
        self.report(w, "4", "4", t41=orig, t151="0")
        self.working.remove(w)

    def change(self) -> None:
        w = self.pick()
        if w is None:
            return
        orig, own, qty = w.child, self.next_id("G"), w.qty + 10
        child = self.child(self.core.replace(own, w.cl_ord_id, qty=str(qty), **self.terms(w)))
        if not child:
            return
        if self.random.random() < 0.2:
            self.core.cancel_reject(child, orig, response="2")
            return
        w.cl_ord_id, w.child, w.qty = own, child, qty
        self.report(w, "5", "1" if w.cum else "0", t41=orig)

    def price(self) -> None:
        symbol, middle = self.random.choice([("AAPL", 100), ("MSFT", 200)])
        if self.random.random() < 0.5:
            self.core.quote(symbol, middle - 0.01, middle + 0.01, middle)
            return
        entries = [
            (269, "0"),
            (270, f"{middle - 0.01}"),
            (271, "100"),
            (269, "1"),
            (270, f"{middle + 0.01}"),
            (271, "7"),
        ]
        self.core.message("XNAS", "W", [(55, symbol), (262, "M"), (268, "2"), *entries])

    def rubbish(self) -> None:
        self.core.raw("EMS1", b"8=FIX.4.4\x01" + self.random.randbytes(self.random.randrange(200)))

    def idle(self) -> None:
        self.core.tick()

    def reconnect(self) -> None:
        name = self.random.choice(list(self.core.sessions))
        self.core.logout(name)
        self.core.logon(name)


def excerpt(content: bytes, records: list[Raw], first: int, last: int) -> bytes:
    """A segment of its own with records `first` to before `last` of another, which are next to each other."""
    end = records[last - 1]
    head = segment_head(1, records[first].sequence, 1, 0)
    return head + content[records[first].at : end.at + end.length]


def padded(event: Event) -> Event:
    """An event as the journal gives it back: with all its values."""
    value = event.value + (0,) * (ev.VALUES - len(event.value))
    return Event(event.kind, event.time_ns, event.session, event.msg_seq_num, event.poss_dup, event.data, value)
