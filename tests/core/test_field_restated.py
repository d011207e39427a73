"""Orders that their venue restates in other terms overnight, by a split say: open here as they are open there."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core import events as ev
from tests.support.checks import Reply, passed
from tests.support.core import Core
from tests.support.doubts import alerts, told
from tests.support.field import (
    SIDES,
    across,
    adds_up,
    bust,
    held,
    is_told,
    killed,
    may,
    open_on,
    others_go_on,
    reports,
)
from tests.support.kill import Of, open_orders

SPLIT = {"t378": "0", "t38": "100", "t44": "1870", "t14": "20", "t151": "80", "t6": "1870"}


@pytest.fixture
def core(of: Of, version: str) -> Core:
    """A venue of each FIX version, and an EMS of the other."""
    return across(of, version)


def carried_over(core: Core, side: str = "1", cum: str = "200") -> str:
    """A GTC order for 1,000 at 187 of which some has traded when the day ends; returns its child."""
    child = core.working("A", side=side, qty="1000", px="187", t59="1")
    if cum != "0":
        left = str(1000 - int(cum))
        core.fill(child, "E1", cum, cum, t31="187", t6="187", t38="1000", t54=side, t151=left)
    core.day()
    return child


def split(core: Core, child: str, exec_id: str = "S1", side: str = "1", **more: Any) -> Reply:
    """A reverse split, 1 for 10."""
    return core.report(child, exec_id, "D", "1", **SPLIT | {"t54": side} | more)


@pytest.mark.parametrize("side", SIDES)
def test_a_reverse_split_leaves_the_order_open(core: Core, side: str) -> None:
    """F1"""
    child = carried_over(core, side)
    reply = split(core, child, side=side)
    told(reply, t11="A", t150="D", t39="1", t38="100", t14="20", t151="80", t44="1870")
    is_told(reply, child)
    assert held(core, side) == 200
    assert open_on(core, side) >= 80
    assert open_orders(core) == 1
    others_go_on(core)
    assert killed(core) == [child]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("counted", [True, False], ids=["told", "last quantity alone"])
def test_fills_after_a_split_are_in_its_terms(core: Core, side: str, counted: bool) -> None:
    """F1"""
    child = carried_over(core, side)
    split(core, child, side=side)

    def totals(cum: str, left: str) -> dict[str, str | None]:
        return {"t14": cum, "t151": left} if counted else {"t14": None, "t151": None}

    reply = core.fill(child, "E2", "30", "50", **{"t38": "100", "t54": side} | totals("50", "50"))
    told(reply, t39="1", t32="30", t38="100", t14="50", t151="50")
    assert held(core, side) == 230
    assert open_on(core, side) >= 50
    reply = core.fill(child, "E3", "50", "100", "2", **{"t38": "100", "t54": side} | totals("100", "0"))
    told(reply, t39="2", t32="50", t38="100", t14="100", t151="0")
    assert held(core, side) == 280
    assert (open_on(core, side), open_orders(core)) == (0, 0)
    assert killed(core) == []


def test_a_replace_after_a_split_is_in_its_terms(core: Core) -> None:
    """F1"""
    child = carried_over(core)
    split(core, child)
    replace = passed(core.replace("B", "A", qty="150", px="1870", t59="1"))
    assert replace[38] == "150" and replace[41] == child
    assert open_on(core, "1") >= 130
    reply = core.report(replace[11], "E2", "5", "1", t41=child, t14="20", t38="150", t44="1870", t151="130")
    told(reply, t11="B", t41="A", t150="5", t39="1", t38="150", t14="20", t151="130")
    assert held(core, "1") == 200
    assert open_on(core, "1") >= 130
    assert killed(core) == [replace[11]]


def test_an_ems_that_asks_after_a_split_hears_its_terms(core: Core) -> None:
    """F1"""
    child = carried_over(core)
    split(core, child)
    told(core.status_request("A"), t39="1", t38="100", t14="20", t151="80", t44="1870")


@pytest.mark.parametrize("by", ["the EMS", "the venue"])
def test_a_split_order_ends_as_any_order(core: Core, by: str) -> None:
    """F1"""
    child = carried_over(core)
    split(core, child)
    if by == "the EMS":
        [(venue, msg_type, cancel)] = core.cancel("F", "A")
        assert (venue, msg_type, cancel[41]) == ("XNAS", "F", child)
        reply = core.report(cancel[11], "E2", "4", "4", t41=child, t14="20", t38="100", t151="0")
    else:
        reply = core.report(child, "E2", "4", "4", t14="20", t38="100", t151="0")
    told(reply, t150="4", t39="4", t14="20", t151="0")
    assert core.shares() == (200, 0, 0)
    assert open_orders(core) == 0


def test_limits_after_a_split_count_what_is_held_and_open(of: Of, version: str) -> None:
    """F1: the 200 booked and at least 80 more; what is held may be sold, no more."""
    core = across(of, version, limits={"account.ACC1": {"max_long": 1000, "max_short": 0}})
    child = carried_over(core)
    split(core, child)
    assert not may(core, "1", 1000 - 200 - 80 + 1)
    assert may(core, "2", 200), "an exit"
    assert not may(core, "2", 201)


@pytest.mark.parametrize("how", ["the same", "another ExecID", "another ExecID, resent"])
def test_a_split_that_is_told_twice(core: Core, how: str) -> None:
    """F1"""
    child = carried_over(core)
    split(core, child)
    reply = split(core, child, "S1" if how == "the same" else "S2", poss_dup="resent" in how)
    for fields in reports(reply):
        assert (fields[38], fields[14], fields[151], fields[39]) == ("100", "20", "80", "1")
    assert held(core, "1") == 200
    assert open_on(core, "1") >= 80
    assert killed(core) == [child]


@pytest.mark.parametrize("what", ["another day ends", "a crash", "yesterday's fill comes again"])
def test_a_split_order_stays_open_over(core: Core, what: str) -> None:
    """F1"""
    child = carried_over(core)
    split(core, child)
    if what == "another day ends":
        core.day()
    elif what == "a crash":
        core.start(ev.CRASHED)
        core.come_back()
    else:
        core.fill(child, "E1", "200", "200", t31="187", t6="187", t38="1000", t151="800", poss_dup=True)
    assert held(core, "1") == 200
    assert open_on(core, "1") >= 80
    told(core.status_request("A"), t38="100", t14="20", t151="80", t39="1")
    assert killed(core) == [child]


def test_a_split_while_a_replace_is_pending(core: Core) -> None:
    """F1: the venue refuses the replace then, since it is in the old terms."""
    child = carried_over(core)
    replace = passed(core.replace("B", "A", qty="1200", px="187", t59="1"))[11]
    reply = split(core, child)
    is_told(reply, child)
    assert open_on(core, "1") >= 80
    told(core.cancel_reject(replace, child, "2", status="1"), "9", t11="B", t41="A", t39="1")
    assert held(core, "1") == 200
    assert open_on(core, "1") >= 80
    assert killed(core) == [child]


def test_a_bust_of_a_fill_of_before_the_split(core: Core) -> None:
    """F1"""
    child = carried_over(core)
    split(core, child)
    bust(core, child, "E2", "E1", t32="200", t14="0", t38="100", t151="100")
    assert core.record.fault == 0
    assert open_on(core, "1") >= 100
    told(core.status_request("A"), t14="0", t151="100")
    assert killed(core) == [child]


@pytest.mark.parametrize("side", SIDES)
def test_a_split_into_more_shares(core: Core, side: str) -> None:
    """F1 the other way round, 10 for 1: what was booked is not made smaller."""
    child = carried_over(core, side)
    reply = split(core, child, side=side, t38="10000", t44="18.7", t14="2000", t151="8000", t6="18.7")
    told(reply, t150="D", t39="1", t38="10000", t14="2000", t151="8000", t44="18.7")
    assert held(core, side) >= 200
    assert open_on(core, side) >= 8000
    assert killed(core) == [child]


@pytest.mark.parametrize(
    "said",
    [
        {"t38": None},
        {"t151": None},
        {"t378": None},
        {"t378": "5"},
        {"t14": "0", "t38": "80"},
    ],
    ids=["no 38", "no 151", "no reason", "a reason of its own", "all but what traded"],
)
def test_a_restated_cum_qty_below_what_was_counted(core: Core, said: dict[str, str | None]) -> None:
    """F1, told in other ways."""
    child = carried_over(core)
    restated: dict[str, str | None] = {**SPLIT, **said}
    reply = core.report(child, "S1", "D", "0" if restated["t14"] == "0" else "1", **restated)
    is_told(reply, child)
    fields = told(reply, t150="D", t14=restated["t14"], t151=restated["t151"] or "80")
    assert adds_up(fields)
    assert held(core, "1") == 200
    assert open_on(core, "1") >= 80
    others_go_on(core)
    assert killed(core) == [child]


def test_a_restatement_in_which_less_has_traded_and_all_else_is_as_before(of: Of, version: str) -> None:
    """F1's neighbour: it came late, or a fill was taken back: what nobody knows is open, and not there to be sold."""
    core = across(of, version, limits={"account.ACC1": {"max_short": 0}})
    child = carried_over(core)
    reply = core.report(child, "S1", "D", "1", t378="5", t38="1000", t44="187", t14="150", t151="850")
    is_told(reply, child)
    assert alerts(reply)
    assert held(core, "1") == 150
    assert open_on(core, "1") >= 850
    assert not may(core, "2", 151)
    others_go_on(core)
    assert killed(core) == [child]


@pytest.mark.parametrize("how", ["status", "fill"])
def test_terms_of_a_split_that_nothing_announced(of: Of, version: str, how: str) -> None:
    """F1 without its Restated: a count below ours closes nothing and sells nothing twice."""
    core = across(of, version, limits={"account.ACC1": {"max_short": 0}})
    child = carried_over(core)
    if how == "status":
        reply = core.status(child, "1", t14="20", t38="100", t151="80")
    else:
        reply = core.fill(child, "E2", "30", "50", t38="100", t151="50")
    assert alerts(reply)
    assert held(core, "1") >= 200
    assert open_on(core, "1") >= 50
    assert may(core, "2", 200), "an exit"
    assert not may(core, "2", 231)
    others_go_on(core)
    assert killed(core) == [child]


def test_a_restatement_that_takes_nothing_back_is_no_news(core: Core) -> None:
    """F1's neighbour: CumQty(14) as counted, the venue has cut the order."""
    child = carried_over(core)
    reply = core.report(child, "S1", "D", "1", t378="5", t38="600", t14="200", t151="400")
    told(reply, t150="D", t39="1", t38="600", t14="200", t151="400")
    assert alerts(reply) == []
    assert core.shares() == (200, 400, 0)
