"""What goes wrong between gateway and peers: lost connections, lost messages, resends, restarts, errors of its own."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path

import pytest
import yaml

from tests.end_to_end.acts import exposure, open_at, place, requests, wait_canceled, zone_where_it_is
from tests.end_to_end.conftest import FIX_42, FIX_44
from tests.support.gateway_process import GatewayProcess
from tests.support.proxy import DOWN, UP
from tidegate_tools.fix.text import first


def children(venue) -> list[str]:
    """ClOrdIDs of what a venue has received, repeats included."""
    return [first(fields, 11) for fields in requests(venue)]


def reserved(topology) -> set[int]:
    """Open quantities (e8) over all exposures of the gateway."""
    state = topology.state.record
    rows = state.exposures[: state.exposure_count]
    return {int(row.open_buy_e8) + int(row.open_sell_e8) for row in rows}


def exec_types(ems, cl_ord_id: str) -> list[str]:
    return [first(report, 150) for report in ems.reports(cl_ord_id) if first(report, 35) == "8"]


def test_orders_for_a_venue_that_is_down_are_refused_at_once(start) -> None:
    topology = start()
    ems, venue = topology.ems["EMS1"], topology.venues["XNAS"]
    venue.drop_connections(allow_reconnect=False)
    topology.gateway.wait_log("session is down", session="XNAS")
    a = ems.new_order(symbol="AAPL", quantity=10, price="99")
    ems.wait_for(lambda: ems.order(a).status == "8")
    assert first(ems.reports(a)[-1], 103) == "2" and "VENUE_DOWN" in ems.order(a).text
    assert reserved(topology) <= {0}
    venue.allow_logon()
    topology.wait_up()
    place(ems)
    assert len(children(venue)) == 1


def test_the_gateway_comes_back_to_a_venue_that_logged_out(start) -> None:
    """The ordinary end of a venue's day: a Logout, and a Logon later."""
    topology = start()
    ems, venue = topology.ems["EMS1"], topology.venues["XNAS"]
    venue.refuse_logon()
    topology.gateway.wait_log("session is down", session="XNAS")
    venue.allow_logon()
    topology.wait_up()
    place(ems)


def test_order_in_flight_is_never_replayed_and_ends_rejected(start, version: str) -> None:
    """The venue asks for the lost order after the logon: it gets a gap fill, the EMS a reject."""
    topology = start(version, proxied=("XNAS",))
    ems, venue, proxy = topology.ems["EMS1"], topology.venues["XNAS"], topology.proxies["XNAS"]
    kept = place(ems)
    proxy.swallow(UP)
    lost = ems.new_order(symbol="AAPL", quantity=20, price="99")
    proxy.wait_swallowed(b"\x0135=D\x01")
    proxy.cut()
    ems.wait_for(lambda: ems.order(lost).status == "8", 15)
    assert exec_types(ems, lost) == ["8"] and "did not receive" in ems.order(lost).text
    topology.wait_up()
    later = place(ems, quantity=30)
    assert ems.order(kept).status == ems.order(later).status == "0"
    assert [first(m, 38) for m in requests(venue)] == ["10", "30"]
    assert not any(first(m, 43) == "Y" for m in requests(venue))
    state = topology.state.record
    assert (state.open_order_count, state.fault) == (2, 0)
    assert reserved(topology) == {40 * 10**8}


@pytest.mark.parametrize("kind", ["cancel", "replace"])
def test_request_in_flight_is_refused_and_the_order_works_on(start, version: str, kind: str) -> None:
    topology = start(version, proxied=("XNAS",))
    ems, venue, proxy = topology.ems["EMS1"], topology.venues["XNAS"], topology.proxies["XNAS"]
    order = place(ems)
    proxy.swallow(UP)
    request = ems.cancel(order) if kind == "cancel" else ems.replace(order, quantity=50)
    proxy.wait_swallowed(b"\x0135=F\x01" if kind == "cancel" else b"\x0135=G\x01")
    proxy.cut()
    ems.wait_for(lambda: any(first(m, 35) == "9" for m in ems.reports(request)), 15)
    (reject,) = [m for m in ems.reports(request) if first(m, 35) == "9"]
    got = [first(reject, tag) for tag in (11, 41, 39, 434, 102)]
    assert got == [request, order, "0", "1" if kind == "cancel" else "2", "2"]
    topology.wait_up()
    assert len(requests(venue)) == 1 and reserved(topology) == {10 * 10**8}
    again = ems.cancel(order)
    ems.wait_for(lambda: ems.order(order).status == "4")
    assert first(ems.reports(again)[-1], 150) == "4"
    assert reserved(topology) == {0} and topology.state.record.open_order_count == 0


