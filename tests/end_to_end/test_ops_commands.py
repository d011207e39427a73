"""A desk looks at a running gateway from outside, cancels an order there, halts a strategy and lets it out."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

from tests.end_to_end.conftest import Topology
from tests.support.outside import tidegate
from tidegate_tools.fix.text import first


def of(topology: Topology, *arguments: str) -> subprocess.CompletedProcess[str]:
    return tidegate(*arguments, "--config", str(topology.config))


def test_a_desk_looks_and_cancels(start) -> None:
    topology = start()
    ems = topology.ems["EMS1"]
    filled = ems.new_order(symbol="AAPL", quantity=200, price="100.1")
    resting = ems.new_order(symbol="AAPL", quantity=300, price="95")
    ems.wait_for(lambda: ems.order(filled).status == "2" and ems.order(resting).status == "0")

    well = of(topology, "status")
    assert (well.returncode, "LIVE" in well.stdout) == (0, True), well.stdout
    view = json.loads(of(topology, "status", "--json").stdout)
    assert (view["accepted_orders"], view["open_orders"], view["latency"]["messages"]) == (2, 1, 2)
    [order] = json.loads(of(topology, "orders", "--json").stdout)
    assert (order["cl_ord_id"], order["status"], order["leaves"], order["venue"]) == (resting, "new", "300", "XNAS")
    [position] = json.loads(of(topology, "positions", "--json").stdout)
    assert (position["position"], position["open_buy"], position["worst_long"]) == ("200", "300", "500")

    done = of(topology, "cancel", order["order_id"], "--reason", "wrong side")
    assert (done.returncode, done.stderr) == (0, "")
    ems.wait_for(lambda: ems.order(resting).status == "4")
    assert of(topology, "orders").stdout == "no open order\n"
    again = of(topology, "cancel", order["order_id"], "--reason", "wrong side")
    assert (again.returncode, again.stderr) == (2, f"order {order['order_id']}: is not open any more\n")

    adjust = ("positions", "adjust", "--account", "ACC1", "--symbol", "AAPL", "--reason", "bust by phone")
    done = of(topology, *adjust, "--by=-150.5")
    assert (done.returncode, done.stdout) == (0, "position of ACC1 in AAPL: 200 -> 49.5\n"), done.stderr
    [position] = json.loads(of(topology, "positions", "--json").stdout)
    assert position["position"] == "49.5"
    for wrong, why in (("0", "want a quantity that is not 0"), ("x", "want a decimal of at most 8 places")):
        refused = of(topology, *adjust, "--by", wrong)
        assert refused.returncode == 2 and why in refused.stderr, refused
    refused = of(topology, *adjust, "--by", "1", "--strategy", "NOBODY")
    assert (refused.returncode, refused.stderr) == (2, "adjust: strategy: there is no strategy 'NOBODY'\n")

    topology.gateway.stop()
    gone = of(topology, "status")
    assert (gone.returncode, gone.stderr) == (2, f"no gateway runs on {topology.config.parent / 'var'}\n")


def test_a_risk_officer_halts_an_account_and_lets_it_out(start) -> None:
    """What works is canceled, an exit passes, and all of that outlives the process."""
    topology = start()
    ems = topology.ems["EMS1"]
    filled = ems.new_order(symbol="AAPL", quantity=200, price="100.1")
    resting = ems.new_order(symbol="AAPL", quantity=300, price="95")
    ems.wait_for(lambda: ems.order(filled).status == "2" and ems.order(resting).status == "0")
    scope = ("--scope", "account=ACC1", "--reason", "limit review")
    done = of(topology, "posture", "set", "halted", *scope)
    assert (done.returncode, done.stdout) == (0, "account ACC1: normal -> halted\n"), done.stderr
    ems.wait_for(lambda: ems.order(resting).status == "4")
    assert first(ems.reports(resting)[-1], 58) == "canceled by the gateway: halted"
    refused = ems.new_order(symbol="AAPL", quantity=200, price="99.9", side="2")
    ems.wait_for(lambda: ems.order(refused).status == "8")
    assert first(ems.reports(refused)[-1], 58) == "POSTURE halted (account ACC1)"
    shown = of(topology, "posture", "show")
    assert shown.returncode == 0 and "account ACC1" in shown.stdout and "halted" in shown.stdout
    what = (*scope, "--instrument", "AAPL", "--quantity", "150", "--for", "10m")
    done = of(topology, "exit", "open", *what)
    assert (done.returncode, done.stdout.partition(" for ")[0]) == (0, "exit open: 150 AAPL of account ACC1")

    topology.gateway.stop(signal.SIGKILL)
    topology.start_again()
    view = json.loads(of(topology, "status", "--json").stdout)
    assert [(x["where"], x["posture"]) for x in view["postures"]] == [("account ACC1", "halted")]
    assert [(x["where"], x["symbol"], x["left"]) for x in view["exits"]] == [("account ACC1", "AAPL", "150")]
    out = ems.new_order(symbol="AAPL", quantity=150, price="99.8", side="2")
    ems.wait_for(lambda: ems.order(out).status == "2")
    more = ems.new_order(symbol="AAPL", quantity=1, price="99.8", side="2")
    ems.wait_for(lambda: ems.order(more).status == "8")
    for wrong, why in (("calm", "want one of normal"), ("killed", "`tidegate kill`"), ("normal", "is normal already")):
        other = ("--scope", "account=ACC2", "--reason", "x")
        refusal = of(topology, "posture", "set", wrong, *other)
        assert refusal.returncode == 2 and why in refusal.stderr, refusal
    assert of(topology, "posture", "release", *scope).stdout == "account ACC1: halted -> normal\n"
    again = ems.new_order(symbol="AAPL", quantity=1, price="95")
    ems.wait_for(lambda: ems.order(again).status == "0")


def test_a_port_in_use_ends_the_start_with_one_line(start, tmp_path: Path) -> None:
    topology = start()
    for file in topology.config.parent.glob("*.*"):
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    other = tmp_path / topology.config.name
    other.write_text(other.read_text().replace("state_dir: var", f"state_dir: {tmp_path / 'other'}"))
    ended = tidegate("run", "--config", str(other))
    assert ended.returncode == 2 and "Traceback" not in ended.stdout + ended.stderr
    assert ended.stderr.endswith("Address already in use\n") and f"{other}: session EMS" in ended.stderr
