"""Who is connected to: addresses of venues, connections to them, handshakes."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from gateway.config.sections import SessionSection
from gateway.engine.native.connection import Connection
from gateway.engine.native.tls import TlsContext, TlsError
from gateway.engine.native.venue import VenueLink
from gateway.machine import unpin


class Attempt:
    """A connection to a venue that is not of use yet."""

    def __init__(self, row: int, sock: socket.socket) -> None:
        """Of the session in a row of the config."""
        self.connection = Connection(sock, row)
        self.row = row
        self.shaking: Future[bool] | None = None
        """What a thread makes of the handshake."""


class Dialer:
    """Of the core's thread; a thread for each venue does what takes long."""

    def __init__(
        self, sections: list[SessionSection], selector: selectors.BaseSelector, wake: Callable[[], None]
    ) -> None:
        """Sessions of the config; `wake` is called, by any thread, when `connected` has something to do. Raises
        ConfigError where TLS cannot be had.
        """
        venues = {row: section for row, section in enumerate(sections) if section.role == "initiator"}
        self.links = {row: VenueLink(section) for row, section in venues.items()}
        """How the connection to each venue stands, by row."""
        self._contexts = {row: TlsContext(section) for row, section in venues.items() if section.tls}
        self._selector = selector
        self._wake = wake
        self._threads = ThreadPoolExecutor(len(venues) or 1, "dialer", unpin)
        self._looking_up: dict[int, Future[list[tuple[Any, ...]]]] = {}
        self._attempts: dict[int, Attempt] = {}

    def dial(self, row: int) -> None:
        """Connect to a venue, unless that is under way or not due. To find the address of its host may take long."""
        link = self.links[row]
        if row in self._looking_up or row in self._attempts or not link.is_due():
            return
        link.note_attempt()
        host, _, port = link.address.rpartition(":")
        future = self._threads.submit(socket.getaddrinfo, host, int(port), type=socket.SOCK_STREAM)
        self._looking_up[row] = future
        future.add_done_callback(lambda _: self._wake())

    def connected(self) -> list[Connection]:
        """Go on with what threads have found; connections that are of use now, which nobody waits for any more."""
        for row, looked_up in [each for each in self._looking_up.items() if each[1].done()]:
            del self._looking_up[row]
            try:
                self._connect(row, *looked_up.result()[0])
            except (OSError, UnicodeError) as error:  # UnicodeError: of a host that can be no name
                self.links[row].note_failure(getattr(error, "strerror", None) or str(error))
        shaken = [attempt for attempt in self._attempts.values() if attempt.shaking and attempt.shaking.done()]
        return [attempt.connection for attempt in shaken if self._go_on(attempt)]

    def hear(self, attempt: Attempt) -> Connection | None:
        """The socket of an attempt has something: its connection, if it is of use now."""
        self._selector.unregister(attempt.connection.socket)
        if attempt.connection.tls is not None:
            self._shake(attempt)
            return None
        if attempt.connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._give_up(attempt, "the venue refuses the connection, or closes it at once")
            return None
        if attempt.row in self._contexts:
            attempt.connection.tls = self._contexts[attempt.row].secure(
                attempt.connection.socket, self.links[attempt.row].address.rpartition(":")[0]
            )
            self._shake(attempt)
            return None
        del self._attempts[attempt.row]
        return attempt.connection

    def tick(self) -> None:
        """Give up what takes too long."""
        for attempt in list(self._attempts.values()):
            if attempt.shaking is None and self.links[attempt.row].is_slow():
                self._selector.unregister(attempt.connection.socket)
                self._give_up(attempt, "")

    def _connect(self, row: int, family: int, kind: int, protocol: int, _: str, address: tuple[Any, ...]) -> None:
        sock = socket.socket(family, kind | socket.SOCK_CLOEXEC, protocol)
        sock.setblocking(False)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect(address)
        except BlockingIOError:
            pass
        except OSError:
            sock.close()
            raise
        attempt = Attempt(row, sock)
        self._attempts[row] = attempt
        self._selector.register(sock, selectors.EVENT_WRITE, attempt)

    def _shake(self, attempt: Attempt) -> None:
        """Have a thread go on with the handshake."""
        assert attempt.connection.tls is not None
        attempt.shaking = self._threads.submit(attempt.connection.tls.shake)
        attempt.shaking.add_done_callback(lambda _: self._wake())

    def _go_on(self, attempt: Attempt) -> bool:
        """A thread has done its part of a handshake: whether that is complete."""
        tls, shaking = attempt.connection.tls, attempt.shaking
        assert tls is not None and shaking is not None
        attempt.shaking = None
        try:
            if shaking.result():
                del self._attempts[attempt.row]
                return True
        except TlsError as error:
            self._give_up(attempt, f"TLS: {error}")
            return False
        wants = selectors.EVENT_WRITE if tls.wants_to_write else selectors.EVENT_READ
        self._selector.register(attempt.connection.socket, wants, attempt)
        return False

    def _give_up(self, attempt: Attempt, why: str) -> None:
        del self._attempts[attempt.row]
        attempt.connection.close()
        if why:
            self.links[attempt.row].note_failure(why)
        self.links[attempt.row].note_closed()
