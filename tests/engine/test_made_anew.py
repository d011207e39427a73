"""Venues whose initiator is made anew, or should be: when that cannot be done, and when a connection is never made."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from gateway.core import layout as a
from tests.support.engines import Engine, initiator
from tests.support.raw_venue import LOGS_OUT, TRADES, RawVenue
from tools.fix_text import first

UNDELIVERED = str(a.UNDELIVERED)
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