def test_lost_reports_are_resent_and_booked_once(start, version: str) -> None:
    topology = start(version, proxied=("XNAS",))
    ems, venue, proxy = topology.ems["EMS1"], topology.venues["XNAS"], topology.proxies["XNAS"]
    place(ems)
    proxy.swallow(DOWN)
    order = ems.new_order(symbol="AAPL", quantity=250, price="100.1")
    proxy.wait_swallowed(b"\x0132=200\x01")
    assert ems.reports(order) == []
    proxy.cut()
    ems.wait_for(lambda: ems.order(order).cum == "200", 15)
    assert exec_types(ems, order) == ["0", "1" if version == "FIX.4.2" else "F"]
    topology.wait_up()
    venue.cancel_all()
    ems.wait_for(lambda: ems.order(order).status == "4")
    state = topology.state.record
    assert {int(row.position_e8) for row in state.exposures[: state.exposure_count]} == {200 * 10**8}
    assert reserved(topology) == {0} and (state.open_order_count, state.fault) == (0, 0)
    resent = [m for m in venue.log if m.sent and first(m.fields, 35) == "8" and first(m.fields, 43) == "Y"]
    assert len(resent) == 2


def test_orders_caught_by_the_loss_of_a_slow_line(start) -> None:
    """Two of five orders get through: the fate of the others is open until the line is back, then they are refused."""
    topology = start(proxied=("XNAS",))
    ems, venue, proxy = topology.ems["EMS1"], topology.venues["XNAS"], topology.proxies["XNAS"]
    proxy.delay_s = 0.05
    proxy.swallow(UP, after_orders=2)
    orders = [ems.new_order(symbol="AAPL", quantity=10 + i, price="99") for i in range(5)]
    ems.wait_for(lambda: [ems.order(i).status for i in orders] == ["0", "0", "", "", ""])
    proxy.cut(refuse=True)
    topology.gateway.wait_log("session is down", session="XNAS")
    late = ems.new_order(symbol="AAPL", quantity=1, price="99")
    ems.wait_for(lambda: ems.order(late).status == "8")
    assert "VENUE_DOWN" in ems.order(late).text
    assert [ems.order(i).status for i in orders] == ["0", "0", "", "", ""]
    assert reserved(topology) == {60 * 10**8}
    proxy.allow()
    ems.wait_for(lambda: [ems.order(i).status for i in orders] == ["0", "0", "8", "8", "8"], 15)
    assert [first(m, 38) for m in requests(venue)] == ["10", "11"]
    assert reserved(topology) == {21 * 10**8}


def test_fills_while_the_ems_is_away_reach_it_later(start, version: str) -> None:
    topology = start(version)
    ems, venue = topology.ems["EMS1"], topology.venues["XNAS"]
    a, b = place(ems, price="99.95", quantity=100), place(ems)
    ems.drop_connections(allow_reconnect=False)
    topology.gateway.wait_log("session is down", session="EMS1")
    quote = venue.config.liquidity[0]
    venue.set_liquidity(type(quote)("AAPL", 98 * 10**8, 10**10, 9_990_000_000, 40 * 10**8))
    venue.cancel_unsolicited(venue.orders[children(venue)[1]].order_id)
    venue.wait_for(lambda: topology.state.record.open_order_count == 1)
    ems.allow_logon()
    ems.wait_for(lambda: ems.order(a).cum == "40" and ems.order(b).status == "4", 10)
    assert exec_types(ems, a) == ["0", "1" if version == "FIX.4.2" else "F"]
    assert {first(m, 43) for m in ems.reports(a)[1:]} == {"Y"}


