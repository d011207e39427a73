"""Who connects: listening addresses, connections that have not said yet whose they are, their handshakes and Logons."""

from __future__ import annotations

import os
import selectors
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

import numpy as np
import structlog

from gateway.config.sections import SessionSection
from gateway.engine.credentials import Verifier
from gateway.engine.engine import ANSWER_WAIT_S, LOGON_WAIT_S, MOST_WAITING, TOLD_EVERY_S, StartError
from gateway.engine.native.layout import MAX_FDS, READ_BYTES
from gateway.engine.native.tls import TlsConnection, TlsContext, TlsError
from gateway.engine.native.wire import find_frame
from gateway.fix.session.frames import FRAME, MORE
from gateway.machine import unpin

MOST_BEFORE_LOGON = 8_192  # bytes
BACKLOG = 128
SOH = b"\x01"

log = structlog.get_logger()


def field_of(message: bytes, tag: bytes) -> bytes:
    """Value of the first field with a tag; empty when there is none."""
    return message.partition(SOH + tag + b"=")[2].partition(SOH)[0]


class Stranger:
    """A connection that has not said yet which session it is of."""

    def __init__(self, sock: socket.socket, address: str, listen: str, tls: TlsConnection | None) -> None:
        """`address` is the peer's, `listen` ours."""
        self.socket = sock
        self.tls = tls
        self.shakes = tls is not None
        """Whether the handshake is not complete yet."""
        self.address = address
        self.listen = listen
        self.opened_s = time.monotonic()
        self._first_byte_s: float | None = None
        self._data = b""

    def read(self) -> bool:
        """Take what has come; False when the connection is gone."""
        data = self._read()
        more = data
        # OpenSSL may have read what no wait would tell of again; half a record counts as pending and gives nothing.
        while data and more and self.tls is not None and self.tls.has_pending and len(data) < READ_BYTES:
            more = self._read()
            data += more or b""
        if data is None:
            return True
        self.note_byte()
        self._data += data
        return bool(data)

    def _read(self) -> bytes | None:
        """None: nothing has come; empty: the connection is gone."""
        if self.tls is not None:
            return self.tls.read(READ_BYTES)
        try:
            return self.socket.recv(MOST_BEFORE_LOGON)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def note_byte(self) -> None:
        """Something has come."""
        if self._first_byte_s is None:
            self._first_byte_s = time.monotonic()

    def note_secure(self) -> None:
        """The handshake is complete."""
        self.shakes = False
        self._first_byte_s = None

    def close(self) -> None:
        """Close the connection."""
        if self.tls is not None:
            self.tls.close()
        self.socket.close()

    def first_message(self) -> tuple[bytes, bytes] | None:
        """The first message and what came behind it; None when it is not whole yet. Raises ValueError when what came
        is no message.
        """
        if not self._data:
            return None
        buf = np.frombuffer(self._data, np.uint8)
        what, begin, after = find_frame(buf, 0, buf.size)
        if what == FRAME:
            return self._data[begin:after], self._data[after:]
        if what != MORE or buf.size >= MOST_BEFORE_LOGON:
            raise ValueError("not a FIX message")
        return None

    def is_late(self) -> bool:
        """Whether it has taken too long to log on."""
        now_s = time.monotonic()
        if self._first_byte_s is not None and now_s - self._first_byte_s > ANSWER_WAIT_S:
            return True
        return now_s - self.opened_s > LOGON_WAIT_S


@dataclass(frozen=True, slots=True)
class Admitted:
    """A connection whose Logon names a session and may do so; `rest` came behind the Logon."""

    socket: socket.socket
    tls: TlsConnection | None
    row: int
    logon: bytes
    rest: bytes


