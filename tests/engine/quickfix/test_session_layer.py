"""What peers say in messages of the session layer, from raw sockets: rejects, resets, and values that are none."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import simplefix

from gateway.core import events as ev
from gateway.core import layout as a
from gateway.engine.quickfix.fields import MAX_DIGITS
from gateway.engine.quickfix.raw import MAX_AHEAD
from gateway.engine.quickfix.store import read_store
from gateway.engine.quickfix.waiting import MAX_NAMED, Waiting
from tests.support.engines import Engine, acceptor, initiator
from tests.support.journal import wait_for
from tests.support.raw_venue import compose
from tidegate_tools.fix.raw_client import RawFixClient
from tidegate_tools.fix.text import Fields, first
from tidegate_tools.sim.quickfix_peer import free_port

UNDELIVERED = str(ev.UNDELIVERED)
ORDER = b"11=C1-0\x0121=1\x0138=100\x0140=2\x0144=100\x0154=1\x0155=AAPL\x0160=20260711-12:00:00\x01"
STATUS_REQUEST = b"11=C1-0\x0154=1\x0155=AAPL\x01"
REPORT = b"6=0\x0111=%s\x0114=10\x0117=E1-1\x0137=O1-1\x0139=2\x0154=1\x0155=AAPL\x01150=F\x01151=0\x01"
NOT_NUMBERS = ["abc", "", "-1", "1.5", "9223372036854775808", "99999999999999999999"]
LOST = "the EMS reset its numbers and may never have got reports, it must ask with OrderStatusRequest(H)"


def ems_of(port: int) -> RawFixClient:
    """A client that connects to the engine."""
    return RawFixClient("127.0.0.1", port, "FIX.4.4", "EMS1", "GW").connect()


class Venue(RawFixClient):
    """What the engine connects to."""

    def __init__(self, engine: Engine, listener: socket.socket) -> None:
        super().__init__("", 0, "FIX.4.4", "GW", "EMS1")
        self.engine, self._listener = engine, listener
        self._logons = 0
        self.let_in()

    def let_in(self) -> None:
        """Lose the connection if there is one, and answer the next Logon."""
        self.close()
        self._socket, _ = self._listener.accept()
        self._parser = simplefix.FixParser()
        reset = [(141, "Y")] if first(self.receive_type("A"), 141) == "Y" else []
        if reset:
            self.next_seq_num = 1
        self.send("A", [(98, "0"), (108, "30"), *reset])
        self._logons += 1
        self.engine.wait("LOGON", count=self._logons)

    def gets(self, message_type: str, body: bytes) -> int:
        """MsgSeqNum of a message that the engine is told to send."""
        self.engine.send(0, message_type, body)
        return int(first(self.receive_type(message_type), 34))


@contextlib.contextmanager
def venue_of(folder: Path, **more: object) -> Iterator[Venue]:
    """A venue that the engine is logged on to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        with Engine(folder, initiator(listener.getsockname()[1], **more)) as engine:
            yield Venue(engine, listener)


@pytest.mark.parametrize("gap_fill", [[], [(123, "N")], [(123, "Y")]], ids=["", "N", "Y"])
@pytest.mark.parametrize("value", [*NOT_NUMBERS, "0", None])
def test_a_sequence_reset_without_a_number_is_rejected(tmp_path: Path, value: str | None, gap_fill: Fields) -> None:
    port = free_port()
    with Engine(tmp_path, acceptor(port)) as engine, ems_of(port) as ems:
        ems.logon()
        number = ems.send("4", [*gap_fill, *([] if value is None else [(36, value)])])
        assert first(ems.receive_type("3"), 45) == str(number)
        ems.next_seq_num = number
        ems.send("H", [(11, "A")])
        assert b"\x0111=A\x01" in engine.wait("MESSAGE")[2]


def test_the_largest_number_of_a_sequence_reset_is_taken(tmp_path: Path) -> None:
    port = free_port()
    with Engine(tmp_path, acceptor(port)) as engine, ems_of(port) as ems:
        ems.logon()
        ems.send("4", [(36, "9" * MAX_DIGITS)])
        ems.next_seq_num = int("9" * MAX_DIGITS)
        ems.send("H", [(11, "A")])
        assert b"\x0111=A\x01" in engine.wait("MESSAGE")[2]


