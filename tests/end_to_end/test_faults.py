"""What goes wrong between gateway and venue: lost connections, resends, orders in flight, restarts."""

from __future__ import annotations

from tests.support.gateway_process import GatewayProcess
from tools.fix_text import first


def children(venue) -> list[str]:
    """ClOrdIDs of the NewOrderSingles that a venue has received, repeats included."""
    return [first(m.fields, 11) for m in venue.log if not m.sent and first(m.fields, 35) == "D"]


def test_orders_for_a_venue_that_is_down_are_refused_at_once(start) -> None:
    topology = start()
    ems, venue = topology.ems["EMS1"], topology.venues["XNAS"]
    venue.drop_connections(allow_reconnect=False)
    topology.gateway.wait_log("session is down", session="XNAS")
    a = ems.new_order(symbol="AAPL", quantity=10, price="99")
    ems.wait_for(lambda: ems.order(a).status == "8")
    assert first(ems.reports(a)[-1], 103) == "2" and "VENUE_DOWN" in ems.order(a).text
    venue.allow_logon()
    venue.wait_logged_on(10)
    ems.wait_for(lambda: topology.state.record.sessions[1].up == 1, 10)
    b = ems.new_order(symbol="AAPL", quantity=10, price="99")
    ems.wait_for(lambda: ems.order(b).status == "0")
    assert len(children(venue)) == 1


def test_order_in_flight_is_never_replayed_and_ends_rejected(start) -> None:
    """The venue drops before it processes the order, then asks for it again: a gap fill, and a reject to the EMS."""
    topology = start()
    ems, venue = topology.ems["EMS1"], topology.venues["XNAS"]
    kept = ems.new_order(symbol="AAPL", quantity=10, price="99")
    ems.wait_for(lambda: ems.order(kept).status == "0")
    venue.faults.set("drop-unseen=1")
    lost = ems.new_order(symbol="AAPL", quantity=20, price="99")
    ems.wait_for(lambda: ems.order(lost).status == "8", 15)
    assert "did not receive" in ems.order(lost).text
    assert ems.order(kept).status == "0"
    assert len(set(children(venue))) == len(children(venue))
    state = topology.state.record
    assert state.open_order_count == 1 and state.fault == 0


def test_fills_while_the_ems_is_away_reach_it_later(start) -> None:
    topology = start()
    ems, venue = topology.ems["EMS1"], topology.venues["XNAS"]
    a = ems.new_order(symbol="AAPL", quantity=10, price="99")
    ems.wait_for(lambda: ems.order(a).status == "0")
    ems.drop_connections(allow_reconnect=False)
    topology.gateway.wait_log("session is down", session="EMS1")
    venue.cancel_all()
    venue.wait_for(lambda: topology.state.record.open_order_count == 0)
    ems.allow_logon()
    ems.wait_for(lambda: ems.order(a).status == "4", 10)


def test_all_sessions_lost_at_once_while_reports_flow(start) -> None:
    """Neither side may wait for the other's lock: afterwards everything logs on again and trades."""
    topology = start(ems=("EMS1", "EMS2"), venues=("XNAS", "XNYS"), routing={"default": "XNAS"})
    peers = [*topology.ems.values(), *topology.venues.values()]
    for k in range(3):
        for ems in topology.ems.values():
            for i in range(20):
                ems.new_order(symbol="AAPL", quantity=1, price="99", extra=[(100, ("XNAS", "XNYS")[i % 2])])
        for peer in peers:
            peer.drop_connections()
        for peer in peers:
            peer.wait_logged_on(15)
    state = topology.state.record
    ems = topology.ems["EMS1"]
    ems.wait_for(lambda: all(s.up == 1 for s in state.sessions[: state.session_count]), 15)
    order = ems.new_order(symbol="AAPL", quantity=1, price="98")
    ems.wait_for(lambda: ems.order(order).status == "0", 10)
    assert state.fault == 0


def test_restart_uses_no_id_twice(start) -> None:
    topology = start()
    ems, venue = topology.ems["EMS1"], topology.venues["XNAS"]
    a = ems.new_order(symbol="AAPL", quantity=10, price="99")
    ems.wait_for(lambda: ems.order(a).status == "0")
    assert topology.gateway.stop() == 0
    with GatewayProcess(topology.config) as again:
        topology.gateway = again
        topology.wait_ready()
        b = ems.new_order(symbol="AAPL", quantity=10, price="99")
        ems.wait_for(lambda: ems.order(b).status == "0")
    assert [c.split("-")[0] for c in children(venue)] == ["C1", "C2"]


def test_a_second_process_on_the_same_state_is_refused(start) -> None:
    topology = start()
    second = GatewayProcess(topology.config)
    try:
        second.start()
    except AssertionError as error:
        assert "another gateway process uses it" in str(error)
    assert second.wait_exit(10) == 2


def test_an_error_in_a_callback_ends_the_process(start) -> None:
    """An event that the engine cannot read must not leave a process that looks alive."""
    topology = start()
    topology.gateway.wait_log("session is up", session="XNAS")
    (topology.config.parent / "var" / "fix").rename(topology.config.parent / "var" / "gone")
