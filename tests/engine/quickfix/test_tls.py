"""TLS between two real engines, and from Python's ssl: who is let in, and who is trusted."""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import LONG_AGO, Authority, client
from tests.support.engines import Engine, acceptor, answer, initiator, logon, refused
from tests.support.engines import fault as why
from tidegate_tools.sim.quickfix_peer import free_port

pytestmark = pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")

ORDER = b"11=C1\x0121=1\x0155=AAPL\x0154=1\x0138=1\x0140=1\x0160=20260711-12:00:00.000\x01"


def talk(folder: Path, server_tls: dict[str, str], client_tls: dict[str, str]) -> bool:
    """Whether a message passes between two engines; False when the client's engine gives up the handshake."""
    port = free_port()
    with (
        Engine(folder / "a", acceptor(port, tls=server_tls)) as server,
        Engine(folder / "b", initiator(port, tls=client_tls)) as client,
    ):
        log = folder / "b" / "log" / "GLOBAL.event.current.log"
        while True:
            if client.is_on():
                client.wait("SYNCED")
                client.send(0, "D", ORDER)
                return b"\x0111=C1\x01" in server.wait("MESSAGE")[2]
            if log.exists() and "Socket deleted due to ssl handshake error" in log.read_text():
                assert not server.is_on()
                return False


def test_two_engines_talk(tmp_path: Path, ours: Authority) -> None:
    assert talk(tmp_path, ours.sign(), {"ca": ours.ca})


def test_two_engines_talk_with_certificates_on_both_sides(tmp_path: Path, ours: Authority, other: Authority) -> None:
    assert talk(tmp_path, ours.sign() | {"ca": other.ca}, {"ca": ours.ca} | other.sign("ems.example"))


def test_intermediate_certificates_are_sent(tmp_path: Path, ours: Authority) -> None:
    below = Authority(tmp_path / "below", ours.authority.create_child_ca())
    assert talk(tmp_path, below.sign(), {"ca": ours.ca})


@pytest.mark.parametrize("name", ["other.example", "127.0.0.1"])
def test_a_venue_with_another_name_is_refused(tmp_path: Path, ours: Authority, name: str) -> None:
    assert not talk(tmp_path, ours.sign(name), {"ca": ours.ca})


def test_a_venue_of_another_authority_is_refused(tmp_path: Path, ours: Authority, other: Authority) -> None:
    assert not talk(tmp_path, other.sign(), {"ca": ours.ca})


