"""A QuickFIX EMS and a QuickFIX venue that know nothing of the gateway trade through it."""

from __future__ import annotations

import pytest

from gateway.journal.read import Entry, entries, read_segment, segment_files
from gateway.journal.replayer import Replayer
from tests.end_to_end.conftest import PAIRS, PAIRS_50, Versions
from tidegate_tools.fix.raw_client import RawFixClient
from tidegate_tools.fix.text import first


@pytest.fixture(params=PAIRS + PAIRS_50, ids="-".join)
def version(request: pytest.FixtureRequest) -> Versions:
    """FIX versions of the two sides, crossed too."""
    return Versions(*request.param)


def exec_types(ems, cl_ord_id: str) -> list[str]:
    return [first(report, 150) for report in ems.reports(cl_ord_id) if first(report, 35) == "8"]


def test_new_partial_fill_replace_cancel(start, version: str) -> None:
    topology = start(version)
    ems, venue = topology.ems["EMS1"], topology.venues["XNAS"]
    a = ems.new_order(symbol="AAPL", quantity=600, price="100.1")
    ems.wait_for(lambda: ems.order(a).cum == "200")
    assert exec_types(ems, a) == ["0", "1" if version == "FIX.4.2" else "F"]
    b = ems.replace(a, quantity=700, price="100")
    ems.wait_for(lambda: ems.order(a).cl_ord_id == b)
    c = ems.cancel(b)
    ems.wait_for(lambda: ems.order(a).status == "4")
    assert [first(m, 41) for m in ems.reports(c)] == [b]
    assert {first(m, 37) for m in ems.reports(a)} == {"O1-0"}
    assert {order.cl_ord_id.split("-")[0] for order in venue.orders.values()} == {"C1"}
    assert all(order.status == "4" and order.cum_e8 == 200 * 10**8 for order in venue.orders.values())


@pytest.mark.parametrize(
    ("fields", "check"),
    [
        ({"quantity": 2000, "price": "100"}, "MAX_ORDER_QTY"),
        ({"quantity": 1, "price": "120"}, "PRICE_COLLAR"),
        ({"quantity": 1, "price": "100.005"}, "TICK_SIZE"),
        ({"quantity": 1, "price": "100", "symbol": "NONE"}, "KNOWN_INSTRUMENT"),
        ({"quantity": 1, "price": "100", "extra": [(1, "OTHER")]}, "IDENTITY"),
    ],
)
def test_refused_orders_reach_no_venue(start, fields: dict, check: str) -> None:
    topology = start()
    ems, venue = topology.ems["EMS1"], topology.venues["XNAS"]
    a = ems.new_order(**{"symbol": "AAPL"} | fields)
    ems.wait_for(lambda: ems.order(a).status == "8")
    assert ems.order(a).text.split()[0] == check
    after = ems.new_order(symbol="AAPL", quantity=1, price="99")
    ems.wait_for(lambda: ems.order(after).status == "0")
    assert len(venue.orders) == 1


def test_cancel_too_late_and_unknown(start, version: str) -> None:
    topology = start(version)
    ems = topology.ems["EMS1"]
    a = ems.new_order(symbol="AAPL", quantity=100, price="100.1")
    ems.wait_for(lambda: ems.order(a).status == "2")
    c = ems.cancel(a)
    ems.wait_for(lambda: ems.reports(c))
    assert [(first(m, 35), first(m, 102), first(m, 39)) for m in ems.reports(c)] == [("9", "0", "2")]
    ems.send_raw("F", [(11, "zz"), (41, "none"), (38, "1"), (54, "1"), (55, "AAPL"), (60, "20260711-12:00:00.000")])
    ems.wait_for(lambda: any(first(m, 11) == "zz" for m in ems.messages))
    reject = next(m for m in ems.messages if first(m, 11) == "zz")
    assert (first(reject, 37), first(reject, 39), first(reject, 102)) == ("NONE", "8", "1")


def test_venue_reject_bust_and_unsolicited_cancel(start, version: str) -> None:
    topology = start(version)
    ems, venue = topology.ems["EMS1"], topology.venues["XNAS"]
    a = ems.new_order(symbol="AAPL", quantity=200, price="100.1")
    ems.wait_for(lambda: ems.order(a).status == "2")
    child = next(iter(venue.orders.values()))
    venue.bust(child.executions[0].exec_id)
    ems.wait_for(lambda: ems.order(a).cum == "0")
    venue.cancel_unsolicited(child.order_id)
    ems.wait_for(lambda: ems.order(a).status == "4")
    assert first(ems.reports(a)[-1], 41, "none") == "none"
    state = topology.state.record
    assert [int(x.position_e8) for x in state.exposures[: state.exposure_count]] == [0] * state.exposure_count


def test_raw_client_trades_by_security_id(start, version: str) -> None:
    topology = start(version, ems=(), raw=("RAW",))
    with RawFixClient("127.0.0.1", topology.port, version, "RAW", "GW") as client:
        client.logon()
        order = [(1, "ACC1"), (11, "r1"), (21, "1"), (48, "US5949181045"), (22, "4"), (55, "MSFT"), (54, "2")]
        client.send("D", [*order, (38, "5"), (40, "2"), (44, "199.9"), (59, "0"), (60, "20260711-12:00:00.000")])
        types = [client.receive_type("8", 5) for _ in range(2)]
        assert [first(m, 39) for m in types] == ["0", "2"]
        client.logout()


def test_two_venues_by_route_and_by_destination(start) -> None:
    topology = start(venues=("XNAS", "XNYS"), routing={"default": "XNAS", "instruments": {"MSFT": "XNYS"}})
    ems = topology.ems["EMS1"]
    ids = [
        ems.new_order(symbol="AAPL", quantity=1, price="99"),
        ems.new_order(symbol="MSFT", quantity=2, price="199"),
        ems.new_order(symbol="AAPL", quantity=3, price="99", extra=[(100, "XNYS")]),
    ]
    ems.wait_for(lambda: all(ems.order(i).status == "0" for i in ids))
    quantities = {n: sorted(o.quantity_e8 // 10**8 for o in v.orders.values()) for n, v in topology.venues.items()}
    assert quantities == {"XNAS": [1], "XNYS": [2, 3]}


def test_a_run_replays_from_its_journal_to_the_same_bytes(start, version: str) -> None:
    topology = start(version)
    ems = topology.ems["EMS1"]
    for price in ("100.1", "150", "99", "99.5"):
        order = ems.new_order(symbol="AAPL", quantity=10, price=price)
        ems.wait_for(lambda order=order: ems.reports(order))
    ems.cancel(order)
    ems.wait_for(lambda: ems.order(order).status == "4")
    assert topology.gateway.stop() == 0
    segments = [read_segment(path) for path in segment_files(topology.config.parent / "var" / "journal")]
    replayer = Replayer()
    for segment in segments:
        replayer.apply(segment)
    assert replayer.events >= 15 and replayer.differences == 0
    found = [entry for segment in segments for entry in entries(segment) if isinstance(entry, Entry)]
    assert sum(output.message_type == "D" for entry in found for output in entry.outputs) == 3