def test_all_sessions_lost_at_once_under_load(start) -> None:
    """Neither side may wait for the other's lock; afterwards everything trades, and all agree on every order."""
    names, destinations = ("EMS1", "EMS2", "EMS3"), ("XNAS", "XNYS")
    topology = start(ems=names, venues=destinations, routing={"default": "XNAS"})
    peers = [*topology.venues.values(), *topology.ems.values()]
    for turn in range(3):
        for i in range(20):
            for ems in topology.ems.values():
                price = "100.1" if i % 5 == 0 else "99"
                ems.new_order(symbol="AAPL", quantity=1, price=price, extra=[(100, destinations[(i + turn) % 2])])
        for peer in peers:
            peer.drop_connections()
        topology.wait_up()
    for ems in topology.ems.values():
        for destination in destinations:  # what comes back behind all that was under way
            place(ems, quantity=3, extra=[(100, destination)])
    received = [child for venue in topology.venues.values() for child in children(venue)]
    assert len(received) == len(set(received))
    at_venues = {}
    for venue in topology.venues.values():
        at_venues |= {first(m, 526): venue.orders[first(m, 11)] for m in requests(venue)}
    for ems in topology.ems.values():
        for cl_ord_id, order in ems.orders.items():
            there = at_venues.get(cl_ord_id)
            seen = (there.status, there.cum_e8) if there else None
            if order.status in ("", "8"):  # lost on the way to the gateway, or refused by it
                assert seen is None, (order, there)
            else:
                assert seen == (order.status, int(order.cum) * 10**8), (order, there)
    state = topology.state.record
    working = sum(len(ems.working) for ems in topology.ems.values())
    assert (state.open_order_count, state.fault) == (working, 0)


@pytest.mark.parametrize("fault", ["unknown-enum", "duplicate-fills=plain", "duplicate-fills=possresend"])
def test_odd_fills_of_a_venue_are_booked_once(start, version: str, fault: str) -> None:
    topology = start(version)
    ems, venue = topology.ems["EMS1"], topology.venues["XNAS"]
    venue.faults.set(fault)
    order = ems.new_order(symbol="AAPL", quantity=200, price="100.1")
    ems.wait_for(lambda: ems.order(order).status == "2")
    place(ems)
    assert ems.order(order).cum == "200" and len(exec_types(ems, order)) == 2
    state = topology.state.record
    assert {int(row.position_e8) for row in state.exposures[: state.exposure_count]} == {200 * 10**8}
    assert state.fault == 0


def test_an_error_in_a_callback_ends_the_process(start) -> None:
    """A message that the engine fails on must not leave a process that looks alive."""
    topology = start(engine="quickfix", module="tests.support.failing_gateway")
    ems, venue = topology.ems["EMS1"], topology.venues["XNAS"]
    place(ems)
    ems.new_order(symbol="AAPL", quantity=1, price="1", extra=[(50, "BOOM")])
    assert topology.gateway.wait_exit(15) == 1
    line = topology.gateway.wait_log("the gateway ends: unexpected error")
    assert "broken on purpose" in line["exception"]
    venue.wait_for(lambda: not venue.logged_on)
    ems.wait_for(lambda: not ems.logged_on)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", topology.port), timeout=5)


def test_stops_and_restarts_use_no_id_twice(start) -> None:
    """Each stop ends well with orders open, and the next run starts with ids of its own."""
    topology = start()
    ems, venue = topology.ems["EMS1"], topology.venues["XNAS"]
    place(ems)
    assert topology.gateway.stop() == 0
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        gateway = topology.start_again()
        topology.wait_up()
        place(ems)
        place(ems, symbol="MSFT", price="199")
        assert gateway.stop(number) == 0
        gateway.wait_log("gateway is down")
    ids = children(venue)
    assert len(set(ids)) == len(ids)
    assert [c.split("-")[0] for c in ids] == ["C1", "C2", "C2", "C3", "C3", "C4", "C4"]
    assert len({first(m, 17) for m in ems.messages}) == len(ems.messages)