def test_authorities_of_the_environment_are_not_trusted(
    tmp_path: Path, ours: Authority, other: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QuickFIX would take those of OpenSSL's own folder besides `ca`."""
    monkeypatch.setenv("SSL_CERT_FILE", other.ca)
    assert not talk(tmp_path, other.sign(), {"ca": ours.ca})


@pytest.mark.parametrize("fault", ["expired", "TLS 1.1", "plain"])
def test_venues_that_are_refused(tmp_path: Path, ours: Authority, fault: str) -> None:
    """A listener of Python's ssl stands for them: our own acceptor would not start so."""
    more = {"not_before": LONG_AGO, "not_after": LONG_AGO.replace(year=2021)} if fault == "expired" else {}
    files = ours.sign(**more)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(files["certificate"], files["key"])
    if fault == "TLS 1.1":
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    got: list[bytes] = []
    done = threading.Event()

    def serve(listener: socket.socket) -> None:
        plain, _ = listener.accept()
        try:
            if fault == "plain":
                plain.sendall(logon())
            connection = plain if fault == "plain" else context.wrap_socket(plain, server_side=True)
            got.append(connection.recv(65536))
        except OSError as error:
            got.append(type(error).__name__.encode())
        plain.close()
        done.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        with Engine(tmp_path / "b", initiator(listener.getsockname()[1], tls={"ca": ours.ca})) as engine:
            assert done.wait(15) and not engine.is_on()
    assert b"35=A" not in got[0]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_clients_of_tls_1_2_and_up_are_served(tmp_path: Path, ours: Authority, version: ssl.TLSVersion) -> None:
    port = free_port()
    with Engine(tmp_path / "a", acceptor(port, tls=ours.sign())):
        wrap = client(ours, minimum_version=version, maximum_version=version)
        assert b"\x0135=A\x01" in answer(port, logon(), wrap=wrap)


@pytest.mark.parametrize("fault", ["plain", "TLS 1.1", "no certificate", "another authority", "expired"])
def test_clients_that_are_refused(tmp_path: Path, ours: Authority, other: Authority, fault: str) -> None:
    port = free_port()
    old = {"not_before": LONG_AGO, "not_after": LONG_AGO.replace(year=2021)}
    wrap: Any = {
        "plain": lambda: None,
        "TLS 1.1": lambda: client(
            ours, ours.sign("c"), minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1
        ),
        "no certificate": lambda: client(ours),
        "another authority": lambda: client(ours, other.sign("c")),
        "expired": lambda: client(ours, ours.sign("c", **old)),
    }[fault]()
    with Engine(tmp_path / "a", acceptor(port, tls=ours.sign() | {"ca": ours.ca})) as server:
        assert refused(answer(port, logon(), wrap=wrap))
        assert b"\x0135=A\x01" in answer(port, logon(), wrap=client(ours, ours.sign("good")))
        server.wait("LOGON")
        assert len([kind for kind, _, _ in server.seen if kind == "LOGON"]) == 1


def test_a_silent_stranger_outside_allow_does_not_hold_up_handshakes(tmp_path: Path, ours: Authority) -> None:
    """QuickFIX waits ten seconds for a handshake, and serves nobody else meanwhile."""
    port = free_port()
    stranger = functools.partial(socket.create_connection, timeout=5, source_address=("127.0.0.2", 0))
    with Engine(tmp_path / "a", acceptor(port, tls=ours.sign(), allow=["127.0.0.1"])):
        with stranger(("127.0.0.1", port)) as silent, contextlib.suppress(ConnectionResetError):
            assert silent.recv(1) == b""
        assert b"\x0135=A\x01" in answer(port, logon(), wrap=client(ours))


def test_sessions_of_one_address_must_have_the_same_tls(tmp_path: Path, ours: Authority) -> None:
    found = why(tmp_path, acceptor(1, "EMS1", tls=ours.sign()), acceptor(1, "EMS2"))
    assert found.startswith("sessions EMS1 and EMS2: listen: ") and "`tls` differs" in found


def faulty(ours: Authority, other: Authority, fault: str) -> tuple[dict[str, str], str]:
    good = ours.sign()
    empty = ours.folder / "empty.pem"
    empty.write_text("nothing\n")
    old = {"not_before": LONG_AGO, "not_after": LONG_AGO.replace(year=2021)}
    future = {"not_before": LONG_AGO.replace(year=2090), "not_after": LONG_AGO.replace(year=2091)}
    return {
        "no certificate": (good | {"certificate": "/nowhere.pem"}, "tls.certificate: /nowhere.pem: cannot be read"),
        "no key": (good | {"key": "/nowhere.key"}, "tls.key: /nowhere.key: cannot be read"),
        "no pem": (good | {"certificate": str(empty)}, "want a certificate and its unencrypted key"),
        "other key": (good | {"key": other.sign("x")["key"]}, "does not belong to the certificate"),
        "expired": (ours.sign("old", **old), "expired on 2021-01-01"),
        "not yet": (ours.sign("young", **future), "is not valid before 2090-01-01"),
        "no ca": (good | {"ca": "/nowhere.pem"}, "tls.ca: /nowhere.pem: cannot be read"),
        "empty ca": (good | {"ca": str(empty)}, "tls.ca: "),
        "no authority": (good | {"ca": good["certificate"]}, "holds no certificate of an authority"),
    }[fault]


@pytest.mark.parametrize(
    "fault",
    ["no certificate", "no key", "no pem", "other key", "expired", "not yet", "no ca", "empty ca", "no authority"],
)
def test_files_that_will_not_do(tmp_path: Path, ours: Authority, other: Authority, fault: str) -> None:
    tls, want = faulty(ours, other, fault)
    found = why(tmp_path / "state", acceptor(1, tls=tls))
    assert found.startswith("session EMS1: tls.") and want in found and "\n" not in found


def test_a_venue_with_tls_must_be_named(tmp_path: Path, ours: Authority) -> None:
    section = initiator(1, connect="127.0.0.1:1", tls={"ca": ours.ca})
    assert "want a host name, not 127.0.0.1" in why(tmp_path, section)