def test_a_logout_without_a_number_ends_its_session_only(tmp_path: Path) -> None:
    port = free_port()
    with Engine(tmp_path, acceptor(port)) as engine:
        for count in (1, 2):
            with ems_of(port) as ems:
                ems.logon()
                logout = simplefix.FixMessage()
                for tag, value in ((8, "FIX.4.4"), (35, "5"), (49, "EMS1"), (56, "GW")):
                    logout.append_pair(tag, value, header=True)
                logout.append_utc_timestamp(52, header=True)
                ems.send_bytes(logout.encode())
                engine.wait("LOGOUT", count=count)


def test_a_reject_of_an_ems_is_an_alert(tmp_path: Path) -> None:
    """It lacks a report, and nobody else would hear of it."""
    port = free_port()
    with Engine(tmp_path, acceptor(port)) as engine, ems_of(port) as ems:
        ems.logon()
        ems.send("3", [(45, "2"), (371, "103"), (372, "8"), (58, "Value is incorrect")])
        line = engine.wait("alert")[2].decode()
        assert "'EMS1'" in line and "|45=2|" in line and "|372=8|" in line and "58=Value is incorrect" in line


@pytest.mark.parametrize("value", NOT_NUMBERS)
@pytest.mark.parametrize(("message_type", "more"), [("3", []), ("3", [(372, "D")]), ("j", [(372, "D"), (380, "0")])])
def test_a_reject_of_a_venue_without_a_number_is_an_alert(
    tmp_path: Path, message_type: str, more: Fields, value: str
) -> None:
    with venue_of(tmp_path) as venue:
        venue.gets("D", ORDER)
        venue.send(message_type, [(45, value), *more])
        assert venue.engine.wait(UNDELIVERED, "alert")[1] == "alert"
        venue.send("8", [(11, "C1-0"), (17, "X1")])
        assert b"\x0117=X1\x01" in venue.engine.wait("MESSAGE")[2]


@pytest.mark.parametrize(
    ("message_type", "named", "undelivered"),
    [
        ("3", [], True),
        ("3", [(372, "D")], True),
        ("3", [(372, "V")], False),
        ("3", [(372, "1")], False),
        ("j", [(372, "D"), (380, "3")], True),
    ],
)
def test_a_reject_is_of_an_order_unless_it_names_another_type(
    tmp_path: Path, message_type: str, named: Fields, undelivered: bool
) -> None:
    with venue_of(tmp_path) as venue:
        venue.send(message_type, [(45, str(venue.gets("D", ORDER))), *named])
        kind, _, data = venue.engine.wait(UNDELIVERED, "alert")
        assert (kind == UNDELIVERED) is undelivered
        assert (b"11=C1-0" in data) is undelivered or b"not known" in data


def test_a_reject_of_a_question_about_an_order_is_no_refusal_of_the_order(tmp_path: Path) -> None:
    with venue_of(tmp_path) as venue:
        number = str(venue.gets("D", ORDER))
        venue.send("3", [(45, number), (372, "H"), (58, "throttled")])
        assert venue.engine.wait(UNDELIVERED)[2] == b"372=H\x0158=throttled\x01"


def test_a_reject_with_a_long_text_is_not_too_long_for_the_core(tmp_path: Path) -> None:
    with venue_of(tmp_path) as venue:
        venue.send("3", [(45, str(venue.gets("D", ORDER))), (58, "x" * 2 * a.MAX_MESSAGE_BYTES)])
        data = venue.engine.wait(UNDELIVERED)[2]
        assert data.startswith(b"11=C1-0\x0158=xxx") and data.endswith(b"x\x01") and len(data) < a.MAX_MESSAGE_BYTES


def test_a_number_of_before_a_reset_names_no_order(tmp_path: Path) -> None:
    """The order may rest at the venue, which refuses a question about it that has the order's number of before."""
    with venue_of(tmp_path, reset_on_logon=True) as venue:
        of_order = venue.gets("D", ORDER)
        venue.let_in()
        while venue.gets("H", STATUS_REQUEST) < of_order:
            pass
        venue.send("3", [(45, str(of_order)), (58, "Unsupported message type")])
        assert venue.engine.wait(UNDELIVERED, "alert")[1] == "alert"


