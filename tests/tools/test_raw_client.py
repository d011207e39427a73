"""The raw client against the venue simulator, and what it puts on the wire."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tidegate_tools.fix.raw_client import RawFixClient, parse_line
from tidegate_tools.fix.text import first, utc_now
from tidegate_tools.sim.quickfix_peer import SessionConfig
from tidegate_tools.sim.venue import Venue, VenueConfig

ORDER = "35=D|11={}|55=AAPL|54=1|38=100|40=2|44=187.5|21=1"


@pytest.fixture
def venue(version: str) -> Iterator[Venue]:
    with Venue(VenueConfig(sessions=[SessionConfig(version, "VENUE", "RAW")])) as running:
        yield running


@pytest.fixture
def client(venue: Venue, version: str) -> Iterator[RawFixClient]:
    with RawFixClient("127.0.0.1", venue.port, version, "RAW", "VENUE") as raw:
        raw.logon()
        yield raw


def test_order_and_logout(client: RawFixClient, venue: Venue) -> None:
    client.send(*parse_line(ORDER.format("a")))
    report = client.receive()
    assert (first(report, 35), first(report, 11), first(report, 39)) == ("8", "a", "0")
    client.logout()
    venue.wait_for(lambda: not venue.logged_on)
    assert venue.session_rejects == []


def test_heartbeats_and_test_requests_are_answered(venue: Venue, version: str) -> None:
    with RawFixClient("127.0.0.1", venue.port, version, "RAW", "VENUE") as raw:
        raw.logon(heartbeat_s=1)
        raw.send("1", [(112, "ping")])
        asked = first(raw.receive_type("1", 10), 112)
        venue.wait_for(lambda: asked in [first(m.fields, 112) for m in venue.log if not m.sent])
        assert venue.logged_on


def test_gap_is_filled_and_its_order_not_sent_again(client: RawFixClient, venue: Venue) -> None:
    client.next_seq_num += 3
    client.send(*parse_line(ORDER.format("b")))
    assert first(client.receive_type("2"), 7) == "2"
    client.send(*parse_line(ORDER.format("c")))
    assert first(client.receive_type("8"), 11) == "c"
    assert set(venue.orders) == {"c"}


def test_session_reject_of_a_bad_message(client: RawFixClient) -> None:
    seq_num = client.send("D", [(11, "c"), (55, "AAPL"), (54, "1"), (40, "2"), (21, "1")])
    reject = client.receive()
    assert (first(reject, 35), first(reject, 45), first(reject, 371)) == ("3", str(seq_num), "60")


def test_bytes_and_given_trailers_go_out_as_they_are(client: RawFixClient, venue: Venue) -> None:
    client.send("D", [*parse_line(ORDER.format("d"))[1], (10, "000")])
    client.next_seq_num -= 1
    client.send_bytes(b"rubbish")
    client.send(*parse_line(ORDER.format("e")))
    assert first(client.receive_type("8"), 11) == "e"
    assert set(venue.orders) == {"e"}


def test_refused_logon_and_closed_connection(venue: Venue, version: str) -> None:
    with RawFixClient("127.0.0.1", venue.port, version, "STRANGER", "VENUE") as raw, pytest.raises(ConnectionError):
        raw.logon()


def test_lines() -> None:
    msg_type, fields = parse_line("35=D|11=x|60=given|")
    assert (msg_type, fields) == ("D", [(11, "x"), (60, "given")])
    assert first(parse_line("35=F|11=x")[1], 60)[:8] == utc_now()[:8]
    assert first(parse_line("35=0")[1], 60) == ""
    for line in ("11=x", "35=D|x=1", "hello"):
        with pytest.raises(ValueError):
            parse_line(line)


def test_command_line(venue: Venue, version: str) -> None:
    command = [sys.executable, "-m", "gateway.cli", "fixclient", f"127.0.0.1:{venue.port}"]
    options = ["--begin-string", version, "--sender", "RAW", "--target", "VENUE", "--wait", "0"]
    lines = f"# comment\n{ORDER.format('cli')}\nwait 0.3\n"
    done = subprocess.run([*command, *options], input=lines, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert "11=cli" in done.stdout
