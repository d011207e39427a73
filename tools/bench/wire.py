"""Wire to wire: one-way latency and throughput of a NewOrderSingle, from the EMS's socket to the venue's.

One load generator plays both sides, on one clock, and is the same for everything measured: a raw byte relay (the
floor), a bare QuickFIX relay with memory and with file store, and the gateway. Sockets are TCP over loopback with
TCP_NODELAY. Runs alternate; figures are compared only with those of the same round.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from tidegate_tools.fix.raw_client import RawFixClient, readable
from tidegate_tools.fix.text import SOH, Fields, first, utc_now
from tidegate_tools.sim.quickfix_peer import free_port
from tools.bench import config
from tools.bench.loaded import BenchmarkError
from tools.bench.relay import LOOPBACK, QUICKFIX_FILE, QUICKFIX_MEMORY, RAW
from tools.bench.wire_kernels import COMPLETE, ID_DIGITS, POLLFD, build_orders, run_load

TIDEGATE, ON_QUICKFIX = "tidegate", "tidegate on QuickFIX"
TARGETS = (RAW, QUICKFIX_MEMORY, QUICKFIX_FILE, TIDEGATE, ON_QUICKFIX)
INSTRUMENTS = 10
START_TIMEOUT_S = 120.0
PROBE_TIMEOUT_S = 20.0
OTHERS_S = 1.0
STOP_TIMEOUT_S = 15.0
DRAIN_S = 0.002
TAIL_TIMEOUT_NS = 10 * 10**9
INBOX_BYTES = 1 << 20
MAX_ORDER_BYTES = 320
PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99, 99.9)
UNBOUNDED = 2**62
USER_TIME = 11  # in /proc/PID/stat behind the name; system time follows


@dataclass(frozen=True)
class Variant:
    """A gateway with other settings: sections of its config; publishers beside it, with so many `quotes` a second
    (None: no publishers); or the gateway of another checkout, a folder.
    """

    sections: Mapping[str, Any] = field(default_factory=dict)
    quotes: int | None = None
    instruments: int = INSTRUMENTS
    mass_cancel: bool = False
    checkout: Path | None = None


PLAIN = Variant()


@dataclass(frozen=True)
class WirePlan:
    """What to run: `rounds` of every target; in each, `seconds` at each rate (messages a second), then closed loop.

    A target of `variants` is a gateway that differs so; any other is one of TARGETS.
    """

    targets: tuple[str, ...] = TARGETS
    rates: tuple[int, ...] = (1_000, 10_000)
    seconds: float = 2.0
    rounds: int = 5
    warmup_messages: int = 500
    window: int = 256
    throughput_messages: int = 150_000
    throughput_seconds: float = 2.0
    capacity: str = "large"
    variants: Mapping[str, Variant] = field(default_factory=dict)


class Side(RawFixClient):
    """One side of the load generator: a FIX session that Python logs on and compiled code then uses."""

    def adopt(self, connection: socket.socket) -> Self:
        """Use a connection that was accepted."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection
        return self

    def fileno(self) -> int:
        """File descriptor of the connection."""
        if self._socket is None:
            raise ConnectionError("not connected")
        return self._socket.fileno()

    def drain(self) -> list[Fields]:
        """The messages that are there, without those that `receive` answers."""
        messages = []
        try:
            while True:
                messages.append(self.receive(DRAIN_S))
        except TimeoutError:
            return messages

    def give_back(self, data: bytes) -> None:
        """Bytes of an unfinished message that compiled code has read."""
        self._parser.append_buffer(data)


def command(target: str, variant: Variant, folder: Path, capacity: str, ports: tuple[int, int]) -> list[str]:
    """The command line of what is measured; `ports` of EMS and venue."""
    if target in (RAW, QUICKFIX_MEMORY, QUICKFIX_FILE):
        return [sys.executable, "-m", "tools.bench.relay", target, *map(str, ports), str(folder)]
    sections = variant.sections
    if variant.quotes is not None:
        sections = {**sections, **config.observed(folder)}
    listen, connect = (f"{LOOPBACK}:{port}" for port in ports)
    engine = "quickfix" if target == ON_QUICKFIX else "native"
    more = sections, variant.mass_cancel, engine
    path = config.write_config(folder, capacity, variant.instruments, listen, connect, *more)
    return [sys.executable, "-m", "gateway.cli", "run", "--config", str(path)]


