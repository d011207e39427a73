"""Who may connect to a listening port.

QuickFIX listens on every address of the machine, whatever `listen` says, and does not tell who connects. So this looks
at the process's own sockets: a connection that came from elsewhere than `allow`, or to another address than `listen`,
is shut down and what it has sent is thrown away, before QuickFIX reads it.

QuickFIX also waits for ever for the Logon of a connection, keeps whatever comes until then, and lets nobody else log on
to that session; one whose first message does not end holds up everybody else. What is not answered soon, or sends more
than a Logon can be, is cut, and so is every new one while many wait.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from gateway.config.files import ConfigError
from gateway.config.sections import SessionSection
from gateway.engine.engine import ANSWER_WAIT_S, LOGON_WAIT_S, MOST_WAITING, TOLD_EVERY_S

LATELY_S = 10.0  # a peer sends its Logon soon after it has connected
WATCH_S = 0.01  # how often those that wait are looked at
MOST_BEFORE_LOGON = 65_536  # bytes, with what the machine has received and QuickFIX has not read
# struct tcp_info (linux/tcp.h): tcpi_state, tcpi_retransmits, tcpi_bytes_acked, tcpi_bytes_received.
TCP_INFO_BYTES, STATE, RETRANSMITS, ACKED, RECEIVED = 192, 0, 2, 120, 128
SYN_SENT, CLOSED = 2, 7
MOST_RETRANSMITS = 3  # of a SYN; Linux sends the third 3 to 7 s after the first
DESCRIPTORS = Path("/proc/self/fd")

log = structlog.get_logger()


def require_ports(sections: list[SessionSection]) -> None:
    """Raise ConfigError when a port to listen on cannot be had: QuickFIX finds out in a run that has begun."""
    for listen, name in {section.listen: section.id for section in sections if section.listen is not None}.items():
        try:
            with socket.create_server(("", int(listen.rpartition(":")[2]))):
                pass
        except OSError as error:
            raise ConfigError(f"session {name}: listen: {listen}: {error.strerror}") from error


class Doorkeeper:
    """Watches the connections of one listening address; any thread may call it."""

    def __init__(self, sections: list[SessionSection]) -> None:
        """`sections` share the address; raises ConfigError when they differ in `allow`, or their host is not known."""
        first = sections[0]
        for section in sections[1:]:
            if set(section.allow) != set(first.allow):
                raise ConfigError(
                    f"sessions {first.id} and {section.id}: listen: both are {first.listen}, but `allow` differs: "
                    "want the same networks, or another port"
                )
        self._listen = first.listen or ""
        host, _, port = self._listen.rpartition(":")
        self._port = int(port)
        try:
            hosts = {str(info[4][0]) for info in socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)}
        except OSError as error:
            raise ConfigError(f"session {first.id}: listen: {host}: want an IPv4 address or a name of one") from error
        self._hosts = None if "0.0.0.0" in hosts else hosts
        self._networks = [ipaddress.ip_network(network) for network in first.allow]
        self._judged: set[int] = set()  # inodes of the sockets that were looked at
        self._arrived: dict[int, tuple[str, float]] = {}  # address and time of those that may stay, by inode
        self._silent: dict[int, float] = {}  # those to which nothing has been sent, since when they may, by inode
        self._some_wait = threading.Event()
        self._has_tls = first.tls is not None
        self._lock = threading.Lock()
        self._told_s = -TOLD_EVERY_S
        self._untold = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def check(self) -> bool:
        """Cut every new connection that must not be there; whether there was any, or nobody can say."""
        try:
            with self._lock:
                found = [address for address in self._look() if address is not None]
        except OSError as error:
            log.error("connections cannot be looked at", listen=self._listen, why=str(error))
            return True
        for address in found:
            self._tell(address)
        return bool(found)

    def _watch(self) -> None:
        """Look after those that wait: what they send until then fills the memory."""
        while True:
            self._some_wait.wait()
            time.sleep(WATCH_S)
            self.check()

    def newcomers(self) -> set[str]:
        """Addresses of peers that have connected lately: QuickFIX does not tell which of them has sent a Logon."""
        with self._lock:
            since_s = time.monotonic() - LATELY_S
            return {address for address, arrived_s in self._arrived.values() if arrived_s > since_s}

    def _look(self) -> list[str | None]:
        """Look at the sockets that are new: the address of each that was cut, None for the others."""
        present = set()
        verdicts = []
        for inode, connection in _sockets(lambda inode: inode not in self._judged or inode in self._silent):
            present.add(inode)
            if connection is not None:
                with connection:
                    verdicts.append(self._judge(connection) if inode not in self._judged else self._wait(connection))
        self._judged = present
        self._arrived = {inode: at for inode, at in self._arrived.items() if inode in present}
        self._silent = {inode: at for inode, at in self._silent.items() if inode in present}
        if self._silent:
            self._some_wait.set()
        else:
            self._some_wait.clear()
        return verdicts

    def _wait(self, connection: socket.socket) -> str | None:
        """The peer's address when the connection had to be cut, as it says too much, or nothing, instead of a Logon."""
        inode = os.fstat(connection.fileno()).st_ino
        address, _ = self._arrived.get(inode, ("", 0.0))
        try:
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
        except OSError:
            return None
        acked, received = (int.from_bytes(info[at : at + 8], sys.byteorder) for at in (ACKED, RECEIVED))
        if acked:
            del self._silent[inode]
            return None
        if received and self._silent[inode] > time.monotonic() + ANSWER_WAIT_S:
            self._silent[inode] = time.monotonic() + ANSWER_WAIT_S
        if received <= MOST_BEFORE_LOGON and time.monotonic() <= self._silent[inode]:
            return None
        del self._silent[inode]
        _cut(connection)
        return address

    def _judge(self, connection: socket.socket) -> str | None:
        """The peer's address when the connection had to be cut."""
        if connection.family not in (socket.AF_INET, socket.AF_INET6):
            return None
        local = connection.getsockname()
        if local[1] != self._port or connection.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return None
        try:
            peer = connection.getpeername()[0]
        except OSError:
            peer = "gone already"  # who it was cannot be told any more
        else:
            if self._hosts is None or _address(local[0]).compressed in self._hosts:
                address = _address(peer)
                known = not self._networks or any(address in network for network in self._networks)
                if known and self._may_wait(os.fstat(connection.fileno()).st_ino, address.compressed):
                    return None
        _cut(connection)
        return str(peer)

    def _may_wait(self, inode: int, address: str) -> bool:
        """Whether one more connection may wait for its Logon; over TLS a handshake sends something before any."""
        if len(self._silent) >= MOST_WAITING:
            return False
        self._arrived[inode] = address, time.monotonic()
        if not self._has_tls:
            self._silent[inode] = time.monotonic() + LOGON_WAIT_S
        return True

    def _tell(self, address: str) -> None:
        if time.monotonic() - self._told_s < TOLD_EVERY_S:
            self._untold += 1
            return
        log.warning("connection refused", listen=self._listen, address=address, others_untold=self._untold)
        self._told_s, self._untold = time.monotonic(), 0


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(text.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


def _sockets(wanted: Callable[[int], bool]) -> Iterator[tuple[int, socket.socket | None]]:
    """Inodes of the process's own sockets, each with a copy of the socket where it is wanted."""
    for name in os.listdir(DESCRIPTORS):
        try:
            status = os.fstat(int(name))
            if not stat.S_ISSOCK(status.st_mode):
                continue
            if not wanted(status.st_ino):
                yield status.st_ino, None
                continue
            copy = os.dup(int(name))
        except OSError:
            continue  # closed meanwhile
        yield os.fstat(copy).st_ino, socket.socket(fileno=copy)  # the number may have been taken by another one


def _cut(connection: socket.socket) -> None:
    """Shut a connection down before QuickFIX reads more of it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    # What had arrived before the shutdown could be read still, and be a Logon.
    with contextlib.suppress(OSError):
        while connection.recv(65536, socket.MSG_DONTWAIT):
            pass


def is_listening(address: str) -> bool:
    """Whether a socket of this process listens on the port of host:port."""
    port = int(address.rpartition(":")[2])
    for _, connection in _sockets(lambda _: True):
        assert connection is not None
        with connection:
            listens = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if listens and connection.family != socket.AF_UNIX and connection.getsockname()[1] == port:
                return True
    return False


def cut_connecting() -> bool:
    """End this process's attempts to connect that have waited for long, for minutes if they were left alone, so that
    others follow. Returns whether any attempt was found, or cannot be ruled out; a host's name may still be looked up.

    It goes by the sockets alone: the name may by now stand for another address than the one that is tried.
    """
    found = False
    try:
        for _, connection in _sockets(lambda _: True):
            assert connection is not None
            with connection, contextlib.suppress(OSError):  # no TCP, or closed meanwhile
                info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
                found = found or info[STATE] in (SYN_SENT, CLOSED)
                if info[STATE] == SYN_SENT and info[RETRANSMITS] >= MOST_RETRANSMITS:
                    _cut(connection)
    except OSError as error:
        log.warning("attempts to connect cannot be looked at", why=str(error))
        return True
    return found
