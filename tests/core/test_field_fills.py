"""Fills that come under two ExecIDs, without their sums, or resent in a way that the session layer refuses."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from gateway.core import events as ev
from gateway.core.driver import Event
from tests.support.checks import Reply, passed
from tests.support.core import Core
from tests.support.doubts import alerts, told
from tests.support.field import (
    SIDES,
    across,
    bust,
    held,
    is_told,
    killed,
    may,
    only_says,
    open_on,
    others_go_on,
    trade_kind,
)
from tests.support.kill import Of, open_orders

TOTALS = [("told", {}), ("no 151", {"t151": None}), ("no PossResend", {"t97": None})]


@pytest.fixture
def core(of: Of, version: str) -> Core:
    """A venue of each FIX version, and an EMS of the other; ACC1 may not go short."""
    return across(of, version, limits={"account.ACC1": {"max_short": 0}})


def again(core: Core, child: str, exec_id: str = "X1", qty: str = "40", cum: str = "40", **more: Any) -> Reply:
    """A fill that the venue sends under another ExecID, after a fail-over."""
    left = str(100 - int(cum))
    return core.fill(child, exec_id, qty, cum, **{"t97": "Y", "t151": left} | more)


# One fill, two ExecIDs.


@pytest.mark.parametrize("more", [more for _, more in TOTALS], ids=[name for name, _ in TOTALS])
def test_a_fill_under_two_exec_ids_is_one(core: Core, more: dict[str, str | None]) -> None:
    """F2"""
    child = core.working("A")
    leaves = {"t151": None} if "t151" in more else {"t151": "60"}
    told(core.fill(child, "E1", "40", "40", **leaves), t14="40", t151="60", t32="40")
    reply = again(core, child, **more)
    is_told(reply, child)
    only_says(reply, t14="40", t151="60", t39="1", t11="A")
    assert core.shares()[0] + core.shares()[1] >= 100
    if "t151" not in more:
        assert core.shares() == (40, 60, 0)
    assert not may(core, "2", 41), "nobody holds so many"
    assert may(core, "2", 40), "an exit"
    others_go_on(core)
    assert killed(core) == [child]


def test_what_follows_a_fill_under_two_exec_ids(core: Core) -> None:
    """F2"""
    child = core.working("A")
    core.fill(child, "E1", "40", "40", t151="60")
    again(core, child)
    told(core.fill(child, "E2", "25", "65", t151="35"), t39="1", t32="25", t14="65", t151="35")
    assert core.shares() == (65, 35, 0)
    told(core.fill(child, "E3", "35", "100", "2", t151="0"), t39="2", t32="35", t14="100", t151="0")
    assert core.shares() == (100, 0, 0)
    assert open_orders(core) == 0
    assert killed(core) == []


@pytest.mark.parametrize("end", ["4", "C"])
def test_an_order_ends_after_a_fill_under_two_exec_ids(core: Core, end: str) -> None:
    """F2"""
    child = core.working("A")
    core.fill(child, "E1", "40", "40", t151="60")
    again(core, child)
    told(core.report(child, "E2", end, end, t14="40", t38="100"), t39=end, t14="40", t151="0")
    assert core.shares() == (40, 0, 0)
    assert may(core, "2", 40), "an exit"
    assert not may(core, "2", 41)


def test_a_sold_fill_under_two_exec_ids_is_one(of: Of, version: str) -> None:
    """F2 on the other side: nobody may buy what was not sold."""
    core = across(of, version, limits={"account.ACC1": {"max_long": 100, "max_short": 0}})
    bought = core.working("B")
    core.fill(bought, "E0", "100", "100", "2", t151="0")
    child = core.working("A", side="2")
    core.fill(child, "E1", "40", "40", t54="2", t151="60")
    reply = again(core, child, t54="2")
    is_told(reply, child)
    only_says(reply, t14="40", t151="60")
    assert core.shares() == (60, 0, 60)
    assert not may(core, "2", 1), "60 held, 60 to be sold"
    assert not may(core, "1", 41)
    assert may(core, "1", 40)
    assert killed(core) == [child]


def test_a_whole_fill_under_two_exec_ids_is_one(core: Core) -> None:
    """F2"""
    child = core.working("A")
    core.fill(child, "E1", "100", "100", "2", t151="0")
    reply = again(core, child, qty="100", cum="100", t39="2", t150=trade_kind(core, "2"))
    is_told(reply, child)
    only_says(reply, t14="100", t151="0", t39="2")
    assert core.shares() == (100, 0, 0)
    assert open_orders(core) == 0
    assert not may(core, "2", 101)
    assert may(core, "2", 100), "an exit"
    others_go_on(core)


@pytest.mark.parametrize("first", ["X1", "X2"])
def test_all_fills_again_under_other_exec_ids(core: Core, first: str) -> None:
    """F2: a venue that sends its whole day again, in any order."""
    child = core.working("A")
    core.fill(child, "E1", "40", "40", t151="60")
    core.fill(child, "E2", "20", "60", t151="40")
    told_again = {"X1": ("40", "40"), "X2": ("20", "60")}
    for exec_id in sorted(told_again, reverse=first == "X2"):
        reply = again(core, child, exec_id, *told_again[exec_id])
        is_told(reply, child)
        only_says(reply, t14="60", t151="40")
    assert core.shares() == (60, 40, 0)
    assert not may(core, "2", 61)
    assert killed(core) == [child]


def test_a_fill_under_three_exec_ids_is_one(core: Core) -> None:
    """F2"""
    child = core.working("A")
    core.fill(child, "E1", "40", "40", t151="60")
    for exec_id in ("X1", "X2"):
        only_says(again(core, child, exec_id), t14="40", t151="60")
    assert core.shares() == (40, 60, 0)


def test_a_fill_again_after_a_replace_is_one(core: Core) -> None:
    """F2"""
    child = core.working("A")
    core.fill(child, "E1", "40", "40", t151="60")
    replace = passed(core.replace("B", "A", qty="200"))[11]
    only_says(again(core, child), t14="40")
    core.report(replace, "E2", "5", "1", t41=child, t14="40", t38="200", t151="160")
    only_says(again(core, child, "X2"), t14="40", t151="160", t38="200", t11="B")
    assert core.shares() == (40, 160, 0)
    assert killed(core) == [replace]


def test_a_fill_again_after_the_day_is_one(core: Core) -> None:
    """F2"""
    child = core.working("A", t59="1")
    core.fill(child, "E1", "40", "40", t151="60")
    core.day()
    is_told(again(core, child), child)
    assert core.shares() == (40, 60, 0)


def test_a_bust_of_a_fill_under_two_exec_ids(core: Core) -> None:
    """F2: whichever of the two is named, nothing has traded then."""
    child = core.working("A")
    core.fill(child, "E1", "40", "40", t151="60")
    again(core, child)
    bust(core, child, "E2", "X1", t32="40", t14="0", t151="100")
    assert core.record.fault == 0
    assert open_on(core, "1") + held(core, "1") >= 100
    bust(core, child, "E3", "E1", t32="40", t14="0", t151="100")
    assert core.shares() == (0, 100, 0)
    assert not may(core, "2", 1)
    assert killed(core) == [child]


@pytest.mark.parametrize("left", ["20", "0", "100"])
def test_sums_that_contradict_each_other_count_at_their_worst(core: Core, left: str) -> None:
    """F2 where it cannot be decided: filled for who buys, not there for who sells."""
    child = core.working("A")
    core.fill(child, "E1", "40", "40", t151="60")
    reply = again(core, child, t151=left)
    assert alerts(reply)
    assert core.shares()[0] + core.shares()[1] >= 100
    assert not may(core, "2", 41)
    others_go_on(core)
    assert killed(core) == [child]


# What is no copy.


def test_two_equal_fills_are_two(core: Core) -> None:
    child = core.working("A")
    core.fill(child, "E1", "40", "40", t151="60")
    reply = core.fill(child, "E2", "40", "80", t97="Y", t151="20")
    told(reply, t32="40", t14="80", t151="20")
    assert alerts(reply) == []
    assert core.shares() == (80, 20, 0)


def test_two_equal_fills_of_a_venue_that_tells_no_sums_are_two(core: Core) -> None:
    child = core.working("A")
    for exec_id, cum in (("E1", "40"), ("E2", "80")):
        reply = core.fill(child, exec_id, "40", "", t14=None, t151=None)
        told(reply, t32="40", t14=cum)
        assert alerts(reply) == []
    assert core.shares() == (80, 20, 0)


def test_fills_that_overtake_each_other_are_two(core: Core) -> None:
    child = core.working("A")
    core.fill(child, "E2", "20", "60", t151="40")
    reply = core.fill(child, "E1", "40", "40", t151="60")
    told(reply, t14="60", t151="40")
    assert alerts(reply) == []
    assert core.shares() == (60, 40, 0)


def test_a_fill_after_its_equal_was_busted_is_another(core: Core) -> None:
    child = core.working("A")
    core.fill(child, "E1", "40", "40", t151="60")
    bust(core, child, "E2", "E1", t32="40", t14="0", t151="100")
    told(core.fill(child, "E3", "40", "40", t151="60"), t32="40", t14="40", t151="60")
    assert core.shares() == (40, 60, 0)


# AvgPx(6) that the venue does not tell.


def plain(core: Core, child: str, exec_id: str, qty: str, price: str, **more: Any) -> Reply:
    """A fill without CumQty, LeavesQty and AvgPx."""
    return core.fill(child, exec_id, qty, "", **{"t6": None, "t14": None, "t151": None, "t31": price} | more)


@pytest.mark.parametrize("side", SIDES)
def test_the_average_price_is_that_of_the_fills_seen(of: Of, version: str, side: str) -> None:
    """F21"""
    core = across(of, version)
    child = core.working("A", side=side)
    told(plain(core, child, "E1", "40", "100", t54=side), t6="100", t14="40", t151="60")
    told(plain(core, child, "E2", "20", "103", t54=side), t6="101", t14="60", t151="40")
    told(core.status_request("A", side=side), t6="101")
    told(plain(core, child, "E3", "40", "98.5", t54=side, t39="2"), t6="100", t14="100", t151="0", t39="2")
    assert held(core, side) == 100


def test_the_average_price_stays_when_the_order_ends(core: Core) -> None:
    """F21"""
    child = core.working("A")
    plain(core, child, "E1", "40", "100")
    plain(core, child, "E2", "20", "103")
    told(core.report(child, "E3", "4", "4", t6=None, t14=None, t151=None), t39="4", t6="101", t14="60", t151="0")


def test_an_average_price_that_does_not_end(core: Core) -> None:
    """F21"""
    child = core.working("A")
    plain(core, child, "E1", "10", "100")
    fields = told(plain(core, child, "E2", "20", "101"), t14="30")
    assert abs(Decimal(fields[6]) - Decimal(302) / 3) <= Decimal("0.00000001")


@pytest.mark.parametrize(("first", "second", "average"), [("-2.5", "-1", "-2"), ("1", "-2", "0")])
def test_an_average_price_below_zero(core: Core, first: str, second: str, average: str) -> None:
    """F21: spreads, power, oil."""
    child = core.working("A")
    told(plain(core, child, "E1", "20", first), t6=first)
    told(plain(core, child, "E2", "10", second), t6=average)


@pytest.mark.parametrize("what", ["bust", "correction"])
def test_the_average_price_after_a_change(core: Core, what: str) -> None:
    """F21"""
    child = core.working("A")
    plain(core, child, "E1", "40", "100")
    plain(core, child, "E2", "20", "103")
    none = {"t6": None, "t14": None, "t151": None}
    if what == "bust":
        told(bust(core, child, "E3", "E2", "1", t32="20", **none), t6="100", t14="40")
        return
    old = core.begin_strings["XNAS"] == "FIX.4.2"
    kind, more = ("1", {"t20": "2"}) if old else ("G", {})
    reply = core.report(child, "E3", kind, "1", t19="E2", t31="106", t32="20", **none, **more)
    told(reply, t6="102", t14="60")


def test_an_average_price_that_the_venue_tells_is_told_on(core: Core) -> None:
    """F21's neighbour."""
    child = core.working("A")
    told(core.fill(child, "E1", "40", "40", t31="100", t6="100.01", t151="60"), t6="100.01")


