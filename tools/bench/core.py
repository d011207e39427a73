"""The core alone: cost of an accepted NewOrderSingle through the compiled `handle`, with every check live.

Messages are prepared in one buffer and replayed inside compiled code; only the ClOrdID changes. A batch is timed from
Python with one call. After each batch the venue cancels its orders, so the number of open orders stays what it is said
to be. An order that is not accepted fails the benchmark.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core import layout as a
from gateway.core.driver import Driver, Event, clock_event
from gateway.core.layout import BUFFER, EVENT, OUT, record_dtype
from gateway.fix import tags as t
from gateway.fix.values import E8
from gateway.settings import load_settings
from gateway.state import State, build_state
from tools.bench import config
from tools.bench.core_kernels import ID_DIGITS, cancel_children, index_orders, replay

WALL_NS = 1_783_771_200_000_000_000  # 2026-07-11 12:00:00 UTC
STAMP = "20260711-12:00:00.000"
START_NS = 10**12
STEP_NS = 20_000  # simulated time between orders: 50,000 a second
FRESH_NS = 30 * 10**9  # simulated time after which quotes are fed again
BUDGET_NS = {10: 2_000, 10_000: 3_000}
EMS_ROW, VENUE_ROW = 0, 1
ID_MARK = b"\x0111=B"
PAGE_BYTES = 4096


class BenchmarkError(Exception):
    """The benchmark measured something else than it should have; its figures are void."""


@dataclass(frozen=True)
class CorePlan:
    """What to run: a case for each number of instruments and open orders, `batches` of `batch` orders each."""

    capacity: str = "large"
    instruments: tuple[int, ...] = (10, 10_000)
    open_orders: tuple[int, ...] = (10, 100_000)
    batches: int = 800
    batch: int = 250
    single_calls: int = 2_000
    seed: int = 1


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


def prepare_messages(instruments: int, count: int, quantity_above: int, rng: np.random.Generator) -> Messages:
    """`count` different orders over random instruments, accounts, sides and prices; quantities start above a value."""
    texts = [
        new_order(
            *(int(rng.integers(instruments)), int(rng.integers(len(config.ACCOUNTS))), int(rng.integers(1, 3))),
            *(quantity_above + 1 + k, int(rng.integers(-50, 51))),
        )
        for k in range(count)
    ]
    length = np.array([len(text) for text in texts], np.int64)
    start = np.cumsum(length) - length
    ids = np.array([text.index(ID_MARK) + len(ID_MARK) for text in texts], np.int64)
    return Messages(np.frombuffer(b"".join(texts), np.uint8).copy(), start, length, start + ids)


class LoadedCore:
    """A core in the state that a case asks for, and the operations that are timed."""

    def __init__(self, plan: CorePlan, instruments: int, touched: bool = True) -> None:
        """Build the state; `touched`: have its memory mapped before anything is timed."""
        self.rng = np.random.default_rng(plan.seed)
        with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as folder:
            path = config.write_config(Path(folder), plan.capacity, instruments, "127.0.0.1:1", "127.0.0.1:1")
            self.state: State = build_state(load_settings(path), run=1)
        if touched:
            self.state.block.view(np.uint8)[::PAGE_BYTES] += np.uint8(0)
        self.driver = Driver(self.state.block)
        self._event = np.zeros(1, record_dtype(EVENT))
        self._out = np.zeros(1, record_dtype(OUT))
        self._buffer = np.zeros(1, record_dtype(BUFFER))
        head = f"8=FIX.4.4|9=0|35=8|34=1|49={config.VENUE_COMP_ID}|52={STAMP}|56={config.GATEWAY_COMP_ID}|6=0|11=C1-"
        tail = f"|14=0|37=V1|39=4|54=1|55={config.symbol(0)}|150=4|151=0|10=000|"
        self._head, self._tail = (np.frombuffer(x.replace("|", "\x01").encode(), np.uint8) for x in (head, tail))
        count = max(4_096, 2 * instruments)
        self.good = prepare_messages(instruments, count, 0, self.rng)
        self.bad = prepare_messages(instruments, 512, config.MAX_ORDER_QTY, self.rng)
        self.time_ns = START_NS
        self._quoted_ns = 0
        self.number = 1
        self.driver.handle(clock_event(START_NS, WALL_NS))
        for row in (EMS_ROW, VENUE_ROW):
            self.driver.handle(Event(a.LOGON, START_NS, row))

    def keep_quotes_fresh(self) -> None:
        """Feed a quote of 99.99 x 100.01 for every instrument when the last ones are old."""
        if self.time_ns - self._quoted_ns > FRESH_NS:
            self._quoted_ns = self.time_ns
            for row in self.state.instruments.values():
                quote = (row, 100 * E8 - E8 // 100, 100 * E8 + E8 // 100, 100 * E8)
                self.driver.handle(Event(a.QUOTE, self.time_ns, value=quote))

    def send(self, messages: Messages, count: int, expected: int) -> int:
        """Replay orders; returns the ns it took. Fails unless each gave one message of type `expected`."""
        self.keep_quotes_fresh()
        first = self.number % messages.start.size
        accepted = int(self.state.record.accepted_orders)
        arguments = (
            messages.start,
            messages.length,
            messages.id_start,
            first,
            count,
            self.number,
            self.time_ns,
            STEP_NS,
        )
        before = time.perf_counter_ns()
        good = replay(self.state.block, self._event, self._buffer, self._out, messages.text, *arguments, expected)
        elapsed = time.perf_counter_ns() - before
        self.number += count
        self.time_ns += count * STEP_NS
        accepted = int(self.state.record.accepted_orders) - accepted
        if good != count or accepted != (count if expected == t.NEW_ORDER_SINGLE else 0):
            raise BenchmarkError(f"{count} orders sent, {accepted} accepted; last output: {self._last_output()}")
        return elapsed

    def cancel(self, first_child: int, count: int) -> int:
        """The venue cancels orders by the number of their child; returns the ns it took."""
        before = time.perf_counter_ns()
        reported = cancel_children(
            *(self.state.block, self._event, self._buffer, self._out, self._head, self._tail),
            *(first_child, count, VENUE_ROW, self.time_ns),
        )
        elapsed = time.perf_counter_ns() - before
        if reported != count:
            raise BenchmarkError(f"{count} orders canceled, {reported} reported; last output: {self._last_output()}")
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

    def single_call(self, data: bytearray) -> int:
        """One accepted order through the Driver, as an engine in Python calls it; returns the ns it took."""
        at = data.index(ID_MARK) + len(ID_MARK)
        data[at : at + ID_DIGITS] = b"%0*d" % (ID_DIGITS, self.number)
        self.number += 1
        self.time_ns += STEP_NS
        event = Event(a.MESSAGE, self.time_ns, EMS_ROW, self.number, False, bytes(data))
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
            self.cancel(first_child, orders - keep)
        if int(self.state.record.open_order_count) != keep:
            raise BenchmarkError(f"{self.state.record.open_order_count} orders are open, want {keep}")

    def open_batch(self, count: int) -> tuple[int, int]:
        """Place accepted orders; returns the number of the first child and the ns it took."""
        first_child = int(self.state.record.request_count)
        return first_child, self.send(self.good, count, t.NEW_ORDER_SINGLE)

    def _last_output(self) -> str:
        out = self._out[0]
        return bytes(out.bytes[: out.used]).replace(b"\x01", b"|").decode("latin-1")


def _summary(samples: list[float]) -> dict[str, float]:
    """Least, median and 99th percentile, ns."""
    return {
        "min_ns": float(np.min(samples)),
        "p50_ns": float(np.median(samples)),
        "p99_ns": float(np.percentile(samples, 99)),
    }


def run_case(plan: CorePlan, instruments: int, open_orders: int) -> dict[str, Any]:
    """One case of the matrix: ns an event, over batches, of each path."""
    core = LoadedCore(plan, instruments)
    core.fill(max(open_orders, 10 * instruments), open_orders)
    paths = ("accept", "reject", "venue_report", "index", "index_and_validate")
    samples: dict[str, list[float]] = {path: [] for path in paths}
    for number in range(plan.batches + 1):
        first_child, accept_ns = core.open_batch(plan.batch)
        times = {
            "accept": accept_ns,
            "venue_report": core.cancel(first_child, plan.batch),
            "reject": core.send(core.bad, plan.batch, t.EXECUTION_REPORT),
            "index": core.index(plan.batch, False),
            "index_and_validate": core.index(plan.batch, True),
        }
        if number > 0:  # the first batch loads code
            for path, elapsed in times.items():
                samples[path].append(elapsed / plan.batch)
    result: dict[str, Any] = {"instruments": instruments, "open_orders": open_orders}
    result |= {path: _summary(values) for path, values in samples.items()}
    validation = [both - index for both, index in zip(samples["index_and_validate"], samples["index"], strict=True)]
    result["validate"] = _summary(validation)
    texts = [
        bytearray(core.good.text[s : s + n].tobytes()) for s, n in zip(core.good.start, core.good.length, strict=True)
    ]
    core.keep_quotes_fresh()
    calls = [core.single_call(texts[core.number % len(texts)]) for _ in range(plan.single_calls + 1)]
    result["single_call_from_python"] = _summary([float(call) for call in calls[1:]])
    result["budget_ns"] = BUDGET_NS.get(instruments)
    result["orders_accepted"] = int(core.state.record.accepted_orders)
    return result


def run_first_touch(plan: CorePlan) -> dict[str, float]:
    """Accepted orders whose rows lie in memory that nothing has touched yet: the cost of page faults included."""
    core = LoadedCore(plan, plan.instruments[0], touched=False)
    core.open_batch(plan.batch)
    return _summary([core.open_batch(plan.batch)[1] / plan.batch for _ in range(max(plan.batches // 4, 2))])


def run_core(plan: CorePlan, progress: Callable[[str], None]) -> dict[str, Any]:
    """The whole matrix; `progress` is told what comes next."""
    cases = []
    for instruments in plan.instruments:
        for open_orders in plan.open_orders:
            progress(f"core: {instruments:,} instruments, {open_orders:,} open orders")
            cases.append(run_case(plan, instruments, open_orders))
    progress("core: memory not touched before")
    return {"batch": plan.batch, "batches": plan.batches, "cases": cases, "accept_first_touch": run_first_touch(plan)}
