"""An examiner's question, answered by nothing but the log and the metrics."""

from __future__ import annotations

import os
import pwd
from datetime import UTC, datetime
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from tests.end_to_end.acts import kill, place, refused, wait_canceled
from tidegate_tools.sim.quickfix_peer import free_port


def test_who_killed_what_when_and_why_and_what_was_open(start) -> None:
    port = free_port()
    topology = start(ems=("EMS1", "EMS2"), metrics={"listen": f"127.0.0.1:{port}"})
    ems, other = topology.ems["EMS1"], topology.ems["EMS2"]
    filled = ems.new_order(symbol="AAPL", quantity=50, price="100.1")
    ems.wait_for(lambda: ems.order(filled).status == "2")
    canceled = place(ems)
    ems.cancel(canceled)
    wait_canceled(ems, canceled)
    first = place(ems, quantity=5)
    replaced = ems.replace(first, quantity=15)
    ems.wait_for(lambda: ems.order(first).cl_ord_id == replaced)
    sells = place(other, symbol="MSFT", side="2", quantity=20, price="201")
    place(other, quantity=25, extra=[(1, "ACC2")])
    before = datetime.now(UTC)
    assert kill(topology, "account=ACC1").returncode == 0
    after = datetime.now(UTC)
    wait_canceled(ems, first)
    late = refused(ems)
    topology.gateway.wait_log("metrics are served", 30)

    log = topology.gateway.log
    (line,) = [line for line in log if line["event"] == "kill switch set"]
    assert (line["scope"], line["user"], line["why"]) == ("account ACC1", pwd.getpwuid(os.getuid()).pw_name, "runaway")
    assert before < datetime.fromisoformat(line["set_at"]) < after
    keys = ("session", "cl_ord_id", "symbol", "side", "leaves", "order_id")
    assert line["open_orders"] == 2 and [tuple(order[key] for key in keys) for order in line["orders"]] == [
        ("EMS1", replaced, "AAPL", "buy", "15", "O1-2"),
        ("EMS2", sells, "MSFT", "sell", "20", "O1-3"),
    ]
    topology.gateway.wait_log("decision", verdict="refused", session="EMS1", text=late)  # and with it those before
    accepted = {line["child_cl_ord_id"]: line for line in log if line.get("verdict") == "accepted"}
    terms = [accepted[order["child_cl_ord_id"]] for order in line["orders"]]
    assert [(each["account"], each["price"], each["venue"]) for each in terms] == [
        ("ACC1", "99", "XNAS"),
        ("ACC1", "201", "XNAS"),
    ]

    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        families = list(text_string_to_metric_families(page.read().decode()))
    found = {(sample.name, *sorted(sample.labels.values())): sample.value for f in families for sample in f.samples}
    assert found["tidegate_switch_set", "ACC1", "account"] == 1
    assert ("tidegate_open_orders", "ACC1", "account") not in found
    assert found["tidegate_open_orders", "ACC2", "account"] == 1
    assert found["tidegate_position", "AAPL", "ACC1"] == 50
    assert found["tidegate_residue_orders", "XNAS"] == 0
