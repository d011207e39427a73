"""What a stranger, an EMS or a venue can say to the session layer: no length, count or number of theirs ends the
process, takes its memory or stops anybody else. At most the one who said it is cut off or refused, and may come again.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from gateway.engine.credentials import hash_password
from tests.end_to_end.conftest import FIX_42, FIX_44, Topology, wait_settled
from tests.support.raw_venue import Field, RawEms, RawVenue, compose, framed
from tidegate_tools.fix.text import first, utc_now

LENGTHS = ("0", "-1", "2147483647", "9223372036854775808", "5", "", "x")
NUMBERS = ("x", "", "-1", "2147483648", "99999999999999999999")
DATA = {"raw": (95, 96), "secure": (90, 91), "xml": (212, 213), "signature": (93, 89), "text": (354, 355)}
OFFENDERS = {"RAW42": FIX_42, "RAW44": FIX_44}
HEARTBEAT_S = 30
ANSWERED_S = 0.5  # in which the gateway has answered a message, or never will
BACK_S = 14.0
MIB = 1 << 20
FLOOD_BYTES = 300 * MIB
FLOOD_S = 15.0
READ_BYTES, GROWTH_BYTES = 16 * MIB, 32 * MIB
UNFINISHED_S = 15.0

Probe = tuple[str, Callable[[], None]]


def oddities(kind: str, lengths: Sequence[str] = LENGTHS) -> list[list[Field]]:
    """A pair of a length, which is right for none of them, and data; or a number that is none."""
    if kind in DATA:
        length, data = DATA[kind]
        return [[(length, value), (data, "x")] for value in lengths]
    return [[(int(kind), value)] for value in (*NUMBERS, "2147483647")]


def text_of(fields: Sequence[Field]) -> str:
    return "|".join(f"{tag}={value!s}" for tag, value in fields)


def order_of(cl_ord_id: str) -> list[Field]:
    fields: list[Field] = [(1, "ACC1"), (11, cl_ord_id), (21, "1"), (55, "AAPL"), (54, "1"), (38, "1"), (40, "2")]
    return [*fields, (44, "99"), (59, "0"), (60, utc_now())]


class Trial:
    """A gateway between a venue, an EMS that trades on, and those who say odd things."""

    def __init__(self, topology: Topology, passwords: Iterable[str] = ()) -> None:
        self.topology = topology
        self.ems = topology.ems["EMS1"]
        self.with_password = frozenset(passwords)
        self.repent: Callable[[], object] = int
        """Called before the gateway is started again."""
        self.problems: list[str] = []

    def run(self, probes: Iterable[Probe]) -> None:
        """Each is followed by a look at the gateway, which is started again where it has ended."""
        for name, probe in probes:
            try:
                probe()
                self.trades_on()
            except (AssertionError, OSError) as error:  # OSError: TimeoutError and ConnectionError too
                self.problems.append(f"{name}: {self._outcome((str(error) or repr(error)).splitlines()[0])}")
        if self.problems:
            pytest.fail("\n".join(["", *self.problems]), pytrace=False)

    def _outcome(self, error: str) -> str:
        """What has come of it; where that is the end of the process, or a fault of the firm, another run begins."""
        gateway = self.topology.gateway
        gateway.wait_for(lambda: gateway.ended, 1)
        options: tuple[str, ...] = ()
        if gateway.ended:
            what = f"the gateway ended with status {gateway.wait_exit(10)}"
        elif fault := int(self.topology.state.record.fault):
            what, options = f"fault {fault}, every order is blocked", ("--clear-fault", str(fault))
            gateway.stop()
        else:
            return error
        self.repent()
        self.topology.start_again(*options)
        self.topology.gateway.wait_log("resend complete", BACK_S, session="XNAS")
        self.ems.wait_logged_on()
        wait_settled(self.ems)
        return what

    def trades_on(self) -> None:
        """An order of the EMS that has nothing to do with it is acknowledged."""
        status, text = self.outcome(quantity=1)
        assert status == "0", f"the other EMS is refused: {text}"

    def outcome(self, **fields) -> tuple[str, str]:
        """Status and text of a new order of that EMS."""
        gateway = self.topology.gateway
        order = self.ems.new_order(**{"symbol": "AAPL", "price": "99"} | fields)
        self.ems.wait_for(lambda: self.ems.order(order).status or gateway.ended, 10, "an answer")
        assert self.ems.order(order).status, "no answer"
        return self.ems.order(order).status, self.ems.order(order).text

    def ems_of(self, name: str) -> RawEms:
        return RawEms(self.topology.port, name, OFFENDERS[name])

    def log_on(self, name: str) -> RawEms:
        """A proper logon of one who may have been cut off just now: its last session may not have ended yet."""
        own: list[Field] = [(553, name), (554, f"{name} knows")] if name in self.with_password else []
        deadline = time.monotonic() + BACK_S
        while True:
            client = self.ems_of(name).connect()
            client.say("A", [(98, "0"), (108, str(HEARTBEAT_S)), (141, "Y"), *own])
            if first(client.answer() or [], 35) == "A":
                return client
            client.close()
            assert time.monotonic() < deadline, f"{name} cannot log on again"
            assert not self.topology.gateway.ended
            time.sleep(0.05)

    def trades_again(self, name: str) -> None:
        """Who said something odd can log on, and its order is acknowledged."""
        with self.log_on(name) as client:
            client.say("D", order_of(f"{name}-{time.time_ns()}"))
            report = client.receive_type("8")
            assert first(report, 39) == "0", f"{name} is refused: {first(report, 58)}"

    def says_at_logon(self, name: str, odd: Sequence[Field]) -> Probe:
        """A Logon with something odd."""

        def probe() -> None:
            with self.ems_of(name).connect() as client:
                own: list[Field] = [(98, "0"), (108, str(HEARTBEAT_S)), (141, "Y")]
                client.say("A", [*(field for field in own if field[0] not in dict(odd)), *odd])
                client.answer(ANSWERED_S)
            self.trades_on()
            self.trades_again(name)

        return f"{OFFENDERS[name]} Logon with {text_of(odd)}", probe

    def says_in_session(self, name: str, odd: Sequence[Field]) -> Probe:
        """An order with something odd."""

        def probe() -> None:
            with self.log_on(name) as client:
                number = next((str(value) for tag, value in odd if tag == 34), None)
                client.say("D", [*order_of(f"{name}-{time.time_ns()}"), *(f for f in odd if f[0] != 34)], number)
                client.answer(ANSWERED_S)
            self.trades_on()
            self.trades_again(name)

        return f"{OFFENDERS[name]} order with {text_of(odd)}", probe


@pytest.fixture
def trial(start) -> Trial:
    return Trial(start(raw=tuple(OFFENDERS), versions=OFFENDERS))


@pytest.mark.parametrize("kind", [*DATA, "108"])
def test_a_logon_of_a_stranger_ends_nobody(trial: Trial, kind: str) -> None:
    trial.run(trial.says_at_logon(name, odd) for name in OFFENDERS for odd in oddities(kind))


def test_a_logon_of_a_stranger_who_has_no_password_ends_nobody(start) -> None:
    """Nor does one whose message has no number, or that says something odd of its own length."""
    credentials = {
        name: {"credentials": {"username": name, "password_hash": hash_password(f"{name} knows")}} for name in OFFENDERS
    }
    trial = Trial(start(raw=tuple(OFFENDERS), versions=OFFENDERS, of_session=credentials), OFFENDERS)
    odd: list[list[Field]] = [[(95, "-1"), (96, "x")], [(108, "x")], [(212, "2147483647"), (213, "x")]]
    odd += [[(34, value)] for value in (*NUMBERS, "9223372036854775807")]
    trial.run(trial.says_at_logon("RAW44", fields) for fields in odd)


@pytest.mark.parametrize("kind", [*DATA, "78", "453", "34"])
def test_an_order_of_an_ems_ends_nobody(trial: Trial, kind: str) -> None:
    trial.run(trial.says_in_session(name, odd) for name in OFFENDERS for odd in oddities(kind))


def test_what_a_message_says_of_its_own_length_ends_nobody(trial: Trial) -> None:
    """Before the logon and after it."""

    def says(name: str, length: str, is_on: bool) -> Probe:
        def probe() -> None:
            with trial.log_on(name) if is_on else trial.ems_of(name).connect() as client:
                message = framed(OFFENDERS[name], b"35=0\x0149=%s\x0156=GW\x01" % name.encode())
                front, _, rest = message.partition(b"\x019=")
                client.send_bytes(front + b"\x019=%s\x01" % length.encode() + rest.partition(b"\x01")[2])
                client.answer(ANSWERED_S)
            trial.trades_on()
            trial.trades_again(name)

        return f"9={length} {'in a session' if is_on else 'of a stranger'}", probe

    lengths = ("0", "-1", "", "x", "2147483648", "9223372036854775808", "99999999999999999999", "4")
    trial.run(says("RAW44", length, is_on) for is_on in (False, True) for length in lengths)


class VenueTrial:
    """A trial whose offender is a venue."""

    def __init__(self, start: Callable[..., Topology], venue: RawVenue) -> None:
        of_session = {venue.name: {"begin_string": venue.begin_string}}
        self.venue = venue
        self.trial = Trial(start(elsewhere={venue.name: venue.port}, of_session=of_session))
        self.trial.repent = venue.logon_fields.clear
        venue.wait_on()

    def places(self) -> str:
        """An order that works at the venue; returns its ClOrdID there. The session may be on its way back."""
        deadline = time.monotonic() + BACK_S
        while True:
            status, text = self.trial.outcome(quantity=9, extra=[(100, self.venue.name)])
            if status == "0":
                return first(self.venue.got("D")[-1], 11)
            assert time.monotonic() < deadline, f"the venue's orders are refused: {text}"
            time.sleep(0.1)

    def answers_logon(self, odd: Sequence[Field]) -> Probe:
        """The venue's Logon has something odd; then it says what is right."""

        def probe() -> None:
            connections = self.venue.connections
            self.venue.logon_fields[:] = odd
            self.venue.drop()
            self.venue.wait_for(lambda: self.venue.connections > connections, BACK_S, "another attempt")
            numbers = len(self.venue.messages)
            with contextlib.suppress(AssertionError):
                self.venue.wait_for(lambda: len(self.venue.messages) > numbers + 1, ANSWERED_S)
            self.trial.trades_on()
            self.venue.logon_fields.clear()
            self.places()

        return f"{self.venue.begin_string} Logon of a venue with {text_of(odd)}", probe

    def fills_with(self, odd: Sequence[Field]) -> Probe:
        """A fill has something odd."""

        def probe() -> None:
            self.venue.fill(self.places(), 1, odd, once=True)
            received = len(self.venue.messages)
            with contextlib.suppress(AssertionError):
                self.venue.wait_for(lambda: len(self.venue.messages) > received, ANSWERED_S / 2)
            self.trial.trades_on()
            self.places()

        return f"{self.venue.begin_string} fill with {text_of(odd)}", probe


