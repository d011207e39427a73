"""What venues say in their own ways: no fill is lost or counted twice, no order ends without the venue's word."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from gateway.core import layout as a
from tests.support.checks import Reply, fired, passed
from tests.support.core import BASE, E8, Core, Fields

FILL = {"t31": "100", "t32": "100", "t14": "100"}
FIRM, ACCOUNT = (a.FIRM, "", "AAPL"), (a.ACCOUNT, "ACC1", "AAPL")


@pytest.fixture
def core(tmp_path: Path) -> Core:
    return Core(tmp_path)


def working(core: Core, cl_ord_id: str = "A", **more: Any) -> str:
    """An order of 100 that the venue acknowledged; returns its child ClOrdID."""
    child = passed(core.new(cl_ord_id, **more))[11]
    core.report(child, "ACK-" + cl_ord_id, "0", "0", t151="100")
    return child


def requested(reply: Reply) -> str:
    """Child ClOrdID of a cancel or replace that went out."""
    [(session, msg_type, fields)] = reply
    assert session == "XNAS" and msg_type in "FG", reply
    return fields[11]


def told(reply: Reply, msg_type: str = "8", **wanted: str) -> Fields:
    """The one message to the EMS, with these fields."""
    [(session, got_type, fields)] = reply
    assert (session, got_type) == ("EMS1", msg_type), reply
    assert {key: fields.get(int(key[1:])) for key in wanted} == wanted, fields
    return fields


def is_alert(message: tuple[str, str, Fields]) -> bool:
    return message[:2] == ("", "")


def exposure(core: Core, key: tuple[int, str, str] = ACCOUNT) -> tuple[int, int, int]:
    """(position, open buys, open sells) in whole units."""
    position, buys, sells = core.exposure(*key)
    return position // E8, buys // E8, sells // E8


def cancel_goes_out(core: Core, orig: str = "A") -> bool:
    [(session, msg_type, _)] = core.cancel("CANCEL-" + orig, orig)
    return (session, msg_type) == ("XNAS", "F")


# ExecID(17)


def test_one_exec_id_on_two_orders_is_two_fills(core: Core) -> None:
    one, two = working(core, "A"), working(core, "B", px="99.5")
    told(core.report(one, "X1", "F", "2", **FILL), t11="A", t39="2")
    told(core.report(two, "X1", "F", "2", **FILL), t11="B", t39="2")
    assert exposure(core) == (200, 0, 0)


def test_one_exec_id_on_one_order_is_one_fill(core: Core) -> None:
    child = working(core)
    told(core.report(child, "X1", "F", "2", **FILL))
    assert core.report(child, "X1", "F", "2", t43="Y", **FILL) == []
    assert exposure(core) == (100, 0, 0)


@pytest.mark.parametrize("version", ["FIX.4.4", "FIX.4.2"])
def test_a_status_report_does_not_use_up_the_exec_id_of_a_fill(tmp_path: Path, version: str) -> None:
    """An answer to a status request repeats the last ExecID, and may overtake the fill itself."""
    config: dict[str, Any] = copy.deepcopy(BASE)
    for session in config["sessions"]:
        session["begin_string"] = version
    core = Core(tmp_path, config)
    child = working(core)
    status: dict[str, Any] = {"t20": "3"} if version == "FIX.4.2" else {}
    for _ in range(2):
        told(core.report(child, "X1", "0" if status else "I", "0", t151="100", **status), t14="0")
    told(core.report(child, "X1", "2" if status else "F", "2", **FILL), t14="100", t39="2")
    assert exposure(core) == (100, 0, 0)


def test_a_repeated_report_that_tells_of_more_counts(core: Core) -> None:
    child = working(core)
    core.report(child, "X1", "F", "1", t31="100", t32="10", t14="10", t151="90")
    [alert] = core.report(child, "X1", "F", "1", t31="100", t32="10", t14="30", t151="70", t43="Y")
    assert is_alert(alert)
    assert exposure(core) == (30, 70, 0)


@pytest.mark.parametrize("corrected", [False, True])
def test_a_fill_repeated_after_its_bust_or_correction_stays_away(core: Core, corrected: bool) -> None:
    """The old fill carries the old CumQty(14)."""
    child = working(core)
    core.report(child, "X1", "F", "2", **FILL)
    left = 40 if corrected else 0
    core.report(child, "X2", "G" if corrected else "H", "1", t19="X1", t31="100", t32=str(left or 100), t14=str(left))
    assert exposure(core)[0] == left
    assert core.report(child, "X1", "F", "2", t43="Y", **FILL) == []
    assert exposure(core) == (left, 100 - left, 0)


def test_a_repeated_fill_of_an_unknown_order_is_not_passed_over(core: Core) -> None:
    """Orders of another run are told apart by nothing, so the second may be another fill: somebody must look."""
    for child in ("C9-1", "C9-2"):
        [alert] = core.report(child, "X1", "F", "2", t1="ACC1", **FILL)
        assert is_alert(alert)
    assert exposure(core, FIRM)[0] == exposure(core)[0] == 100


# Refused requests


def test_a_replace_refused_by_an_execution_report(core: Core) -> None:
    child = working(core)
    replace = requested(core.replace("G", "A", qty="200"))
    assert exposure(core) == (0, 200, 0)
    reply = core.report(replace, "X1", "8", "0", t41=child, t151="100", t58="too small")
    assert told(reply, "9", t11="G", t41="A", t39="0", t434="2", t102="2")[58] == "too small"
    assert exposure(core) == (0, 100, 0)
    assert cancel_goes_out(core)


def test_a_cancel_refused_by_an_execution_report(core: Core) -> None:
    child = working(core)
    cancel = requested(core.cancel("F", "A"))
    told(core.report(cancel, "X1", "8", "0", t41=child, t151="100"), "9", t11="F", t41="A", t39="0", t434="1", t102="2")
    assert exposure(core) == (0, 100, 0)
    told(core.report(child, "X2", "F", "2", **FILL), t39="2", t14="100")


def test_a_replaced_order_that_the_venue_ends_under_its_present_id(core: Core) -> None:
    child = working(core)
    replace = requested(core.replace("G", "A", qty="200"))
    core.report(replace, "X1", "5", "0", t41=child, t151="200", t38="200")
    told(core.report(replace, "X2", "8", "8", t58="trading ended"), t11="G", t150="8", t39="8", t151="0")
    assert exposure(core) == (0, 0, 0)


def test_a_reject_of_a_request_that_was_answered_before_changes_nothing(core: Core) -> None:
    child = working(core)
    first = requested(core.replace("G1", "A", qty="200"))
    core.cancel_reject(first, child, "2")
    [alert] = core.report(first, "X1", "8", "8")
    assert is_alert(alert)
    assert exposure(core) == (0, 100, 0)


@pytest.mark.parametrize("status", ["4", "8", "C"])
def test_an_order_that_only_the_venue_counts_as_closed_is_pointed_out(core: Core, status: str) -> None:
    child = working(core)
    cancel = requested(core.cancel("F", "A"))
    (session, msg_type, fields), alert = core.cancel_reject(cancel, child, status=status)
    assert is_alert(alert)
    assert (session, msg_type, fields[11]) == ("EMS1", "9", "F")


def test_a_replace_that_is_too_late_points_nothing_out(core: Core) -> None:
    """A filled order counts as open for the larger quantity that was asked for, until that is refused."""
    child = working(core)
    larger = requested(core.replace("G", "A", qty="200"))
    core.report(child, "E9", "F", "2", t14="100", t32="100", t31="100", t151="0")
    assert exposure(core)[1] == 100
    [(session, msg_type, fields)] = core.cancel_reject(larger, child, "2", status="2")
    assert (session, msg_type, fields[11], fields[39]) == ("EMS1", "9", "G", "2")
    assert exposure(core) == (100, 0, 0) and core.record.sessions["doubts"].sum() == 0


def refused_cancel(core: Core) -> tuple[str, str]:
    """Children of an order and of a cancel of it that the venue refused."""
    child = working(core, t50="TOM")
    cancel = requested(core.cancel("F", "A"))
    told(core.cancel_reject(cancel, child), "9", t11="F")
    return child, cancel


def test_a_refused_cancel_that_the_venue_carries_out_after_all(core: Core) -> None:
    child, cancel = refused_cancel(core)
    told(core.report(cancel, "X1", "4", "4", t41=child), t11="F", t41="A", t150="4", t39="4", t151="0")
    assert exposure(core) == (0, 0, 0)
    assert core.record.open_order_count == 0


def test_a_fill_that_names_a_refused_cancel(core: Core) -> None:
    _, cancel = refused_cancel(core)
    told(core.report(cancel, "X1", "F", "2", **FILL), t11="A", t39="2", t14="100")
    assert exposure(core, (a.TRADER, "TOM", "AAPL")) == (100, 0, 0)


def test_a_report_whose_orig_cl_ord_id_alone_is_known(core: Core) -> None:
    child, cancel = refused_cancel(core)
    working(core, "B", px="99.5")  # takes the room of the refused cancel
    told(core.report(cancel, "X1", "4", "4", t41=child), t11="A", t150="4", t39="4")
    assert exposure(core) == (0, 100, 0)


# Closed orders that work


def closed_order(core: Core, how: str) -> str:
    """Child of an order that ended unasked."""
    child = passed(core.new("A"))
    if how == "undelivered":
        told(core.undelivered(child), t150="8", t39="8")
    else:
        told(core.report(child[11], "X0", how, how), t150=how, t39=how)
    assert exposure(core) == (0, 0, 0)
    return child[11]


@pytest.mark.parametrize("how", ["undelivered", "4", "8", "C"])
def test_a_fill_that_leaves_something_opens_a_closed_order(core: Core, how: str) -> None:
    child = closed_order(core, how)
    told(core.report(child, "X1", "F", "1", t31="100", t32="40", t14="40", t151="60"), t39="1", t14="40", t151="60")
    assert exposure(core) == (40, 60, 0)
    assert cancel_goes_out(core)


@pytest.mark.parametrize("exec_type", ["I", "0", "D"])
def test_a_report_that_the_order_works_opens_a_closed_order(core: Core, exec_type: str) -> None:
    child = closed_order(core, "4")
    told(core.report(child, "X1", exec_type, "0", t151="100"), t150=exec_type, t39="0", t151="100")
    assert exposure(core) == (0, 100, 0)
    assert cancel_goes_out(core)


@pytest.mark.parametrize(("status", "leaves"), [("1", "0"), ("4", "60"), ("1", None)])
def test_a_late_fill_without_leaves_opens_nothing(core: Core, status: str, leaves: str | None) -> None:
    child = closed_order(core, "4")
    told(core.report(child, "X1", "F", status, t31="100", t32="40", t14="40", t151=leaves), t39="4", t151="0")
    assert exposure(core) == (40, 0, 0)


def test_a_replace_that_the_venue_accepts_opens_a_closed_order(core: Core) -> None:
    new = passed(core.new("A"))
    replace = requested(core.replace("G", "A", qty="200"))
    core.undelivered(new)
    told(core.report(replace, "X1", "5", "0", t38="200", t151="200"), t11="G", t39="0", t151="200")
    assert exposure(core) == (0, 200, 0)
    assert cancel_goes_out(core, "G")


@pytest.mark.parametrize("exec_type", ["4", "8", "C"])
def test_a_close_that_tells_of_leaves_closes_nothing(core: Core, exec_type: str) -> None:
    child = working(core)
    alert, question, report = core.report(child, "X1", exec_type, "0", t151="100")
    assert is_alert(alert)
    assert (question[0], question[1], question[2][11]) == ("XNAS", "H", child)
    told([report], t150="I", t39="0", t151="100")
    assert exposure(core) == (0, 100, 0)
    assert cancel_goes_out(core)


# Busts and corrections


def test_a_correction_of_the_price_alone_keeps_the_quantity(core: Core) -> None:
    child = working(core)
    core.report(child, "X1", "F", "2", **FILL)
    fields = told(core.report(child, "X2", "G", "2", t19="X1", t31="101"), t150="G", t14="100", t39="2")
    assert (fields[32], fields[31]) == ("100", "101")
    assert exposure(core) == (100, 0, 0)


@pytest.mark.parametrize("quantity", ["1O0", "-5", "1e3", "99999999999999999999"])
def test_of_a_correction_that_cannot_be_read_the_venue_is_asked(core: Core, quantity: str) -> None:
    child = working(core)
    core.report(child, "X1", "F", "2", **FILL)
    alert, question = core.report(child, "X2", "G", "2", t19="X1", t31="101", t32=quantity)
    assert is_alert(alert)
    assert (question[1], question[2][11]) == ("H", child)
    assert exposure(core) == (100, 0, 0)
    passed(core.new("B"))


@pytest.mark.parametrize("named", ["X1", "X2", "X3"])
def test_a_bust_may_name_the_fill_or_any_correction_of_it(core: Core, named: str) -> None:
    child = working(core)
    seen = {"X1": told(core.report(child, "X1", "F", "2", **FILL))[17]}
    for exec_id, ref, left in (("X2", "X1", "60"), ("X3", "X2", "80")):
        fields = told(core.report(child, exec_id, "G", "1", t19=ref, t31="100", t32=left), t14=left, t19=seen[ref])
        seen[exec_id] = fields[17]
    told(core.report(child, "X4", "H", "0", t19=named, t31="100", t32="80"), t14="0", t32="80", t19=seen[named])
    assert exposure(core) == (0, 100, 0)


def test_a_bust_of_what_was_no_fill_is_pointed_out(core: Core) -> None:
    child = working(core)
    for exec_type, exec_id in (("H", "X1"), ("G", "X2")):
        [alert] = core.report(child, exec_id, exec_type, "0", t19="ACK-A", t31="100", t32="60")
        assert is_alert(alert)
    assert exposure(core) == (0, 100, 0)


def test_a_bust_finds_its_execution_by_order(core: Core) -> None:
    one, two = working(core, "A"), working(core, "B", px="99.5")
    first = told(core.report(one, "X1", "F", "2", **FILL))
    second = told(core.report(two, "X1", "F", "1", t31="100", t32="30", t14="30", t151="70"))
    told(core.report(two, "X2", "H", "0", t19="X1", t31="100", t32="30", t151="100"), t11="B", t19=second[17])
    assert first[17] != second[17]
    assert exposure(core) == (100, 100, 0)


def test_a_fill_of_more_than_the_order_is_pointed_out(core: Core) -> None:
    child = working(core)
    alert, report = core.report(child, "X1", "F", "2", t31="100", t32="150", t14="150")
    assert is_alert(alert)
    told([report], t14="150", t39="2", t151="0")
    assert exposure(core) == (150, 0, 0)


# OrderID(37)


def test_the_last_order_id_of_the_venue_counts(core: Core) -> None:
    child = passed(core.new("A"))[11]
    core.report(child, "X1", "A", "A", t37="NONE", t151="100")
    assert 37 not in core.cancel("F1", "A")[0][2]
    core.report(child, "X2", "0", "0", t37="V77", t151="100")
    assert core.cancel("F2", "A")[0][2][37] == "V77"
    replace = core.replace("G", "A", qty="50")[0][2]
    assert replace[37] == "V77"
    core.report(replace[11], "X3", "5", "0", t37="V78", t41=child, t38="50", t151="50")
    assert core.cancel("F3", "G")[0][2][37] == "V78"
    core.report(replace[11], "X4", "D", "0", t37="0", t151="50")
    assert core.cancel("F4", "G")[0][2][37] == "V78"


def test_an_order_id_of_none_is_no_acknowledgement(core: Core) -> None:
    child = passed(core.new("A"))
    core.report(child[11], "X1", "A", "A", t37="NONE", t151="100")
    told(core.undelivered(child), t150="8", t39="8")
    assert exposure(core) == (0, 0, 0)


# BusinessMessageReject(j)


def business_reject(core: Core, child: str, ref_type: str) -> Reply:
    fields = [(45, "2"), (58, "no such user"), (372, ref_type), (379, child), (380, "4")]
    return core.message("XNAS", "j", fields)


def test_business_reject_of_an_order(core: Core) -> None:
    child = passed(core.new("A"))[11]
    assert "no such user" in told(business_reject(core, child, "D"), t11="A", t150="8", t39="8")[58]
    assert exposure(core) == (0, 0, 0)


@pytest.mark.parametrize("kind", ["F", "G"])
def test_business_reject_of_a_request(core: Core, kind: str) -> None:
    working(core)
    child = requested(core.cancel("R", "A") if kind == "F" else core.replace("R", "A", qty="200"))
    response = "1" if kind == "F" else "2"
    assert "no such user" in told(business_reject(core, child, kind), "9", t11="R", t39="0", t434=response)[58]
    assert exposure(core) == (0, 100, 0)
    assert cancel_goes_out(core)


def test_business_reject_of_an_order_that_the_venue_acknowledged(core: Core) -> None:
    [alert] = business_reject(core, working(core), "D")
    assert is_alert(alert)
    assert exposure(core) == (0, 100, 0)


def test_business_reject_of_what_is_not_ours(core: Core) -> None:
    [alert] = business_reject(core, "C9-1", "D")
    assert is_alert(alert)


# Market data


@pytest.fixture
def two_venues(tmp_path: Path) -> Core:
    """AAPL trades at XNAS, MSFT at XNYS; XNYS has no market data."""
    config: dict[str, Any] = copy.deepcopy(BASE)
    venue = config["sessions"][1]
    venue["market_data"] = True
    config["sessions"] += [
        venue | {"id": "XNYS", "target_comp_id": "XNYS", "market_data": False},
        venue | {"id": "XLON", "target_comp_id": "XLON"},
    ]
    config["routing"] = {"default": "XNAS", "instruments": {"MSFT": "XNYS"}}
    return Core(tmp_path, config)


def snapshot(core: Core, venue: str, symbol: str, bid: str, ask: str) -> None:
    core.message(venue, "W", [(55, symbol), (268, "2"), (269, "0"), (270, bid), (269, "1"), (270, ask)])


@pytest.mark.parametrize("venue", ["XLON", "XNYS"])
def test_the_quote_of_another_venue_moves_no_reference(two_venues: Core, venue: str) -> None:
    snapshot(two_venues, venue, "AAPL", "900", "901")
    assert fired(two_venues.new("A", px="900", qty="10")) == {"PRICE_COLLAR"}


def test_the_quote_of_its_own_venue_does(two_venues: Core) -> None:
    snapshot(two_venues, "XNAS", "AAPL", "190", "191")
    passed(two_venues.new("A", px="190", qty="10"))


def test_a_price_far_off_must_be_told_twice(two_venues: Core) -> None:
    snapshot(two_venues, "XNAS", "AAPL", "900", "901")
    assert fired(two_venues.new("A", px="900", qty="10")) == {"PRICE_COLLAR"}
    snapshot(two_venues, "XNAS", "AAPL", "900", "901")
    passed(two_venues.new("B", px="900", qty="10"))


def test_the_quote_of_a_venue_without_market_data_does_not(two_venues: Core) -> None:
    snapshot(two_venues, "XNYS", "MSFT", "200", "201")
    assert fired(two_venues.new("A", symbol="MSFT", px="200")) == {"REFERENCE_PRICE"}


@pytest.mark.parametrize("bid", ["9x", "-1", "99999999999999999999"])
def test_a_snapshot_with_an_unreadable_price_is_left_aside(two_venues: Core, bid: str) -> None:
    """Nothing in it makes the reference fresh, not even its last trade."""
    two_venues.wait(6)
    entries = [(269, "0"), (270, bid), (269, "1"), (270, "100.01"), (269, "2"), (270, "100")]
    two_venues.message("XNAS", "W", [(55, "AAPL"), (268, "3"), *entries])
    assert fired(two_venues.new("A")) == {"REFERENCE_PRICE"}


@pytest.mark.parametrize(("bid", "ask"), [(50, 0), (0, 150)])
def test_a_one_sided_quote_does_not_make_an_old_trade_new(core: Core, bid: float, ask: float) -> None:
    core.wait(4)
    core.quote("AAPL", bid, ask)
    passed(core.new("A", px="101"))
    core.wait(2)
    assert fired(core.new("B", px="102")) == {"REFERENCE_PRICE"}
    core.quote("AAPL", 50, 0, last=101)
    passed(core.new("C", px="103"))
