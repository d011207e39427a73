"""Peers of the native engine that are slow, silent or in a crowd, and venues that resend badly: who is honest trades
on, and nobody's order waits for them.
"""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from numba.core.config import DISABLE_JIT

from tests.end_to_end.acts import exposure, place, wait_canceled
from tests.end_to_end.conftest import FIX_44, Topology
from tests.support.counting_gateway import COUNTED
from tests.support.proxy import DOWN, Proxy
from tests.support.raw_venue import Field, RawEms, RawVenue, compose
from tidegate_tools.fix.text import Fields, first, utc_now
from tidegate_tools.sim.ems import Ems
from tidegate_tools.sim.venue import Venue

ANSWERED_S = 2.0  # of an order, whatever others do
PACE_S = 0.05  # between two orders of the honest EMS
MIB = 1 << 20
GROWTH_BYTES = 40 * MIB  # of memory that belongs to the process alone; half of it comes with the first orders
SPARE_FDS = 8  # of journal segments, which come and go

IDLE = 1_500
CUT_S = 14.0  # in which a stranger that does not log on is gone: 10 s, and what a loaded machine takes
ENDLESS = b"8=FIX.4.4\x019=2000000000\x01"

HEARTBEAT_S = 2
NOTICED_S = 2.4 * HEARTBEAT_S
EARLY_S, LATE_S = 1.1, 3.0  # it is known to a second when a peer was last heard

FLOOD = 100_000  # orders at most, until the one who does not read is cut off
PART = 500
SEVEN_E8 = 7 * 10**8

ASKED_AGAIN_S = 5.0

ORDERS, ARRAYS = 1_000, 9  # arguments of the loop


def order_of(cl_ord_id: str, quantity: int = 1, tif: str = "0", venue: str = "XNAS") -> list[Field]:
    fields: list[Field] = [(1, "ACC1"), (11, cl_ord_id), (21, "1"), (55, "AAPL"), (54, "1"), (38, str(quantity))]
    return [*fields, (40, "2"), (44, "99"), (59, tif), (60, utc_now()), (100, venue)]


def cancel_of(cl_ord_id: str, order: str) -> list[Field]:
    return [(11, cl_ord_id), (41, order), (55, "AAPL"), (54, "1"), (38, "1"), (60, utc_now())]


def ago(seconds: float) -> str:
    """A UTCTimestamp of so long ago."""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).strftime("%Y%m%d-%H:%M:%S.%f")[:-3]