def test_a_large_average_price(core: Core) -> None:
    """F21: sums of money that leave 64 bits."""
    child = core.working("A", qty="1000000000", px="90000")
    plain(core, child, "E1", "400000000", "90000")
    told(plain(core, child, "E2", "600000000", "90001"), t6="90000.6", t14="1000000000")


# Fills that the session layer refuses.


def refusal(core: Core, number: int, msg_type: str | None = "8", venue: str = "XNAS", **more: Any) -> Reply:
    """The engine's own Reject(3) of a venue's message: the core hears of it after the fact."""
    fields = [(8, core.begin_strings[venue]), (35, "3"), (45, str(number)), (58, "Required tag missing")]
    fields += [(371, "122")] + ([(372, msg_type)] if msg_type else []) + [(373, "1")]
    data = b"".join(b"%d=%s\x01" % (tag, value.encode()) for tag, value in fields)
    return core.apply(Event(ev.UNREAD, core.time_ns, core.sessions[venue], data=data))


def last_in(core: Core, venue: str = "XNAS") -> int:
    """MsgSeqNum(34) of the message that came last from a venue."""
    row = core.sessions[venue]
    return next(e.msg_seq_num for e, _ in reversed(core.log) if e.kind == ev.MESSAGE and e.session == row)


@pytest.mark.parametrize("msg_type", ["8", None])
def test_a_refusal_of_what_was_applied_hides_no_fill(core: Core, msg_type: str | None) -> None:
    """F23: a fill resent with PossDupFlag and without OrigSendingTime(122)."""
    child = core.working("A")
    core.fill(child, "E1", "40", "40", t151="60")
    number = last_in(core)
    core.report(child, "E2", "D", "1", t38="100", t14="40", t151="60")
    refusal(core, number, msg_type)
    assert core.shares() == (40, 60, 0)
    others_go_on(core, "XNAS", "XNYS")
    assert may(core, "1", 10), "the same account at the same venue"
    assert may(core, "2", 40), "an exit"
    assert killed(core) == [child]


