"""For `test_simulated_day`: links that fail, and what the native engine does, on simulated time.

The core's sessions are native; `Gateway` does for them what `gateway.engine.native.engine` does over sockets.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.core import events as ev
from gateway.core.driver import Event, Output, clock_event
from gateway.core.layout import NONE
from gateway.engine.engine import cl_ord_id_of, undelivered
from gateway.engine.native.connection import Connection
from gateway.fix.session import layout as line
from tests.fix.session.test_protocol import EMS, VENUE, House
from tests.support.core import WALL_NS

if TYPE_CHECKING:
    from tests.fix.session.test_simulated_day import Day

SECOND_NS = 10**9
RECONNECT_S = 5
SLOWEST_S = 1.9  # of a link
ADMIN, ORDERS = frozenset("012345A"), frozenset("DFG")
NOT_AGAIN = {EMS: ADMIN - {"3"}, VENUE: ADMIN - {"3"} | ORDERS | frozenset("HVq")}
Body = list[tuple[int, object]]


def message(names: tuple[str, str], msg_type: str, number: int, body: bytes, wall_ns: int, first_ns: int = 0) -> bytes:
    """A whole FIX message; `first_ns`: of the message that it repeats, by PossDupFlag(43)."""
    sender, target = names
    dup = f"43=Y\x01122={utc(first_ns)}\x01" if first_ns else ""
    head = f"35={msg_type}\x0134={number}\x0149={sender}\x0156={target}\x0152={utc(wall_ns)}\x01{dup}".encode()
    start = b"8=FIX.4.4\x019=%d\x01" % len(head + body) + head + body
    return start + b"10=%03d\x01" % (sum(start) % 256)


def utc(wall_ns: int) -> str:
    """UTCTimestamp of a wall-clock time."""
    seconds, ms = divmod(wall_ns // 1_000_000, 1000)
    days, second = divmod(seconds - WALL_NS // SECOND_NS + 43_200, 86_400)
    return f"202607{11 + days:02d}-{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}.{ms:03d}"


def body_of(fields: Body) -> bytes:
    """Fields as bytes."""
    return "".join(f"{tag}={value}\x01" for tag, value in fields).encode()


class Stream:
    """The bytes that one end of a connection has received."""

    START = re.compile(rb"8=FIX\.4\.4\x019=(\d+)\x01")

    def __init__(self) -> None:
        self.left = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are whole now."""
        self.left += data
        found = []
        while (start := self.START.match(self.left)) and len(self.left) >= start.end() + int(start[1]) + 7:
            size = start.end() + int(start[1]) + 7
            found.append(self.left[:size])
            self.left = self.left[size:]
        return found


class Link:
    """One connection at a time between the gateway and a peer; side 0 is the gateway, 1 the peer."""

    def __init__(self, day: Day, name: str) -> None:
        self.day, self.name = day, name
        self.connection = 0  # its number
        self.carries = False
        self.down_until_ns = 0
        self.armed: Callable[[], None] | None = None  # a fault, as soon as something is in flight

    def connect(self) -> None:
        """A new connection; of what was before nothing comes any more."""
        self.connection += 1
        self.carries = True
        self.is_open = [True, True]
        self.streams = Stream(), Stream()
        self.in_flight: tuple[deque[bytes], deque[bytes]] = deque(), deque()
        self.last_ns = [0, 0]
        self.delay_s = self.day.draw.choice([0.002, 0.02, 0.3, SLOWEST_S])

    def send(self, to: int, data: bytes) -> None:
        """Bytes to a side, in one piece or two."""
        if not self.carries:
            return
        at = self.day.draw.randrange(len(data)) if self.day.draw.random() < 0.2 else 0
        for piece in filter(None, (data[:at], data[at:])):
            self.in_flight[to].append(piece)
            self._later(to, self._deliver)
        if self.armed is not None:
            fault, self.armed = self.armed, None
            self.day.after(self.day.draw.random() * self.delay_s, fault)

    def close(self, by: int) -> None:
        """A side closes; the other hears of it behind what is in flight, or never where nothing is carried."""
        self.is_open[by] = False
        if self.carries:
            self._later(1 - by, self._closed)

    def _later(self, to: int, what: Callable[[int], None]) -> None:
        due_ns = self.day.now_ns + round(self.day.draw.uniform(0.1, 1) * self.delay_s * SECOND_NS)
        self.last_ns[to] = max(due_ns, self.last_ns[to] + 1)
        connection = self.connection
        self.day.at(self.last_ns[to], lambda: what(to) if connection == self.connection and self.carries else None)

    def _deliver(self, to: int) -> None:
        for each in self.streams[to].feed(self.in_flight[to].popleft()):
            if self.is_open[to]:
                self.day.sides(self.name)[to].hear(self.name, each)

    def _closed(self, to: int) -> None:
        self.carries = False
        if self.is_open[to]:
            self.is_open[to] = False
            self.day.sides(self.name)[to].closed(self.name)

    def cut(self, silent: bool, down_s: float) -> None:
        """All that is in flight is lost, but for a beginning of the first piece; `silent`: nobody is told."""
        if not self.carries:
            return
        self.carries = False
        self.down_until_ns = self.day.now_ns + round(down_s * SECOND_NS)
        self.day.counts["silence" if silent else "cut"] += 1
        self.day.counts["long outage"] += down_s > 1000
        for to in (0, 1):
            if self.in_flight[to]:
                piece = self.in_flight[to][0]
                assert self.streams[to].feed(piece[: self.day.draw.randrange(len(piece))]) == []
            self.day.counts["cut in a message"] += bool(self.streams[to].left)
            if not silent:
                self._closed(to)

    @property
    def is_idle(self) -> bool:
        """Whether it is up, and nothing is in flight."""
        return self.carries and not any(self.in_flight)