def rss_anon(pid: int) -> int:
    """Bytes of memory that belong to a process alone."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


def sleeps(pid: int) -> int:
    """How often the main thread of a process has waited for something."""
    lines = Path(f"/proc/{pid}/task/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches:"))


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


class Trader(threading.Thread):
    """An honest EMS: an order and its cancel, again and again, until it is asked for the longest time of an answer."""

    def __init__(self, ems: Ems) -> None:
        super().__init__(daemon=True)
        self._ems = ems
        self._asked = threading.Event()
        self._longest_s = 0.0
        self._failure: Exception | None = None
        self.orders = 0
        self.start()

    def run(self) -> None:
        try:
            while not self._asked.wait(PACE_S):
                since_s = time.monotonic()
                order = place(self._ems, quantity=1)
                self._longest_s = max(self._longest_s, time.monotonic() - since_s)
                self._ems.cancel(order)
                wait_canceled(self._ems, order)
                self.orders += 1
        except Exception as error:
            self._failure = error

    def longest_s(self) -> float:
        """Of the order that took longest."""
        self._asked.set()
        self.join(30)
        assert self._failure is None, f"the honest EMS: {self._failure!r}"
        assert self.orders > 0
        return self._longest_s


# A crowd.


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Room for the connections of the crowd in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = IDLE + 500
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"this machine lets a process have {hard} descriptors; the test needs {wanted}")
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Crowd:
    """Connections that do not log on, and when each was closed by the other side."""

    def __init__(self, port: int) -> None:
        self._address = ("127.0.0.1", port)
        self._selector = selectors.DefaultSelector()
        self._slow: list[socket.socket] = []
        self._since_s: dict[socket.socket, float] = {}
        self.lasted_s: dict[str, float] = {}
        """Of each kind, the longest."""

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        for line in self._since_s:
            line.close()
        self._selector.close()

    def join(self, kind: str, said: bytes = b"", slowly: bool = False) -> None:
        """Another one, that says something; `slowly`: again every second."""
        line = socket.create_connection(self._address, 10)
        self._since_s[line] = time.monotonic()
        with contextlib.suppress(OSError):  # it may be gone already
            line.sendall(said)
        line.setblocking(False)
        self._selector.register(line, selectors.EVENT_READ, kind)
        if slowly:
            self._slow.append(line)

    def wait_cut(self, timeout_s: float) -> int:
        """Wait until all are closed; returns how many are not in time."""
        until_s = time.monotonic() + timeout_s
        next_byte_s = time.monotonic() + 1
        while self._since_s and time.monotonic() < until_s:
            for key, _ in self._selector.select(max(min(next_byte_s, until_s) - time.monotonic(), 0)):
                assert isinstance(key.fileobj, socket.socket)
                self._look(key.fileobj, key.data)
            if time.monotonic() >= next_byte_s:
                next_byte_s += 1
                for line in self._slow:
                    with contextlib.suppress(OSError):
                        line.send(b"8")
        return len(self._since_s)

    def _look(self, line: socket.socket, kind: str) -> None:
        try:
            if line.recv(4096):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._selector.unregister(line)
        self.lasted_s[kind] = max(self.lasted_s.get(kind, 0.0), time.monotonic() - self._since_s.pop(line))
        if line in self._slow:
            self._slow.remove(line)
        line.close()


def test_a_crowd_of_strangers_keeps_nobody_out(start, many_descriptors: None) -> None:
    """Each is cut off, and nothing is left of them."""
    topology = start(raw=("RAW",))
    pid = topology.gateway.pid
    place(topology.ems["EMS1"], quantity=1)
    before = rss_anon(pid), descriptors(pid)
    trader = Trader(topology.ems["EMS1"])
    half = compose(FIX_44, "A", ("RAW", "GW"), 1, [(98, "0"), (108, "30")])[:40]
    with Crowd(topology.port) as crowd, RawEms(topology.port, "RAW") as newcomer:
        newcomer.close()
        for _ in range(IDLE):
            crowd.join("idle")
        crowd.join("half a Logon", half)
        crowd.join("a byte a second", b"8", slowly=True)
        crowd.join("garbage", bytes(range(256)) * 8)
        crowd.join("a length", ENDLESS)
        newcomer.connect()
        assert first(newcomer.logon(timeout=ANSWERED_S), 35) == "A"
        left = crowd.wait_cut(CUT_S)
        assert left == 0, f"{left} are not cut after {CUT_S} s; the others lasted {crowd.lasted_s}"
        assert len(crowd.lasted_s) == 5 and max(crowd.lasted_s.values()) < CUT_S
        newcomer.say("D", order_of("N1"))
        assert first(newcomer.receive_type("8"), 39) == "0"
        assert trader.longest_s() < ANSWERED_S
        grew, opened = rss_anon(pid) - before[0], descriptors(pid) - before[1]
        assert grew < GROWTH_BYTES and opened <= 1 + SPARE_FDS, f"{grew / MIB:.1f} MiB, {opened} descriptors"
    assert topology.state.record.fault == 0


# Peers that fall silent, or do not read.


def test_an_ems_that_dies_without_a_word_is_noticed(start) -> None:
    """Its connection stays; it is asked first."""
    topology = start(raw=("RAW",))
    with RawEms(topology.port, "RAW") as ems:
        ems.logon(heartbeat_s=HEARTBEAT_S)
        since_s = time.monotonic()
        topology.gateway.wait_log("session is down", NOTICED_S + LATE_S, session="RAW")
        took_s = time.monotonic() - since_s
        assert NOTICED_S - EARLY_S < took_s < NOTICED_S + LATE_S
        closed = topology.gateway.wait_log("connection closed", session="RAW")
        assert "TestRequest" in closed["why"]
        assert first(ems.receive(), 35) == "1"
    place(topology.ems["EMS1"])


def test_a_venue_that_dies_without_a_word_is_noticed(start) -> None:
    with RawVenue("XRAW") as venue, Proxy(("127.0.0.1", venue.port)) as proxy:
        topology = start(elsewhere={"XRAW": proxy.port}, of_session={"XRAW": {"heartbeat": HEARTBEAT_S}})
        topology.gateway.wait_log("resend complete", session="XRAW")
        proxy.swallow(DOWN)
        since_s = time.monotonic()
        topology.gateway.wait_log("session is down", NOTICED_S + LATE_S, session="XRAW")
        assert time.monotonic() - since_s < NOTICED_S + LATE_S
        assert venue.got("1")
        place(topology.ems["EMS1"])
        proxy.cut()
        topology.gateway.wait_for(lambda: count(topology, "session is up", "XRAW") > 1, 15)
        place(topology.ems["EMS1"], extra=[(100, "XRAW")])


def count(topology: Topology, event: str, session: str) -> int:
    """Lines of the log."""
    lines = list(topology.gateway.log)
    return len([line for line in lines if line.get("event") == event and line.get("session") == session])


def test_an_ems_that_does_not_read_is_cut_off(start) -> None:
    """Its orders follow the rules of one that is gone; those of others do not wait."""
    topology = start(raw=("RAW",), of_session={"RAW": {"on_disconnect": "cancel"}})
    venue, pid = topology.venues["XNAS"], topology.gateway.pid
    before = rss_anon(pid)
    trader = Trader(topology.ems["EMS1"])
    with RawEms(topology.port, "RAW") as ems:
        ems.line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        ems.logon()
        for name, tif in (("DAY", "0"), ("GTC", "1")):
            ems.say("D", order_of(name, 7, tif))
            assert first(ems.receive_type("8"), 39) == "0"
        with contextlib.suppress(ConnectionError):
            for at in range(0, FLOOD, PART):
                ems.line.sendall(b"".join(order_bytes(ems, number) for number in range(at, at + PART)))
        topology.gateway.wait_log("alert", 20, alert="peer_does_not_read", session="RAW")
        topology.gateway.wait_log("session is down", session="RAW")
    assert rss_anon(pid) - before < GROWTH_BYTES
    venue.wait_for(lambda: len(open_sevens(venue)) == 1, 15, "the day order is canceled, the other stays")
    assert trader.longest_s() < ANSWERED_S
    assert len(open_sevens(venue)) == 1
    with RawEms(topology.port, "RAW") as ems:
        ems.logon()
        ems.say("D", order_of("AGAIN"))
        assert first(ems.receive_type("8"), 11) == "AGAIN"
    assert topology.state.record.fault == 0


def open_sevens(venue: Venue) -> list[str]:
    """ClOrdIDs of the orders for seven shares that are open at a venue."""
    return [child for child, order in venue.orders.items() if order.leaves_e8 == SEVEN_E8]


def order_bytes(ems: RawEms, number: int, quantity: int = 999_999) -> bytes:
    """One that makes a report, and unless its quantity is small no order."""
    ems.next_seq_num += 1
    return compose(FIX_44, "D", ("RAW", "GW"), ems.next_seq_num - 1, order_of(f"R{number}", quantity))


# Times of messages.


def test_a_cancel_passes_whatever_its_times_say(start) -> None:
    """An order with the same fault does not, and who said so is logged out; the others trade on."""
    topology = start(raw=("RAW",))
    faults: list[list[Field]] = [[(52, ago(180))], [(43, "Y")], [(43, "Y"), (122, ago(-3600))]]
    with RawEms(topology.port, "RAW") as ems:
        ems.logon()
        for number, fault in enumerate(faults):
            ems.say("D", order_of(f"D{number}"))
            assert first(ems.receive_type("8"), 39) == "0"
            ems.say("F", [*fault, *cancel_of(f"F{number}", f"D{number}")])
            while first(report := ems.receive_type("8"), 39) != "4":
                assert first(report, 39) == "6"
        ems.say("D", [(52, ago(180)), *order_of("OLD")])
        assert first(ems.receive_type("3"), 373) == "10"
        assert first(ems.receive(), 35) == "5"
    place(topology.ems["EMS1"])
    assert topology.state.record.fault == 0


def test_an_order_resent_with_a_faulty_original_time_is_refused_and_no_more(start) -> None:
    """Without OrigSendingTime(122), or with one later than SendingTime(52)."""
    topology = start(raw=("RAW",))
    with RawEms(topology.port, "RAW") as ems:
        ems.logon()
        ems.say("D", [(43, "Y"), *order_of("NONE")])
        answer = ems.receive()
        assert [first(answer, tag) for tag in (35, 371, 373)] == ["3", "122", "1"]
        ems.say("D", [(43, "Y"), (122, ago(-3600)), *order_of("AHEAD")])
        refused = ems.receive_type("8")
        assert [first(refused, tag) for tag in (39, 103)] == ["8", "8"]
        ems.say("D", order_of("RIGHT"))
        assert first(ems.receive_type("8"), 39) == "0"
        ems.say("D", [(43, "Y"), (122, ago(-3600)), *order_of("RIGHT")], number="4")
        assert first(ems.receive_type("3"), 373) == "10"
        assert first(ems.receive(), 35) == "5"
    place(topology.ems["EMS1"])
    assert topology.state.record.fault == 0


def test_an_order_that_came_ahead_of_a_gap_is_answered_though_the_gap_is_filled_over_it(start) -> None:
    """An EMS that resends no order, and had sent one when it was asked for what was missing."""
    topology = start(raw=("RAW",))
    with RawEms(topology.port, "RAW") as ems:
        ems.logon()
        ems.next_seq_num += 3
        ems.say("D", order_of("EARLY"))
        ems.say("D", order_of("LATE"))
        assert first(ems.receive_type("2"), 7) == "2"
        ems.say("4", [(43, "Y"), (122, ago(0)), (123, "Y"), (36, str(ems.next_seq_num))], number="2")
        ems.next_seq_num -= 1
        assert [first(ems.receive_type("8"), 11) for _ in range(2)] == ["EARLY", "LATE"]
        ems.say("D", order_of("NEXT"))
        assert first(ems.receive_type("8"), 11) == "NEXT"


# Venues that resend badly.


class BadVenue(RawVenue):
    """Resends badly: one message of those that are asked for, or one of them always garbled; or it asks for something
    before it has logged on.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.resends_one = False
        self.garbled = 0
        """MsgSeqNum(34) of the message whose CheckSum(10) is always wrong."""
        self.asks_first = False

    def put(self, msg_type: str, number: int, fields: Sequence[Field]) -> None:
        """As it is, unless it is the one that is garbled."""
        if number != self.garbled:
            super().put(msg_type, number, fields)
            return
        message = compose(self.begin_string, msg_type, (self.name, "GW"), number, fields)
        wrong = (int(message[-4:-1]) + 1) % 256
        self.put_bytes(message[:-4] + b"%03d\x01" % wrong)

    def _resend(self, begin: int) -> None:
        if not self.resends_one:
            super()._resend(begin)
            return
        following, self.next_out = self.next_out, begin
        super()._resend(begin)
        self.next_out = following

    def _serve(self, connection: socket.socket, message: Fields) -> None:
        if first(message, 35) == "A" and self.asks_first:
            self._line = connection
            self.send("2", [(7, "1"), (16, "0")])
        super()._serve(connection, message)


