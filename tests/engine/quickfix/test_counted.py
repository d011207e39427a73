"""Messages of a venue that QuickFIX counts without handing them on, or counts for another that it never had: a fill
among them must reach the core.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.engines import Engine, initiator
from tests.support.raw_venue import Field, RawVenue, framed
from tidegate_tools.fix.text import utc_now

AGAIN_S = 20.0  # in which a venue is connected to again

FAULTS: dict[str, dict[str, Any]] = {
    "no sender": {"sender": b""},
    "other version": {"begin_string": "FIX.4.2"},
    "not valid": {"more": b"453=x\x01"},
}


@contextmanager
def venue_of(folder: Path, **more: object) -> Iterator[tuple[RawVenue, Engine]]:
    """A venue that the engine is logged on to."""
    section = {"sender_comp_id": "GW", "target_comp_id": "XRAW"} | more
    with RawVenue("XRAW") as venue, Engine(folder, initiator(venue.port, **section)) as engine:
        engine.wait("LOGON")
        venue.wait_on()
        yield venue, engine


def fields_of(exec_id: str) -> list[Field]:
    return [(11, "C1-0"), (17, exec_id), (32, "1"), (150, "F")]


def report(
    number: int, exec_id: str, begin_string: str = "FIX.4.4", sender: bytes = b"49=XRAW\x01", more: bytes = b""
) -> bytes:
    """A fill with a number."""
    head = b"35=8\x01%s56=GW\x0134=%d\x0152=%s\x01" % (sender, number, utc_now().encode())
    body = b"11=C1-0\x0117=%s\x0132=1\x01150=F\x01" % exec_id.encode()
    return framed(begin_string, head + body + more)


def logout(number: int) -> bytes:
    head = b"35=5\x0149=XRAW\x0156=GW\x0134=%d\x0152=%s\x01" % (number, utc_now().encode())
    return framed("FIX.4.4", head)


def reach(engine: Engine, *exec_ids: str) -> None:
    """The core gets these fills, and nothing ends."""
    missing = set(exec_ids)
    for count in range(1, 50):
        data = engine.wait("MESSAGE", count=count)[2]
        missing -= {exec_id for exec_id in missing if b"\x0117=%s\x01" % exec_id.encode() in data}
        if not missing:
            return


@pytest.mark.parametrize("ahead", [1, 2])
@pytest.mark.parametrize("fault", ["no sender", "other version"])
def test_what_is_missing_is_asked_for_though_quickfix_has_counted_it(tmp_path: Path, fault: str, ahead: int) -> None:
    """A message that QuickFIX refuses comes ahead of a gap."""
    with venue_of(tmp_path) as (venue, engine):
        lost = [f"X{k}" for k in range(ahead)]
        for exec_id in lost:
            venue.send("8", fields_of(exec_id), lost=True)
        number = venue.send("8", fields_of("Y"), lost=True)
        venue.put_bytes(report(number, "Y", **FAULTS[fault]))
        venue.send("8", fields_of("Z"))
        reach(engine, *lost, "Y", "Z")
        assert f"{number}" in engine.wait("alert")[2].decode()


@pytest.mark.parametrize("reset", [False, True])
def test_a_fill_of_another_version_reaches_the_core(tmp_path: Path, reset: bool) -> None:
    """QuickFIX counts it, and logs out. It is not sent again."""
    with venue_of(tmp_path, reset_on_logon=reset) as (venue, engine):
        number = venue.send("8", fields_of("X"), lost=True, once=True)
        venue.put_bytes(report(number, "X", "FIX.4.2"))
        reach(engine, "X")
        engine.wait("LOGON", count=2)
        venue.send("8", fields_of("Z"))
        reach(engine, "Z")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_refused_fill_behind_a_logout_reaches_the_core(tmp_path: Path, fault: str) -> None:
    """In one segment: QuickFIX reads on though the session has ended."""
    with venue_of(tmp_path) as (venue, engine):
        number = venue.next_out
        venue.next_out += 2
        venue.put_bytes(logout(number) + report(number + 1, "X", **FAULTS[fault]))
        reach(engine, "X")
        engine.wait("LOGON", count=2)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_refused_fill_before_a_logout_reaches_the_core(tmp_path: Path, fault: str) -> None:
    with venue_of(tmp_path) as (venue, engine):
        number = venue.next_out
        venue.next_out += 2
        venue.put_bytes(report(number, "X", **FAULTS[fault]) + logout(number + 1))
        reach(engine, "X")
        engine.wait("LOGON", count=2)


def test_a_refused_fill_whose_number_begins_with_a_zero_reaches_the_core(tmp_path: Path) -> None:
    """QuickFIX names it without. It is not sent again."""
    with venue_of(tmp_path) as (venue, engine):
        number = venue.send("8", fields_of("X"), lost=True, once=True)
        body = report(number, "X", more=b"453=x\x01").partition(b"\x0135=")[2].rpartition(b"10=")[0]
        venue.put_bytes(framed("FIX.4.4", b"35=" + body.replace(b"\x0134=", b"\x0134=0")))
        venue.send("8", fields_of("Z"))
        reach(engine, "X", "Z")


def test_a_logon_behind_what_cannot_be_parsed_is_none(tmp_path: Path) -> None:
    """QuickFIX has closed the connection by then, and would take the session for one that is up."""
    head = b"35=A\x0149=XRAW\x0156=GW\x0134=1\x0152=%s\x0198=0\x01108=30\x01" % utc_now().encode()
    logon = framed("FIX.4.4", head)
    broken = framed("FIX.4.4", b"35=8\x0149=XRAW\x0156=GW\x0134=1\x01" + b"9" * 11 + b"=0\x01")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(AGAIN_S)
        section = initiator(server.getsockname()[1], sender_comp_id="GW", target_comp_id="XRAW")
        with Engine(tmp_path, section) as engine:
            for answer in (broken + logon, logon):
                connection, _ = server.accept()
                with connection:
                    assert connection.recv(4096)
                    connection.sendall(answer)
                    if answer == logon:
                        engine.wait("LOGON")


@pytest.mark.parametrize("number", [b"\xff", b"\xc3\xa9", b""], ids=repr)
def test_a_refused_message_whose_number_is_no_text_is_asked_about(tmp_path: Path, number: bytes) -> None:
    """What is told of it repeats its bytes, whatever they are."""
    with venue_of(tmp_path) as (venue, engine):
        head = b"35=8\x0149=XRAW\x0156=GW\x0134=%s\x0152=%s\x01" % (number, utc_now().encode())
        venue.put_bytes(framed("", head + b"11=C1-0\x0117=Y\x0132=1\x01150=F\x01"))
        assert b"45=%s\x01" % number in engine.wait("UNREAD")[2]
        engine.wait("LOGON", AGAIN_S, count=2)
        venue.wait_on()
        venue.send("8", fields_of("Z"))
        reach(engine, "Z")
