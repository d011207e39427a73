"""A core under load: prepared messages sent into it by compiled loops, through the journal or past it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gateway.config.settings import load_settings
from gateway.core import events as ev
from gateway.core.driver import Driver, Event
from gateway.core.events import BUFFER, EVENT, OUT
from gateway.core.handle import handle
from gateway.core.layout import record_dtype
from gateway.fix import tags as t
from gateway.fix.layout import E8
from gateway.journal import format as f
from gateway.journal.writer import Journal, JournalingDriver
from gateway.state.build import build_state
from gateway.state.memory import State
from tools.bench import config
from tools.bench.core_kernels import ID_DIGITS, index_orders, replay, report_children

WALL_NS = 1_783_771_200_000_000_000  # 2026-07-11 12:00:00 UTC
STAMP = "20260711-12:00:00.000"
START_NS = 10**12
STEP_NS = 20_000  # simulated time between orders: 50,000 a second
FRESH_NS = 30 * 10**9  # simulated time after which quotes are fed again
EMS_ROW, VENUE_ROW = 0, 1
ID_MARK = b"\x0111=B"
PAGE_BYTES = 4096
EVENT_BYTES = 2_048  # more than an event of these takes in the journal
ROOM_TIMEOUT_S = 30.0
NEW = "150=0|39=0|14=0|151=1"
FILLED = "150=F|39=2|14=1|31=100|32=1|151=0"
CANCELED = "150=4|39=4|14=0|151=0"
NOT_TIMED = np.zeros(0, np.int64)


class BenchmarkError(Exception):
    """The benchmark measured something else than it should have; its figures are void."""


@dataclass(frozen=True)
class Messages:
    """NewOrderSingles in one buffer: uint8 bytes; int64 start, length and place of the ClOrdID's digits of each."""

    text: np.ndarray
    start: np.ndarray
    length: np.ndarray
    id_start: np.ndarray


def new_order(instrument: int, account: int, side: int, quantity: int, ticks: int) -> bytes:
    """A NewOrderSingle as a session has received it; the price is 100 plus some ticks, the ClOrdID B and zeros."""
    desk, strategy, trader = (
        names[account % len(names)] for names in (config.DESKS, config.STRATEGIES, config.TRADERS)
    )
    fields = (
        *((8, "FIX.4.4"), (9, "0"), (35, "D"), (34, "1"), (49, config.EMS_COMP_ID), (50, trader), (52, STAMP)),
        *((56, config.GATEWAY_COMP_ID), (116, desk), (1, config.ACCOUNTS[account]), (11, "B" + "0" * ID_DIGITS)),
        *((21, "1"), (38, quantity), (40, "2"), (44, f"{100 + ticks / 100:.2f}"), (54, side)),
        *((55, config.symbol(instrument)), (59, "0"), (60, STAMP), (config.STRATEGY_TAG, strategy), (10, "000")),
    )
    return b"".join(b"%d=%s\x01" % (tag, str(value).encode()) for tag, value in fields)


def pack_messages(texts: list[bytes]) -> Messages:
    """Put NewOrderSingles into one buffer."""
    length = np.array([len(text) for text in texts], np.int64)
    start = np.cumsum(length) - length
    ids = np.array([text.index(ID_MARK) + len(ID_MARK) for text in texts], np.int64)
    return Messages(np.frombuffer(b"".join(texts), np.uint8).copy(), start, length, start + ids)


def prepare_messages(instruments: int, count: int, quantity_above: int, rng: np.random.Generator) -> Messages:
    """`count` different orders over random instruments, accounts, sides and prices; quantities start above a value."""
    return pack_messages(
        [
            new_order(
                *(int(rng.integers(instruments)), int(rng.integers(len(config.ACCOUNTS))), int(rng.integers(1, 3))),
                *(quantity_above + 1 + k, int(rng.integers(-50, 51))),
            )
            for k in range(count)
        ]
    )


