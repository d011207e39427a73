"""What is measured on the wire, between an EMS and a venue that one load generator plays.

The generator is the same for all targets: a raw byte relay, bare QuickFIX relays, and the gateway. Sockets are TCP over
loopback with TCP_NODELAY, on one clock.
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
from tools.bench.relay import (
    LOOPBACK,
    QUICKFIX_CPP_FILE,
    QUICKFIX_CPP_MEMORY,
    QUICKFIX_FILE,
    QUICKFIX_MEMORY,
    RAW,
    cpp_relay,
)
from tools.bench.secure import HOST, Secured, authority
from tools.bench.wire_kernels import COMPLETE, ID_DIGITS, MARK, POLLFD, build_orders, run_answered, run_load

TIDEGATE, OVER_TLS, ON_QUICKFIX = "tidegate", "tidegate, TLS", "tidegate on QuickFIX"
INSTRUMENTS = 10
START_TIMEOUT_S = 120.0
PROBE_TIMEOUT_S = 20.0
OTHERS_S = 1.0
STOP_TIMEOUT_S = 15.0
DRAIN_S = 0.002
TAIL_TIMEOUT_NS = 10 * 10**9
ANSWERS_TIMEOUT_NS = 60 * 10**9
INBOX_BYTES = 1 << 20
MAX_ORDER_BYTES = 320
UNBOUNDED = 2**62
DECISION = '"event": "decision"'
MAIN, THREADS, PROCESSES = "main thread", "other threads", "processes"
USER_TIME = 11  # in /proc/PID/stat behind the name; system time follows


@dataclass(frozen=True)
class Variant:
    """A gateway with other settings: sections of its config; publishers beside it, with so many `quotes` a second
    (None: no publishers); the gateway of another checkout, a folder; with more EMS, whose orders take turns; with so
    many orders open before anything is measured.
    """

    sections: Mapping[str, Any] = field(default_factory=dict)
    quotes: int | None = None
    instruments: int = INSTRUMENTS
    mass_cancel: bool = False
    checkout: Path | None = None
    ems_sessions: int = 1
    resting: int = 0


PLAIN = Variant()


class Side(RawFixClient):
    """One side of the load generator: a FIX session that Python logs on and compiled code then uses."""

    def adopt(self, connection: socket.socket, serves_tls: bool = False) -> Self:
        """Use a connection that was accepted."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = Secured(connection, serves=True) if serves_tls else connection  # type: ignore[assignment]
        return self

    def secure(self) -> None:
        """Speak TLS from now on."""
        assert isinstance(self._socket, socket.socket)
        self._socket = Secured(self._socket, serves=False)  # type: ignore[assignment]

    def for_kernels(self) -> tuple[int, int]:
        """Descriptor, and address of the SSL, as compiled code wants them."""
        return self.fileno(), self._socket.handle if isinstance(self._socket, Secured) else 0

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
    if target in (QUICKFIX_CPP_MEMORY, QUICKFIX_CPP_FILE):
        return [str(cpp_relay()), *map(str, ports), str(folder), target.rpartition("-")[2]]
    if target in (RAW, QUICKFIX_MEMORY, QUICKFIX_FILE):
        return [sys.executable, "-m", "tools.bench.relay", target, *map(str, ports), str(folder)]
    sections = variant.sections
    if variant.quotes is not None:
        sections = {**sections, **config.observed(folder)}
    listen, connect = f"{LOOPBACK}:{ports[0]}", f"{HOST if is_secure(target) else LOOPBACK}:{ports[1]}"
    more: dict[str, Any] = {"mass_cancel": variant.mass_cancel, "ems_sessions": variant.ems_sessions}
    more["engine"] = "quickfix" if target == ON_QUICKFIX else "native"
    if is_secure(target):
        files = {name: str(path) for name, path in authority().items()}
        ca = files.pop("ca")
        more["tls"] = {"ems": files, "venue": {"ca": ca}}
    path = config.write_config(folder, capacity, variant.instruments, listen, connect, sections, **more)
    return [sys.executable, "-m", "gateway.cli", "run", "--config", str(path)]