@contextmanager
def publishing(folder: Path, variant: Variant) -> Iterator[None]:
    """Have the publishers of a variant at work, in a process of their own."""
    if variant.quotes is None:
        yield
        return
    numbers = str(variant.quotes), str(variant.instruments)
    arguments = [sys.executable, "-m", "tools.bench.publishers", str(folder), *numbers]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE) as process:
        try:
            yield
            if process.poll() is not None:
                raise BenchmarkError(f"its publishers ended with status {process.returncode}")
        finally:
            process.kill()


@contextmanager
def running(target: str, capacity: str, variant: Variant = PLAIN) -> Iterator[Link]:
    """Start a target between an EMS and a venue, ready for orders; it is ended in any case."""
    prefix = "tidegate-bench-"
    with tempfile.TemporaryDirectory(prefix=prefix) as name, socket.create_server((LOOPBACK, 0)) as listener:
        folder = Path(name)
        ports = free_port(), int(listener.getsockname()[1])
        arguments = command(target, variant, folder, capacity, ports)
        log = folder / "stderr.txt"
        with publishing(folder, variant):
            with log.open("wb") as stderr:
                process = subprocess.Popen(
                    arguments, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=stderr, cwd=variant.checkout
                )
            link = Link(target, process, folder)
            try:
                link.open(listener, ports[0])
                yield link
            except (BenchmarkError, OSError) as error:
                words = log.read_text()[-500:] or "none"
                raise BenchmarkError(f"{target}: {error}; its last words: {words}") from error
            finally:
                link.close()


