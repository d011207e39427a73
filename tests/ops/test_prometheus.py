"""The metrics as a real Prometheus has them; the shipped config, alerts and dashboard against a real scrape."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from gateway import shipped
from gateway.core import catalogue as c
from gateway.core import layout as a
from gateway.fix.layout import E8
from tests.support.journal import wait_for
from tests.support.metrics import MadeUp, MetricsProcess
from tests.support.prometheus import Prometheus, program

CONFIG = shipped("config")
METRIC = re.compile(r"\btidegate_\w+")


@pytest.fixture
def gateway(tmp_path) -> MadeUp:
    return MadeUp(tmp_path, "account,symbol,quantity\nACC1,AAPL,300\nACC2,AAPL,-20\n")


@pytest.fixture
def process(gateway) -> Iterator[MetricsProcess]:
    with gateway.beating(), MetricsProcess(gateway.config, gateway.port, gateway.folder / "metrics.log") as running:
        yield running


def target(gateway: MadeUp) -> str:
    return f"127.0.0.1:{gateway.port}"


def push(gateway: MadeUp, state: int = a.VALID) -> None:
    bounds = {"floor": 100 * E8, "ceiling": 1000 * E8, "effective": 250 * E8}
    gateway.push(0, 0, (a.ACCOUNT, "ACC1"), "", a.MAX_ORDER_QTY, state=state, **bounds)


def open_orders(gateway: MadeUp) -> None:
    """Something open on both sides, so that every family has a series."""
    gateway.entity(a.ACCOUNT, "ACC1").open_orders = 2
    for x in gateway.record.exposures[: gateway.record.exposure_count]:
        x.open_buy_e8 = x.open_sell_e8 = E8


def rules() -> dict[str, Any]:
    """The shipped rules, without the time that an alert must last before it fires."""
    shipped_rules: dict[str, Any] = yaml.safe_load((CONFIG / "alerts.yml").read_text())
    for rule in shipped_rules["groups"][0]["rules"]:
        rule.pop("for", None)
    return shipped_rules


def names_of_alerts() -> set[str]:
    return {rule["alert"] for rule in rules()["groups"][0]["rules"]}


def dashboard_queries() -> list[str]:
    """Every PromQL expression of the dashboard, with values for its variables."""
    dashboard = json.loads((CONFIG / "grafana" / "tidegate.json").read_text())
    found = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    assert len(found) > 30
    values = {"$__rate_interval": "1m", "$instance": ".*", "$limit": ".*"}
    for variable, value in values.items():
        found = [query.replace(variable, value) for query in found]
    return found


def trade(gateway: MadeUp, orders: int, bucket: int = 3) -> None:
    """So many more orders in each counter: as many refused as accepted, in a bucket of latencies."""
    s = gateway.record
    s.events += 2 * orders
    s.accepted_orders += orders
    s.refused_orders += orders
    s.sessions[0].counted[0][a.PASSED] += orders
    s.sessions[0].fired[c.MAX_LONG] += orders
    gateway.pulse["latency_count"][bucket] += orders
    gateway.pulse["latency_sum_ns"] += orders * 75_000


def trading(value: float | None) -> bool:
    """Whether a rate is above zero."""
    return value is not None and value > 0


def test_prometheus_has_the_numbers_of_the_state(gateway, process, tmp_path):
    trade(gateway, 10)
    push(gateway)
    open_orders(gateway)
    with Prometheus(tmp_path / "prometheus", target(gateway)) as prometheus:
        prometheus.wait("tidegate_ready", 1)
        assert prometheus.value('up{job="tidegate"}') == 1
        assert prometheus.value('tidegate_messages_total{session="EMS1",type="new_order",verdict="passed"}') == 10
        assert prometheus.value('tidegate_refused_orders_total{check="MAX_LONG"}') == 10
        assert prometheus.value("sum(tidegate_decisions_total)") == 20
        assert prometheus.value('tidegate_position{account="ACC2",symbol="AAPL"}') == -20
        assert prometheus.value('tidegate_limit{name="ACC1",limit="max_order_qty"}') == 250
        assert prometheus.value("tidegate_order_latency_seconds_count") == 10
        assert prometheus.value('tidegate_order_latency_seconds_bucket{le="5e-05"}') == 0
        assert prometheus.value('tidegate_order_latency_seconds_bucket{le="0.0001"}') == 10
        trade(gateway, 10)
        prometheus.wait("sum(tidegate_decisions_total)", 40)
        prometheus.wait("rate(tidegate_events_total[1m])", trading)
        median = prometheus.value("histogram_quantile(0.5, rate(tidegate_order_latency_seconds_bucket[1m]))")
        assert median is not None and 50e-6 < median < 100e-6
        # The dashboard's queries are PromQL, and over a gateway at work they show something.
        empty = [query for query in dashboard_queries() if not prometheus.query(query)]
        assert [query for query in empty if "series_left_out" not in query] == []
        gateway.record.fault = 2
        prometheus.wait("tidegate_ready", 0)
        prometheus.wait("tidegate_live", 1)


def test_no_alert_fires_until_the_gateway_hangs_or_is_gone(gateway, tmp_path):
    push(gateway)
    down = {"TidegateNotLive", "TidegateNotReady"}
    with Prometheus(tmp_path / "prometheus", target(gateway), rules()) as prometheus:
        with MetricsProcess(gateway.config, gateway.port, tmp_path / "log"):
            with gateway.beating():
                prometheus.wait("tidegate_ready", 1)
                trade(gateway, 1)
                prometheus.wait("rate(tidegate_events_total[1m])", trading)
                wait_for(lambda: prometheus.firing() == set(), "the alerts of the start to go", 30)
            wait_for(lambda: prometheus.firing() == down, "the alerts of a gateway that hangs", 30)
            assert prometheus.value('up{job="tidegate"}') == 1
        prometheus.wait('up{job="tidegate"}', 0)
        wait_for(lambda: prometheus.firing() == {"TidegateNotLive"}, "the alert of a gateway that is down", 30)


def test_every_alert_fires_over_a_gateway_in_its_trouble(gateway, process, tmp_path):
    with Prometheus(tmp_path / "prometheus", target(gateway), rules()) as prometheus:
        prometheus.wait("tidegate_ready", 1)
        trade(gateway, 100, bucket=11)
        push(gateway, a.HELD)
        s = gateway.record
        s.fault, s.journal_blocked, s.unknown_executions = 1, 1, 5
        s.refused_orders += 10_000
        s.sessions[1].up, s.sessions[1].recovering, s.sessions[1].doubts = 0, 1, 3
        s.sources[0].up = 0
        gateway.entity(a.STRATEGY, "MOMO").killed = 1
        s.order_count = s.open_order_count = 2_000
        order = s.orders[0]
        order.venue, order.counted_open, order.canceled_by, order.cancel_tries = 1, 1, a.BY_KILL, 5
        wanted = names_of_alerts() - {"TidegateNotLive"}
        wait_for(lambda: prometheus.firing() == wanted, "the alerts", 30)


def test_promtool_takes_the_shipped_files():
    promtool = program("promtool")
    for kind, name in (("config", "prometheus.yml"), ("rules", "alerts.yml")):
        done = subprocess.run([promtool, "check", kind, CONFIG / name], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr


def test_every_metric_named_is_in_a_real_scrape(gateway, process):
    """A name that is misspelled in the dashboard or a rule shows nothing and never fires."""
    push(gateway)
    open_orders(gateway)
    samples = {sample.name for family in process.scrape().values() for sample in family.samples}
    expressions = dashboard_queries() + [rule["expr"] for rule in rules()["groups"][0]["rules"]]
    named = {name for expression in expressions for name in METRIC.findall(expression)}
    assert len(named) > 30
    assert named - samples == {"tidegate_series_left_out"}  # there are not that many


def test_the_dashboard_can_be_imported():
    """What Grafana wants of a dashboard: an id for each panel, no two in one place, its own data source variable."""
    dashboard = json.loads((CONFIG / "grafana" / "tidegate.json").read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
    used = {panel["datasource"]["uid"] for panel in panels if "datasource" in panel}
    assert used == {"${datasource}"}
    assert [variable["name"] for variable in dashboard["templating"]["list"]][0] == "datasource"
