"""Venues whose initiator is made anew, or should be: when that cannot be done, and when a connection is never made."""

from __future__ import annotations

import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from gateway.core import events as ev
from gateway.engine.quickfix.peers import cut_connecting
from tests.support.engines import Engine, initiator
from tests.support.raw_venue import LOGS_OUT, TRADES, RawVenue
from tidegate_tools.fix.text import first

UNDELIVERED = str(ev.UNDELIVERED)
ORDER = b"11=C1-0\x0121=1\x0138=100\x0140=2\x0144=100\x0154=1\x0155=AAPL\x0160=20260711-12:00:00\x01"
QUERY = b"11=C1-0\x0154=1\x0155=AAPL\x01"


@contextmanager
def no_descriptors(engine: Engine) -> Iterator[None]:
    """The engine's process can open nothing."""
    soft, hard = resource.prlimit(engine.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(engine.pid, resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.prlimit(engine.pid, resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def no_dictionary(engine: Engine) -> Iterator[None]:
    """QuickFIX's dictionary is away, which it loads for each session."""
    path = engine.folder / "wide-FIX44.xml"
    path.rename(path.with_suffix(".away"))
    try:
        yield
    finally:
        path.with_suffix(".away").rename(path)


@contextmanager
def no_store(engine: Engine) -> Iterator[None]:
    """A file of the store is away: QuickFIX would begin its numbers at 1."""
    (path,) = (engine.folder / "store").glob("*.seqnums")
    path.rename(path.with_suffix(".away"))
    try:
        yield
    finally:
        path.with_suffix(".away").rename(path)


@pytest.mark.parametrize("trouble", [no_descriptors, no_dictionary, no_store])
def test_a_venue_comes_back_once_its_session_can_be_made(
    tmp_path: Path, trouble: Callable[[Engine], AbstractContextManager[None]]
) -> None:
    """One alert says that it cannot be; what should go out meanwhile did not, and the numbers go on."""
    section = {"sender_comp_id": "GW", "target_comp_id": "XRAW"}
    with RawVenue("XRAW") as venue, Engine(tmp_path, initiator(venue.port, **section)) as engine:
        engine.wait("LOGON")
        with trouble(engine):
            venue.behave(LOGS_OUT)
            assert b"cannot be made" in engine.wait("alert")[2]
            venue.behave(TRADES)
            engine.send(0, "D", ORDER)
            assert b"11=C1-0" in engine.wait(UNDELIVERED)[2]
            engine.send(0, "H", QUERY)
            time.sleep(5)  # in which it is tried again, and looked after
        engine.wait("LOGON", count=2)
        engine.send(0, "D", ORDER)
        order = venue.wait_for(lambda: venue.got("D"), what="an order")[0]
        last_logon = venue.got("A")[-1]
        assert 1 < int(first(last_logon, 34)) < int(first(order, 34))
        assert not venue.got("H")
        assert sum(name == "alert" for _, name, _ in engine.seen) == 1


def test_a_venue_comes_back_where_no_socket_could_be_made(tmp_path: Path) -> None:
    """QuickFIX waits for the one that it did not get, for ever."""
    section = {"sender_comp_id": "GW", "target_comp_id": "XRAW"}
    with RawVenue("XRAW") as venue, Engine(tmp_path, initiator(venue.port, **section)) as engine:
        engine.wait("LOGON")
        with no_descriptors(engine):
            venue.drop()
            engine.wait("LOGOUT")
            time.sleep(3)
        engine.wait("LOGON", count=2, timeout_s=40)


def is_over(connection: socket.socket) -> bool:
    """Whether an attempt to connect has ended."""
    poll = select.poll()
    poll.register(connection, select.POLLOUT)
    return bool(poll.poll(0))


def test_an_attempt_that_waits_is_cut_whatever_its_venue_is_called_by_now() -> None:
    """One that has begun just now is not, and both are known to be under way."""
    with socket.socket() as listener, socket.socket() as first_in_line, socket.socket() as old, socket.socket() as new:
        listener.bind(("127.0.0.2", 0))  # no name stands for it
        listener.listen(0)
        for connection in (first_in_line, old):
            connection.setblocking(False)
            connection.connect_ex(listener.getsockname())
        time.sleep(8)
        new.setblocking(False)
        new.connect_ex(listener.getsockname())
        assert not is_over(old)
        assert cut_connecting()
        assert is_over(old) and not is_over(new)
    # Elsewhere, as peers of other tests may still try to connect from this process.
    script = "from gateway.engine.quickfix.peers import cut_connecting; assert not cut_connecting()"
    subprocess.run([sys.executable, "-c", script], check=True)
