"""Who connects, before it is known whose connection it is: what the sockets and OpenSSL can do to the door."""

from __future__ import annotations

import selectors
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.config.sections import SessionSection
from gateway.engine.native.door import Door, Stranger
from gateway.engine.native.tls import TlsContext
from tests.support.certificates import Authority
from tests.support.engines import acceptor, logon
from tidegate_tools.sim.quickfix_peer import free_port


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
        ours.setblocking(False)
        with theirs, ours:
            yield ours, theirs


class Tap:
    """Python's TLS over memory, so that a test decides which bytes go out."""

    def __init__(self, ca: str) -> None:
        context = ssl.create_default_context(cafile=ca)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")


def test_half_a_record_behind_a_whole_one_is_waited_for_and_does_not_spin(
    tmp_path: Path, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    authority = Authority(tmp_path)
    section = SessionSection.model_validate(acceptor(1, tls=authority.sign()))
    stranger = Stranger(ours, "127.0.0.1", "127.0.0.1:1", TlsContext(section).secure(ours))
    assert stranger.tls is not None
    tap = Tap(authority.ca)
    theirs.settimeout(5)
    done = False
    while not done:
        try:
            tap.tls.do_handshake()
            done = True
        except ssl.SSLWantReadError:
            pass
        theirs.sendall(tap.outgoing.read())
        if not stranger.tls.shake() or not done:
            tap.incoming.write(theirs.recv(65536))
    first = logon()
    tap.tls.write(first)
    whole = tap.outgoing.read()
    tap.tls.write(first)
    more = tap.outgoing.read()
    theirs.sendall(whole + more[:-7])
    selectors.DefaultSelector().register(ours, selectors.EVENT_READ)
    read = threading.Event()
    found = []

    def look() -> None:
        while not stranger.first_message():
            found.append(stranger.read())
        read.set()

    threading.Thread(target=look, daemon=True).start()
    assert read.wait(10), "it never comes back"
    message = stranger.first_message()
    assert message is not None and message[0] == first
    stranger.close()


def test_a_stranger_that_was_dropped_is_not_heard(pair: tuple[socket.socket, socket.socket]) -> None:
    """The wait may tell of one, and of the newcomer for whom it is dropped, at once."""
    ours, theirs = pair
    selector = selectors.DefaultSelector()
    listen = f"127.0.0.1:{free_port()}"
    section = SessionSection.model_validate(acceptor(1) | {"listen": listen})
    door = Door([section], {}, {}, selector, lambda _: "", lambda: None)
    stranger = Stranger(ours, "127.0.0.1", listen, None)
    door._strangers.add(stranger)
    selector.register(ours, selectors.EVENT_READ, stranger)
    theirs.sendall(b"x")
    door._drop(stranger)
    assert door.hear(stranger) is None
