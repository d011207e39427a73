"""A gateway among peers of which some send what no peer should: raw sockets, and honest ones that must not notice."""

from __future__ import annotations

import base64
import hashlib
import re
import select
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from gateway.state.memory import State, map_state
from tests.support.core import write_config
from tests.support.gateway_process import ENGINE, GatewayProcess
from tidegate_tools.fix.text import utc_now
from tidegate_tools.sim.ems import Ems, EmsConfig
from tidegate_tools.sim.quickfix_peer import SessionConfig, free_port
from tidegate_tools.sim.venue import Liquidity, Venue, VenueConfig

SOH = b"\x01"
FIX_42, FIX_44 = "FIX.4.2", "FIX.4.4"
INSTRUMENTS = """symbol,security_id,tick,lot,previous_close
AAPL,US0378331005,0.01,1,100
MSFT,US5949181045,0.01,1,200
"""
WIDE = 1_000_000_000
LIMITS = {
    "account": {
        "default": {"max_order_qty": 1000, "max_order_notional": 1_000_000, "max_long": WIDE, "max_short": WIDE}
    },
    "instrument": {"default": {"collar_bps": 1000, "reference_max_age": "60s"}},
    "session": {"default": {"max_messages": 1_000_000}},
}
HONEST_EMS, HONEST_VENUE = "EMS1", "XNAS"
FUZZED_EMS = {"FUZ42": FIX_42, "FUZ44": FIX_44}
FUZZED_VENUES = {f"X42{k}": FIX_42 for k in "ABCD"} | {f"X44{k}": FIX_44 for k in "ABCD"}
"""Many, since one that was cut is connected to again after a second, or after seven."""
GUARDED_EMS, GUARDED_VENUE = "FUZ44", "X44A"
"""These have credentials."""
USERNAME, PASSWORD = b"fuzz", b"secret"
ACCOUNT = "ACC2"
"""Of what is fuzzed; the honest EMS has ACC1 and the symbol MSFT to itself."""

MESSAGE = re.compile(rb"8=FIX.*?\x0110=\d{3}\x01", re.DOTALL)
EXPECTING = re.compile(rb"expecting (\d+)")
LOGON_S = 15.0

Pairs = list[tuple[bytes, bytes]]
"""Tags and values in the order on the wire."""


def wire(pairs: Pairs, begin_string: str, length: bytes | None = None, checksum: bytes | None = None) -> bytes:
    """A message: BeginString(8), BodyLength(9) and CheckSum(10) are added, and are right unless given."""
    body = b"".join(tag + b"=" + value + SOH for tag, value in pairs)
    length = b"%d" % len(body) if length is None else length
    front = b"8=" + begin_string.encode() + b"\x019=" + length + SOH + body
    checksum = b"%03d" % (sum(front) % 256) if checksum is None else checksum
    return front + b"10=" + checksum + SOH


def value_of(message: bytes, tag: int) -> bytes:
    """Value of the first field with a tag; empty without one."""
    _, found, rest = message.partition(b"\x01%d=" % tag)
    return rest.partition(SOH)[0] if found else b""


