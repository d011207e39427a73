"""What the gateway is measured against, each in a process of its own: a raw byte relay and bare QuickFIX relays.

python -m tools.bench.relay KIND EMS_PORT VENUE_PORT FOLDER: listens on one loopback port, connects to the other, and
ends when standard input or a socket closes.
"""

from __future__ import annotations

import functools
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import quickfix as fix

from tools.bench.config import EMS_COMP_ID, GATEWAY_COMP_ID, VENUE_COMP_ID
from tools.bench.wire_kernels import POLLFD, relay

LOOPBACK = "127.0.0.1"
BUFFER_BYTES = 65_536
ACCEPT_TIMEOUT_S = 60.0
RAW, QUICKFIX_MEMORY, QUICKFIX_FILE = "raw", "quickfix-memory", "quickfix-file"
QUICKFIX_CPP_MEMORY, QUICKFIX_CPP_FILE = "quickfix-cpp-memory", "quickfix-cpp-file"
CPP_SOURCE = Path(__file__).with_name("quickfix_relay.cpp")
CPP_HEADER = Path("/usr/include/quickfix/Application.h")

_built: list[Any] = []  # the folder of the C++ relay; it goes with the process


def can_build_cpp() -> bool:
    """Whether g++ and Debian's libquickfix-dev are here."""
    return shutil.which("g++") is not None and CPP_HEADER.exists()


@functools.cache
def cpp_relay() -> Path:
    """The C++ relay, compiled."""
    _built.append(tempfile.TemporaryDirectory(prefix="tidegate-bench-cpp-"))
    path = Path(_built[0].name) / "quickfix_relay"
    command = ["g++", "-O2", "-std=c++14", "-w", "-o", str(path), str(CPP_SOURCE), "-lquickfix", "-lpthread"]
    subprocess.run(command, check=True)
    return path


def run_raw(ems_port: int, venue_port: int, folder: Path) -> None:
    """Relay bytes, unread."""
    with socket.create_server((LOOPBACK, ems_port)) as listener:
        listener.settimeout(ACCEPT_TIMEOUT_S)
        with socket.create_connection((LOOPBACK, venue_port)) as venue, listener.accept()[0] as ems:
            polls = np.zeros(2, POLLFD)
            for row, side in zip(polls, (ems, venue), strict=True):
                side.setblocking(True)
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                row["fd"], row["events"] = side.fileno(), select.POLLIN
            relay(polls, np.zeros(BUFFER_BYTES, np.uint8))


class _Relay(fix.Application):
    """Sends every application message of one session to the other, in the callback."""

    def __init__(self, ems: fix.SessionID, venue: fix.SessionID) -> None:
        super().__init__()
        self._other = {ems.toString(): venue, venue.toString(): ems}

    def onCreate(self, session_id: fix.SessionID) -> None:
        pass

    def onLogon(self, session_id: fix.SessionID) -> None:
        pass

    def onLogout(self, session_id: fix.SessionID) -> None:
        pass

    def toAdmin(self, message: fix.Message, session_id: fix.SessionID) -> None:
        pass

    def fromAdmin(self, message: fix.Message, session_id: fix.SessionID) -> None:
        pass

    def toApp(self, message: fix.Message, session_id: fix.SessionID) -> None:
        pass

    def fromApp(self, message: fix.Message, session_id: fix.SessionID) -> None:
        fix.Session.sendToTarget(fix.Message(message), self._other[session_id.toString()])


def _settings(session: fix.SessionID, keys: dict[str, str], folder: Path) -> fix.SessionSettings:
    common = {"HeartBtInt": "30", "ResetOnLogon": "Y", "NonStopSession": "Y", "UseDataDictionary": "N"}
    common |= {"SocketNodelay": "Y", "FileStorePath": str(folder)}
    dictionary = fix.Dictionary()
    for key, value in (common | keys).items():
        dictionary.setString(key, value)
    defaults = fix.Dictionary()
    defaults.setString("SocketNodelay", "Y")  # an initiator reads it from the defaults only
    settings = fix.SessionSettings()
    settings.set(defaults)
    settings.set(session, dictionary)
    return settings


def run_quickfix(ems_port: int, venue_port: int, folder: Path, store: Callable[[], fix.MessageStoreFactory]) -> None:
    """Relay messages between two QuickFIX sessions, unchecked."""
    ems = fix.SessionID("FIX.4.4", GATEWAY_COMP_ID, EMS_COMP_ID)
    venue = fix.SessionID("FIX.4.4", GATEWAY_COMP_ID, VENUE_COMP_ID)
    application = _Relay(ems, venue)
    accept = {"ConnectionType": "acceptor", "SocketAcceptPort": str(ems_port), "SocketReuseAddress": "Y"}
    connect = {"ConnectionType": "initiator", "SocketConnectHost": LOOPBACK, "SocketConnectPort": str(venue_port)}
    ems_settings, venue_settings = (
        _settings(ems, accept, folder),
        _settings(venue, connect | {"ReconnectInterval": "1"}, folder),
    )
    stores = store(), store()  # QuickFIX keeps references only
    acceptor = fix.SocketAcceptor(application, stores[0], ems_settings)
    initiator = fix.SocketInitiator(application, stores[1], venue_settings)
    acceptor.start()
    initiator.start()
    sys.stdin.read()
    initiator.stop(True)
    acceptor.stop(True)


def main(kind: str, ems_port: int, venue_port: int, folder: Path) -> None:
    """Run one relay until it is told to end."""
    if kind == RAW:
        run_raw(ems_port, venue_port, folder)
    elif kind == QUICKFIX_MEMORY:
        run_quickfix(ems_port, venue_port, folder, fix.MemoryStoreFactory)
    elif kind == QUICKFIX_FILE:
        run_quickfix(ems_port, venue_port, folder, lambda: fix.FileStoreFactory(str(folder)))
    else:
        raise SystemExit(f"relay: want one of {RAW}, {QUICKFIX_MEMORY}, {QUICKFIX_FILE}, got {kind}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