class LoadedCore:
    """A core between one EMS and one venue, and what is done to it; what is timed returns the ns it took."""

    def __init__(
        self,
        capacity: str,
        instruments: int,
        seed: int,
        touched: bool = True,
        journal: Journal | None = None,
        sections: Mapping[str, Any] = config.NO_SECTIONS,
    ) -> None:
        """Build the state; `touched`: have its memory mapped before anything is timed. With a journal everything goes
        into it from here, its settings first. `sections` are added to the config.
        """
        rng = np.random.default_rng(seed)
        with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as folder:
            nowhere = "127.0.0.1:1"
            # As with QuickFIX messages go to the core at once, not through their sessions.
            path = config.write_config(
                Path(folder), capacity, instruments, nowhere, nowhere, sections, engine="quickfix"
            )
            settings = load_settings(path)
        self.settings = settings
        self.state: State = build_state(settings, run=0)
        if touched:
            self.state.block.view(np.uint8)[::PAGE_BYTES] += np.uint8(0)
        self.journal = journal
        self._no_cursor = np.zeros(1, record_dtype(f.CURSOR))
        self._no_segment = np.zeros(1, record_dtype(f.SEGMENT))
        self._event = np.zeros(1, record_dtype(EVENT))
        self._out = np.zeros(1, record_dtype(OUT))
        self._buffer = np.zeros(1, record_dtype(BUFFER))
        self.good = prepare_messages(instruments, max(4_096, 2 * instruments), 0, rng)
        self.bad = prepare_messages(instruments, 512, config.MAX_ORDER_QTY, rng)
        self.time_ns = START_NS
        self._quoted_ns = 0
        self._venue_seq = 0
        self.number = 1
        self.driver = Driver(self.state.block)
        if journal is not None:
            self.driver = JournalingDriver(self.state.block, journal)
            journal.append_settings(settings.to_json(), START_NS)
        self.driver.handle(Event(ev.START, START_NS, value=(1, ev.STOPPED, 0, WALL_NS - START_NS)))
        for row in (EMS_ROW, VENUE_ROW):
            self.driver.handle(Event(ev.LOGON, START_NS, row))

    def keep_quotes_fresh(self) -> None:
        """Feed a quote of 99.99 x 100.01 for every instrument when the last ones are old."""
        if self.time_ns - self._quoted_ns > FRESH_NS:
            self._quoted_ns = self.time_ns
            for row in self.state.instruments.values():
                quote = (row, 100 * E8 - E8 // 100, 100 * E8 + E8 // 100, 100 * E8)
                self.driver.handle(Event(ev.QUOTE, self.time_ns, value=quote))

    def _target(self, events: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
        """State, cursor and segment, with room for so many events; a segment is rolled here, outside what is timed."""
        journal = self.journal
        if journal is None:
            return self.state.block, self._no_cursor, self._no_segment, False
        deadline = time.monotonic() + ROOM_TIMEOUT_S
        while int(journal.cursor["limit"][0] - journal.cursor["used"][0]) < events * EVENT_BYTES + f.MAX_EVENT_BYTES:
            try:
                journal.roll()
            except OSError:
                if time.monotonic() > deadline or journal.error is not None:
                    raise
                time.sleep(0.001)  # orders come faster than the disk takes new segments
        return self.state.block, journal.cursor, journal.block, True

    def send(self, messages: Messages, count: int, expected: int, took_ns: np.ndarray = NOT_TIMED) -> int:
        """Replay orders; fails unless each gave one message of type `expected`. `took_ns` (int64) takes the time of
        each of the first orders.
        """
        self.keep_quotes_fresh()
        target = self._target(count)
        accepted = int(self.state.record.accepted_orders)
        before = time.perf_counter_ns()
        good = replay(
            *(*target, self._event, self._buffer, self._out),
            *(messages.text, messages.start, messages.length, messages.id_start),
            *(self.number % messages.start.size, count, self.number, self.time_ns, STEP_NS, expected, took_ns),
        )
        elapsed = time.perf_counter_ns() - before
        self.number += count
        self.time_ns += count * STEP_NS
        accepted = int(self.state.record.accepted_orders) - accepted
        if good != count or accepted != (count if expected == t.NEW_ORDER_SINGLE else 0):
            raise BenchmarkError(f"{count} orders sent, {accepted} accepted; last output: {self._last_output()}")
        return elapsed

    def open_batch(self, count: int, took_ns: np.ndarray = NOT_TIMED) -> tuple[int, int]:
        """Place accepted orders; returns the number of the first child and the ns it took."""
        first_child = int(self.state.record.request_count)
        return first_child, self.send(self.good, count, t.NEW_ORDER_SINGLE, took_ns)

    def report(self, first_child: int, count: int, what: str = CANCELED) -> int:
        """The venue reports on orders by the number of their child: NEW, FILLED or CANCELED."""
        target = self._target(count)
        head = f"8=FIX.4.4|9=0|35=8|34=1|49={config.VENUE_COMP_ID}|52={STAMP}|56={config.GATEWAY_COMP_ID}|6=0|11=C1-"
        texts = (head, f"|17={what[4]}", f"|{what}|37=V", "|10=000|")
        parts = (np.frombuffer(x.replace("|", "\x01").encode(), np.uint8) for x in texts)
        arguments = (*target, self._event, self._buffer, self._out, *parts)
        before = time.perf_counter_ns()
        reported = report_children(*arguments, first_child, count, VENUE_ROW, self._venue_seq + 1, self.time_ns)
        elapsed = time.perf_counter_ns() - before
        self._venue_seq += count
        if reported != count:
            raise BenchmarkError(f"{count} orders reported on, {reported} told; last output: {self._last_output()}")
        return elapsed

    def index(self, count: int, with_validation: bool) -> int:
        """Index orders, and validate them or not; returns the ns it took."""
        messages = self.good
        first = self.number % messages.start.size
        before = time.perf_counter_ns()
        good = index_orders(
            *(self.state.block, self._buffer, messages.text, messages.start, messages.length),
            *(first, count, with_validation),
        )
        elapsed = time.perf_counter_ns() - before
        if good != count:
            raise BenchmarkError(f"{count} messages indexed, {good} good")
        return elapsed

    def apply(self, kind: int, value: tuple[int, ...] = ()) -> tuple[int, int]:
        """Apply an event without bytes, past the journal; returns the ns it took and how many messages it gave."""
        event = self._event[0]
        event.kind, event.time_ns, event.session, event.start, event.length = kind, self.time_ns, 0, 0, 0
        event.value[: len(value)] = value
        before = time.perf_counter_ns()
        handle(self.state.block, self._event, self._buffer, self._out)
        return time.perf_counter_ns() - before, int(self._out[0].count)

    def single_call(self, data: bytearray) -> int:
        """One accepted order through the Driver, as an engine in Python calls it; returns the ns it took."""
        at = data.index(ID_MARK) + len(ID_MARK)
        data[at : at + ID_DIGITS] = b"%0*d" % (ID_DIGITS, self.number)
        self.number += 1
        self.time_ns += STEP_NS
        event = Event(ev.MESSAGE, self.time_ns, EMS_ROW, self.number, False, bytes(data))
        before = time.perf_counter_ns()
        outputs = self.driver.handle(event)
        elapsed = time.perf_counter_ns() - before
        if [o.message_type for o in outputs] != ["D"]:
            raise BenchmarkError(f"order was not accepted: {outputs}")
        return elapsed

    def fill(self, orders: int, keep: int) -> None:
        """Place orders, then have all but `keep` of them canceled."""
        first_child = self.open_batch(orders)[0]
        if orders > keep:
            self.report(first_child, orders - keep)
        if int(self.state.record.open_order_count) != keep:
            raise BenchmarkError(f"{self.state.record.open_order_count} orders are open, want {keep}")

    def _last_output(self) -> str:
        out = self._out[0]
        return bytes(out.bytes[: out.used]).replace(b"\x01", b"|").decode("latin-1")
