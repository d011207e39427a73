"""A desk looks at a running gateway from outside and cancels an order there."""

from __future__ import annotations

import json
import subprocess

from tests.end_to_end.conftest import Topology
from tests.support.outside import tidegate


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
