"""Sessions of the native engine: changed by people and by their schedule, and taken over from QuickFIX."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from tests.end_to_end.acts import place
from tests.end_to_end.conftest import FIX_44, Topology
from tests.end_to_end.test_parameters import wait_until
from tests.end_to_end.test_restart import children, fill_and_cancel
from tests.support.scheduled_gateway import BEGUN


@pytest.fixture
def topology(start) -> Topology:
    return start(FIX_44, engine="native")


def tidegate(topology: Topology, *arguments: str) -> tuple[int, str]:
    """A command as a person gives it: exit status and what it prints."""
    done = CliRunner().invoke(app, ["session", *arguments, "--config", str(topology.config)])
    return done.exit_code, done.output


def row(topology: Topology, name: str) -> list[str]:
    """The line of a session in the list."""
    _, text = tidegate(topology, "list")
    return next(line.split() for line in text.splitlines() if name in line)


def wait_state(topology: Topology, name: str, word: str) -> None:
    wait_until(lambda: word in row(topology, name), 15)


def test_a_venue_is_disabled_and_enabled(topology: Topology) -> None:
    """While it is, nothing connects and orders are refused; then it goes on with the same numbers."""
    assert "up" in row(topology, "XNAS")
    assert tidegate(topology, "disable", "XNAS", "--reason", "they test") == (0, "session XNAS: is disabled\n")
    wait_state(topology, "XNAS", "disabled")
    ems = topology.ems["EMS1"]
    order = ems.new_order(symbol="AAPL", quantity=5, price="99")
    report = ems.wait_for(lambda: next(iter(ems.reports(order)), None), 10)
    assert (39, "8") in report
    assert tidegate(topology, "enable", "XNAS", "--reason", "done")[0] == 0
    wait_state(topology, "XNAS", "up")


def test_numbers_are_set_only_of_a_session_that_is_down(topology: Topology) -> None:
    status, text = tidegate(topology, "set-seq", "XNAS", "--in", "7", "--reason", "agreed")
    assert status == 2 and "disable it first" in text
    tidegate(topology, "disable", "XNAS", "--reason", "numbers")
    wait_state(topology, "XNAS", "disabled")
    assert tidegate(topology, "set-seq", "XNAS", "--in", "70", "--out", "80", "--reason", "agreed")[0] == 0
    wait_until(lambda: {"70", "80"} <= set(row(topology, "XNAS")))
    assert tidegate(topology, "reset", "XNAS", "--reason", "agreed")[0] == 0
    wait_until(lambda: {"70", "80"}.isdisjoint(row(topology, "XNAS")))


@pytest.mark.parametrize(
    ("arguments", "why"),
    [(["disable", "XLON", "--reason", "x"], "XLON: is not known"), (["disable", "XNAS"], "--reason")],
)
def test_what_is_refused(topology: Topology, arguments: list[str], why: str) -> None:
    status, text = tidegate(topology, *arguments)
    assert status == 2 and why in text


def test_an_ems_that_is_disconnected_comes_back(topology: Topology) -> None:
    before = len([line for line in topology.gateway.log if line.get("event") == "session is up"])
    assert tidegate(topology, "disconnect", "EMS1", "--reason", "stuck")[0] == 0
    topology.gateway.wait_for(
        lambda: len([line for line in topology.gateway.log if line.get("event") == "session is up"]) > before, 15
    )
    wait_state(topology, "EMS1", "up")


def test_sessions_keep_to_their_schedule(start, tmp_path: Path) -> None:
    """At the end they are logged out and nobody comes in; at the next start numbers begin anew."""
    begun = tmp_path / "begun"
    begun.write_text("1000")
    schedule = {"schedule": {"zone": "UTC", "start": "07:00", "end": "17:00"}}
    topology = start(
        FIX_44,
        engine="native",
        module="tests.support.scheduled_gateway",
        environment={BEGUN: str(begun)},
        of_session={"XNAS": schedule, "EMS1": schedule},
        venue_session={"reset_on_logon": True},
    )
    ems = topology.ems["EMS1"]
    order = ems.new_order(symbol="AAPL", quantity=5, price="99")
    ems.wait_for(lambda: ems.order(order).status == "0", 20)
    lines = topology.state.record.lines
    begun.write_text("")
    for name in ("XNAS", "EMS1"):
        wait_state(topology, name, "down")
    topology.gateway.wait_log("logon refused", 30, why="it is not the time of the session's schedule")
    assert not any(line["event"] == "session is still down" for line in topology.gateway.log)
    assert int(lines[0].next_in) > 2
    begun.write_text("2000")
    wait_until(lambda: int(lines[0].begun_s) == 2000 and int(lines[1].begun_s) == 2000)
    wait_state(topology, "XNAS", "up")
    assert int(lines[1].next_out) < 8


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_it_goes_on_where_quickfix_was(start, how: int) -> None:
    """With the numbers of both sides, so that nobody logs out and what was sent meanwhile is asked for."""
    topology = start(FIX_44, engine="quickfix")
    ems, venue = topology.ems["EMS1"], topology.venues["XNAS"]
    traded, canceled = place(ems, quantity=100, price="99.95"), place(ems)
    topology.gateway.stop(how)
    fill_and_cancel(venue, children(venue))
    topology.config.write_text(topology.config.read_text().replace("quickfix", "native"))
    gateway = topology.start_again()
    for name in ("EMS1", "XNAS"):
        gateway.wait_log("goes on where QuickFIX was", session=name)
    topology.wait_recovered()
    ems.wait_for(lambda: ems.order(traded).cum == "40" and ems.order(canceled).status == "4", 20)
    place(ems)
    assert [line for line in gateway.log if line["event"] == "logout"] == []
