"""A peer that asks for a whole day again, and again: it gets everything, and nobody else waits for that."""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.end_to_end.acts import place, tidegate
from tests.end_to_end.conftest import Topology
from tests.support.raw_venue import RawEms, compose
from tidegate_tools.fix.text import utc_now

REPORTS = int(os.environ.get("RESENT", "20000"))
PART = 500  # orders that are sent together
REPORT = re.compile(rb"\x0135=8\x0134=(\d+)\x01(43=Y)?")


class Reader:
    """Reads all that comes on a connection, in a thread; counts reports."""

    def __init__(self, connection: socket.socket) -> None:
        self.reports = 0
        self.again: list[int] = []  # MsgSeqNum of each report that came again
        self._changed = threading.Condition()
        self._connection = connection
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        rest = b""
        self._connection.settimeout(60)
        while data := self._receive():
            data = rest + data
            cut = data.rfind(b"8=FIX")  # the last message may not be whole
            rest = data[cut:]
            found = REPORT.findall(data, 0, cut)
            with self._changed:
                self.reports += len(found)
                self.again += [int(number) for number, again in found if again]
                self._changed.notify_all()

    def _receive(self) -> bytes:
        try:
            return self._connection.recv(1 << 16)
        except OSError:
            return b""

    def wait(self, predicate: Callable[[], bool], timeout_s: float = 60) -> None:
        with self._changed:
            assert self._changed.wait_for(predicate, timeout_s), (self.reports, len(self.again))


Greedy = tuple[Topology, RawEms, Reader]


@pytest.fixture
def greedy(start) -> Iterator[Greedy]:
    """A gateway of the native engine, and an EMS to which it has sent very many reports."""
    topology = start(engine="native", raw=("RAW",))
    with RawEms(topology.port, "RAW") as ems:
        ems.logon()
        reader = Reader(ems.line)
        for first in range(0, REPORTS, PART):
            ems.send_bytes(b"".join(order(ems, number) for number in range(first, first + PART)))
            reader.wait(lambda first=first: reader.reports >= first + PART - 2)
        yield topology, ems, reader


def order(ems: RawEms, number: int) -> bytes:
    """One that is refused, which makes a report."""
    terms = [(1, "ACC1"), (11, f"R{number}"), (21, "1"), (38, "999999"), (40, "2"), (44, "100"), (54, "1")]
    ems.next_seq_num += 1
    fields = [*terms, (55, "AAPL"), (59, "0"), (60, utc_now())]
    return compose("FIX.4.4", "D", ("RAW", "GW"), ems.next_seq_num - 1, fields)


def test_a_day_five_times_over_holds_nobody_up(greedy: Greedy) -> None:
    topology, ems, reader = greedy
    other = topology.ems["EMS1"]
    for times in range(1, 6):
        ems.say("2", [(7, "1"), (16, "0")])
        working = place(other)  # acknowledged by the venue
        assert len(reader.again) < times * REPORTS, "the order was answered after everything had been sent again"
        other.cancel(working)
        other.wait_for(lambda working=working: other.order(working).status == "4", 20)
        ems.send("1", [(112, f"T{times}")])  # its answer comes behind the last report
        reader.wait(lambda times=times: len(reader.again) >= times * REPORTS)
    once = reader.again[:REPORTS]
    assert once == sorted(set(once)) and reader.again == once * 5


def test_a_kill_is_carried_out_meanwhile(greedy: Greedy) -> None:
    topology, ems, reader = greedy
    other = topology.ems["EMS1"]
    working = [place(other) for _ in range(20)]
    for _ in range(5):
        ems.say("2", [(7, "1"), (16, "0")])
    done = tidegate(topology, "kill", "--scope", "firm", "--reason", "test", "--timeout", "30s")
    assert done.returncode == 0, done.stdout
    assert {other.order(each).status for each in working} == {"4"}
    ems.send("1", [(112, "T")])
    reader.wait(lambda: reader.again[-REPORTS:] == sorted(set(reader.again)))
