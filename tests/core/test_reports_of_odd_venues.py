"""Venues that end orders in passing, say less than they know, or more than we count: nothing works here or there alone.

What the EMS is told of it is valid by QuickFIX's dictionary of its version in every test.
"""

from __future__ import annotations

import pytest

from gateway.core import events as ev
from gateway.core import layout as a
from tests.support.checks import Reply, passed
from tests.support.core import Core
from tests.support.doubts import alerts, asked, is_open_for_orders, told
from tests.support.kill import Of, cancels, open_orders, to_ems


@pytest.fixture
def core(of: Of, version: str) -> Core:
    """A venue of each FIX version, and an EMS of the other."""
    return of("FIX.4.2" if version == "FIX.4.4" else "FIX.4.4", version)


def killed(core: Core) -> list[str | None]:
    """Children that a kill of the firm cancels."""
    return [fields.get(41) for fields in cancels(core.killed(a.FIRM))]


# Done by our count, not by the venue's: what may rest there is canceled when it should be.


def test_a_fill_told_under_two_exec_ids_does_not_hide_what_is_left(core: Core) -> None:
    """By a venue that began anew, a drop copy, or a correction as a new fill."""
    child = core.working("A")
    assert alerts(core.fill(child, "E1", "50", "50", t151="50")) == []
    reply = core.fill(child, "E2", "50", "50", t151="50")
    told(reply, t11="A", t39="1", t151="50")
    assert len(alerts(reply)) == 1
    assert open_orders(core) == 1
    assert killed(core) == [child]


@pytest.mark.parametrize("how", ["replaced", "restated"])
def test_an_order_qty_that_is_what_is_left_ends_nothing(core: Core, how: str) -> None:
    child = core.working("A")
    core.fill(child, "E1", "60", "60", t151="40")
    if how == "replaced":
        request = passed(core.replace("B", "A", qty="110"))[11]
        reply = core.report(request, "E2", "5", "1", t41=child, t14="60", t38="50", t151="50")
    else:
        request = child
        reply = core.report(child, "E2", "D", "1", t14="60", t38="50", t151="50", t378="5")
    told(reply, t39="1", t14="60", t151="50")
    assert len(alerts(reply)) == 1
    assert core.shares() == (60, 50, 0)
    assert killed(core) == [request]


def test_a_status_of_an_order_that_is_done_by_our_count(core: Core) -> None:
    """The answer to a mass status request after a crash, say, about an order that nobody doubts."""
    child = core.working("A")
    core.fill(child, "E1", "50", "50", t151="50")
    core.fill(child, "E2", "50", "", t14=None, t151=None)
    reply = core.status(child, "1", t14="50", t38="100", t151="50")
    assert len(alerts(reply)) == 1
    told(reply, t39="1", t151="50")
    assert killed(core) == [child]


def test_what_is_kept_open_ends_as_any_order(core: Core) -> None:
    child = core.working("A")
    core.fill(child, "E1", "50", "50", t151="50")
    core.fill(child, "E2", "50", "50", t151="50")
    cancel = core.cancel("F", "A")[0][2][11]
    told(core.report(cancel, "E3", "4", "4", t41=child, t14="50"), t11="F", t41="A", t39="4", t151="0")
    assert open_orders(core) == 0


def late_report(core: Core, child: str, cancel: str, what: str) -> Reply:
    """What the venue said before the last fill."""
    if what == "fill":
        return core.fill(child, "E1", "60", "60", t151="40")
    if what == "acknowledgement":
        return core.report(child, "E1", "0", "0", t38="100", t151="100")
    if what == "status":
        return core.status(child, "1", t14="60", t38="100", t151="40")
    return core.report(cancel, "E1", "6", "6", t41=child, t14="60", t151="40")


@pytest.mark.parametrize("what", ["fill", "acknowledgement", "pending cancel", "status"])
def test_a_report_that_comes_late_opens_nothing(core: Core, what: str) -> None:
    """The CumQty(14) of the last fill covers all that was traded."""
    child = core.working("A")
    cancel = core.cancel("F", "A")[0][2][11]
    told(core.fill(child, "E2", "40", "100", "2"), t39="2", t14="100", t151="0")
    reply = late_report(core, child, cancel, what)
    assert alerts(reply) == []
    for _, fields in to_ems(reply):
        assert (fields[14], fields[151]) == ("100", "0")
    assert core.shares() == (100, 0, 0)
    assert open_orders(core) == 0


# A fill whose report ends the order.


@pytest.mark.parametrize("status", ["4", "C", "8"])
def test_a_fill_of_an_order_that_ends_with_it(core: Core, status: str) -> None:
    """An IOC order at one go, of which the rest is canceled by the same report."""
    child = core.working("A", t59="3")
    reply = core.fill(child, "E1", "60", "60", status, t38="100", t151="0")
    told(reply, t11="A", t39=status, t32="60", t14="60", t151="0")
    assert alerts(reply) == []
    assert core.shares() == (60, 0, 0)
    assert open_orders(core) == 0


