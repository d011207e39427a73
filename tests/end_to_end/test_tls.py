"""TLS of sessions end to end: orders through two gateways of any engines; who is let in, and who is trusted."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import Topology
from tests.support.certificates import LONG_AGO, Authority, client
from tests.support.engines import answer, logon, refused

pytestmark = pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")

OLD = {"not_before": LONG_AGO, "not_after": LONG_AGO.replace(year=2021)}
Start = Callable[..., Topology]


@pytest.mark.parametrize(
    "engines", [("native", "native"), ("native", "quickfix"), ("quickfix", "native")], ids="-".join
)
def test_orders_through_two_gateways(start: Start, ours: Authority, other: Authority, engines: tuple[str, str]) -> None:
    """Certificates on both sides; that of the front is of another authority."""
    front_engine, back_engine = engines
    server = {"tls": ours.sign() | {"ca": other.ca}, "desks": ["D1"]}
    back = start(engine=back_engine, folder="back", ems=(), raw=("FRONT",), of_session={"FRONT": server})
    venue = {"sender_comp_id": "FRONT", "target_comp_id": "GW", "connect": f"localhost:{back.port}"}
    venue |= {"tls": {"ca": ours.ca} | other.sign("front.example")}
    more = {"elsewhere": {"XBACK": back.port}, "of_session": {"XBACK": venue}}
    front = start(engine=front_engine, folder="front", venues=("XNYS",), **more)
    ems = front.ems["EMS1"]

    def trade(text: str) -> None:
        order = ems.new_order(symbol="AAPL", side="1", quantity=10, price="99.5", extra=[(100, "XBACK"), (58, text)])
        ems.wait_for(lambda: ems.order(order).status == "0", 20)

    front.wait_up()
    for k in range(50):
        trade("x" * (1 + 50 * k))
    assert len(back.venues["XNAS"].orders) == 50
    back.gateway.stop()
    front.gateway.wait_log("session is down", 20, session="XBACK")
    back.start_again()
    front.wait_up()
    trade("again")


@pytest.fixture
def guarded(start: Start, ours: Authority) -> Topology:
    """Its EMS must show a certificate."""
    return start(engine="native", ems=(), raw=("EMS1",), of_session={"EMS1": {"tls": ours.sign() | {"ca": ours.ca}}})


def test_who_is_let_in(guarded: Topology, ours: Authority, other: Authority) -> None:
    versions = {"minimum_version": ssl.TLSVersion.TLSv1, "maximum_version": ssl.TLSVersion.TLSv1_1}
    wraps: dict[str, Any] = {
        "plain": None,
        "TLS 1.1": client(ours, ours.sign("a"), **versions),
        "no certificate": client(ours),
        "another authority": client(ours, other.sign("b")),
        "expired": client(ours, ours.sign("c", **OLD)),
    }
    answers = {name: answer(guarded.port, logon(), wrap=wrap) for name, wrap in wraps.items()}
    assert [name for name, received in answers.items() if not refused(received)] == []
    guarded.gateway.wait_log("logon refused", why="TLS: certificate verify failed: certificate has expired")
    for number, version in enumerate((ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3), 1):
        wrap = client(ours, ours.sign("good"), minimum_version=version, maximum_version=version)
        assert b"\x0135=A\x01" in answer(guarded.port, logon(number=number), wrap=wrap)


def test_a_stranger_that_keeps_silent_holds_nobody_up(guarded: Topology, ours: Authority) -> None:
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection(("127.0.0.1", guarded.port))) for _ in range(40)]
        for connection in silent[::2]:
            connection.sendall(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a ClientHello
        assert b"\x0135=A\x01" in answer(guarded.port, logon(), wrap=client(ours, ours.sign("good")))


def test_what_stands_behind_a_logon_in_one_record_is_read(guarded: Topology, ours: Authority) -> None:
    """Nothing more comes over the socket that would wake anybody."""
    test_request = logon(number=2, t112="BEHIND").replace(b"35=A", b"35=1").replace(b"98=0\x01108=30\x01", b"")
    head, _, rest = test_request.partition(b"\x0135=")
    size = len(b"35=" + rest) - len(b"10=000\x01")
    begin = head.partition(b"\x01")[0]
    text = begin + b"\x019=%d\x0135=" % size + rest[:-7]
    test_request = text + b"10=%03d\x01" % (sum(text) % 256)
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=15) as plain:
        connection = client(ours, ours.sign("good"))(plain)
        connection.sendall(logon() + test_request)
        received = b""
        while b"\x01112=BEHIND\x01" not in received:
            part = connection.recv(65536)
            assert part, received
            received += part


class Listener:
    """Stands where a venue is looked for, as other people's servers do; one attempt after the other."""

    def __init__(self, contexts: list[ssl.SSLContext | None]) -> None:
        """What each attempt finds; None: a server without TLS."""
        self.got: list[bytes] = []
        self.done = threading.Event()
        self._contexts = contexts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        for context in self._contexts:
            plain, _ = self._listener.accept()
            try:
                if context is None:
                    plain.sendall(logon())
                connection = plain if context is None else context.wrap_socket(plain, server_side=True)
                self.got.append(connection.recv(65536))
            except OSError as error:
                self.got.append(type(error).__name__.encode())
            plain.close()
        self.done.set()


def server(files: dict[str, str], **versions: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(files["certificate"], files["key"])
    for name, version in versions.items():
        setattr(context, name, version)
    return context


@pytest.fixture
def listener(ours: Authority, other: Authority, tmp_path: Path) -> Iterator[Listener]:
    old = ssl.TLSVersion.TLSv1_1
    below = Authority(tmp_path / "below", ours.authority.create_child_ca())
    yield Listener(
        [
            server(other.sign()),
            server(ours.sign("other.example")),
            server(ours.sign("localhost", **OLD)),
            server(ours.sign("127.0.0.1")),
            server(ours.sign(), minimum_version=old, maximum_version=old),
            None,
            server(below.sign()),
        ]
    )


def test_which_venue_is_trusted(
    start: Start, ours: Authority, other: Authority, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", other.ca)  # what the environment trusts is not trusted here
    venue = {"tls": {"ca": ours.ca}, "connect": f"localhost:{listener.port}"}
    topology = start(
        engine="native", ems=(), raw=("EMS1",), elsewhere={"XNYS": listener.port}, of_session={"XNYS": venue}
    )
    assert listener.done.wait(60)
    assert [b"35=A" in received for received in listener.got] == [False] * 6 + [True]
    assert not any(line["event"] == "session is up" and line["session"] == "XNYS" for line in topology.gateway.log)
