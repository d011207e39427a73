"""Connections from addresses that a listener does not allow, and to addresses that it does not name."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from gateway.config.files import ConfigError
from gateway.config.sections import SessionSection
from gateway.engine.quickfix.peers import Doorkeeper, require_ports
from gateway.engine.quickfix.store import read_store
from tests.support.engines import Engine, acceptor, answer, fault, logon, refused
from tidegate_tools.sim.quickfix_peer import free_port

LOCAL = ["127.0.0.1/32"]


@pytest.mark.parametrize("allow", [LOCAL, ["10.0.0.0/8", "127.0.0.0/31"], ["::1/128", "127.0.0.1"]])
def test_only_addresses_of_the_list_log_on(tmp_path: Path, allow: list[str]) -> None:
    port = free_port()
    with Engine(tmp_path, acceptor(port, allow=allow)) as server:
        assert refused(answer(port, logon(t141="Y"), source="127.0.0.2"))
        assert "127.0.0.2" in server.wait("connection refused")[2].decode()
        assert b"\x0135=A\x01" in answer(port, logon())
        server.wait("LOGON")
    store = read_store(tmp_path / "store", "FIX.4.4", "GW", "EMS1")
    assert store is not None and list(store.sent) == [1]


def test_what_a_stranger_sent_before_it_was_cut_is_lost() -> None:
    """A Logon that came with the connection would be read after the shutdown still."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        doorkeeper = Doorkeeper([SessionSection.model_validate(acceptor(port, allow=LOCAL))])
        stranger = socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.2", 0))
        stranger.sendall(logon())
        accepted, _ = listener.accept()
        with stranger, accepted:
            assert accepted.recv(1, socket.MSG_PEEK) == b"8"
            assert doorkeeper.check()
            assert accepted.recv(65536) == b""
            assert not doorkeeper.check()


def test_a_port_that_another_has_is_told_before_a_run_begins() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"session EMS1: listen: 127.0.0.1:{port}: Address already in use"):
            require_ports([SessionSection.model_validate(acceptor(port))])
    require_ports([SessionSection.model_validate(acceptor(port))])


def test_a_silent_stranger_is_cut_and_holds_nobody_up(tmp_path: Path) -> None:
    port = free_port()
    with Engine(tmp_path, acceptor(port, allow=LOCAL)) as server:
        with socket.create_connection(("127.0.0.1", port), timeout=15, source_address=("127.0.0.2", 0)) as stranger:
            assert stranger.recv(1) == b""
        assert b"\x0135=A\x01" in answer(port, logon())
        server.wait("LOGON")


def test_strangers_do_not_keep_others_from_logging_on(tmp_path: Path) -> None:
    """Each is cut as soon as QuickFIX takes its connection, so none is there when a Logon is judged."""
    port = free_port()
    with Engine(tmp_path, acceptor(port, allow=LOCAL)) as server:
        for _ in range(20):
            stranger = socket.create_connection(("127.0.0.1", port), timeout=15, source_address=("127.0.0.2", 0))
            with stranger:
                assert b"\x0135=A\x01" in answer(port, logon(t141="Y"))
        server.wait("LOGON", count=20)


def test_without_a_list_everybody_may_connect(tmp_path: Path) -> None:
    port = free_port()
    with Engine(tmp_path, acceptor(port)) as server:
        assert b"\x0135=A\x01" in answer(port, logon(), source="127.0.0.2")
        server.wait("LOGON")


def test_only_the_address_that_listen_names_is_served(tmp_path: Path) -> None:
    """QuickFIX itself listens on every address of the machine."""
    port = free_port()
    with Engine(tmp_path, acceptor(port, listen=f"127.0.0.3:{port}")) as server:
        assert refused(answer(port, logon()))
        server.wait("connection refused")
        assert not server.is_on()


def test_every_address_is_served_when_asked_for(tmp_path: Path) -> None:
    port = free_port()
    with Engine(tmp_path, acceptor(port, listen=f"0.0.0.0:{port}")) as server:
        assert b"\x0135=A\x01" in answer(port, logon())
        server.wait("LOGON")


@pytest.mark.parametrize("other", [[], ["127.0.0.2"]])
def test_sessions_of_one_address_must_allow_the_same(tmp_path: Path, other: list[str]) -> None:
    found = fault(tmp_path, acceptor(1, "EMS1", allow=LOCAL), acceptor(1, "EMS2", allow=other))
    assert found.startswith("sessions EMS1 and EMS2: listen: ") and "`allow` differs" in found