class Gateway:
    """The core and what its native engine does: messages ahead of a gap, resends, connections."""

    def __init__(self, day: Day, folder: Path) -> None:
        self.day = day
        self.house = House(folder)
        self.rows = self.house.sessions
        self.names = {row: name for name, row in self.rows.items()}
        self.connections: dict[int, Connection] = {}
        self.sent: dict[str, dict[int, tuple[str, bytes, int]]] = {name: {} for name in self.rows}
        self.children: dict[str, int] = {}  # when each went to the venue
        self.dial_ns = 0
        self.clock_s = 0.0  # how far its wall clock is off

    @property
    def wall_ns(self) -> int:
        """Its wall clock."""
        return self.day.wall_ns + round(self.clock_s * SECOND_NS)

    def apply(self, kind: int, name: str, data: bytes = b"") -> None:
        """An event, and all that follows from it."""
        todo = deque([Event(kind, 0, self.rows[name], data=data)])
        while todo:
            event = replace(todo.popleft(), time_ns=self.day.now_ns)
            for output in self.house.driver.handle(event):
                todo.extend(self._send(output))
            if event.kind == ev.MESSAGE:
                todo.extend(self._settle(event))

    def _send(self, output: Output) -> list[Event]:
        if output.session == NONE:
            self.day.counts[f"alert {output.alert}"] += 1
            return []
        row, name = output.session, self.names[output.session]
        is_up = row in self.connections
        if not output.message_type:
            self.day.counts["timed out"] += b"TestRequest" in output.body
            return self._close(row) if is_up else []
        self.sent[name][output.msg_seq_num] = output.message_type, output.body, self.wall_ns
        if not is_up:
            return [self._lost(output.body)] if name == VENUE and output.message_type in ORDERS else []
        if name == VENUE and output.message_type in ORDERS:
            self.children[cl_ord_id_of(output.body)] = self.day.now_ns
        self._write(name, output.msg_seq_num)
        return []

    def _lost(self, body: bytes) -> Event:
        self.day.counts["undelivered"] += 1
        return undelivered(self.rows[VENUE], cl_ord_id_of(body), "")

    def _write(self, name: str, number: int, again: bool = False) -> None:
        msg_type, body, first_ns = self.sent[name][number]
        what = ("GW", name), msg_type, number, body, self.wall_ns, first_ns if again else 0
        self.day.links[name].send(1, message(*what))

    def _close(self, row: int) -> list[Event]:
        del self.connections[row]
        self.day.links[self.names[row]].close(0)
        return [Event(ev.LOGOUT, 0, row)]

    def _settle(self, event: Event) -> list[Event]:
        own, row = self.house.record.lines[event.session], event.session
        happened = int(own.happened)
        assert not happened & line.REFUSED, event.data
        connection = self.connections.get(row)
        if connection is None:
            return []
        more = self._resend(row, int(own.resend_from), int(own.resend_to)) if happened & line.RESEND else []
        if happened & line.ANEW:
            connection.forget_held()
        if happened & line.AHEAD:
            connection.hold(int(own.held), event.data)
        held = connection.holds_next(int(own.next_in)) and connection.take_held(int(own.next_in))
        self.day.counts["held"] += bool(held)
        return more + ([Event(ev.MESSAGE, 0, row, data=held)] if held else [])

    def _resend(self, row: int, first: int, last: int) -> list[Event]:
        name, gap, lost = self.names[row], 0, []
        self.day.counts[f"resend to {name}"] += 1
        for number in range(first, last + 1):
            msg_type, body, _ = self.sent[name][number]
            if name == VENUE and msg_type in ORDERS:
                lost.append(self._lost(body))
            if msg_type in NOT_AGAIN[name]:
                gap = gap or number
                continue
            self._fill_gap(name, gap, number)
            gap = 0
            self._write(name, number, again=True)
        self._fill_gap(name, gap, last + 1)
        return lost

    def _fill_gap(self, name: str, first: int, number: int) -> None:
        if first:
            body = body_of([(36, number), (123, "Y")])
            self.day.links[name].send(1, message(("GW", name), "4", first, body, self.wall_ns, self.wall_ns))

    def hear(self, name: str, data: bytes) -> None:
        """A message of a peer; the first one of an EMS makes its connection the session's."""
        row = self.rows[name]
        if row not in self.connections:
            self.connections[row] = Connection(None, row)  # type: ignore[arg-type]
        self.apply(ev.MESSAGE, name, data)

    def closed(self, name: str) -> None:
        """The connection is gone."""
        if self.connections.pop(self.rows[name], None) is not None:
            self.apply(ev.LOGOUT, name)

    def tick(self) -> None:
        """Time passes; the venue is dialed."""
        link, now_ns = self.day.links[VENUE], self.day.now_ns
        if self.rows[VENUE] not in self.connections and now_ns >= self.dial_ns:
            self.dial_ns = now_ns + RECONNECT_S * SECOND_NS
            if now_ns >= link.down_until_ns:
                link.connect()
                self.day.venue.connected()
                self.connections[self.rows[VENUE]] = Connection(None, self.rows[VENUE])  # type: ignore[arg-type]
                self.apply(ev.CONNECTED, VENUE)
        self.apply(ev.TICK, EMS)

    def has(self, name: str) -> bool:
        """Whether a session has a connection, as far as the gateway knows."""
        return self.rows[name] in self.connections

    def step_clock(self, seconds: float) -> None:
        """The wall clock is off by so much from now on."""
        self.clock_s = seconds
        self.day.counts["clock step"] += bool(seconds)
        self.house.apply(clock_event(self.day.now_ns, self.wall_ns))