def test_a_fill_of_an_order_that_the_venue_has_cut(core: Core) -> None:
    child = core.working("A")
    core.fill(child, "E1", "10", "10", t151="90")
    reply = core.fill(child, "E2", "50", "60", "2", t38="60", t151="0")
    told(reply, t39="2", t38="60", t14="60", t151="0")
    assert alerts(reply) == []
    assert core.shares() == (60, 0, 0)
    assert open_orders(core) == 0


def test_a_filled_order_that_is_to_be_made_larger_stays_open(core: Core) -> None:
    child = core.working("A")
    larger = passed(core.replace("B", "A", qty="200"))[11]
    core.fill(child, "E1", "100", "100", "2", t38="100", t151="0")
    assert core.shares() == (100, 100, 0)
    told(core.report(larger, "E2", "5", "1", t41=child, t14="100", t38="200", t151="100"), t11="B", t39="1", t151="100")
    assert killed(core) == [larger]


@pytest.mark.parametrize(("status", "cum", "sure"), [("1", "60", 60), ("0", "60", 60), ("2", "30", 40)])
def test_a_fill_that_contradicts_itself_ends_nothing(core: Core, status: str, cum: str, sure: int) -> None:
    """LeavesQty(151) of 0 beside an order that works, or beside a CumQty(14) that is not what was filled: what may have
    been told twice is open and not sellable.
    """
    child = core.working("A", qty="200")
    core.fill(child, "E1", "40", "40", t151="160")
    core.fill(child, "E2", "20", cum, status, t151="0")
    assert core.shares() == (sure, 200 - sure, 0)
    assert open_orders(core) == 1


# An OrdStatus(39) in passing, of an order that counts as open here.


@pytest.mark.parametrize(("status", "cum"), [("4", "0"), ("C", "0"), ("4", "30"), ("2", "60")])
def test_a_cancel_refused_since_the_order_has_ended_is_asked_about(core: Core, status: str, cum: str) -> None:
    """Else nothing would ever close it: all its cancels are refused."""
    child = core.working("A")
    cancel = core.cancel("F", "A")[0][2][11]
    reply = core.cancel_reject(cancel, child, status=status)
    told(reply, "9", t11="F", t41="A")
    [alert] = alerts(reply)
    assert "closed" in alert and child in alert
    assert core.doubts() == 1
    assert core.shares() == (0, 100, 0)
    assert asked(core) == [child]
    reply = core.status(child, status, t14=cum, t38="60" if status == "2" else "100", t151="0")
    told(reply, t11="A", t39=status, t14=cum, t151="0")
    assert core.shares() == (int(cum), 0, 0)
    assert core.doubts() == 0
    assert open_orders(core) == 0
    assert is_open_for_orders(core)


def test_a_cancel_of_a_replace_that_was_refused_is_no_question(core: Core) -> None:
    """The venue does not know what the cancel names (102=1 and 39=8, as FIX has it): it says nothing of the order."""
    child = core.working("A")
    replace = passed(core.replace("R", "A", qty="200"))[11]
    core.kill(a.FIRM)
    [cancel] = cancels(core.sweep())
    assert cancel[41] == replace
    core.kill(a.FIRM, on=False)
    told(core.cancel_reject(replace, child, "2"), "9", t11="R", t41="A")
    core.cancel_reject(cancel[11], replace, reason="1", status="8")
    assert core.doubts() == 0
    assert core.shares() == (0, 100, 0)
    assert is_open_for_orders(core)


def test_a_status_of_a_replace_that_was_refused_is_no_question(core: Core) -> None:
    child = core.working("A")
    replace = passed(core.replace("R", "A", qty="200"))[11]
    core.cancel_reject(replace, child, "2")
    core.status(replace, "8", t37="NONE", t38="0", t151="0")
    assert core.doubts() == 0
    assert core.shares() == (0, 100, 0)


def test_a_cancel_too_late_for_a_fill_that_was_told_is_no_question(core: Core) -> None:
    child = core.working("A")
    cancel = core.cancel("F", "A")[0][2][11]
    core.fill(child, "E1", "100", "100", "2", t151="0")
    reply = core.cancel_reject(cancel, child, status="2")
    told(reply, "9", t11="F", t41="A", t39="2")
    assert alerts(reply) == []
    assert core.doubts() == 0
    assert is_open_for_orders(core)