class Link:
    """A running target with its EMS side and its venue side."""

    def __init__(self, target: str, process: subprocess.Popen[bytes], folder: Path) -> None:
        """Not connected yet; `folder` is where the target works."""
        self.target = target
        self.process = process
        self.folder = folder
        self.ems = Side(LOOPBACK, 0, sender=config.EMS_COMP_ID, target=config.GATEWAY_COMP_ID)
        self.venue = Side(LOOPBACK, 0, sender=config.VENUE_COMP_ID, target=config.GATEWAY_COMP_ID)
        self.next_number = 1
        self._inbox = np.zeros(INBOX_BYTES, np.uint8)
        self._clock = np.zeros(2, np.int64)

    def open(self, listener: socket.socket, ems_port: int) -> None:
        """Connect and log on both sides, then send orders until one arrives."""
        deadline = time.monotonic() + START_TIMEOUT_S
        listener.settimeout(0.2)
        self.venue.adopt(self._retry(lambda: listener.accept()[0], deadline))
        self.ems.address = (LOOPBACK, ems_port)
        self._retry(self.ems.connect, deadline)
        self.ems.send("A", [(98, "0"), (108, "30"), (141, "Y")])
        logged_on: set[str] = set()
        while logged_on < {"ems", "venue"}:
            self._check(deadline, "logon of both sides")
            logged_on |= {"ems" for message in self.ems.drain() if first(message, 35) == "A"}
            logged_on |= {"venue" for message in self._venue_messages() if first(message, 35) == "A"}
        self._probe()

    def _retry(self, action: Callable[[], Any], deadline: float) -> Any:
        while True:
            try:
                return action()
            except (TimeoutError, ConnectionRefusedError):
                self._check(deadline, "connection")
                time.sleep(0.05)

    def _check(self, deadline: float, what: str) -> None:
        if self.process.poll() is not None:
            raise BenchmarkError(f"ended with status {self.process.returncode}")
        if time.monotonic() > deadline:
            raise BenchmarkError(f"no {what} in time")

    def _venue_messages(self) -> list[Fields]:
        """What came to the venue; logons and market data requests are answered."""
        messages = self.venue.drain()
        for message in messages:
            if first(message, 35) == "A":
                reset = [(141, "Y")] if first(message, 141) == "Y" else []
                self.venue.send("A", [(98, "0"), (108, "30"), *reset])
            elif first(message, 35) == "V":
                self._send_quotes(first(message, 262), [value for tag, value in message if tag == 55])
        return messages

    def _send_quotes(self, request: str, symbols: list[str]) -> None:
        prices = (("0", "99.99"), ("1", "100.01"), ("2", "100"))
        entries = [field for kind, price in prices for field in ((269, kind), (270, price), (271, "100"))]
        for symbol in symbols:
            self.venue.send("W", [(262, request), (55, symbol), (268, str(len(prices))), *entries])

    def _probe(self) -> None:
        """Send an order again and again until one arrives: only then does the target know venue and prices. Then wait
        for what became of the others.
        """
        deadline = time.monotonic() + PROBE_TIMEOUT_S
        answer = "none"
        arrived, refused, sent = 0, 0, 0
        others_by = deadline  # a relay loses what comes before it is connected
        while arrived == 0 or (arrived + refused < sent and time.monotonic() < others_by):
            if arrived == 0:
                self._send_probe()
                sent += 1
            here = sum(first(message, 35) == "D" for message in self._venue_messages())
            if here > 0 and arrived == 0:
                others_by = time.monotonic() + OTHERS_S
            arrived += here
            for message in self.ems.drain():
                answer = readable(message)
                refused += 1
            self._check(deadline, f"order at the venue (last answer to the EMS: {answer})")
            time.sleep(0.05)

    def _send_probe(self) -> None:
        head, tail = order_template(utc_now())[0].split("0" * ID_DIGITS, 1)
        text = f"{head}{self.next_number:0{ID_DIGITS}d}{tail}".strip(SOH)
        self.next_number += 1
        self.ems.send("D", [(int(tag), value) for tag, _, value in (part.partition("=") for part in text.split(SOH))])

    def load(self, count: int, gap_ns: int, window: int, duration_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Send orders as `run_load` says; returns when each was sent and received, ns. Fails unless all arrive."""
        for side in (self.ems, self.venue):
            side.send("0", [])
        self._settle()
        orders = np.zeros(count * MAX_ORDER_BYTES, np.uint8)
        start = np.zeros(count + 1, np.int64)
        text, places = order_template(utc_now())
        tail = np.frombuffer(text.encode(), np.uint8)
        build_orders(orders, start, tail, places, self.next_number, self.ems.next_seq_num, count)
        sent_ns, received_ns = np.zeros(count, np.int64), np.zeros(count, np.int64)
        polls = np.array([(self.venue.fileno(), select.POLLIN, 0)], POLLFD)
        end, sent, received, left = run_load(
            *(self.ems.fileno(), self.venue.fileno(), orders, start, self.next_number, gap_ns, window),
            *(int(duration_s * 1e9), int(duration_s * 1e9) + TAIL_TIMEOUT_NS, self._inbox, polls, self._clock),
            *(sent_ns, received_ns),
        )
        self.next_number += sent
        self.ems.next_seq_num += sent
        if left:
            self.venue.give_back(self._inbox[:left].tobytes())
        if end != COMPLETE:
            answers = [readable(message) for message in self.ems.drain()[:1]]
            raise BenchmarkError(f"load ended with {end}: {sent} sent, {received} received; the EMS got {answers}")
        return sent_ns[:sent], received_ns[:sent]

    def _settle(self) -> None:
        """Read what is there on both sides; an order refused or left over makes the run void."""
        for message in [*self.ems.drain(), *self._venue_messages()]:
            if first(message, 35) in ("3", "8", "j"):
                raise BenchmarkError(f"an order was refused: {readable(message)}")

    def cpu_s(self) -> float:
        """Processor time that the process has taken, s: other load of the machine does not change it by much."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[USER_TIME : USER_TIME + 2])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """Close both sides and end the process."""
        self.ems.close()
        self.venue.close()
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_TIMEOUT_S)


def order_template(stamp: str) -> tuple[str, np.ndarray]:
    """What follows MsgSeqNum in an order, with SOH before and after each field, and the places `build_orders` fills."""
    fields = (
        *((49, config.EMS_COMP_ID), (50, config.TRADERS[0]), (52, stamp), (56, config.GATEWAY_COMP_ID)),
        *((116, config.DESKS[0]), (1, config.ACCOUNTS[0]), (11, "B" + "0" * ID_DIGITS), (21, "1"), (38, "1000")),
        *((40, "2"), (44, "100.00"), (54, "1"), (55, config.symbol(0)), (59, "0"), (60, stamp)),
        (config.STRATEGY_TAG, config.STRATEGIES[0]),
    )
    text = SOH + "".join(f"{tag}={value}{SOH}" for tag, value in fields)
    marks = ((f"{SOH}11=B", 0), (f"{SOH}38=", 0), (f"{SOH}44=", len("100.")), (f"{SOH}54=", 0))
    places = [text.index(mark) + len(mark) + more for mark, more in marks]
    symbol = f"{SOH}55={config.symbol(0)}"
    return text, np.array([*places, text.index(symbol) + len(symbol) - 1], np.int64)


def measure(plan: WirePlan, target: str) -> dict[str, Any]:
    """One run of one target: latency at each rate, then closed-loop throughput."""
    with running(target, plan.capacity, plan.variants.get(target, PLAIN)) as link:
        link.load(plan.warmup_messages, 10**6, plan.window, 10.0)
        rates = {}
        for rate in plan.rates:
            count = int(rate * plan.seconds)
            sent_ns, received_ns = link.load(count, 10**9 // rate, UNBOUNDED, plan.seconds + 5)
            latency_us = (received_ns - sent_ns) / 1e3
            late_us = (sent_ns - sent_ns[0] - np.arange(count) * (10**9 // rate)) / 1e3
            rates[str(rate)] = {
                "latency_us": {f"p{p}": float(np.percentile(latency_us, p)) for p in PERCENTILES},
                "sent_late_us_p99": float(np.percentile(late_us, 99)),
                "messages": count,
            }
        cpu_s = link.cpu_s()
        sent_ns, received_ns = link.load(plan.throughput_messages, 0, plan.window, plan.throughput_seconds)
        cpu_s = link.cpu_s() - cpu_s
        elapsed_s, count = float(received_ns.max() - sent_ns[0]) / 1e9, len(sent_ns)
        return {
            **{"rates": rates, "messages": count, "messages_per_s": count / elapsed_s},
            **{"cpu_us": cpu_s * 1e6 / count},
        }


def run_wire(plan: WirePlan, progress: Callable[[str], None]) -> dict[str, Any]:
    """All rounds; `progress` is told what comes next. Each round begins with another target."""
    rounds: list[dict[str, Any]] = []
    for number in range(plan.rounds):
        turn = number % len(plan.targets)
        figures = {}
        for target in plan.targets[turn:] + plan.targets[:turn]:
            progress(f"wire: round {number + 1} of {plan.rounds}, {target}")
            figures[target] = measure(plan, target)
        rounds.append(figures)
    return {"window": plan.window, "rounds": rounds, "summary": summarize(plan, rounds)}


def summarize(plan: WirePlan, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the rounds: of figures, and of ratios to the other targets taken within a round."""

    def latency(target: str, rate: str, percentile: str) -> list[float]:
        return [figures[target]["rates"][rate]["latency_us"][percentile] for figures in rounds]

    def throughput(target: str) -> list[float]:
        return [figures[target]["messages_per_s"] for figures in rounds]

    summary: dict[str, Any] = {}
    for target in plan.targets:
        summary[target] = row = {
            "messages_per_s": float(np.median(throughput(target))),
            "cpu_us": float(np.median([figures[target]["cpu_us"] for figures in rounds])),
            "throughput_ratio": {o: _median_ratio(throughput(target), throughput(o)) for o in plan.targets},
        }
        for rate in map(str, plan.rates):
            row[rate] = {
                "latency_us": {f"p{p}": float(np.median(latency(target, rate, f"p{p}"))) for p in PERCENTILES},
                **{
                    f"{p}_ratio": {
                        o: _median_ratio(latency(target, rate, p), latency(o, rate, p)) for o in plan.targets
                    }
                    for p in ("p50", "p99")
                },
            }
    return summary


def _median_ratio(one: list[float], other: list[float]) -> float:
    return float(np.median([x / y for x, y in zip(one, other, strict=True)]))