@pytest.fixture
def bad(start) -> Iterator[tuple[Topology, BadVenue, str, str]]:
    """A venue with an order: its ClOrdIDs with the EMS and there."""
    with BadVenue("XBAD") as venue:
        topology = start(elsewhere={"XBAD": venue.port})
        topology.gateway.wait_log("resend complete", session="XBAD")
        order = place(topology.ems["EMS1"], extra=[(100, "XBAD")])
        yield topology, venue, order, first(venue.got("D")[0], 11)


def test_a_venue_that_resends_a_part_is_asked_for_the_rest(bad) -> None:
    """A cancel goes out meanwhile."""
    topology, venue, order, child = bad
    ems = topology.ems["EMS1"]
    other = place(ems, extra=[(100, "XBAD")])
    venue.resends_one = True
    for _ in range(2):
        venue.fill(child, 1, lost=True)
    venue.fill(child, 1)
    ems.wait_for(lambda: ems.order(order).cum == "1", ASKED_AGAIN_S, "the part that came")
    ems.cancel(other)
    venue.wait_for(lambda: venue.got("F"), 1, "the cancel")
    assert ems.order(order).cum == "1"
    ems.wait_for(lambda: ems.order(order).cum == "3", ASKED_AGAIN_S + LATE_S, "the rest")
    wait_canceled(ems, other)
    asked = [first(request, 7) for request in venue.got("2")]
    assert len(asked) == 2 and int(asked[1]) == int(asked[0]) + 1
    assert exposure(topology)[0] == 3 and topology.state.record.fault == 0