@pytest.mark.parametrize("status", ["4", "2"])
def test_a_venue_that_is_not_asked_is_told_of_alone(of: Of, status: str) -> None:
    core = of(order_status=False)
    child = core.working("A")
    cancel = core.cancel("F", "A")[0][2][11]
    reply = core.cancel_reject(cancel, child, status=status)
    told(reply, "9", t11="F")
    assert len(alerts(reply)) == 1
    assert core.shares() == (0, 100, 0)
    assert is_open_for_orders(core), "the other orders of that venue need not suffer"
    told(core.resolve(0, ev.GONE), t11="A", t39="4", t151="0")
    assert open_orders(core) == 0, "by a person"


def test_a_fill_that_follows_its_refused_cancel_settles_it(core: Core) -> None:
    child = core.working("A")
    cancel = core.cancel("F", "A")[0][2][11]
    core.cancel_reject(cancel, child, status="2")
    told(core.fill(child, "E1", "100", "100", "2", t151="0"), t39="2", t14="100")
    assert core.doubts() == 0
    assert core.shares() == (100, 0, 0)
    assert is_open_for_orders(core)


# A status of an order that nobody doubts.


def test_a_status_tells_of_a_fill_that_was_missed(core: Core) -> None:
    child = core.working("A")
    reply = core.status(child, "1", t14="50", t38="100", t6="100", t151="50")
    told(reply, t11="A", t39="1", t14="50", t151="50", t6="100")
    [alert] = alerts(reply)
    assert "fills that were not reported" in alert and child in alert
    assert core.shares() == (50, 50, 0)
    again = core.status(child, "1", t14="50", t38="100", t6="100", t151="50")
    assert alerts(again) == []
    assert core.shares() == (50, 50, 0)


def test_a_status_tells_that_all_was_filled(core: Core) -> None:
    child = core.working("A")
    reply = core.status(child, "2", t14="100", t38="100", t6="100", t151="0")
    told(reply, t39="2", t14="100", t151="0")
    assert len(alerts(reply)) == 1
    assert core.shares() == (100, 0, 0)
    assert open_orders(core) == 0


def test_an_answer_to_a_mass_status_request_after_a_crash(of: Of, version: str) -> None:
    """All is sure when the venue has resent what it had, and then comes what it says of each order."""
    core = of(version, version, mass_status=version == "FIX.4.4")
    child = core.working("A")
    core.start(ev.CRASHED)
    core.come_back()
    assert core.doubts() == 0
    reply = core.status(child, "1", t14="50", t38="100", t151="50")
    assert len(alerts(reply)) == 1
    assert core.shares() == (50, 50, 0)


def test_a_status_does_not_bring_a_busted_fill_back(core: Core) -> None:
    """CumQty(14) of a status may be that of before the bust."""
    child = core.working("A")
    core.fill(child, "E1", "50", "50", t151="50")
    core.report(child, "E2", "H" if core.begin_strings["XNAS"] == "FIX.4.4" else "0", "0", **bust(core, "E1", "50"))
    assert core.shares() == (0, 100, 0)
    assert alerts(core.status(child, "1", t14="50", t38="100", t151="50")) == []
    assert core.shares() == (0, 100, 0)


def bust(core: Core, exec_id: str, qty: str) -> dict[str, str]:
    """Fields of a report that takes an execution back, in its venue's version."""
    fields = {"t19": exec_id, "t31": "100", "t32": qty, "t14": "0", "t151": "100"}
    return fields | ({"t20": "1"} if core.begin_strings["XNAS"] == "FIX.4.2" else {})


@pytest.mark.parametrize(
    ("status", "seen", "cum"), [("4", "0", "0"), ("C", "50", "50"), ("4", "0", "50"), ("2", "50", "50")]
)
def test_a_status_that_the_order_has_ended_is_asked_about(core: Core, status: str, seen: str, cum: str) -> None:
    child = core.working("A")
    if seen != "0":
        core.fill(child, "E1", seen, seen, t151="50")
    qty = "50" if status == "2" else "100"
    reply = core.status(child, status, t14=cum, t38=qty, t151="0")
    assert any("closed" in alert and child in alert for alert in alerts(reply))
    assert core.doubts() == 1
    assert asked(core) == [child]
    told(core.status(child, status, t14=cum, t38=qty, t151="0"), t39=status, t14=cum, t151="0")
    assert core.shares() == (int(cum), 0, 0)
    assert core.doubts() == 0


# What an order is told to be, when it works again.


