"""A strategy that loops is stopped at the count that people set; the others never notice."""

from __future__ import annotations

import copy
import json

from tests.end_to_end.conftest import LIMITS
from tests.end_to_end.test_ops_commands import of
from tidegate_tools.fix.text import first

STRATEGIES = {"strategies": ["LOOP", "CALM"]}
LIMIT = {"max_messages": {"watch": 10, "warn": 20, "stop": 40}, "message_window": "1h"}


def test_a_strategy_that_loops_is_stopped(start) -> None:
    limits = copy.deepcopy(LIMITS) | {"strategy": {"LOOP": LIMIT}}
    identity = {"account": 1, "strategy": 7001}
    topology = start(limits=limits, ems_session=STRATEGIES, identity=identity)
    ems = topology.ems["EMS1"]

    def send(strategy: str, k: int) -> str:
        return ems.new_order(symbol="AAPL", quantity=1 + k, price=f"9{5 - k % 5}", extra=[(7001, strategy)])

    calm = [send("CALM", 100 + k) for k in range(3)]
    looped = [send("LOOP", k) for k in range(60)]
    calm += [send("CALM", 200 + k) for k in range(3)]
    ems.wait_for(lambda: all(ems.order(x).status in ("4", "8") for x in looped), 30)
    ems.wait_for(lambda: all(ems.order(x).status == "0" for x in calm))
    states = [ems.order(x).status for x in looped]
    assert states == ["4"] * 40 + ["8"] * 20
    assert first(ems.reports(looped[0])[-1], 58) == "canceled by the gateway: halted"
    assert first(ems.reports(looped[40])[-1], 58) == "MAX_MESSAGES 41 > 40 (strategy LOOP)"
    assert "POSTURE halted (strategy LOOP)" in str(first(ems.reports(looped[59])[-1], 58))
    stopped = topology.gateway.wait_log("alert", alert="limit_stopped")
    assert (stopped["level"], "MAX_MESSAGES 41 > 40 (strategy LOOP): halted" in stopped["text"]) == ("critical", True)
    for name, level in (("limit_watched", "info"), ("limit_warned", "warning")):
        assert topology.gateway.wait_log("alert", alert=name)["level"] == level
    view = json.loads(of(topology, "status", "--json").stdout)
    assert [(x["where"], x["posture"]) for x in view["postures"]] == [("strategy LOOP", "halted")]