def test_a_venue_that_asks_before_it_logs_on_is_told_of_and_tried_again(start) -> None:
    with BadVenue("XBAD") as venue:
        venue.asks_first = True
        topology = start(elsewhere={"XBAD": venue.port})
        told = topology.gateway.wait_log("session is still down", 15, session="XBAD")
        assert "not a Logon" in told["why"]
        place(topology.ems["EMS1"])
        venue.asks_first = False
        topology.gateway.wait_log("session is up", 30, session="XBAD")
        place(topology.ems["EMS1"], extra=[(100, "XBAD")])


def test_a_message_that_comes_garbled_is_asked_for_until_it_does_not(bad) -> None:
    """A cancel goes out meanwhile; what waits behind the message counts with it."""
    topology, venue, order, child = bad
    ems = topology.ems["EMS1"]
    other = place(ems, extra=[(100, "XBAD")])
    venue.garbled = venue.next_out
    venue.fill(child, 1)
    venue.fill(child, 2)
    venue.wait_for(lambda: venue.got("2"), ASKED_AGAIN_S, "a ResendRequest")
    ems.cancel(other)
    venue.wait_for(lambda: venue.got("F"), 1, "the cancel")
    venue.wait_for(lambda: len(venue.got("2")) == 2, ASKED_AGAIN_S + LATE_S, "another ResendRequest")
    assert {first(request, 7) for request in venue.got("2")} == {str(venue.garbled)}
    assert ems.order(order).cum == "0"
    venue.garbled = 0
    ems.wait_for(lambda: ems.order(order).cum == "3", ASKED_AGAIN_S + LATE_S, "both fills")
    wait_canceled(ems, other)
    assert exposure(topology)[0] == 3 and topology.state.record.fault == 0


