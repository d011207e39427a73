"""Who may connect to a listening port.

QuickFIX listens on every address of the machine, whatever `listen` says, and does not tell who connects. So this looks
at the process's own sockets: a connection that came from elsewhere than `allow`, or to another address than `listen`,
is shut down and what it has sent is thrown away, before QuickFIX reads it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import stat
import threading
import time
from pathlib import Path

import structlog

from gateway.config import SessionSection
from gateway.settings import ConfigError

TOLD_EVERY_S = 1.0
LATELY_S = 10.0  # a peer sends its Logon soon after it has connected
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
        self._lock = threading.Lock()
        self._told_s = -TOLD_EVERY_S
        self._untold = 0

    def check(self) -> bool:
        """Cut every new connection that must not be there; whether there was any."""
        with self._lock:
            found = [address for address in self._look() if address is not None]
        for address in found:
            self._tell(address)
        return bool(found)

    def newcomers(self) -> set[str]:
        """Addresses of peers that have connected lately: QuickFIX does not tell which of them has sent a Logon."""
        with self._lock:
            since_s = time.monotonic() - LATELY_S
            return {address for address, arrived_s in self._arrived.values() if arrived_s > since_s}

    def _look(self) -> list[str | None]:
        """Look at the sockets that are new: the address of each that was cut, None for the others."""
        present = set()
        verdicts = []
        for name in os.listdir(DESCRIPTORS):
            try:
                status = os.fstat(int(name))
                if not stat.S_ISSOCK(status.st_mode):
                    continue
                present.add(status.st_ino)
                if status.st_ino in self._judged:
                    continue
                copy = os.dup(int(name))
            except OSError:
                continue  # closed meanwhile
            present.add(os.fstat(copy).st_ino)  # the number may have been taken by another one meanwhile
            with socket.socket(fileno=copy) as connection:
                verdicts.append(self._judge(connection))
        self._judged = present
        self._arrived = {inode: at for inode, at in self._arrived.items() if inode in present}
        return verdicts

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
                if not self._networks or any(address in network for network in self._networks):
                    self._arrived[os.fstat(connection.fileno()).st_ino] = address.compressed, time.monotonic()
                    return None
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        # What had arrived before the shutdown could be read still, and be a Logon.
        with contextlib.suppress(OSError):
            while connection.recv(65536, socket.MSG_DONTWAIT):
                pass
        return str(peer)

    def _tell(self, address: str) -> None:
        if time.monotonic() - self._told_s < TOLD_EVERY_S:
            self._untold += 1
            return
        log.warning("connection refused", listen=self._listen, address=address, others_untold=self._untold)
        self._told_s, self._untold = time.monotonic(), 0


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(text.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address
