"""Venue and EMS simulators against each other over TCP, with strict dictionaries on both sides."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import quickfix as fix

from tidegate_tools.fix.text import Fields, first
from tidegate_tools.sim.ems import Ems, EmsConfig, Flow, describe, run_flow
from tidegate_tools.sim.exchange import Rules
from tidegate_tools.sim.matching_book import E8, parse_e8
from tidegate_tools.sim.quickfix_peer import SessionConfig
from tidegate_tools.sim.script import parse_line, parse_script, run_script
from tidegate_tools.sim.venue import Faults, Liquidity, Venue, VenueConfig

StartPair = Callable[..., tuple[Venue, Ems]]
QUOTE = Liquidity.parse("AAPL:187.4:500:187.6:500")


def exec_types(ems: Ems, cl_ord_id: str) -> list[str]:
    return [first(report, 150) for report in ems.reports(cl_ord_id) if first(report, 35) == "8"]


def test_new_partial_fill_replace_cancel(start_pair: StartPair, version: str) -> None:
    venue, ems = start_pair({"extra_fields": [(1, "ACC"), (50, "desk")]}, liquidity=[QUOTE])
    a = ems.new_order(symbol="AAPL", quantity=600, price="187.6")
    ems.wait_for(lambda: ems.order(a).cum == "500")
    assert ems.order(a).status == "1" and ems.order(a).leaves == "100"
    assert exec_types(ems, a) == ["0", "1" if version == "FIX.4.2" else "F"]
    b = ems.replace(a, quantity=700, price="187.5")
    ems.wait_for(lambda: ems.order(a).cl_ord_id == b)
    c = ems.cancel(b)
    ems.wait_for(lambda: ems.order(a).status == "4")
    seen = venue.orders
    assert set(seen) == {a, b, c}
    assert (seen[a].status, seen[a].cum_e8, seen[a].leaves_e8) == ("4", 500 * E8, 0)
    assert seen[a].account == "ACC"
    assert all(first(m.fields, 50) == "desk" for m in venue.log if first(m.fields, 35) in ("D", "F", "G"))


def test_rejects(start_pair: StartPair) -> None:
    venue, ems = start_pair(rules=Rules(lot_e8=100 * E8))
    bad = ems.new_order(symbol="AAPL", quantity=150, price="1")
    ems.wait_for(lambda: ems.order(bad).status == "8")
    assert "multiple" in ems.order(bad).text
    request = ems.cancel(bad)
    ems.wait_for(lambda: ems.reports(request))
    assert [first(m, 102) for m in ems.reports(request)] == ["1"]
    assert venue.orders[bad].status == "8"


def test_unsolicited_cancel_and_bust(start_pair: StartPair) -> None:
    venue, ems = start_pair(liquidity=[QUOTE])
    a = ems.new_order(symbol="AAPL", quantity=500, price="187.6")
    b = ems.new_order(symbol="MSFT", quantity=5, price="400")
    ems.wait_for(lambda: ems.order(a).status == "2" and ems.order(b).status == "0")
    venue.bust(venue.orders[a].executions[0].exec_id)
    ems.wait_for(lambda: ems.order(a).cum == "0")
    assert ems.order(a).leaves == "500"
    venue.cancel_unsolicited(venue.orders[b].order_id)
    ems.wait_for(lambda: ems.order(b).status == "4")
    assert first(ems.reports(b)[-1], 378) == "4"
    with pytest.raises(KeyError):
        venue.cancel_unsolicited("nothing")
    venue.cancel_all()
    ems.wait_for(lambda: ems.order(a).status == "4")


def test_replenished_quote_fills_the_rest(start_pair: StartPair) -> None:
    _, ems = start_pair(liquidity=[QUOTE], replenish_s=0.05)
    a = ems.new_order(symbol="AAPL", quantity=1200, price="187.6")
    ems.wait_for(lambda: ems.order(a).status == "2")
    assert sum(int(first(m, 32, "0")) for m in ems.reports(a)) == 1200


def snapshot(message: Fields) -> list[tuple[str, str, str]]:
    """Type, price and size of each entry of a 35=W."""
    entries: list[list[str]] = []
    for tag, value in message:
        if tag == 269:
            entries.append([value, "", ""])
        elif tag in (270, 271):
            entries[-1][tag - 269] = value
    return [(kind, price, size) for kind, price, size in entries]


def test_market_data_follows_the_book(start_pair: StartPair) -> None:
    prices = {"AAPL": parse_e8("187.5")}
    venue, ems = start_pair(liquidity=[QUOTE], reference_prices_e8=prices, md_interval_s=0.1)

    def snapshots(symbol: str) -> list[list[tuple[str, str, str]]]:
        return [snapshot(m) for m in ems.messages if first(m, 35) == "W" and first(m, 55) == symbol]

    group = [(267, "3"), (269, "0"), (269, "1"), (269, "2"), (146, "2"), (55, "AAPL"), (55, "MSFT")]
    ems.send_raw("V", [(262, "r1"), (263, "1"), (264, "1"), (265, "0"), *group])
    ems.wait_for(lambda: snapshots("AAPL") and snapshots("MSFT"))
    assert snapshots("AAPL")[0] == [("0", "187.4", "500"), ("1", "187.6", "500"), ("2", "187.5", "")]
    assert snapshots("MSFT")[0] == []
    ems.wait_for(lambda: len(snapshots("MSFT")) > 2, what="periodic snapshots")
    ems.new_order(symbol="AAPL", quantity=200, price="187.6")
    ems.wait_for(lambda: snapshots("AAPL")[-1] == [("0", "187.4", "500"), ("1", "187.6", "300"), ("2", "187.6", "200")])
    venue.set_liquidity(Liquidity.parse("AAPL:187:100:188:100"))
    ems.wait_for(lambda: snapshots("AAPL")[-1][:2] == [("0", "187", "100"), ("1", "188", "100")])
    group = [(267, "1"), (269, "0"), (146, "1"), (55, "AAPL")]
    ems.send_raw("V", [(262, "r1"), (263, "2"), (264, "1"), *group])
    late = ems.new_order(symbol="AAPL", quantity=100, price="188")
    ems.wait_for(lambda: ems.order(late).status == "2")
    assert snapshots("AAPL")[-1][:2] == [("0", "187", "100"), ("1", "188", "100")]


def refreshes(ems: Ems) -> list[list[tuple[str, str, str]]]:
    """Action, type and price of each entry of each 35=X."""
    found = []
    for message in (m for m in ems.messages if first(m, 35) == "X"):
        entries: list[list[str]] = []
        for tag, value in message:
            if tag == 279:
                entries.append([value, "", ""])
            elif tag in (269, 270):
                entries[-1][tag - 268] = value
        found.append([(action, kind, price) for action, kind, price in entries])
    return found


def test_incremental_market_data_tells_what_changed_since_the_snapshot(start_pair: StartPair) -> None:
    venue, ems = start_pair(liquidity=[QUOTE], md_incremental=True, md_interval_s=3600.0)
    group = [(267, "3"), (269, "0"), (269, "1"), (269, "2"), (146, "1"), (55, "AAPL")]
    ems.send_raw("V", [(262, "r1"), (263, "1"), (264, "1"), (265, "1"), *group])
    ems.wait_for(lambda: ems.messages)
    assert snapshot(ems.messages[0]) == [("0", "187.4", "500"), ("1", "187.6", "500")]
    venue.set_liquidity(Liquidity.parse("AAPL:187.4:500:187.7:500"))
    ems.wait_for(lambda: refreshes(ems))
    ems.new_order(symbol="AAPL", quantity=500, price="187.7")
    ems.wait_for(lambda: len(refreshes(ems)) == 2)
    assert refreshes(ems) == [[("1", "1", "187.7")], [("2", "1", ""), ("0", "2", "187.7")]]
    assert [first(m, 35) for m in ems.messages if first(m, 35) != "8"] == ["W", "X", "X"]


def test_incremental_market_data_is_repeated_each_interval(start_pair: StartPair) -> None:
    _, ems = start_pair(liquidity=[QUOTE], md_incremental=True, md_interval_s=0.1)
    group = [(267, "2"), (269, "0"), (269, "1"), (146, "1"), (55, "AAPL")]
    ems.send_raw("V", [(262, "r1"), (263, "1"), (264, "1"), (265, "1"), *group])
    ems.wait_for(lambda: len(refreshes(ems)) > 1)
    assert refreshes(ems)[0] == [("1", "0", "187.4"), ("1", "1", "187.6")]


MASS_CANCEL = [(11, "m1"), (530, "7"), (60, "20260102-10:00:00.000")]


def test_mass_cancel_acknowledges_and_reports_each_order(start_pair: StartPair, version: str) -> None:
    venue, ems = start_pair()
    orders = [ems.new_order(symbol=symbol, quantity=1, price="1") for symbol in ("AAPL", "MSFT")]
    if version == "FIX.4.2":
        return
    ems.wait_for(lambda: not ems.unanswered)
    ems.send_raw("q", [*MASS_CANCEL[:1], (530, "1"), (55, "MSFT"), *MASS_CANCEL[2:]])
    ems.wait_for(lambda: ems.order(orders[1]).status == "4")
    ems.send_raw("q", [(11, "m2"), *MASS_CANCEL[1:]])
    ems.wait_for(lambda: ems.order(orders[0]).status == "4")
    seen = [(first(m, 35), first(m, 11), first(m, 533)) for m in ems.messages[2:]]
    assert seen == [("r", "m1", "1"), ("8", orders[1], ""), ("r", "m2", "1"), ("8", orders[0], "")]


def test_mass_cancel_refused_or_ignored_by_a_fault_cancels_nothing(start_pair: StartPair, version: str) -> None:
    venue, ems = start_pair()
    order = ems.new_order(symbol="AAPL", quantity=1, price="1")
    ems.wait_for(lambda: not ems.unanswered)
    if version == "FIX.4.2":
        return
    venue.faults.set("ignore-mass-cancels")
    ems.send_raw("q", MASS_CANCEL)
    venue.wait_for(lambda: any(first(m.fields, 35) == "q" for m in venue.log))
    ems.order_status(order)
    ems.wait_for(lambda: len(ems.reports(order)) == 2)
    assert all(first(m, 35) != "r" for m in ems.messages)
    venue.faults.ignore.clear()
    venue.faults.set("refuse-mass-cancel")
    ems.send_raw("q", MASS_CANCEL)
    ems.wait_for(lambda: any(first(m, 35) == "r" for m in ems.messages))
    report = next(m for m in ems.messages if first(m, 35) == "r")
    assert [first(report, tag) for tag in (11, 530, 531, 532)] == ["m1", "7", "0", "0"]
    assert ems.order(order).open and venue.orders[order].status == "0"


def test_refused_cancels_leave_the_order_working(start_pair: StartPair) -> None:
    venue, ems = start_pair()
    venue.faults.set("refuse-cancels")
    order = ems.new_order(symbol="AAPL", quantity=1, price="1")
    ems.wait_for(lambda: not ems.unanswered)
    request = ems.cancel(order)
    ems.wait_for(lambda: not ems.unanswered)
    (reject,) = ems.reports(request)
    assert [first(reject, tag) for tag in (35, 434, 102, 41, 39)] == ["9", "1", "2", order, "0"]
    assert venue.orders[order].status == "0"


def test_a_stray_fill_and_what_the_other_side_says_of_it(start_pair: StartPair, version: str) -> None:
    venue, ems = start_pair()
    exec_id = venue.send_stray_fill(symbol="AAPL", side="2", quantity_e8=7 * E8, price_e8=187 * E8)
    ems.wait_for(lambda: ems.messages)
    (fill,) = ems.messages
    assert [first(fill, tag) for tag in (11, 17, 39, 54, 32, 31, 151)] == ["STRAY", exec_id, "2", "2", "7", "187", "0"]
    assert first(fill, 150) == ("2" if version == "FIX.4.2" else "F")
    assert venue.orders == {}
    ems.send_raw("Q", [(37, first(fill, 37)), (17, exec_id), (127, "D"), (55, "AAPL"), (54, "2"), (38, "7")])
    venue.wait_for(lambda: venue.dont_knows)
    assert [(first(m, 17), first(m, 127)) for m in venue.dont_knows] == [(exec_id, "D")]
    assert len(ems.messages) == 1


def test_order_status_is_told(start_pair: StartPair, version: str) -> None:
    _, ems = start_pair()
    first_id = ems.new_order(symbol="AAPL", quantity=10, price="1")
    ems.wait_for(lambda: not ems.unanswered)
    second_id = ems.replace(first_id, quantity=20)
    ems.wait_for(lambda: not ems.unanswered)
    ems.order_status(second_id)
    ems.wait_for(lambda: len(ems.messages) == 3)
    answer = ems.messages[-1]
    assert first(answer, 38) == "20" and first(answer, 11) == second_id
    assert (first(answer, 20), first(answer, 150)) in (("3", "0"), ("", "I"))
    assert ems.order(first_id).cl_ord_id == second_id and ems.order(first_id).open


def test_drop_after_and_reports_after_reconnect(start_pair: StartPair) -> None:
    venue, ems = start_pair(liquidity=[QUOTE])
    venue.faults.set("drop-after=2")
    a = ems.new_order(symbol="AAPL", quantity=10, price="1")
    ems.wait_for(lambda: ems.order(a).status == "0")
    b = ems.new_order(symbol="AAPL", quantity=100, price="187.6")
    ems.wait_for(lambda: not ems.logged_on)
    with pytest.raises(ConnectionError, match="not logged on"):
        ems.new_order(symbol="AAPL", quantity=1, price="1")
    assert ems.order(b).status == ""
    ems.wait_for(lambda: ems.order(b).status == "2", what="resent reports")
    assert {first(m, 43) for m in ems.reports(b)} == {"Y"}
    assert len(venue.orders) == 2


def test_refused_logon_until_allowed(start_pair: StartPair) -> None:
    venue, ems = start_pair()
    venue.drop_connections(allow_reconnect=False)
    ems.wait_for(lambda: not ems.logged_on)
    refused = len(ems.log)
    ems.wait_for(lambda: any(first(m.fields, 35) == "A" and m.sent for m in ems.log[refused:]))
    assert not ems.logged_on
    venue.allow_logon()
    ems.wait_logged_on()


def test_ignored_cancels_and_duplicate_fills(start_pair: StartPair) -> None:
    venue, ems = start_pair(liquidity=[QUOTE])
    venue.faults.set("ignore-cancels")
    venue.faults.set("duplicate-fills=possresend")
    a = ems.new_order(symbol="AAPL", quantity=600, price="187.6")
    ems.wait_for(lambda: len(ems.reports(a)) == 3)
    venue.faults.set("duplicate-fills=possdup")
    request = ems.cancel(a)
    ems.new_order(symbol="AAPL", quantity=100, price="187", side="2")
    ems.wait_for(lambda: len(ems.reports(a)) == 5)
    _, fill, again, last_fill, last_again = ems.reports(a)
    assert first(fill, 17) == first(again, 17) != first(last_fill, 17) == first(last_again, 17)
    assert [first(m, 97) for m in (fill, again)] == ["", "Y"]
    assert [first(m, 43) for m in (last_fill, last_again)] == ["", "Y"]
    assert request in ems.unanswered


@pytest.mark.parametrize(("fault", "msg_type"), [("session-reject", "3"), ("business-reject", "j")])
def test_orders_refused_below_the_application(start_pair: StartPair, fault: str, msg_type: str) -> None:
    venue, ems = start_pair()
    venue.faults.set(fault)
    a = ems.new_order(symbol="AAPL", quantity=1, price="1")
    ems.wait_for(lambda: not ems.unanswered)
    (reject,) = [m for m in ems.messages if first(m, 35) == msg_type]
    (sent,) = [m.fields for m in ems.log if first(m.fields, 11) == a]
    assert first(reject, 45) == first(sent, 34)
    assert venue.orders == {}


def test_unknown_enum_meets_the_strict_dictionary(version: str) -> None:
    session = SessionConfig(version, "VENUE", "EMS")
    with Venue(VenueConfig(sessions=[session], liquidity=[QUOTE])) as venue:
        venue.faults.set("unknown-enum")
        mirror = SessionConfig(version, "EMS", "VENUE")
        with Ems(EmsConfig(connect=("127.0.0.1", venue.port), sessions=[mirror])) as ems:
            ems.wait_logged_on()
            ems.new_order(symbol="AAPL", quantity=1, price="187.6")
            venue.wait_for(lambda: venue.session_rejects)
            assert first(venue.session_rejects[0], 371) == "150"


def test_cancel_all_after_and_bust_fill(start_pair: StartPair) -> None:
    venue, ems = start_pair(liquidity=[QUOTE])
    venue.faults.set("cancel-all-after=2")
    venue.faults.set("bust-fill=1")
    a = ems.new_order(symbol="AAPL", quantity=1, price="1")
    b = ems.new_order(symbol="AAPL", quantity=500, price="187.6")
    ems.wait_for(lambda: ems.order(a).status == ems.order(b).status == "4")
    assert ems.order(b).cum == "0"
    busts = [m for m in ems.reports(b) if first(m, 19)]
    assert [first(m, 32) for m in busts] == ["500"]


def test_two_sessions_trade_with_each_other(version: str) -> None:
    names = ["ONE", "TWO"]
    config = VenueConfig(sessions=[SessionConfig(version, "VENUE", name) for name in names], latency_ms=1)
    with Venue(config) as venue:
        address = ("127.0.0.1", venue.port)
        one, two = (Ems(EmsConfig(connect=address, sessions=[SessionConfig(version, n, "VENUE")])) for n in names)
        with one, two:
            one.wait_logged_on()
            two.wait_logged_on()
            buy = one.new_order(symbol="X", quantity=10, price="5")
            venue.wait_for(lambda: venue.order(buy))
            sell = two.new_order(symbol="X", side="2", quantity=4)
            one.wait_for(lambda: one.order(buy).cum == "4")
            two.wait_for(lambda: two.order(sell).status == "2")
            assert venue.session_rejects == []


def test_file_store_resends_across_a_restart(version: str, tmp_path: Path) -> None:
    def venue_on(port: int) -> Venue:
        session = SessionConfig(version, "VENUE", "EMS")
        return Venue(VenueConfig(sessions=[session], port=port, store_dir=tmp_path, log_file=tmp_path / "fix.log"))

    session = SessionConfig(version, "EMS", "VENUE")
    with venue_on(0) as venue:
        port = venue.port
        ems = Ems(EmsConfig(connect=("127.0.0.1", port), sessions=[session]))
        with ems:
            ems.wait_logged_on()
            order = ems.new_order(symbol="X", quantity=1, price="1")
            ems.wait_for(lambda: ems.order(order).status == "0")
            venue.drop_connections(allow_reconnect=False)
            venue.cancel_all()
            venue.stop()
            with venue_on(port):
                ems.wait_for(lambda: ems.order(order).status == "4", what="the report sent while off line")
    assert f"11={order}" in (tmp_path / "fix.log").read_text()


def test_ems_that_drops_itself_comes_back(version: str, tmp_path: Path) -> None:
    """Sequence numbers, and the reports that the venue kept meanwhile, outlive the loss and a restart of the EMS."""
    with Venue(VenueConfig(sessions=[SessionConfig(version, "VENUE", "EMS")])) as venue:
        session = SessionConfig(version, "EMS", "VENUE")
        config = EmsConfig(connect=("127.0.0.1", venue.port), sessions=[session], store_dir=tmp_path)
        with Ems(config) as ems:
            ems.wait_logged_on()
            a, b = (ems.new_order(symbol="X", quantity=1, price="1") for _ in range(2))
            ems.wait_for(lambda: ems.order(a).status == ems.order(b).status == "0")
            ems.drop_connections(allow_reconnect=False)
            venue.wait_for(lambda: not venue.logged_on)
            venue.cancel_unsolicited(venue.orders[a].order_id)
            assert not ems.logged_on
            ems.allow_logon()
            ems.wait_for(lambda: ems.order(a).status == "4", what="the report of the time away")
            ems.refuse_logon()
            venue.wait_for(lambda: not venue.logged_on)
            venue.cancel_unsolicited(venue.orders[b].order_id)
        with Ems(config) as again:
            again.wait_for(lambda: [first(m, 11) for m in again.messages] == [b], what="the report for the next run")
            assert first(again.messages[0], 43) == "Y"
        logons = [m.fields for m in venue.log if not m.sent and first(m.fields, 35) == "A"]
        numbers = [int(first(m, 34)) for m in logons]
        assert len(numbers) == 3 and numbers == sorted(set(numbers))
        assert all(first(m, 141, "N") == "N" for m in logons)
        assert venue.session_rejects == []


@pytest.mark.parametrize("kept", [True, False])
def test_ems_comes_back_to_a_venue_that_logged_out(version: str, tmp_path: Path, kept: bool) -> None:
    """An ordinary Logout, then a restart on the same port."""

    def venue_on(port: int) -> Venue:
        session = SessionConfig(version, "VENUE", "EMS")
        return Venue(VenueConfig(sessions=[session], port=port, store_dir=tmp_path / "venue"))

    session = SessionConfig(version, "EMS", "VENUE")
    venue = venue_on(0).start()
    store = tmp_path / "ems" if kept else None
    with Ems(EmsConfig(connect=("127.0.0.1", venue.port), sessions=[session], store_dir=store)) as ems:
        ems.wait_logged_on()
        order = ems.new_order(symbol="X", quantity=1, price="1")
        ems.wait_for(lambda: ems.order(order).status == "0")
        venue.stop()
        assert not ems.logged_on
        with venue_on(venue.port) as again:
            ems.wait_logged_on()
            order = ems.new_order(symbol="X", quantity=1, price="1")
            ems.wait_for(lambda: ems.order(order).status == "0")
            assert len(again.orders) == 1
            assert again.session_rejects == ems.session_rejects == []


def test_seeded_flow_and_script(start_pair: StartPair) -> None:
    venue, ems = start_pair(liquidity=[QUOTE])
    run_flow(ems, Flow(orders=60, rate=0, symbols=[("AAPL", parse_e8("187.5"))], seed=3, cancel_share=0.2))
    ems.wait_for(lambda: not ems.unanswered)
    before = len(venue.orders)
    script = "# a comment\nbuy 100 ZZ @ 10.5\nwait\nreplace LAST qty=80 px=11\ncancel LAST\nsell 5 ZZ market"
    run_script(ems, parse_script(script.splitlines()), timeout=5)
    ems.wait_for(lambda: not ems.unanswered)
    by_symbol = [o for o in venue.orders.values() if o.symbol == "ZZ"]
    assert [(o.status, o.quantity_e8 // E8) for o in by_symbol] == [("4", 80)] * 3 + [("C", 5)]
    assert len(venue.orders) == before + 4
    for order in ems.orders.values():
        assert order.cum == "0" or venue.orders[order.cl_ord_id].cum_e8 == parse_e8(order.cum)


def test_a_script_sends_pegs_and_any_field(start_pair: StartPair, version: str) -> None:
    """A replace says again what its order said, and may change it."""
    venue, ems = start_pair()
    lines = [
        "buy 100 ZZ @ 10.5 type=P execinst=G,R 211=0.01 tif=2",
        "wait",
        "replace LAST qty=80 211=0.02",
        "wait",
        "status LAST",
    ]
    run_script(ems, parse_script(lines), timeout=5)
    sent = [entry.fields for entry in venue.log if first(entry.fields, 35) in ("D", "G")]
    told = [tuple(first(fields, tag) for tag in (40, 18, 211, 59, 38, 44)) for fields in sent]
    assert told == [("P", "G R", "0.01", "2", "100", "10.5"), ("P", "G R", "0.02", "2", "80", "10.5")]
    ems.wait_for(lambda: len(ems.messages) == 3)
    ended = [describe(entry).split()[:3] for entry in ems.log if not entry.sent and first(entry.fields, 35) == "8"]
    assert [status for _, _, status in ended][:2] == ["new", "replaced"]


@pytest.mark.parametrize("version", ["FIX.4.4"])
def test_a_script_cancels_all(start_pair: StartPair, version: str) -> None:
    venue, ems = start_pair()
    run_script(ems, parse_script(["buy 1 A @ 1", "buy 1 B @ 1", "wait", "cancel all A", "wait"]), timeout=5)
    ems.wait_for(lambda: len(ems.working) == 1)
    run_script(ems, parse_script(["cancel all", "wait"]), timeout=5)
    ems.wait_for(lambda: ems.working == [])
    told = [describe(entry) for entry in ems.log if first(entry.fields, 35) == "r"]
    assert [text.rpartition(" accepted")[2] for text in told] == [", 1 orders", ", 1 orders"]


def test_bad_script_and_options_say_what_was_wanted() -> None:
    for line in ("buy AAPL", "replace LAST", "cancel", "sell 5 X market px=1", "buy 1 X @ 1 abc=1", "cancel all A B"):
        with pytest.raises(ValueError, match="wanted"):
            parse_line(line)
    with pytest.raises(ValueError, match="SYMBOL:BID"):
        Liquidity.parse("AAPL:1")
    with pytest.raises(ValueError, match="BID < ASK"):
        Liquidity.parse("AAPL:2:1:1:1")
    with pytest.raises(ValueError, match="drop-after=N"):
        Faults().set("drop-after")
    with pytest.raises(ValueError, match=r"wanted one of FIX\.4\.2, FIX\.4\.4, FIXT\.1\.1"):
        SessionConfig("FIX.4.3")


def test_failure_in_a_callback_ends_the_venue_loudly(
    start_pair: StartPair, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(session: str, message: Fields) -> None:
        raise ZeroDivisionError("broken on purpose")

    venue, ems = start_pair()
    monkeypatch.setattr(venue, "_serve", broken)
    ems.new_order(symbol="X", quantity=1, price="1")
    ems.wait_for(lambda: not ems.logged_on)
    with pytest.raises(RuntimeError, match="broken on purpose"):
        venue.wait_for(lambda: False)
    with pytest.raises(RuntimeError, match="broken on purpose"):
        venue.stop()
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_timeouts_and_taken_ports_are_errors(start_pair: StartPair) -> None:
    venue, ems = start_pair()
    with pytest.raises(TimeoutError, match="the impossible"):
        ems.wait_for(lambda: False, timeout=0.01, what="the impossible")
    taken = VenueConfig(sessions=[SessionConfig("FIX.4.4", "V2", "E2")], port=venue.port)
    with pytest.raises(OSError, match=str(venue.port)):
        Venue(taken).start()


def test_venue_command_line(version: str) -> None:
    command = [sys.executable, "-m", "gateway.cli", "sim", "venue", "--session", f"{version}:VENUE:EMS"]
    options = ["--symbol", "AAPL:10", "--listed-only", "--fault", "ignore-cancels", "--liquidity", "MSFT:1:5:2:5"]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        port = int(process.stderr.readline().rpartition(":")[2])
        session = SessionConfig(version, "EMS", "VENUE")
        with Ems(EmsConfig(connect=("127.0.0.1", port), sessions=[session])) as ems:
            ems.wait_logged_on()
            good, bad = (ems.new_order(symbol=symbol, quantity=1, price="2") for symbol in ("MSFT", "ZZ"))
            ems.wait_for(lambda: (ems.order(good).status, ems.order(bad).status) == ("2", "8"))
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=10)
        assert process.returncode == 0, errors
    entries = [json.loads(line) for line in output.splitlines()]
    assert [entry["sent"] for entry in entries if [11, good] in entry["fields"]] == [False, True, True]


def test_ems_command_line(version: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gateway.cli", "sim", "ems", "--session", f"{version}:EMS:VENUE"]
    with Venue(VenueConfig(sessions=[SessionConfig(version, "VENUE", "EMS")])) as venue:
        script = tmp_path / "orders.txt"
        script.write_text("buy 100 AAPL @ 187.50\nwait\ncancel LAST\n")
        options = [f"127.0.0.1:{venue.port}", "--script", str(script), "--account", "A1", "--field", "58=hello"]
        done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        assert " new " in done.stdout and " canceled " in done.stdout
        assert [o.account for o in venue.orders.values()] == ["A1", "A1"]
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        done = subprocess.run([*command, address, "--timeout", "0.2"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "logon" in done.stderr


def test_a_stopped_venue_leaves_no_session_behind() -> None:
    """A reference that outlives the engine must not keep its sessions registered: or they shadow the next ones."""
    session = SessionConfig("FIX.4.4", "LEFT", "GW")
    identity = fix.SessionID("FIX.4.4", "LEFT", "GW")
    venue = Venue(VenueConfig(sessions=[session]))
    venue.start()
    outlives = venue._engine
    assert fix.Session.lookupSession(identity) is not None
    venue.stop()
    assert outlives is not None and fix.Session.lookupSession(identity) is None