@pytest.mark.soak
def test_a_message_that_never_comes_right_is_told_of(bad) -> None:
    """An alert names its number: what waits behind it counts for nothing, and nobody else knows."""
    topology, venue, _, child = bad
    venue.garbled = venue.next_out
    for _ in range(2):
        venue.fill(child, 1)
    number = str(venue.garbled)
    topology.gateway.wait_for(lambda: any(number in str(line) for line in alerts(topology)), 8 * ASKED_AGAIN_S)
    assert any(number in str(line) for line in alerts(topology))


def alerts(topology: Topology) -> list[dict]:
    lines = list(topology.gateway.log)
    return [line for line in lines if line.get("event") == "alert" and line.get("session") == "XBAD"]


# Memory.


@pytest.mark.skipif(DISABLE_JIT, reason="about compiled code")
def test_no_order_takes_memory_in_the_loop(start, tmp_path: Path) -> None:
    """A call of the loop wraps the arrays that it is given; what it handles meanwhile allocates nothing."""
    counted = tmp_path / "counted"
    topology = start(raw=("RAW",), module="tests.support.counting_gateway", environment={COUNTED: str(counted)})
    with RawEms(topology.port, "RAW") as ems:
        ems.logon()
        for at in range(0, ORDERS, PART):
            half = PART // 2
            ems.line.sendall(b"".join(order_bytes(ems, number) for number in range(at, at + half)))
            ems.line.sendall(b"".join(order_bytes(ems, number, 1) for number in range(at + half, at + PART)))
            while first(ems.receive(), 11) != f"R{at + PART - 1}":
                pass
    assert topology.gateway.stop() == 0
    calls, allocations = map(int, counted.read_text().split())
    assert calls > 0 and abs(allocations - ARRAYS * calls) < ORDERS / 10, (calls, allocations)


def test_the_order_thread_keeps_to_its_processor_and_all_else_goes_anywhere(start) -> None:
    """And does not sleep, where the config says so."""
    gateway = {"name": "E2E", "engine": "native", "state_dir": "var", "capacity": "small", "busy_poll": True, "cpu": 0}
    topology = start(engine="native", gateway=gateway)
    place(topology.ems["EMS1"])
    pid = topology.gateway.pid
    tasks = [Path(f"/proc/{pid}/task/{task}") for task in os.listdir(f"/proc/{pid}/task")]
    started = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    assert os.sched_getaffinity(pid) == {0}
    everywhere = os.sched_getaffinity(0)
    others = {int(task.name) for task in tasks} - {pid}
    assert others and started
    assert all(os.sched_getaffinity(other) == everywhere for other in (*others, *started))
    before = sleeps(pid)
    for _ in range(50):
        place(topology.ems["EMS1"])
    assert sleeps(pid) - before < 50
