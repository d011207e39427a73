"""`tidegate status`, `orders`, `positions`, `cancel` as people and scripts run them, beside a gateway."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.core import layout as a
from gateway.fix import tags as t
from gateway.fix.values import E8
from tests.support.core import BASE, INSTRUMENTS, LIMITS, write_config
from tests.support.outside import CHECKOUT, Outside, tidegate

DIED = """
import sys
from pathlib import Path
from gateway.state import shared_block
shared_block("small", Path(sys.argv[1]) / "state.bin")[0].run = 3
"""


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    return Outside(tmp_path)


@pytest.fixture
def nothing(tmp_path: Path) -> Path:
    """The config of a gateway that does not run."""
    return write_config(tmp_path, BASE, LIMITS, INSTRUMENTS)


def test_status_of_a_gateway_that_is_well(outside: Outside) -> None:
    outside.beat(-60)
    done = outside.run("status")
    assert (done.returncode, done.stderr) == (0, "")
    assert "LIVE" in done.stdout and "XNAS" in done.stdout and "!" not in done.stdout


def test_status_ends_with_1_when_something_needs_a_person(outside: Outside) -> None:
    outside.beat(-60)
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
    assert done.returncode == 1
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
        (("orders", "--venue", "XLON"), "venue XLON: is not known to the gateway"),
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


def test_a_cancel_that_no_gateway_takes_is_an_error(nothing: Path) -> None:
    done = tidegate("cancel", "O1-3", "--reason", "test", "--config", str(nothing))
    assert done.returncode == 2
    assert "no gateway answers there" in done.stderr


def test_top_wants_a_terminal(outside: Outside) -> None:
    done = outside.run("top")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("top: want a terminal")