def test_a_refusal_of_what_was_applied_long_ago_hides_no_fill(core: Core) -> None:
    """F7, F23: after another day and a restart."""
    child = core.working("A", t59="1")
    core.fill(child, "E1", "40", "40", t151="60")
    number = last_in(core)
    for k in range(20):
        core.report(child, f"R{k}", "D", "1", t38="100", t14="40", t151="60")
    core.day()
    core.start(ev.STOPPED)
    core.come_back()
    refusal(core, number)
    assert core.shares() == (40, 60, 0)
    others_go_on(core, "XNAS", "XNYS")


def test_a_fill_that_is_resent_counts_once(core: Core) -> None:
    """F23, where the session layer lets it through."""
    child = core.working("A")
    core.fill(child, "E1", "40", "40", t151="60")
    reply = core.fill(child, "E1", "40", "40", t151="60", poss_dup=True)
    only_says(reply, t14="40")
    assert core.shares() == (40, 60, 0)
    others_go_on(core)


def test_a_refusal_of_what_nobody_has_seen_stops_that_venue_alone(core: Core) -> None:
    """F7: it may have been a fill, of the orders that are there."""
    child = core.working("A")
    assert alerts(refusal(core, last_in(core) + 1))
    others_go_on(core, "XNYS")
    assert core.shares()[0] + core.shares()[1] >= 100
    assert killed(core) == [child]


@pytest.mark.parametrize("msg_type", ["0", "W", "9", "j"])
def test_a_refusal_of_what_is_no_report_stops_nobody(core: Core, msg_type: str) -> None:
    core.working("A")
    refusal(core, last_in(core) + 1, msg_type)
    others_go_on(core, "XNAS", "XNYS")
