"""A kill on the wire: from the time a switch is set to the last cancel at the venue, while all orders rest there.

Orders are acknowledged before; the venue answers no cancel, so nothing but cancels is under way. In each round the same
number of messages goes through bare QuickFIX relays, and the bytes of the cancels through a plain socket.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gateway.core import layout as a
from gateway.kill import file as switches
from gateway.state.memory import map_state
from tools.bench.loaded import BenchmarkError
from tools.bench.relay import LOOPBACK, QUICKFIX_FILE, QUICKFIX_MEMORY, RAW
from tools.bench.wire_link import PLAIN, TIDEGATE, UNBOUNDED, Link, Variant, running

ONE_BY_ONE, MASS_CANCEL = TIDEGATE, "tidegate, one mass cancel"
CANCEL = re.compile(rb"\x0135=F\x01(?:[^\x01]*\x01)*?41=([^\x01]*)\x01")
MASS = re.compile(rb"\x0135=q\x01()")
END = re.compile(rb"\x0110=\d{3}\x01")
CHUNK_BYTES = 1 << 20
TIMEOUT_S = 60.0
POLL_S = 0.01


@dataclass(frozen=True)
class KillPlan:
    """What to run: kills of so many resting orders, with the relays beside them, in so many rounds."""

    capacity: str = "standard"
    orders: int = 10_000
    rounds: int = 3
    relays: tuple[str, ...] = (QUICKFIX_MEMORY, QUICKFIX_FILE)
    window: int = 256


def rest_orders(link: Link, plan: KillPlan) -> None:
    """Have so many orders at the venue, each acknowledged by it, as the gateway's own state says."""
    link.load(plan.orders, 0, plan.window, TIMEOUT_S)
    state = map_state(link.folder / "var" / "state.bin", plan.capacity)
    s = state.record
    requests = s["requests"][s["orders"]["first"][: int(s.order_count)]]
    for run, child in zip(requests["run"].tolist(), requests["child"].tolist(), strict=True):
        ids = [(37, f"V{child}"), (17, f"N{child}"), (11, f"C{run}-{child}")]
        link.venue.send("8", [*ids, (150, "0"), (39, "0"), (54, "1"), (151, "1"), (14, "0"), (6, "0")])
    rows = s["orders"]["first"][: int(s.order_count)]
    deadline = time.monotonic() + TIMEOUT_S
    reader = socket.socket(fileno=socket.dup(link.ems.fileno()))
    with reader:
        while not (s["requests"]["state"][rows] == a.REQUEST_ACCEPTED).all():
            if time.monotonic() > deadline:
                raise BenchmarkError("not every order was acknowledged in time")
            _discard(reader)


def _discard(reader: socket.socket) -> None:
    """Read what there is, for a short while."""
    reader.settimeout(POLL_S)
    try:
        while reader.recv(CHUNK_BYTES):
            pass
    except TimeoutError:
        pass


def receive_cancels(venue: socket.socket, pattern: re.Pattern[bytes], count: int) -> tuple[list[int], bytes]:
    """When so many different cancels came, ns of CLOCK_MONOTONIC, and all bytes; raises BenchmarkError."""
    seen: dict[bytes, int] = {}
    data, rest = bytearray(), b""
    venue.settimeout(TIMEOUT_S)
    while len(seen) < count:
        try:
            chunk = venue.recv(CHUNK_BYTES)
        except TimeoutError:
            chunk = b""
        now_ns = time.monotonic_ns()
        if not chunk:
            raise BenchmarkError(f"{len(seen)} of {count} cancels came")
        data += chunk
        rest += chunk
        ends = [match.end() for match in END.finditer(rest)]
        whole, rest = rest[: ends[-1] if ends else 0], rest[ends[-1] if ends else 0 :]
        for match in pattern.finditer(whole):
            seen.setdefault(match[1], now_ns)
    return sorted(seen.values()), bytes(data)


def kill(plan: KillPlan, mass_cancel: bool) -> tuple[dict[str, float], bytes]:
    """One kill of the firm: ms from the set time to the first and to the last cancel; and the bytes of the cancels."""
    with running(TIDEGATE, plan.capacity, Variant(mass_cancel=mass_cancel)) as link:
        rest_orders(link, plan)
        open_orders = int(map_state(link.folder / "var" / "state.bin", plan.capacity).record.open_order_count)
        venue = socket.socket(fileno=socket.dup(link.venue.fileno()))
        with venue:
            done = switches.set_switch(link.folder / "var", a.FIRM, "", "bench", "benchmark")
            if done.fault:
                raise BenchmarkError(done.fault)
            pattern, count = (MASS, 1) if mass_cancel else (CANCEL, open_orders)
            times_ns, data = receive_cancels(venue, pattern, count)
    set_ns = done.switch.set_ns
    found = {"first_ms": (times_ns[0] - set_ns) / 1e6, "last_ms": (times_ns[-1] - set_ns) / 1e6}
    return found | {"orders": open_orders, "sent": len(pattern.findall(data)), "bytes": len(data)}, data


def write_raw(data: bytes) -> float:
    """ms that the bytes of the cancels take through a socket, from before the write to their last byte."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        sender = socket.create_connection(listener.getsockname())
        receiver = listener.accept()[0]
    with sender, receiver:
        begun_ns = time.monotonic_ns()
        writer = threading.Thread(target=sender.sendall, args=(data,))
        writer.start()
        left = len(data)
        while left:
            left -= len(receiver.recv(CHUNK_BYTES))
        took_ns = time.monotonic_ns() - begun_ns
        writer.join()
    return took_ns / 1e6


def relayed(plan: KillPlan, target: str) -> float:
    """ms that a bare relay takes for as many messages, from the first sent to the last received."""
    with running(target, plan.capacity, PLAIN) as link:
        sent_ns, received_ns = link.load(plan.orders, 0, UNBOUNDED, TIMEOUT_S)
        return float(received_ns.max() - sent_ns[0]) / 1e6


def run_kill(plan: KillPlan, progress: Callable[[str], None]) -> dict[str, Any]:
    """All rounds; `progress` is told what comes next."""
    rounds: list[dict[str, Any]] = []
    for number in range(plan.rounds):
        where = f"kill: round {number + 1} of {plan.rounds}"
        progress(f"{where}, {plan.orders:,} cancels")
        one_by_one, data = kill(plan, False)
        figures: dict[str, Any] = {ONE_BY_ONE: one_by_one, RAW: {"last_ms": write_raw(data)}}
        progress(f"{where}, mass cancel")
        figures[MASS_CANCEL] = kill(plan, True)[0]
        for target in plan.relays:
            progress(f"{where}, {target}")
            figures[target] = {"last_ms": relayed(plan, target)}
        rounds.append(figures)
    return {"orders": plan.orders, "rounds": rounds, "summary": _summarize(rounds)}


def _summarize(rounds: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Medians over the rounds; `times`: of a kill one by one to what was measured beside it in the same round."""
    summary = {
        target: {key: float(np.median([figures[target][key] for figures in rounds])) for key in found}
        for target, found in rounds[0].items()
    }
    for target, row in summary.items():
        ratios = [figures[ONE_BY_ONE]["last_ms"] / figures[target]["last_ms"] for figures in rounds]
        row["times"] = float(np.median(ratios))
    return summary