def is_secure(target: str) -> bool:
    """Whether both sides of a target speak TLS."""
    return target == OVER_TLS


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
            link = Link(target, variant, process, folder)
            try:
                link.open(listener, ports[0])
                yield link
            except (BenchmarkError, OSError) as error:
                lines = [text for text in log.read_text().splitlines() if DECISION not in text]
                words = "\n".join(lines)[-500:] or "none"
                raise BenchmarkError(f"{target}: {error}; its last words: {words}") from error
            finally:
                link.close()


class Link:
    """A running target with its EMS side and its venue side."""

    def __init__(self, target: str, variant: Variant, process: subprocess.Popen[bytes], folder: Path) -> None:
        """Not connected yet; `folder` is where the target works."""
        self.target = target
        self.process = process
        self.folder = folder
        names = config.ems_comp_ids(variant.ems_sessions)
        self.all_ems = [Side(LOOPBACK, 0, sender=name, target=config.GATEWAY_COMP_ID) for name in names]
        self.ems = self.all_ems[0]
        self._names = np.array([list(name.encode()) for name in names], np.uint8)
        self.venue = Side(LOOPBACK, 0, sender=config.VENUE_COMP_ID, target=config.GATEWAY_COMP_ID)
        self.next_number = 1
        self._inboxes = np.zeros((2, INBOX_BYTES), np.uint8)
        self._clock = np.zeros(2, np.int64)

    def open(self, listener: socket.socket, ems_port: int) -> None:
        """Connect and log on both sides, then send orders until one arrives."""
        deadline = time.monotonic() + START_TIMEOUT_S
        listener.settimeout(0.2)
        secure = is_secure(self.target)
        self.venue.adopt(self._retry(lambda: listener.accept()[0], deadline), serves_tls=secure)
        for side in self.all_ems:
            side.address = (LOOPBACK, ems_port)
            self._retry(side.connect, deadline)
            if secure:
                side.secure()
            side.send("A", [(98, "0"), (108, "30"), (141, "Y")])
        waiting = {self.venue, *self.all_ems}
        while waiting:
            self._check(deadline, "logon of both sides")
            came = {side: self._venue_messages() if side is self.venue else side.drain() for side in waiting}
            waiting -= {side for side, messages in came.items() for message in messages if first(message, 35) == "A"}
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
        for side in (*self.all_ems, self.venue):
            side.send("0", [])
        self._settle()
        orders, start = self._orders(count)
        sent_ns, received_ns = np.zeros(count, np.int64), np.zeros(count, np.int64)
        polls = np.array([(self.venue.fileno(), select.POLLIN, 0)], POLLFD)
        end, sent, received, left = run_load(
            *(self._sockets(*self.all_ems), self._sockets(self.venue)[0], orders, start),
            *(self.next_number, gap_ns, window, int(duration_s * 1e9), int(duration_s * 1e9) + TAIL_TIMEOUT_NS),
            *(self._inboxes[1], polls, self._clock, sent_ns, received_ns),
        )
        self._count(sent)
        self.venue.give_back(self._inboxes[1][:left].tobytes())
        if end != COMPLETE:
            answers = [readable(message) for message in self.ems.drain()[:1]]
            raise BenchmarkError(f"load ended with {end}: {sent} sent, {received} received; the EMS got {answers}")
        return sent_ns[:sent], received_ns[:sent]

    def answered(self, count: int, window: int) -> float:
        """Send orders of the one EMS, at most `window` of them unanswered; the venue answers each with New and Fill.
        Returns orders a second, up to the last report at the EMS.
        """
        if len(self.all_ems) > 1:
            raise BenchmarkError("answers are measured with one EMS")
        self._settle()
        orders, start = self._orders(count)
        polls = np.array([(side.fileno(), select.POLLIN, 0) for side in (self.ems, self.venue)], POLLFD)
        begun_s = time.monotonic()
        end, answered, seq, *left = run_answered(
            *(self._sockets(self.ems), self._sockets(self.venue)[0], orders, start, window, ANSWERS_TIMEOUT_NS),
            *(report_templates(utc_now()), self.venue.next_seq_num, self._inboxes),
            *(np.zeros(INBOX_BYTES, np.uint8), polls, self._clock),
        )
        took_s = time.monotonic() - begun_s
        self._count(count)
        self.venue.next_seq_num = seq
        for side, inbox, size in zip((self.ems, self.venue), self._inboxes, left, strict=True):
            side.give_back(inbox[:size].tobytes())
        if end != COMPLETE:
            answers = [readable(message) for message in self.ems.drain()[:1]]
            raise BenchmarkError(f"answers ended with {end}: {answered} of {count}; the EMS got {answers}")
        return count / took_s

    def _orders(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        orders = np.zeros(count * MAX_ORDER_BYTES, np.uint8)
        start = np.zeros(count + 1, np.int64)
        text, places = order_template(utc_now())
        seqs = np.array([side.next_seq_num for side in self.all_ems], np.int64)
        tail = np.frombuffer(text.encode(), np.uint8)
        build_orders(orders, start, tail, places, self._names, self.next_number, seqs, count)
        return orders, start

    @staticmethod
    def _sockets(*sides: Side) -> np.ndarray:
        return np.array([side.for_kernels() for side in sides], np.int64)

    def _count(self, sent: int) -> None:
        """So many orders went out, of the sessions in turn."""
        self.next_number += sent
        for k, side in enumerate(self.all_ems):
            side.next_seq_num += len(range(k, sent, len(self.all_ems)))

    def _settle(self) -> None:
        """Read what is there on both sides; an order refused or left over makes the run void."""
        drained = [message for side in self.all_ems for message in side.drain()]
        for message in [*drained, *self._venue_messages()]:
            if first(message, 35) in ("3", "8", "j"):
                raise BenchmarkError(f"an order was refused: {readable(message)}")

    def cpu_s(self) -> dict[str, float]:
        """Processor time so far, s: of the thread that handles orders (in a relay, of its main thread), of all other
        threads, of the processes that the target has started.
        """
        tasks = {int(path.name): path for path in Path(f"/proc/{self.process.pid}/task").iterdir()}
        children = [int(pid) for path in tasks.values() for pid in (path / "children").read_text().split()]
        own = {pid: _cpu_of(path) for pid, path in tasks.items()}
        main = own.pop(self.process.pid)
        return {MAIN: main, THREADS: sum(own.values()), PROCESSES: sum(_cpu_of(Path(f"/proc/{p}")) for p in children)}

    def close(self) -> None:
        """Close both sides and end the process."""
        for side in (*self.all_ems, self.venue):
            side.close()
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_TIMEOUT_S)


