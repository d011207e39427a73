"""`tidegate status`, `orders`, `positions`, `cancel` as people and scripts run them, beside a gateway."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.core import layout as a
from gateway.fix import tags as t
from gateway.fix.layout import E8
from gateway.kill.file import set_switch
from gateway.ops.control import Command, ControlSocket
from tests.support.core import BASE, INSTRUMENTS, LIMITS, write_config
from tests.support.outside import CHECKOUT, Outside, tidegate

DIED = """
import sys
from pathlib import Path
from gateway.state.memory import shared_block
shared_block("small", Path(sys.argv[1]) / "state.bin")[0].run = 3
"""


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    made = Outside(tmp_path)
    made.beat(-60)
    return made


@pytest.fixture
def nothing(tmp_path: Path) -> Path:
    """The config of a gateway that does not run."""
    return write_config(tmp_path, BASE, LIMITS, INSTRUMENTS)


def test_status_of_a_gateway_that_is_well(outside: Outside) -> None:
    done = outside.run("status")
    assert (done.returncode, done.stderr) == (0, "")
    assert "LIVE" in done.stdout and "XNAS" in done.stdout and "!" not in done.stdout


def test_status_ends_with_1_when_something_needs_a_person(outside: Outside) -> None:
    outside.entity(a.FIRM, "").killed = 1
    done = outside.run("status")
    assert done.returncode == 1
    assert "KILLED" in done.stdout and "! kill switch set: firm" in done.stdout


def test_status_ends_with_2_when_nothing_tells_whether_the_gateway_lives(outside: Outside) -> None:
    (outside.folder / "pulse").unlink()
    done = outside.run("status")
    assert done.returncode == 2
    assert "! the gateway shows no heartbeat" in done.stdout


def test_status_for_machines(outside: Outside) -> None:
    outside.beat(5)
    outside.push_limit((a.ACCOUNT, "ACC1"), None, a.MAX_LONG, floor=E8 // 4, ceiling=a.UNLIMITED, effective=E8)
    done = outside.run("status", "--json")
    view = json.loads(done.stdout)
    assert done.returncode == 2
    assert (view["state"], view["run"], view["fault"], view["latency"]["p50_ns"]) == ("STALE", 7, 0, None)
    assert view["sessions"][1]["name"] == "XNAS" and view["sessions"][1]["up"] is True
    limit = view["pushed_limits"][0]
    assert (limit["floor"], limit["ceiling"], limit["effective"]) == ("0.25", "unlimited", "1")


def test_orders_of_a_filter(outside: Outside) -> None:
    outside.add_order("FIRST", 300, 101.25, cum=50)
    outside.add_order("SECOND", account="ACC2")
    done = outside.run("orders", "--account", "ACC1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "FIRST" in done.stdout and "101.25" in done.stdout and "SECOND" not in done.stdout


def test_orders_for_machines_are_exact(outside: Outside) -> None:
    order = outside.add_order("C1", 300)
    order.cum_e8 = 1
    outside.add_order("C2", cum=100, status=t.STATUS_FILLED)
    [view] = json.loads(outside.run("orders", "--json").stdout)
    assert (view["order_id"], view["price"], view["leaves"]) == ("O7-1", "100", "299.99999999")
    names = [view["cl_ord_id"] for view in json.loads(outside.run("orders", "--all", "--json").stdout)]
    assert names == ["C1", "C2"]


def test_no_open_order(outside: Outside) -> None:
    done = outside.run("orders")
    assert (done.returncode, done.stdout) == (0, "no open order\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("orders", "--venue", "XLON"), "venue XLON: is not known to the gateway; known: XNAS"),
        (("orders", "--account", "NOPE"), "account NOPE: is not known to the gateway; known: ACC1, ACC2"),
        (("orders", "--symbol", "NOPE"), "symbol NOPE: is not known to the gateway; known: AAPL, MSFT, ESZ6"),
        (("orders", "--side", "short"), "side short: want one of buy, sell, sell short"),
        (("positions", "--scope", "venue"), "--scope venue: want one of firm, desk, account, strategy, trader"),
    ],
)
def test_what_cannot_be_is_one_line_and_status_2(outside: Outside, arguments: tuple[str, ...], line: str) -> None:
    done = outside.run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(line) and done.stderr.count("\n") == 1


def test_positions(outside: Outside) -> None:
    outside.add_exposure(a.ACCOUNT, "ACC1", "AAPL", -1_000, sell=3_000)
    done = outside.run("positions")
    assert done.returncode == 0
    for wanted in ("ACC1", "AAPL", "-1,000", "4,000", "5,000", "80.0%", "-100,000.00", "previous close"):
        assert wanted in done.stdout
    [view] = json.loads(outside.run("positions", "--json").stdout)
    assert (view["worst_short"], view["max_short"], view["used_short"]) == ("4000", "5000", "80.0")


COMMANDS = [
    ("orders",),
    ("orders", "--json"),
    ("positions",),
    ("positions", "--json"),
    ("params", "show"),
    ("resolve",),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_of_a_gateway_that_hangs_nothing_is_proven(outside: Outside, command: tuple[str, ...]) -> None:
    outside.beat(5)
    done = outside.run(*command)
    assert done.returncode == 2
    assert re.fullmatch(r"NOT PROVEN: the core has not responded for \d+\.\d s\n", done.stderr)
    assert done.stdout in ("", "\n", "[]\n")
    outside.add_order("C1").doubt = a.IN_DOUBT
    outside.add_exposure(a.ACCOUNT, "ACC1", "AAPL", -1_000)
    outside.push_limit((a.ACCOUNT, "ACC1"), None, a.MAX_LONG)
    shown = outside.run(*command)
    assert (shown.returncode, "ACC1" in shown.stdout or "O7-1" in shown.stdout) == (2, True)


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        (lambda outside: (outside.folder / "pulse").unlink(), "the gateway shows no heartbeat"),
        (
            lambda outside: setattr(outside.record, "fault", 4),
            "the gateway has fault 4, there may be more than it counts: a fill without a readable quantity",
        ),
        (
            lambda outside: setattr(outside.record.sessions[1], "recovering", 1),
            "XNAS has not yet resent what was missed",
        ),
    ],
)
def test_no_open_order_is_not_said_where_there_may_be_one(
    outside: Outside, trouble: Callable[[Outside], None], why: str
) -> None:
    trouble(outside)
    done = outside.run("orders")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"NOT PROVEN: {why}\n")


def test_ids_are_shown_as_they_are(outside: Outside) -> None:
    outside.add_order("ALPHA:100:7")
    assert "ALPHA:100:7" in outside.run("orders").stdout


def test_a_kill_in_advance_is_shown(outside: Outside) -> None:
    set_switch(outside.folder, a.STRATEGY, "MOON", "alice", "test")
    done = outside.run("status")
    assert done.returncode == 1
    assert "! kill switch set: strategy MOON, which the gateway does not know: set in advance" in done.stdout
    [switch] = json.loads(outside.run("status", "--json").stdout)["switches"]
    assert (switch["where"], switch["known"]) == ("strategy MOON", False)


def test_switches_that_cannot_be_read_are_told(outside: Outside) -> None:
    (outside.folder / "switches").unlink()
    done = outside.run("status")
    assert done.returncode == 1
    assert f"! the kill switches cannot be read: {outside.folder}/switches: No such file" in done.stdout


COMMANDS_GIVEN = [
    ("cancel", "O7-1", "--reason", "x"),
    ("rearm", "--scope", "firm", "--reason", "x"),
    ("resolve", "O7-1", "--as", "gone", "--reason", "x"),
    ("params", "release", "--source", "S", "--scope", "firm", "--limit", "max_long", "--reason", "x"),
]


@pytest.mark.parametrize("command", COMMANDS_GIVEN)
def test_a_gateway_that_hangs_is_given_no_command(outside: Outside, command: tuple[str, ...]) -> None:
    outside.beat(5)
    taken: list[Command] = []
    control = ControlSocket(outside.folder, taken.append)
    try:
        done = outside.run(*command)
    finally:
        control.close()
    assert (done.returncode, done.stdout, taken) == (2, "", [])
    told = r"the gateway does not answer, the core has not responded for \d+\.\d s: nothing is done\n"
    assert re.fullmatch(told, done.stderr)


@pytest.mark.parametrize("command", [*COMMANDS_GIVEN, ("resolve",)])
def test_a_command_that_no_gateway_takes_is_one_line(nothing: Path, command: tuple[str, ...]) -> None:
    done = tidegate(*command, "--config", str(nothing))
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"no gateway runs on {nothing.parent / 'var'}\n")


@pytest.mark.parametrize(
    ("section", "key", "line"),
    [
        ({"control": {"group": "no such"}}, "control.group: ", "no such: want a group of this machine"),
        ({"gateway": {**BASE["gateway"], "state_dir": "/proc/nix"}}, "gateway.state_dir: ", "/proc/nix: No such file"),
    ],
)
def test_what_keeps_a_gateway_from_its_start_names_file_and_key(
    tmp_path: Path, section: dict[str, Any], key: str, line: str
) -> None:
    path = write_config(tmp_path, BASE | section, LIMITS, INSTRUMENTS)
    done = tidegate("run", "--config", str(path))
    assert done.returncode == 2
    assert f"{path}: {key}{line}" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [("status",), ("orders",), ("positions",)])
def test_where_no_gateway_runs_one_line_says_so(nothing: Path, command: tuple[str, ...]) -> None:
    done = tidegate(*command, "--config", str(nothing))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"no gateway runs on {nothing.parent / 'var'}\n"


def test_a_gateway_that_has_died_does_not_run(nothing: Path) -> None:
    folder = nothing.parent / "var"
    folder.mkdir()
    subprocess.run([sys.executable, "-c", DIED, str(folder)], check=True, cwd=CHECKOUT)
    assert (folder / "state.bin").is_symlink()
    done = tidegate("status", "--config", str(nothing))
    assert (done.returncode, done.stderr) == (2, f"no gateway runs on {folder}\n")


def test_top_wants_a_terminal(outside: Outside) -> None:
    done = outside.run("top")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("top: want a terminal")


def test_looking_at_a_gateway_needs_no_compiler() -> None:
    """Numba takes longer to import than all the rest of these commands."""
    modules = "gateway.cli.main, gateway.view.status, gateway.view.screens, gateway.view.positions, gateway.view.kill"
    script = f"import sys, {modules}, gateway.state.attach, gateway.config.settings\nassert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