@pytest.mark.parametrize("kind", ["raw", "other", "108"])
def test_a_logon_of_a_venue_ends_nobody(start, kind: str) -> None:
    with RawVenue("XRAW", FIX_42 if kind == "other" else FIX_44) as venue:
        trial = VenueTrial(start, venue)
        kinds = [oddities(other, ("-1", "2147483647")) for other in ("secure", "xml", "signature")]
        trial.trial.run(map(trial.answers_logon, sum(kinds, []) if kind == "other" else oddities(kind)))


@pytest.mark.parametrize("version", [FIX_42, FIX_44])
@pytest.mark.parametrize("kind", [*DATA, "453", "78", "34"])
def test_a_fill_of_a_venue_ends_nobody(start, kind: str, version: str) -> None:
    with RawVenue("XRAW", version) as venue:
        trial = VenueTrial(start, venue)
        trial.trial.run(trial.fills_with(odd) for odd in oddities(kind))


@pytest.mark.parametrize("name", OFFENDERS)
def test_who_says_nothing_odd_is_served(trial: Trial, name: str) -> None:
    """A Logon that comes in pieces, orders that come in one piece, and lengths that are right."""
    version = OFFENDERS[name]
    logon = [(98, "0"), (108, "30"), (141, "Y"), (95, "5"), (96, "right")]
    texts: list[list[Field]] = [[(354, "4"), (355, "text")], [(212, "4"), (213, "<x/>")], [(93, "3"), (89, "sig")], []]
    with trial.ems_of(name).connect() as client:
        message = compose(version, "A", (name, "GW"), 1, logon)
        for k in range(0, len(message), 50):
            client.line.sendall(message[k : k + 50])
            time.sleep(0.05)  # each in a segment of its own
        assert first(client.receive(), 35) == "A"
        orders = [compose(version, "D", (name, "GW"), 2 + k, [*order_of(f"{name}-{k}"), *texts[k]]) for k in range(4)]
        client.line.sendall(b"".join(orders))
        reports = [client.receive_type("8") for _ in texts]
        assert [(first(r, 11), first(r, 39)) for r in reports] == [(f"{name}-{k}", "0") for k in range(4)], reports