class RawPeer:
    """One end of a FIX session on a socket; it sends any bytes, and keeps what comes until it is asked for."""

    def __init__(self, name: str, begin_string: str) -> None:
        """Not connected yet."""
        self.name, self.begin_string = name, begin_string
        self.seq = 1
        """MsgSeqNum(34) of the next message to send."""
        self.logon_fields: Pairs = [(b"98", b"0"), (b"108", b"30")]
        self.answering = True
        """Whether a TestRequest and a ResendRequest are answered by themselves."""
        self.received: deque[bytes] = deque()
        self._socket: socket.socket | None = None
        self._rest = b""

    @property
    def connected(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return self._socket is not None

    def take(self, connection: socket.socket) -> None:
        """Go on with a new connection."""
        self.close()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(5)
        self._socket, self._rest = connection, b""
        self.received.clear()

    def close(self, abort: bool = False) -> None:
        """Close the connection, with a reset when `abort`."""
        if self._socket is not None:
            if abort:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            self._socket.close()
            self._socket = None

    def send_bytes(self, data: bytes) -> bool:
        """Send bytes as they are; False if the connection is gone."""
        if self._socket is None:
            return False
        try:
            self._socket.sendall(data)
        except OSError:
            self.close()
            return False
        return True

    def header(self, msg_type: bytes) -> Pairs:
        """The header of the next message; it counts as sent."""
        self.seq += 1
        ids = [(b"49", self.name.encode()), (b"56", b"GW")]
        return [(b"35", msg_type), (b"34", b"%d" % (self.seq - 1)), *ids, (b"52", utc_now().encode())]

    def send(self, msg_type: bytes, fields: Pairs = []) -> bool:  # noqa: B006
        """Send a sound message."""
        return self.send_bytes(wire([*self.header(msg_type), *fields], self.begin_string))

    def read(self, timeout_s: float = 0.0) -> None:
        """Read what has come, waiting so long for the first of it."""
        while self._socket is not None and select.select([self._socket], [], [], timeout_s)[0]:
            timeout_s = 0.0
            try:
                data = self._socket.recv(1 << 16)
            except OSError:
                data = b""
            if not data:
                self.close()
            self._rest += data
        end = 0
        for match in MESSAGE.finditer(self._rest):
            self._got(match[0])
            end = match.end()
        self._rest = self._rest[end:]

    def wait(self, wanted: Callable[[bytes], object], timeout_s: float) -> bytes | None:
        """The next message that is wanted; None when the connection ends or nothing comes in time."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            while self.received:
                message = self.received.popleft()
                if wanted(message):
                    return message
            left_s = deadline_s - time.monotonic()
            if not self.connected or left_s <= 0:
                return None
            self.read(left_s)

    def answers(self, timeout_s: float = 3.0) -> bool:
        """Whether the gateway answers a TestRequest; one that is lost under a gap fill is sent again."""
        test_req_id = b"FUZZ-%d" % time.monotonic_ns()
        deadline_s = time.monotonic() + timeout_s
        while self.connected and time.monotonic() < deadline_s:
            self.send(b"1", [(b"112", test_req_id)])
            if self.wait(lambda message: value_of(message, 112) == test_req_id, 0.03) is not None:
                return True
        return False

    def resends(self, timeout_s: float = 3.0) -> bool:
        """Whether the gateway answers a ResendRequest for all that it has sent, be it by a gap fill."""
        self.received.clear()
        self.send(b"2", [(b"7", b"1"), (b"16", b"0")])
        return self.wait(lambda message: value_of(message, 43) == b"Y", timeout_s) is not None

    def _got(self, message: bytes) -> None:
        """Answer what a session must be answered to live, and note the number that the gateway expects."""
        self.received.append(message)
        msg_type = value_of(message, 35)
        if msg_type == b"5" and (match := EXPECTING.search(message)):
            self.seq = int(match[1])
        elif msg_type == b"1" and self.answering:
            self.send(b"0", [(b"112", value_of(message, 112))])
        elif msg_type == b"2" and self.answering:
            self._fill_gap(value_of(message, 7))

    def _fill_gap(self, begin: bytes) -> None:
        fields = [(b"43", b"Y"), (b"122", utc_now().encode()), (b"123", b"Y"), (b"36", b"%d" % self.seq)]
        head = [(tag, begin if tag == b"34" else value) for tag, value in self.header(b"4")]
        self.seq -= 1
        self.send_bytes(wire([*head, *fields], self.begin_string))


class RawEms(RawPeer):
    """An EMS that connects to the gateway."""

    def __init__(self, name: str, begin_string: str, port: int) -> None:
        """`port` is the gateway's."""
        super().__init__(name, begin_string)
        self._port = port
        if name == GUARDED_EMS:
            self.logon_fields += [(b"553", USERNAME), (b"554", PASSWORD)]

    def connect(self) -> None:
        """A new connection, without a Logon; none when it is refused."""
        self.close()
        with suppress(OSError):
            self.take(socket.create_connection(("127.0.0.1", self._port), timeout=5))

    def log_on(self, reset: bool, timeout_s: float = LOGON_S) -> bool:
        """Log on, trying again with what the gateway says; `reset` begins the numbers anew at once, not at last."""
        deadline_s = time.monotonic() + timeout_s
        tries = 0
        while time.monotonic() < deadline_s:
            reset = reset or tries > 1
            tries += 1
            self.connect()
            self.seq = 1 if reset else self.seq
            self.send(b"A", [*self.logon_fields, *([(b"141", b"Y")] if reset else [])])
            # The session may still be taken by the connection before: then this one is closed
            answer = self.wait(lambda message: value_of(message, 35) in (b"A", b"5"), 3.0)
            if answer is not None and value_of(answer, 35) == b"A" and self.answers():
                return True
            self.close()
            time.sleep(0.02)
        return False


class RawVenue(RawPeer):
    """A venue that the gateway connects to."""

    def __init__(self, name: str, begin_string: str) -> None:
        """It listens, and accepts in `look`."""
        super().__init__(name, begin_string)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])
        self.logon = b""
        """The gateway's Logon while it waits for an answer."""
        self.up = False
        self.away_since_s = time.monotonic()
        self.orders: deque[bytes] = deque(maxlen=50)

    def shut(self) -> None:
        """Close all."""
        self.close()
        self._listener.close()

    def look(self) -> None:
        """Take a connection that waits, and read; a lost one counts from now."""
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            pass
        else:
            self.take(connection)
            self.logon, self.up = b"", False
        self.read()
        if not self.connected:
            if self.up or self.logon:
                self.away_since_s = time.monotonic()
            self.logon, self.up = b"", False

    def log_on(self, reset: bool) -> bool:
        """Answer the Logon that waits as a sound venue does."""
        self.seq = 1 if reset else self.seq
        self.logon = b""
        self.send(b"A", [*self.logon_fields, *([(b"141", b"Y")] if reset else [])])
        self.up = self.answers()
        if not self.up:
            self.close()
            self.away_since_s = time.monotonic()
        return self.up

    def _got(self, message: bytes) -> None:
        super()._got(message)
        msg_type = value_of(message, 35)
        if msg_type == b"A" and not self.up:
            self.logon = message
        elif msg_type == b"D":
            self.orders.append(message)