def _cpu_of(entry: Path) -> float:
    """User and system time of a process or a thread, by its entry in /proc, s."""
    fields = (entry / "stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[USER_TIME : USER_TIME + 2])) / os.sysconf("SC_CLK_TCK")


def report_templates(stamp: str) -> tuple[np.ndarray, np.ndarray]:
    """New and Fill of the venue, as `run_answered` wants them."""
    seq, cl_ord_id, symbol, side, quantity, price = (chr(MARK + k) for k in range(6))
    head = f"8=FIX.4.4|9=000|35=8|34={seq}|49={config.VENUE_COMP_ID}|52={stamp}|56={config.GATEWAY_COMP_ID}|37=V{seq}"
    common = f"|17=N{seq}|11={cl_ord_id}|55={symbol}|54={side}|38={quantity}|44={price}|40=2"
    new = f"{head}{common}|150=0|39=0|151={quantity}|14=0|6=0|"
    fill = f"{head}{common}|150=F|39=2|151=0|14={quantity}|6={price}|31={price}|32={quantity}|"
    one, two = (np.frombuffer(text.replace("|", SOH).encode("latin-1"), np.uint8) for text in (new, fill))
    return one, two


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
    symbol, sender = f"{SOH}55={config.symbol(0)}", f"{SOH}49="
    more = text.index(symbol) + len(symbol) - 1, text.index(sender) + len(sender)
    return text, np.array([*places, *more], np.int64)