class Memory(threading.Thread):
    """Looks at the resident memory of a process until it is asked how much more it was at most."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._status = Path(f"/proc/{pid}/status")
        self._before = self._most = self._now()
        self._asked = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._asked.wait(0.01):
            self._most = max(self._most, self._now())

    def growth(self) -> int:
        """Bytes."""
        self._asked.set()
        self.join()
        return self._most - self._before

    def _now(self) -> int:
        with contextlib.suppress(OSError):
            for line in self._status.read_text().splitlines():
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        return 0  # it has ended


def flood(connection: socket.socket, start: bytes) -> tuple[int, bool]:
    """Send bytes until the other side closes, or FLOOD_S have passed; returns how many it took, and whether it did.

    It may be told by an end of what comes back only: what was sent before fills buffers that nobody reads any more.
    """
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
    sent, chunk, until_s = 0, start, time.monotonic() + FLOOD_S
    while sent < FLOOD_BYTES and (left_s := until_s - time.monotonic()) > 0:
        connection.settimeout(min(left_s, 1.0))
        try:
            sent += connection.send(chunk)
            chunk = b"x" * (1 << 16)
        except TimeoutError:
            if is_closed(connection):
                return sent, True
        except OSError:
            return sent, True
    return sent, False


@pytest.mark.parametrize(
    "start_of_it",
    [b"8=FIX.4.4\x019=2000000000\x0135=A\x01", b"8=FIX.4.4\x019=", b"GET / HTTP/1.1\r\n", b"8=FIX.4.4\x01"],
    ids=["long-message", "long-number", "no-fix", "no-length"],
)
def test_bytes_of_a_stranger_without_end_are_not_read(trial: Trial, start_of_it: bytes) -> None:
    memory = Memory(trial.topology.gateway.pid)
    with trial.ems_of("RAW44").connect() as client:
        took, cut = flood(client.line, start_of_it)
        trial.trades_on()
    growth = memory.growth()
    assert not trial.topology.gateway.ended
    said = f"it took {took / MIB:.1f} MiB, grew by {growth / MIB:.1f} MiB, and cut the connection: {cut}"
    assert cut and took < READ_BYTES and growth < GROWTH_BYTES, said
    trial.trades_again("RAW44")


@pytest.mark.parametrize("ways", [("half",), ("nothing", "slow")], ids="-".join)
def test_a_connection_that_does_not_log_on_is_closed(trial: Trial, ways: tuple[str, ...]) -> None:
    """It sends half a Logon, nothing at all, or a Logon a byte at a time."""
    logon = compose(FIX_44, "A", ("RAW44", "GW"), 1, [(98, "0"), (108, "30"), (96, "y" * 60)])
    slow = iter(logon)
    with contextlib.ExitStack() as stack:
        lines = {way: stack.enter_context(trial.ems_of("RAW44").connect()).line for way in ways}
        if "half" in lines:
            lines["half"].sendall(logon[: len(logon) // 2])
        since_s, closed = time.monotonic(), {}
        while len(closed) < len(lines) and time.monotonic() - since_s < UNFINISHED_S:
            for way, line in lines.items():
                if way not in closed and is_closed(line):
                    closed[way] = time.monotonic() - since_s
                elif way == "slow" and way not in closed:
                    with contextlib.suppress(OSError):
                        line.send(bytes([next(slow)]))
        trial.trades_on()
        assert sorted(closed) == sorted(ways), f"closed after so many seconds: {closed}"
    trial.trades_again("RAW44")


def is_closed(connection: socket.socket) -> bool:
    """Looks for a tenth of a second."""
    connection.settimeout(0.1)
    try:
        return connection.recv(4096) == b""
    except TimeoutError:
        return False
    except OSError:
        return True