def _cheap_hash() -> str:
    """As `tidegate hash-password` prints it, but of next to no cost."""
    salt = bytes(16)
    digest = hashlib.scrypt(PASSWORD, salt=salt, n=2, r=1, p=1, dklen=32)
    return "$".join(["scrypt", "2", "1", "1", *(base64.b64encode(part).decode() for part in (salt, digest))])


class WireTopology:
    """The gateway, an honest EMS and venue, and the fuzzed ones; a context manager."""

    def __init__(self, folder: Path, capacity: str = "small") -> None:
        """Everything is kept in `folder`; `capacity` is the gateway's, whose tables hold what one run sends."""
        self.folder, self.capacity = folder, capacity
        self.venues = {name: RawVenue(name, version) for name, version in FUZZED_VENUES.items()}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.__exit__(None, None, None)

    def _start(self, stack: ExitStack) -> None:
        for venue in self.venues.values():
            stack.callback(venue.shut)
        quotes = [Liquidity.parse("MSFT:199.9:200:200.1:200")]
        options = {"replenish_s": 0, "md_interval_s": 1.0, "store_dir": self.folder / "venue-store"}
        config = VenueConfig(sessions=[SessionConfig(FIX_44, HONEST_VENUE, "GW")], liquidity=quotes, **options)
        self.venue = stack.enter_context(Venue(config))
        self.port = free_port()
        path = write_config(self.folder, self._config(), LIMITS, INSTRUMENTS)
        stack.callback(self._stop)
        self._run(path)
        self.fuzzed = {name: RawEms(name, version, self.port) for name, version in FUZZED_EMS.items()}
        session = SessionConfig(FIX_44, HONEST_EMS, "GW")
        settings = EmsConfig(sessions=[session], connect=("127.0.0.1", self.port), extra_fields=[(1, "ACC1")])
        self.ems = stack.enter_context(Ems(settings))
        self._wait_ready()

    def _run(self, config: Path, *options: str) -> None:
        self.gateway = GatewayProcess(config, options=options)
        self.gateway.launch()
        self.gateway.wait_log("gateway is up", 300)

    def _wait_ready(self) -> None:
        self.venue.wait_logged_on(30)
        self.ems.wait_logged_on(30)
        deadline_s = time.monotonic() + 30
        while self.trades(2) and time.monotonic() < deadline_s:
            time.sleep(0.1)

    def _stop(self) -> None:
        if not self.gateway.ended:
            self.gateway.stop()

    def start_again(self, *options: str) -> None:
        """Stop the gateway, and start the next run; it trades when this returns."""
        assert self.gateway.stop() == 0
        self._run(self.gateway.config, *options)
        self._wait_ready()

    def _config(self) -> dict:
        base = {"sender_comp_id": "GW", "heartbeat": 30}
        listen = f"127.0.0.1:{self.port}"
        accounts = {HONEST_EMS: "ACC1"} | dict.fromkeys(FUZZED_EMS, ACCOUNT)
        sessions: list[dict] = [
            {**base, "id": name, "role": "acceptor", "target_comp_id": name, "listen": listen}
            | {"begin_string": version, "accounts": [accounts[name]]}
            for name, version in ({HONEST_EMS: FIX_44} | FUZZED_EMS).items()
        ]
        ports = {HONEST_VENUE: self.venue.port} | {name: venue.port for name, venue in self.venues.items()}
        sessions += [
            {**base, "id": name, "role": "initiator", "target_comp_id": name, "reconnect": 1, "market_data": True}
            | {"begin_string": version, "connect": f"127.0.0.1:{ports[name]}"}
            for name, version in ({HONEST_VENUE: FIX_44} | FUZZED_VENUES).items()
        ]
        for session in sessions:
            if session["id"] == GUARDED_EMS:
                session["credentials"] = {"username": USERNAME.decode(), "password_hash": _cheap_hash()}
            elif session["id"] == GUARDED_VENUE:
                (self.folder / "password").write_bytes(PASSWORD)
                (self.folder / "password").chmod(0o600)
                session["credentials"] = {"username": USERNAME.decode(), "password_file": "password"}
        routing = {"default": HONEST_VENUE, "instruments": {"AAPL": next(iter(FUZZED_VENUES))}}
        return {
            "gateway": {"name": "WIRE", "engine": ENGINE, "state_dir": "var", "capacity": self.capacity},
            "sessions": sessions,
            "instruments": "instruments.csv",
            "limits": "limits.yaml",
            "routing": routing,
            "journal": {"segment": 4},
        }

    @property
    def state(self) -> State:
        """The gateway's state, looked at from outside."""
        return map_state(self.folder / "var" / "state.bin", self.capacity)

    def gateway_usage(self) -> dict[str, int]:
        """Memory of its own (kB, without the tables and the journal, which are mapped and of a fixed size), threads and
        descriptors of the gateway's process.
        """
        process = Path(f"/proc/{self.gateway.pid}")
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        descriptors = sum(1 for _ in (process / "fd").iterdir())
        return {"RssAnon": int(status["RssAnon"].split()[0]), "threads": int(status["Threads"]), "fds": descriptors}

    def trades(self, timeout_s: float = 10.0) -> str:
        """Place an order of the honest EMS at the honest venue and cancel it: why that does not work, "" when it does.

        The answer is waited for in small steps, so that the end of the process is noticed.
        """
        try:
            order = self.ems.new_order(symbol="MSFT", quantity=1, price="199")
            if (status := self._status(order, "08", timeout_s)) != "0":
                return f"an order has status {status!r}: {self.ems.order(order).text}"
            self.ems.cancel(order)
            if (status := self._status(order, "4", timeout_s)) != "4":
                return f"an order that was canceled has status {status!r}: {self.ems.order(order).text}"
        except ConnectionError as error:
            return str(error)
        return ""

    def _status(self, order: str, wanted: str, timeout_s: float) -> str:
        deadline_s = time.monotonic() + timeout_s
        while not self.gateway.ended and time.monotonic() < deadline_s:
            with suppress(TimeoutError):
                self.ems.wait_for(lambda: self.ems.order(order).status in list(wanted), 0.5)
                break
        return self.ems.order(order).status
