"""What the metrics process says of a gateway, by the gateway's memory alone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from gateway.config.files import ConfigError
from gateway.core import catalogue as c
from gateway.core import layout as a
from gateway.fix.layout import E8
from gateway.kill.file import set_switch
from gateway.ops import families as module
from gateway.ops import metrics
from gateway.ops.families import Families
from gateway.ops.metrics import Server, Watcher, main, source_kinds
from gateway.state.attach import NoGateway
from gateway.state.memory import shared_block
from gateway.state.names import Names
from gateway.state.pulse import LATENCY_BOUNDS_NS
from tests.support.journal import wait_for
from tests.support.metrics import MadeUp, MetricsProcess, value

POSITIONS = "account,symbol,quantity\nACC1,AAPL,300\nACC2,MSFT,-20.5\n"
LIMIT = {"scope": "account", "name": "ACC1", "symbol": "", "limit": "max_order_qty"}


@pytest.fixture
def gateway(tmp_path) -> MadeUp:
    """A gateway where all is well, but for its heartbeat."""
    return MadeUp(tmp_path, POSITIONS)


def scrape(gateway: MadeUp) -> dict:
    registry = CollectorRegistry()
    registry.register(Families(gateway.state, Names(gateway.state), gateway.pulse, {}, source_kinds(gateway.settings)))
    text = generate_latest(registry).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def page(gateway: MadeUp, path: str) -> tuple[int, str]:
    """A page as a server of this process gives it."""
    with Server(gateway.settings, ("127.0.0.1", 0)) as server:
        status, body = server.answer(path)
    return status, body.decode()


@pytest.fixture
def alive(gateway) -> Iterator[MadeUp]:
    """The same, with a heartbeat a moment ago whenever it is looked at."""
    gateway.beat(0)
    with gateway.beating():
        yield gateway


def test_everything_is_well(alive):
    assert page(alive, "/live") == (200, "live\n")
    assert page(alive, "/ready") == (200, "ready\n")
    assert page(alive, "/other")[0] == 404


def test_live_is_about_the_heartbeat(gateway):
    gateway.beat(ago_s=0.0)
    assert page(gateway, "/live")[0] == 200
    for ago_s, why in ((1.0, "not responded for 1.0 s"), (3600.0, "for 3600")):
        gateway.beat(ago_s)
        status, body = page(gateway, "/live")
        assert (status, why in body) == (503, True), body
        assert page(gateway, "/ready")[0] == 503


def set_up_reasons(gateway: MadeUp) -> dict:
    s = gateway.record
    fault = "fault 3, every order is blocked: an output did not fit; the table of executions is full"
    recovering = "XNAS takes no new order until the orders of before are confirmed"
    return {
        fault: lambda: s.__setattr__("fault", 3),
        "the journal takes no orders": lambda: s.__setattr__("journal_blocked", 1),
        "outside the hours of the trading day": lambda: s.__setattr__("market_closed", 1),
        "kill switch set: firm": lambda: gateway.entity(a.FIRM).__setattr__("killed", 1),
        "session EMS1 is down": lambda: s.sessions[0].__setattr__("up", 0),
        recovering: lambda: s.sessions[1].__setattr__("recovering", 1),
        "source RISK is silent": lambda: s.sources[0].__setattr__("up", 0),
        "held, not as pushed: max_order_qty of account ACC1 by RISK": lambda: gateway.push(
            0, 0, (a.ACCOUNT, "ACC1"), "", a.MAX_ORDER_QTY, state=a.HELD, effective=E8
        ),
    }


@pytest.mark.parametrize("reason", range(8))
def test_each_reason_alone_makes_it_not_ready(alive, reason):
    text, act = list(set_up_reasons(alive).items())[reason]
    act()
    assert page(alive, "/ready") == (503, text + "\n")
    assert page(alive, "/live") == (200, "live\n")


def test_reasons_are_told_together(alive):
    for act in set_up_reasons(alive).values():
        act()
    assert page(alive, "/ready")[1].splitlines() == list(set_up_reasons(alive))


def test_a_killed_account_or_a_source_by_hand_does_not_make_it_not_ready(alive):
    alive.entity(a.ACCOUNT, "ACC1").killed = 1
    alive.record.sources[1].up = 0
    assert page(alive, "/ready") == (200, "ready\n")


def test_flow(gateway):
    s = gateway.record
    s.events, s.accepted_orders, s.refused_orders = 70, 40, 9
    s.unknown_executions, s.duplicate_messages, s.days = 1, 2, 3
    ems = s.sessions[0]
    ems.counted[0][a.PASSED], ems.counted[1][a.REJECTED], ems.counted[4][a.IGNORED] = 40, 5, 6
    ems.fired[c.MAX_LONG] = 8
    got = scrape(gateway)
    message = {"session": "EMS1", "type": "new_order", "verdict": "passed"}
    assert value(got, "tidegate_messages_total", **message) == 40
    assert value(got, "tidegate_messages_total", **message | {"type": "cancel", "verdict": "rejected"}) == 5
    assert value(got, "tidegate_messages_total", **message | {"type": "other", "verdict": "ignored"}) == 6
    assert value(got, "tidegate_messages_total", **message | {"session": "XNAS"}) is None
    assert value(got, "tidegate_refused_orders_total", session="EMS1", check="MAX_LONG") == 8
    assert value(got, "tidegate_refused_orders_total", session="EMS1", check="LOT") == 0
    assert value(got, "tidegate_decisions_total", verdict="accepted") == 40
    assert value(got, "tidegate_decisions_total", verdict="refused") == 9
    assert value(got, "tidegate_unknown_executions") == 1
    for name, number in {"events": 70, "duplicate_messages": 2, "trading_days": 3}.items():
        assert value(got, f"tidegate_{name}_total") == number


def test_a_kill_in_advance_is_told(gateway):
    for name in ("MOMO", "MOON"):
        set_switch(gateway.folder, a.STRATEGY, name, "alice", "test")
    gateway.entity(a.STRATEGY, "MOMO").killed = 1
    gateway.beat(0)
    status, body = page(gateway, "/metrics")
    lines = [line for line in body.splitlines() if line.startswith("tidegate_switch_set{")]
    assert status == 200
    assert lines == [
        'tidegate_switch_set{name="",scope="firm"} 0.0',
        'tidegate_switch_set{name="MOMO",scope="strategy"} 1.0',
        'tidegate_switch_set{name="MOON",scope="strategy"} 1.0',
    ]
    (gateway.folder / "switches").unlink()  # the firm is killed for it
    assert page(gateway, "/metrics")[0] == 200


def test_a_publisher_of_quotes_has_no_count_of_pushed_limits(gateway):
    registry = CollectorRegistry()
    kinds = ["parameters", "quotes"]
    registry.register(Families(gateway.state, Names(gateway.state), gateway.pulse, {}, kinds))
    told = [line for line in generate_latest(registry).decode().splitlines() if "pushes_total{" in line]
    assert told == ['tidegate_source_pushes_total{source="RISK"} 0.0']


def test_latency_is_a_histogram_of_cumulated_buckets_in_seconds(gateway):
    gateway.pulse["latency_count"][[0, 3, len(LATENCY_BOUNDS_NS)]] = 5, 2, 1
    gateway.pulse["latency_sum_ns"] = 2_500_000_000
    got = scrape(gateway)
    name = "tidegate_order_latency_seconds"
    buckets = {float(x.labels["le"]): x.value for x in got[name].samples if x.name == name + "_bucket"}
    assert len(buckets) == len(LATENCY_BOUNDS_NS) + 1
    assert (buckets[0.00001], buckets[0.00005], buckets[0.0001]) == (5, 5, 7)
    assert (buckets[1.0], buckets[float("inf")]) == (7, 8)
    assert (value(got, name + "_count"), value(got, name + "_sum")) == (8, 2.5)


def test_sessions_and_switches(gateway):
    s = gateway.record
    s.sessions[1].up, s.sessions[1].recovering, s.sessions[1].doubts = 0, 1, 4
    gateway.entity(a.STRATEGY, "MOMO").killed = 1
    got = scrape(gateway)
    assert value(got, "tidegate_session_up", session="EMS1", role="ems") == 1
    assert value(got, "tidegate_session_up", session="XNAS", role="venue") == 0
    assert value(got, "tidegate_venue_recovering", venue="XNAS") == 1
    assert value(got, "tidegate_orders_in_doubt", venue="XNAS") == 4
    assert [(x.labels, x.value) for x in got["tidegate_switch_set"].samples] == [
        ({"scope": "firm", "name": ""}, 0),
        ({"scope": "strategy", "name": "MOMO"}, 1),
    ]


def test_numbers_of_sessions_of_the_native_engine(gateway) -> None:
    own = gateway.state.record.lines[0]
    own.native, own.next_in, own.next_out, own.heard_ns = 1, 17, 23, 5 * 10**9
    gateway.state.record.wall_offset_ns = 10**18
    gateway.pulse["unsent_bytes"][0], gateway.pulse["held_messages"][0] = 4_000, 3
    got = scrape(gateway)
    name = "tidegate_session_next_msg_seq_num"
    assert [value(got, name, session="EMS1", direction=way) for way in ("in", "out")] == [17, 23]
    assert value(got, "tidegate_session_last_message_timestamp_seconds", session="EMS1") == 10**9 + 5
    assert value(got, "tidegate_session_unsent_bytes", session="EMS1") == 4_000
    assert value(got, "tidegate_session_held_messages", session="EMS1") == 3


def test_the_firms_switch_is_told_once_as_set(gateway):
    gateway.entity(a.FIRM).killed = 1
    got = scrape(gateway)
    assert [(x.labels, x.value) for x in got["tidegate_switch_set"].samples] == [({"scope": "firm", "name": ""}, 1)]


def test_orders_that_the_gateway_cancels_and_what_is_left_of_them(gateway):
    s = gateway.record
    s.order_count, s.open_order_count = 5, 4
    orders = s.orders[:5]
    orders["venue"], orders["counted_open"] = 1, (1, 1, 1, 1, 0)
    orders["canceled_by"] = (a.BY_KILL, a.BY_DROP, 0, a.BY_PERSON, a.BY_KILL)
    orders["cancel_tries"] = (5, 4, 9, 5, 5)
    got = scrape(gateway)
    assert value(got, "tidegate_orders_being_canceled", venue="XNAS") == 3
    assert value(got, "tidegate_residue_orders", venue="XNAS") == 2


def test_positions_and_open_orders(gateway):
    for scope, name, count in ((a.FIRM, "", 7), (a.ACCOUNT, "ACC1", 7), (a.INSTRUMENT, "AAPL", 7)):
        gateway.entity(scope, name).open_orders = count
    s = gateway.record
    acc1 = gateway.state.entities[a.ACCOUNT, "ACC1"]
    [row] = np.flatnonzero(s["exposures"]["entity"][: s.exposure_count] == acc1)
    s.exposures[row].open_sell_e8 = 12 * E8
    got = scrape(gateway)
    open_orders = {(x.labels["scope"], x.labels["name"]): x.value for x in got["tidegate_open_orders"].samples}
    assert open_orders == {
        **{("firm", ""): 7, ("session", "EMS1"): 0, ("venue", "XNAS"): 0},
        **{("account", "ACC1"): 7, ("instrument", "AAPL"): 7},
    }
    positions = {(x.labels["account"], x.labels["symbol"]): x.value for x in got["tidegate_position"].samples}
    assert positions == {("ACC1", "AAPL"): 300, ("ACC2", "MSFT"): -20.5}
    assert value(got, "tidegate_open_sell_quantity", account="ACC1", symbol="AAPL") == 12
    assert got["tidegate_open_buy_quantity"].samples == []


def test_the_largest_positions_are_told_and_the_others_counted(gateway, monkeypatch):
    monkeypatch.setattr(module, "SERIES", 1)
    got = scrape(gateway)
    assert [x.labels["symbol"] for x in got["tidegate_position"].samples] == ["AAPL"]
    assert value(got, "tidegate_series_left_out", family="tidegate_position") == 1


def test_pushed_limits(gateway):
    s = gateway.record
    s.time_base_ns = 10**15
    told_ns = time.monotonic_ns() + 10**15 - 30 * 10**9
    bounds = {"floor": 100 * E8, "ceiling": 1000 * E8, "effective": 250 * E8, "told_ns": told_ns}
    gateway.push(0, 0, (a.ACCOUNT, "ACC1"), "", a.MAX_ORDER_QTY, **bounds)
    gateway.push(1, 1, (a.ACCOUNT, "ACC1"), "", a.MAX_ORDER_QTY, **bounds | {"state": a.HELD})
    s.parameter_epoch, s.sources[0].pushes, s.sources[1].up = 812, 5, 0
    got = scrape(gateway)
    assert [x.labels for x in got["tidegate_limit"].samples] == [LIMIT]
    assert value(got, "tidegate_limit", **LIMIT) == 250
    assert value(got, "tidegate_limit_floor", **LIMIT) == 100
    assert value(got, "tidegate_limit_ceiling", **LIMIT) == 1000
    age = value(got, "tidegate_parameter_age_seconds", source="RISK", **LIMIT)
    assert age is not None and 30 <= age < 90
    assert value(got, "tidegate_parameter_held", source="RISK", **LIMIT) == 0
    assert value(got, "tidegate_parameter_held", source="HAND", **LIMIT) == 1
    assert value(got, "tidegate_parameter_epoch") == 812
    assert value(got, "tidegate_source_up", source="RISK", kind="parameters") == 1
    assert value(got, "tidegate_source_up", source="HAND", kind="by_hand") == 0
    assert value(got, "tidegate_source_pushes_total", source="RISK") == 5


def test_a_pushed_limit_of_a_pair_is_that_of_the_pair(gateway):
    s = gateway.record
    acc1 = gateway.state.entities[a.ACCOUNT, "ACC1"]
    gateway.push(0, 0, (a.ACCOUNT, "ACC1"), "AAPL", a.MAX_LONG, effective=7 * E8, ceiling=a.UNLIMITED)
    assert value(scrape(gateway), "tidegate_limit", **LIMIT | {"symbol": "AAPL", "limit": "max_long"}) is None
    [row] = np.flatnonzero(s["exposures"]["entity"][: s.exposure_count] == acc1)
    s.exposures[row].pair = 3
    s.pairs[3].limit[a.MAX_LONG] = 55 * E8
    got = scrape(gateway)
    assert value(got, "tidegate_limit", **LIMIT | {"symbol": "AAPL", "limit": "max_long"}) == 55
    assert value(got, "tidegate_limit_ceiling", **LIMIT | {"symbol": "AAPL", "limit": "max_long"}) == float("inf")


def test_durations_are_in_seconds_and_money_in_whole_units():
    assert module.in_unit(a.REFERENCE_MAX_AGE, 2_500_000_000) == 2.5
    assert module.in_unit(a.MAX_ORDER_NOTIONAL, 12_340_000) == 1234
    assert module.in_unit(a.COLLAR_BPS, 500) == 500


def test_used_part_of_tables(gateway):
    s = gateway.record
    s.order_count, s.order_free_count, s.execution_count = 1024, 512, 8192
    got = scrape(gateway)
    assert value(got, "tidegate_table_used_ratio", table="orders") == 0.25
    assert value(got, "tidegate_table_used_ratio", table="executions") == 1
    for table in ("requests", "exposures", "entities", "instruments", "parameters"):
        assert value(got, "tidegate_table_used_ratio", table=table) is not None


def test_garbage_is_refused_or_told_but_never_fatal(gateway):
    """Whatever the words say, a page comes back, and the next one is right again."""
    block = gateway.state.block
    kept = block.copy()
    random = np.random.default_rng(4)
    statuses = []
    with capture_logs(), Server(gateway.settings, ("127.0.0.1", 0)) as server:
        for k in range(20):
            assert server.answer("/metrics")[0] == 200
            for table in ("entities", "exposures", "parameters", "sources", "sessions", "instruments", "orders"):
                rows = block[table][0]
                rows[:] = np.frombuffer(random.bytes(rows.nbytes), rows.dtype)
            for count in ("exposure_count", "parameter_count", "source_count", "order_count", "open_order_count"):
                block[0][count] = random.integers(-(2**62), 2**62)
            if k % 4 == 0:
                block[0]["entity_count"] = random.integers(-(2**62), 2**62)
            gateway.beat(0)
            statuses += [server.answer(path)[0] for path in ("/metrics", "/live", "/ready")]
            block[:] = kept
    assert set(statuses) == {200, 503}


def test_a_page_that_cannot_be_made_says_so(gateway, monkeypatch):
    monkeypatch.setattr(module.Families, "collect", lambda _: 1 / 0)
    assert page(gateway, "/metrics") == (503, "the gateway's memory makes no sense: division by zero\n")


def test_another_run_is_another_memory(gateway):
    watcher = Watcher(gateway.settings.config.gateway)
    first = watcher.running()
    assert watcher.running() is first
    gateway.new_run(2)
    second = watcher.running()
    assert (int(first.state.record.run), int(second.state.record.run)) == (1, 2)


def test_an_entity_that_is_added_gets_its_name(gateway):
    watcher = Watcher(gateway.settings.config.gateway)
    before = len(watcher.running().names.entities)
    s = gateway.record
    s.entities[before].scope, s.entities[before].name_size = a.STRATEGY, 3
    s.entities[before].name[:3] = np.frombuffer(b"NEW", np.uint8)
    s.entity_count += 1
    assert watcher.running().names.entities[before] == (a.STRATEGY, "NEW")


def test_no_gateway_no_pages(gateway):
    watcher = Watcher(gateway.settings.config.gateway)
    watcher.running()
    (gateway.folder / "state.bin").unlink()
    with pytest.raises(NoGateway, match="no gateway runs"):
        watcher.running()
    for path in ("/metrics", "/live", "/ready"):
        assert page(gateway, path)[0] == 503


def test_a_gateway_that_has_no_pulse_yet_is_looked_for_again(gateway):
    watcher = Watcher(gateway.settings.config.gateway)
    pulse = gateway.folder / "pulse"
    pulse.rename(gateway.folder / "later")
    with pytest.raises(NoGateway, match="has no pulse"):
        watcher.running()
    (gateway.folder / "later").rename(pulse)
    assert watcher.running().pulse["pid"] == 0


def test_a_state_of_another_capacity_is_no_state(gateway):
    with pytest.raises(ConfigError, match="another capacity than standard"):
        Watcher(gateway.settings.config.gateway.model_copy(update={"capacity": "standard"})).running()
    (gateway.folder / "state.bin").unlink()
    shared_block("standard", gateway.folder / "state.bin")
    status, text = page(gateway, "/ready")
    assert (status, "another capacity than small" in text) == (503, True)


def test_not_ready_says_why_beside_the_heartbeat(gateway):
    gateway.beat(ago_s=5.0)
    gateway.record.journal_blocked = 1
    running = Watcher(gateway.settings.config.gateway).running()
    reasons = running.status(gateway.settings.config).not_ready
    assert [reason.split()[0:2] for reason in reasons] == [["the", "core"], ["the", "journal"]]


def test_the_process_serves_and_sees_the_gateway_hang_come_back_and_go(gateway):
    with MetricsProcess(gateway.config, gateway.port, gateway.folder / "metrics.log") as process:
        gateway.beat(ago_s=0)
        assert process.get("/live")[0] == 200
        gateway.beat(ago_s=30)
        assert process.get("/live")[0] == 503
        families = process.scrape()
        assert value(families, "tidegate_live") == 0
        age = value(families, "tidegate_heartbeat_age_seconds")
        assert age is not None and age >= 30
        gateway.new_run(2)
        assert value(process.scrape(), "tidegate_run_number") == 2
        (gateway.folder / "state.bin").unlink()
        assert process.get("/metrics")[0] == 503


def test_the_process_ends_with_its_parent(gateway, tmp_path):
    command = f"{sys.executable} -m gateway.ops.metrics --config {gateway.config} --parent $$ & wait"
    with (tmp_path / "log").open("w") as log:
        parent = subprocess.Popen(["sh", "-c", command], stderr=log)
    try:
        wait_for(lambda: "metrics are served" in (tmp_path / "log").read_text(), "metrics", 60)
        assert connects(gateway.port)
    finally:
        parent.kill()
        parent.wait()
    wait_for(lambda: not connects(gateway.port), "the end of the process")


def connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except (ConnectionRefusedError, ConnectionResetError):
        return False
    return True


def test_slow_clients_take_no_more_than_their_places(gateway):
    with MetricsProcess(gateway.config, gateway.port, gateway.folder / "metrics.log") as process:
        idle = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(metrics.MAX_REQUESTS)]
        refused = socket.create_connection(("127.0.0.1", gateway.port))
        refused.settimeout(30)
        assert refused.recv(1) == b""
        idle[0].setblocking(False)
        with pytest.raises(BlockingIOError):
            idle[0].recv(1)
        for connection in idle:
            connection.close()
        wait_for(lambda: answers(process), "an answer when the places are free again")


def answers(process: MetricsProcess) -> bool:
    try:
        return process.get("/other")[0] == 404
    except OSError:
        return False


def test_sigterm_ends_the_process(gateway):
    with MetricsProcess(gateway.config, gateway.port, gateway.folder / "metrics.log") as process:
        process.process.send_signal(signal.SIGTERM)
        assert process.process.wait(20) == 0


def test_an_address_in_use_is_told(gateway, monkeypatch, capsys):
    monkeypatch.setattr(metrics, "BIND_WAIT_S", 0.0)
    monkeypatch.setattr(os, "nice", lambda _: 0)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with socket.create_server(("127.0.0.1", gateway.port)):
        assert main(["--config", str(gateway.config), "--parent", str(os.getppid())]) == 1
    assert f"127.0.0.1:{gateway.port}" in capsys.readouterr().err