def test_an_order_of_before_a_connection_was_lost_can_still_be_refused(tmp_path: Path) -> None:
    with venue_of(tmp_path) as venue:
        of_order = venue.gets("D", ORDER)
        venue.let_in()
        venue.send("j", [(45, str(of_order)), (372, "D"), (380, "3")])
        assert b"11=C1-0" in venue.engine.wait(UNDELIVERED, "alert")[2]


def reports_of(folder: Path) -> list[bytes]:
    """Reports in the store of EMS1."""
    store = read_store(folder / "store", "FIX.4.4", "GW", "EMS1")
    return [message for message in store.sent.values() if b"\x0135=8\x01" in message] if store else []


def misses(engine: Engine, port: int, folder: Path, *cl_ord_ids: bytes) -> None:
    """Have an EMS log out, and reports stored for it."""
    with ems_of(port) as ems:
        ems.logon()
        ems.logout()
    engine.wait("LOGOUT")
    for cl_ord_id in cl_ord_ids:
        engine.send(0, "8", REPORT % cl_ord_id)
    wait_for(lambda: len(reports_of(folder)) == len(cl_ord_ids), "reports in the store")


@pytest.mark.parametrize("restarted", [False, True])
def test_reports_that_a_reset_throws_away_are_told(tmp_path: Path, restarted: bool) -> None:
    port = free_port()
    with Engine(tmp_path, acceptor(port)) as engine:
        misses(engine, port, tmp_path, b"A", b"B", b"A")
        if not restarted:
            with ems_of(port) as ems:
                ems.logon()
                line = engine.wait(LOST)[2].decode()
    if restarted:
        with Engine(tmp_path, acceptor(port)) as engine, ems_of(port) as ems:
            ems.logon()
            line = engine.wait(LOST)[2].decode()
    assert reports_of(tmp_path) == []
    assert "'session': 'EMS1'" in line and "'reports': 3" in line and "'cl_ord_ids': ['A', 'B']" in line


def test_reports_that_an_ems_asks_for_are_not_lost(tmp_path: Path) -> None:
    port = free_port()
    with Engine(tmp_path, acceptor(port)) as engine:
        misses(engine, port, tmp_path, b"A")
        with ems_of(port) as ems:
            ems.next_seq_num = 3
            ems.logon(reset=False)
            ems.send("2", [(7, "3"), (16, "0")])
            assert first(ems.receive_type("8"), 11) == "A"
            ems.logout()
        engine.wait("LOGOUT", count=2)
        with ems_of(port) as ems:
            ems.logon()
            engine.wait("LOGON", count=3)
        assert LOST not in [name for _, name, _ in engine.seen]


def test_a_line_of_the_log_names_some_orders_only() -> None:
    waiting = Waiting()
    for number in range(3 * MAX_NAMED):
        waiting.add(number, f"A{number // 2}")
    assert waiting.count == 3 * MAX_NAMED and waiting.last == 3 * MAX_NAMED - 1
    assert waiting.cl_ord_ids == [f"A{number}" for number in range(MAX_NAMED)]


def put(client: RawFixClient, data: bytes) -> None:
    with contextlib.suppress(OSError):
        client.send_bytes(data)


def test_what_is_said_far_ahead_of_a_gap_does_not_stop_who_sends(tmp_path: Path) -> None:
    """The session is cut, in the midst of reports to it, and can log on again."""
    port = free_port()
    with Engine(tmp_path, acceptor(port)) as engine:
        client = ems_of(port)
        client.logon()
        engine.wait("LOGON")
        numbers = range(100, 100 + MAX_AHEAD + 50)
        data = b"".join(compose("FIX.4.4", "0", ("EMS1", "GW"), number, []) for number in numbers)
        threading.Thread(target=put, args=(client, data), daemon=True).start()
        for number in range(500_000):
            engine.send(0, "8", REPORT % b"A%d" % number)
            if engine.has("alert"):
                break
        engine.wait("LOGOUT")
        client.close()
        again = ems_of(port)
        again.logon()
        engine.wait("LOGON", count=2)


def test_a_nul_in_what_is_repeated_does_not_spoil_the_store(tmp_path: Path) -> None:
    port = free_port()
    with Engine(tmp_path, acceptor(port)) as engine, ems_of(port) as client:
        client.logon()
        engine.wait("LOGON")
        client.send("1", [(112, "a\0b")])  # a Heartbeat that repeats it
        client.send("2", [(7, "1"), (16, "0")])
        assert first(client.receive_type("4"), 123) == "Y"