@pytest.mark.parametrize("halted", ["9", "7"], ids=["suspended", "stopped"])
@pytest.mark.parametrize("kind", ["0", "D"])
@pytest.mark.parametrize("cum", ["0", "10"])
def test_an_order_that_is_reinstated(core: Core, halted: str, kind: str, cum: str) -> None:
    child = core.working("A")
    if cum != "0":
        core.fill(child, "E1", cum, cum, t151="90")
    left = str(100 - int(cum))
    told(core.report(child, "E2", halted, halted, t14=cum, t38="100", t151=left), t39=halted, t151=left)
    working = "1" if cum != "0" else "0"
    told(core.report(child, "E3", kind, working, t14=cum, t38="100", t151=left), t39=working, t151=left)
    total = str(int(cum) + 10)
    told(core.fill(child, "E4", "10", total, t151=str(90 - int(cum))), t39="1", t14=total)


@pytest.mark.parametrize("halted", ["9", "7"], ids=["suspended", "stopped"])
def test_an_order_that_stays_halted(core: Core, halted: str) -> None:
    child = core.working("A")
    core.report(child, "E1", halted, halted, t38="100", t151="100")
    told(core.report(child, "E2", "D", halted, t38="100", t151="100"), t39=halted)


@pytest.mark.parametrize("ended", ["3", "B"], ids=["done for day", "calculated"])
def test_the_next_day_s_fill_of_an_order_of_which_nothing_else_is_told(core: Core, ended: str) -> None:
    """The Restated or New of the morning is optional."""
    child = core.working("A", t59="1")
    told(core.report(child, "E1", ended, ended, t38="100", t151="0"), t39=ended)
    told(core.fill(child, "E2", "10", "10", t38="100", t151="90"), t39="1", t14="10", t151="90")
    assert core.shares() == (10, 90, 0)
    assert killed(core) == [child]


@pytest.mark.parametrize("leaves", ["0", "90"])
def test_a_late_fill_of_an_order_that_stays_done_for_the_day(core: Core, leaves: str) -> None:
    child = core.working("A", t59="1")
    core.report(child, "E1", "3", "3", t38="100", t151="0")
    told(core.fill(child, "E2", "10", "10", "3", t38="100", t151=leaves), t39="3", t14="10", t151="90")
    assert core.shares() == (10, 90, 0)


@pytest.mark.parametrize("kind", ["D", "5"], ids=["restated", "replaced"])
def test_a_price_that_the_venue_has_changed_is_told(core: Core, kind: str) -> None:
    child = core.working("A")
    told(core.report(child, "E1", kind, "0", t38="100", t44="99.5", t151="100"), t11="A", t44="99.5", t38="100")
    told(core.fill(child, "E2", "10", "10", t151="90"), t44="99.5")
    told(core.status_request("A"), t44="99.5")


@pytest.mark.parametrize("price", ["0", "-1", "1e3", None])
def test_a_price_that_is_none_changes_nothing(core: Core, price: str | None) -> None:
    child = core.working("A")
    told(core.report(child, "E1", "D", "0", t38="100", t44=price, t151="100"), t44="100")


def test_a_market_order_is_given_no_price(core: Core) -> None:
    child = core.working("A", t40="1", px=None)
    told(core.report(child, "E1", "D", "0", t38="100", t44="99.5", t151="100"), t40="1", t44=None)


# Reports that name the order by the venue's OrderID(37) alone: ClOrdID(11) is required in neither version.


def test_a_fill_and_its_bust_by_the_venue_s_order_id(core: Core) -> None:
    child = core.working("A")
    fields = told(core.fill(child, "E1", "10", "10", t11=None, t151="90"), t11="A", t39="1", t14="10", t151="90")
    assert core.shares() == (10, 90, 0)
    kind = "H" if core.begin_strings["XNAS"] == "FIX.4.4" else "0"
    reply = core.report(child, "E2", kind, "0", **bust(core, "E1", "10") | {"t11": None})
    told(reply, t11="A", t14="0", t19=fields[17], t39="0")
    assert alerts(reply) == []
    assert core.shares() == (0, 100, 0)


@pytest.mark.parametrize("kind", ["4", "C"])
def test_an_end_by_the_venue_s_order_id(core: Core, kind: str) -> None:
    child = core.working("A")
    told(core.report(child, "E1", kind, kind, t11=None), t11="A", t150=kind, t39=kind, t151="0")
    assert open_orders(core) == 0


@pytest.mark.parametrize("order_id", ["VX", "V" * 65, "NONE", "0", ""])
def test_an_order_id_that_is_no_order_s(core: Core, order_id: str) -> None:
    child = core.working("A")
    reply = core.fill(child, "E1", "10", "10", t11=None, t37=order_id, t151="90")
    assert to_ems(reply) == [] and len(alerts(reply)) == 1
    assert core.shares()[1] == 100


def test_an_order_id_of_another_venue(core: Core) -> None:
    child = core.working("A")
    reply = core.fill(child, "E1", "10", "10", session="XNYS", t11=None, t151="90")
    assert to_ems(reply) == [] and len(alerts(reply)) == 1
    assert core.shares()[1] == 100