class Door:
    """Of the core's thread; passwords and handshakes have a thread each, since they take long."""

    def __init__(
        self,
        sections: list[SessionSection],
        verifiers: dict[int, Verifier],
        contexts: dict[str, TlsContext],
        selector: selectors.BaseSelector,
        why_not: Callable[[int], str],
        wake: Callable[[], None],
    ) -> None:
        """Sessions of the config; verifiers by row; TLS by address; `why_not` says why a session may not log on now;
        `wake` is called, by any thread, when `checked` has something.
        """
        self._sections = sections
        self._verifiers = verifiers
        self._contexts = contexts
        self._selector = selector
        self._why_not = why_not
        self._wake = wake
        self._strangers: set[Stranger] = set()
        self._checker = ThreadPoolExecutor(1, "passwords", unpin)
        self._checking: dict[Stranger, tuple[Admitted, Future[str]]] = {}
        self._shaker = ThreadPoolExecutor(1, "handshakes", unpin)
        self._shaking: dict[Stranger, Future[bool]] = {}
        self._listeners: list[socket.socket] = []
        self._told_s = 0.0

    def listen(self) -> None:
        """Listen at each address; raises StartError when a port cannot be used."""
        for listen in dict.fromkeys(section.listen for section in self._sections if section.listen is not None):
            host, _, port = listen.rpartition(":")
            try:
                listener = socket.create_server((host, int(port)), backlog=BACKLOG)
            except OSError as error:
                code = error.errno or 0  # of a name that cannot be resolved below zero
                why = os.strerror(code) if code > 0 else error.strerror
                names = [section.id for section in self._sections if section.listen == listen]
                raise StartError(f"session {names[0]}: listen: {listen}: {why}") from error
            listener.setblocking(False)
            self._listeners.append(listener)
            self._selector.register(listener, selectors.EVENT_READ, listen)

    def accept(self, listener: socket.socket, listen: str) -> None:
        """Take a connection from a listening socket, unless its address may not connect."""
        try:
            sock, (host, _) = listener.accept()
        except OSError as error:
            log.warning("a connection could not be taken", listen=listen, why=error.strerror)
            return
        allow = next(section.allow for section in self._sections if section.listen == listen)
        known = not allow or any(ip_address(host) in ip_network(network) for network in allow)
        idle = self._idle()
        if len(self._strangers) >= MOST_WAITING and idle:
            oldest = min(idle, key=lambda each: each.opened_s)
            self._tell_refused(listen, oldest.address)
            self._drop(oldest)
        if not known or sock.fileno() >= MAX_FDS or len(self._strangers) >= MOST_WAITING:
            self._tell_refused(listen, host)
            sock.close()
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        context = self._contexts.get(listen)
        stranger = Stranger(sock, host, listen, None if context is None else context.secure(sock))
        self._strangers.add(stranger)
        self._selector.register(sock, selectors.EVENT_READ, stranger)

    def hear(self, stranger: Stranger) -> Admitted | None:
        """Something has come from a stranger: who it is, once that is known. One that may not log on is closed."""
        if stranger not in self._strangers:
            return None  # dropped since the wait told of it
        if stranger.shakes:
            self._shake(stranger)
            return None
        try:
            found = stranger.first_message() if stranger.read() else (b"", b"")
        except ValueError:
            found = b"", b""
        if found is None:
            return None
        row = self._row_of(stranger, found[0])
        if row is None:
            self._drop(stranger)
            return None
        admitted = Admitted(stranger.socket, stranger.tls, row, *found)
        if row in self._verifiers:
            self._selector.unregister(stranger.socket)
            future = self._checker.submit(self._verifiers[row].fault, found[0], {stranger.address})
            self._checking[stranger] = admitted, future
            future.add_done_callback(lambda _: self._wake())
            return None
        return self._take(stranger, admitted)

    def checked(self) -> list[Admitted]:
        """Those of whom a thread has found that they may log on: handshakes are complete, passwords right."""
        taken = self._shaken()
        done = [(stranger, *found) for stranger, found in self._checking.items() if found[1].done()]
        for stranger, admitted, future in done:
            del self._checking[stranger]
            self._selector.register(stranger.socket, selectors.EVENT_READ, stranger)
            why = future.result() or self._why_not(admitted.row)
            if why:
                self._refuse(admitted.row, stranger.address, why)
                self._drop(stranger)
            else:
                taken.append(self._take(stranger, admitted))
        return taken

    def tick(self) -> None:
        """Close connections that take too long to log on."""
        for stranger in [each for each in self._idle() if each.is_late()]:
            self._drop(stranger)

    def _idle(self) -> set[Stranger]:
        """Those that no thread is busy with."""
        return self._strangers - self._checking.keys() - self._shaking.keys()

    def _shake(self, stranger: Stranger) -> None:
        """Have a thread go on with a handshake."""
        assert stranger.tls is not None
        stranger.note_byte()
        self._selector.unregister(stranger.socket)
        future = self._shaker.submit(stranger.tls.shake)
        self._shaking[stranger] = future
        future.add_done_callback(lambda _: self._wake())

    def _shaken(self) -> list[Admitted]:
        """Go on with those whose handshake has come further."""
        taken = []
        for stranger, future in [each for each in self._shaking.items() if each[1].done()]:
            del self._shaking[stranger]
            assert stranger.tls is not None
            wants = selectors.EVENT_WRITE if stranger.tls.wants_to_write else selectors.EVENT_READ
            self._selector.register(stranger.socket, wants, stranger)
            try:
                complete = future.result()
            except TlsError as error:
                log.warning("logon refused", address=stranger.address, listen=stranger.listen, why=f"TLS: {error}")
                self._drop(stranger)
                continue
            if complete:
                stranger.note_secure()
                admitted = self.hear(stranger) if stranger.tls.has_pending else None
                if admitted is not None:
                    taken.append(admitted)
        return taken

    def _take(self, stranger: Stranger, admitted: Admitted) -> Admitted:
        self._strangers.discard(stranger)
        self._selector.unregister(stranger.socket)
        return admitted

    def _row_of(self, stranger: Stranger, logon: bytes) -> int | None:
        """The session of the address that a first message logs on to; None where it may not."""
        if field_of(logon, b"35") != b"A":
            return None
        named = (logon[2:].partition(SOH)[0], field_of(logon, b"49"), field_of(logon, b"56"))
        for row, section in enumerate(self._sections):
            ours = (section.begin_string, section.target_comp_id, section.sender_comp_id)
            if section.listen == stranger.listen and tuple(each.encode() for each in ours) == named:
                why = self._why_not(row)
                if why:
                    self._refuse(row, stranger.address, why)
                return None if why else row
        begin_string, sender, target = (each.decode("latin-1") for each in named)
        came = f"BeginString(8) {begin_string}, SenderCompID(49) {sender}, TargetCompID(56) {target}"
        why = f"no session of these CompIDs and BeginString: {came}"
        log.warning("logon refused", address=stranger.address, listen=stranger.listen, why=why)
        return None

    def _refuse(self, row: int, address: str, why: str) -> None:
        log.warning("logon refused", session=self._sections[row].id, address=address, why=why)

    def _drop(self, stranger: Stranger) -> None:
        self._strangers.discard(stranger)
        self._selector.unregister(stranger.socket)
        stranger.close()

    def _tell_refused(self, listen: str, address: str) -> None:
        if time.monotonic() - self._told_s >= TOLD_EVERY_S:
            self._told_s = time.monotonic()
            log.warning("connection refused", listen=listen, address=address)