def test_a_second_process_on_the_same_state_is_refused(start) -> None:
    topology = start()
    second = GatewayProcess(topology.config)
    with pytest.raises(AssertionError, match="another gateway process uses it"):
        second.start()
    assert second.wait_exit(10) == 2
    place(topology.ems["EMS1"])


def test_orders_of_an_ems_that_is_gone_are_canceled_where_it_is_told_so(start) -> None:
    """Good Till Cancel stays, and so does what another EMS has placed."""
    topology = start(ems=("EMS1", "EMS2"), versions={"EMS1": FIX_42}, ems_session={"on_disconnect": "cancel"})
    ems, other, venue = topology.ems["EMS1"], topology.ems["EMS2"], topology.venues["XNAS"]
    gone = [place(ems, quantity=10 + k) for k in range(3)]
    kept, of_other = place(ems, quantity=20, time_in_force="1"), place(other, quantity=30)
    ems.drop_connections(allow_reconnect=False)
    venue.wait_for(lambda: topology.state.record.open_order_count == 2)
    assert exposure(topology) == (0, 50, 0)
    assert sorted(order.quantity_e8 // 10**8 for order in venue.orders.values() if order.leaves_e8) == [20, 30]
    ems.allow_logon()
    wait_canceled(ems, *gone)
    report = ems.reports(gone[0])[-1]
    told = {tag: first(report, tag) for tag in (11, 41, 150, 39, 378, 58, 43)}
    of_gateway = {11: gone[0], 41: "", 150: "4", 39: "4", 378: "4", 58: "canceled by the gateway: the EMS is gone"}
    assert told == of_gateway | {43: "Y"}
    assert ems.order(kept).status == other.order(of_other).status == "0"
    place(ems)
    assert len(open_at(venue)) == 3


@pytest.mark.parametrize("version", [FIX_42, FIX_44])
def test_a_fill_of_no_order_is_booked_and_the_venue_is_told_so(start, version: str) -> None:
    topology = start(version, venue_session={"dont_know": True})
    ems, venue = topology.ems["EMS1"], topology.venues["XNAS"]
    exec_id = venue.send_stray_fill(symbol="AAPL", quantity_e8=70 * 10**8, price_e8=99 * 10**8)
    venue.wait_for(lambda: venue.dont_knows)
    (message,) = venue.dont_knows
    told = {17: exec_id, 127: "D", 55: "AAPL", 54: "1", 32: "70", 31: "99"}
    assert {tag: first(message, tag) for tag in told} == told
    s = topology.state.record
    assert {int(row.position_e8) for row in s.exposures[: s.exposure_count]} == {70 * 10**8}
    assert (s.unknown_executions, s.fault) == (1, 0)
    alert = topology.gateway.wait_log("alert")
    assert alert["text"].startswith("fill of an order that is not the gateway's: booked") and exec_id in alert["text"]
    place(ems)


def test_orders_wait_for_the_hours_of_the_trading_day(start, tmp_path: Path) -> None:
    topology = start()
    ems = topology.ems["EMS1"]
    order = place(ems)
    since_s = time.monotonic()
    topology.gateway.stop()
    topology.start_again()
    topology.wait_up()
    ahead_s = round(2 * (time.monotonic() - since_s)) + 3  # in which a start is done
    topology.gateway.stop()
    zone_where_it_is(tmp_path / "zones", 12, ahead_s)
    day = {"day": {"zone": "Soon", "start": "12:00", "end": "11:00"}}
    topology.config.write_text(yaml.safe_dump(yaml.safe_load(topology.config.read_text()) | day))
    gateway = topology.start_again(PYTHONTZPATH=str(tmp_path / "zones"))
    topology.wait_up()
    early = ems.new_order(symbol="AAPL", quantity=10, price="99")
    ems.wait_for(lambda: ems.order(early).status)
    assert ems.order(early).text == "TRADING_DAY the trading day has not begun"
    assert first(ems.reports(early)[-1], 103) == "2"
    replace = ems.replace(order, quantity=20)
    ems.wait_for(lambda: ems.reports(replace))
    assert ems.order(order).text.startswith("TRADING_DAY")
    ems.cancel(order)
    wait_canceled(ems, order)
    gateway.wait_log("orders are taken", 60)
    place(ems)
