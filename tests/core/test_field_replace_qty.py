"""Venues that read OrderQty(38) of a replace as what shall be open, whether the config says so or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.config.files import ConfigError
from tests.support.checks import OPEN, Reply, config_with_everyone, fired, limits_with, passed, refused
from tests.support.core import Core
from tests.support.doubts import alerts, told
from tests.support.field import (
    SIDES,
    across,
    adds_up,
    held,
    is_told,
    killed,
    may,
    open_on,
    others_go_on,
    reports,
)
from tests.support.kill import Of, core_of, open_orders


@pytest.fixture
def core(of: Of, version: str) -> Core:
    """A venue of each FIX version, and an EMS of the other."""
    return across(of, version)


@pytest.fixture
def open_core(of: Of, version: str) -> Core:
    """The same, of venues whose config says that a replace tells what shall be open."""
    return across(of, version, replace_qty="open")


def held_before(core: Core, quantity: str, side: str = "1") -> None:
    """ACC1 holds something from an order that is done."""
    child = core.working("BEFORE", side=side, qty=quantity)
    core.fill(child, "E0", quantity, quantity, "2", t54=side, t151="0")


def traded(core: Core, qty: str, cum: str, side: str = "1", **more: Any) -> str:
    """An order of which some has traded; returns its child."""
    child = core.working("A", side=side, qty=qty, **more)
    core.fill(child, "E1", cum, cum, t38=qty, t54=side, t151=str(int(qty) - int(cum)))
    return child


def replaced(core: Core, request: str, child: str, qty: str, cum: str, left: str | None, side: str = "1") -> Reply:
    """The venue's Replaced."""
    return core.report(request, "E2", "5", "1", t41=child, t38=qty, t54=side, t14=cum, t151=left)


# A venue of which the config does not say so.


@pytest.mark.parametrize("side", SIDES)
def test_a_venue_that_leaves_more_open_than_is_left(of: Of, version: str, side: str) -> None:
    """F4: 185 held and 12 traded of 200 that may be; the venue has 15 open, not 3."""
    limits = {"account.ACC1": {"max_long": 200, "max_short": 200}}
    core = across(of, version, limits=limits)
    held_before(core, "185", side)
    child = traded(core, "15", "12", side)
    request = passed(core.replace("B", "A", qty="15", px="100.5" if side == "1" else "99.5", side=side))[11]
    reply = replaced(core, request, child, "15", "12", "15", side)
    told(reply, t11="B", t41="A", t150="5", t39="1", t14="12", t151="15")
    is_told(reply, request)
    assert held(core, side) == 197
    assert open_on(core, side) >= 15
    assert not may(core, side, 1)
    assert may(core, "2" if side == "1" else "1", 197), "an exit"
    others_go_on(core)
    assert killed(core) == [request]


def test_what_it_leaves_open_trades(core: Core) -> None:
    """F4"""
    child = traded(core, "15", "12")
    request = passed(core.replace("B", "A", qty="15", px="100.5"))[11]
    replaced(core, request, child, "15", "12", "15")
    told(core.fill(request, "E3", "10", "22", t38="15", t151="5"), t39="1", t14="22", t151="5")
    assert core.shares() == (22, 5, 0)
    told(core.fill(request, "E4", "5", "27", "2", t38="15", t151="0"), t39="2", t14="27", t151="0")
    assert core.shares() == (27, 0, 0)
    assert open_orders(core) == 0
    assert killed(core) == []


@pytest.mark.parametrize("how", ["canceled", "replaced again", "the day ends"])
def test_what_it_leaves_open_ends(core: Core, how: str) -> None:
    """F4"""
    child = traded(core, "15", "12", t59="1")
    request = passed(core.replace("B", "A", qty="15", px="100.5", t59="1"))[11]
    replaced(core, request, child, "15", "12", "15")
    if how == "canceled":
        [(_, msg_type, cancel)] = core.cancel("F", "B")
        assert (msg_type, cancel[41]) == ("F", request)
        reply = core.report(cancel[11], "E3", "4", "4", t41=request, t38="15", t14="12", t151="0")
        told(reply, t39="4", t14="12", t151="0")
        assert core.shares() == (12, 0, 0)
    elif how == "replaced again":
        again = passed(core.replace("C", "B", qty="14", px="100.6", t59="1"))[11]
        reply = core.report(again, "E3", "5", "1", t41=request, t38="14", t14="12", t151="2")
        told(reply, t11="C", t38="14", t14="12", t151="2")
        assert core.shares() == (12, 2, 0)
        assert killed(core) == [again]
    else:
        core.day()
        assert core.shares()[1] >= 15
        assert killed(core) == [request]


def test_a_fill_that_leaves_more_open_than_is_left(core: Core) -> None:
    """F4: nothing was replaced, the venue counts otherwise."""
    child = core.working("A", qty="15")
    reply = core.fill(child, "E1", "5", "5", t38="15", t151="12")
    is_told(reply, child)
    told(reply, t14="5", t151="12")
    assert core.shares()[1] >= 12
    others_go_on(core)
    assert killed(core) == [child]


@pytest.mark.parametrize("kind", ["D", "0", "9"])
def test_another_report_that_leaves_more_open_than_is_left(core: Core, kind: str) -> None:
    """F4"""
    child = traded(core, "15", "12")
    reply = core.report(child, "E2", kind, "9" if kind == "9" else "1", t38="15", t14="12", t151="15")
    is_told(reply, child)
    assert core.shares()[0] == 12
    assert core.shares()[1] >= 15
    assert killed(core) == [child]


@pytest.mark.parametrize("left", ["1", "0"])
def test_a_venue_that_leaves_less_open_than_is_left(core: Core, left: str) -> None:
    """F4: the larger of the two counts."""
    child = traded(core, "15", "12")
    request = passed(core.replace("B", "A", qty="15", px="100.5"))[11]
    reply = replaced(core, request, child, "15", "12", left)
    is_told(reply, request)
    assert core.shares()[0] == 12
    assert core.shares()[1] >= 3
    others_go_on(core)
    assert killed(core) == [request]


@pytest.mark.parametrize(("qty", "left"), [("15", "3"), ("20", "8"), ("13", "1"), ("15", None)])
def test_a_replaced_that_adds_up_is_no_news(core: Core, qty: str, left: str | None) -> None:
    child = traded(core, "15", "12")
    request = passed(core.replace("B", "A", qty=qty, px="100.5"))[11]
    assert core.log[-1][1][0].body.count(b"\x0138=" + qty.encode()) == 1, "the total, as ever"
    reply = replaced(core, request, child, qty, "12", left)
    told(reply, t11="B", t38=qty, t14="12", t151=str(int(qty) - 12))
    assert alerts(reply) == []


@pytest.mark.parametrize("kind", ["0", "6"])
def test_what_was_said_before_a_fill_and_comes_late_opens_nothing(core: Core, kind: str) -> None:
    """It adds up by itself: 38 = 14 + 151."""
    child = passed(core.new("A"))[11]
    core.report(child, "E0", "A", "A", t38="100", t151="100")
    core.fill(child, "E1", "40", "40", t38="100", t151="60")
    request = core.cancel("F", "A")[0][2][11] if kind == "6" else child
    reply = core.report(request, "E2", kind, kind, t38="100", t14="0", t151="100")
    assert alerts(reply) == []
    for fields in reports(reply):
        assert (fields[14], fields[151]) == ("40", "60")
    assert core.shares() == (40, 60, 0)


# A venue of which it does.


@pytest.mark.parametrize("value", ["open", "total"])
def test_the_config_says_which(of: Of, version: str, value: str) -> None:
    """F4"""
    core = across(of, version, replace_qty=value)
    child = traded(core, "100", "40")
    request = passed(core.replace("B", "A", qty="120"))
    assert (request[41], request[38]) == (child, "80" if value == "open" else "120")


def test_the_config_says_nothing_else(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="replace_qty"):
        core_of(tmp_path, replace_qty="some")


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("said", ["80", "120", None], ids=["its words", "ours", "no 38"])
def test_the_ems_sees_its_own_total(open_core: Core, side: str, said: str | None) -> None:
    """F4"""
    core = open_core
    child = traded(core, "100", "40", side)
    request = passed(core.replace("B", "A", qty="120", side=side))[11]
    assert open_on(core, side) >= 80
    reply = core.report(request, "E2", "5", "1", t41=child, t38=said, t54=side, t14="40", t151="80")
    fields = told(reply, t11="B", t41="A", t150="5", t39="1", t38="120", t14="40", t151="80")
    assert adds_up(fields)
    assert held(core, side) == 40
    assert open_on(core, side) == 80
    reply = core.fill(request, "E3", "80", "120", "2", t38=said, t54=side, t151="0")
    told(reply, t39="2", t14="120", t151="0")
    assert (held(core, side), open_on(core, side), open_orders(core)) == (120, 0, 0)


def test_an_order_that_has_not_traded_is_replaced_by_its_total(open_core: Core) -> None:
    """F4"""
    core = open_core
    child = core.working("A")
    request = passed(core.replace("B", "A", qty="120"))
    assert request[38] == "120"
    reply = core.report(request[11], "E2", "5", "0", t41=child, t38="120", t14="0", t151="120")
    told(reply, t11="B", t38="120", t14="0", t151="120")
    assert alerts(reply) == []
    assert core.shares() == (0, 120, 0)


def test_a_fill_that_crosses_the_replace_makes_it_no_smaller(open_core: Core) -> None:
    """F4: 80 are to be open whatever trades meanwhile."""
    core = open_core
    child = traded(core, "100", "40")
    request = passed(core.replace("B", "A", qty="120"))[11]
    core.fill(child, "E2", "10", "50", t38="100", t151="50")
    assert core.shares()[0] == 50
    assert core.shares()[1] >= 80
    reply = core.report(request, "E3", "5", "1", t41=child, t38="80", t14="50", t151="80")
    told(reply, t11="B", t14="50", t151="80")
    assert core.shares()[0] == 50
    assert core.shares()[1] >= 80
    others_go_on(core)
    assert killed(core) == [request]


def test_a_replace_of_a_replace_that_is_pending(open_core: Core) -> None:
    """F4"""
    core = open_core
    child = traded(core, "100", "40")
    first = passed(core.replace("B", "A", qty="120"))
    second = passed(core.replace("C", "B", qty="150"))
    assert (first[38], second[38]) == ("80", "110")
    core.report(first[11], "E2", "5", "1", t41=child, t38="80", t14="40", t151="80")
    assert core.shares()[1] >= 110
    reply = core.report(second[11], "E3", "5", "1", t41=first[11], t38="110", t14="40", t151="110")
    told(reply, t11="C", t38="150", t14="40", t151="110")
    assert core.shares() == (40, 110, 0)


def test_a_replace_that_the_venue_refuses(open_core: Core) -> None:
    """F4"""
    core = open_core
    child = traded(core, "100", "40")
    request = passed(core.replace("B", "A", qty="120"))[11]
    told(core.cancel_reject(request, child, "2", status="1"), "9", t11="B", t41="A")
    assert core.shares() == (40, 60, 0)
    told(core.status_request("A"), t38="100", t14="40", t151="60")


def test_what_shall_be_open_is_held_against_the_limits(of: Of, version: str) -> None:
    """F4: the worst case is judged before it is sent."""
    core = across(of, version, replace_qty="open", limits={"account.ACC1": {"max_long": 120, "max_order_qty": 1000}})
    traded(core, "100", "40")
    assert fired(core.replace("B", "A", qty="121")) == {"MAX_LONG"}
    assert core.shares() == (40, 60, 0)


@pytest.mark.parametrize("qty", ["40", "30"])
def test_nothing_left_is_no_quantity_of_a_replace(open_core: Core, qty: str) -> None:
    """F4: what has traded is all that the EMS wants; no venue is sent 38=0 or less."""
    core = open_core
    traded(core, "100", "40")
    reply = core.replace("B", "A", qty=qty)
    assert reply
    for session, msg_type, fields in reply:
        assert not session.startswith("X") or msg_type == "F" or float(fields[38]) > 0, reply
    assert core.shares()[0] == 40
    assert core.record.fault == 0


def test_only_the_price_changes(open_core: Core) -> None:
    """F4"""
    core = open_core
    child = traded(core, "100", "40")
    request = passed(core.replace("B", "A", qty="100", px="100.5"))
    assert (request[38], request[44]) == ("60", "100.5")
    reply = core.report(request[11], "E2", "5", "1", t41=child, t38="60", t44="100.5", t14="40", t151="60")
    told(reply, t11="B", t38="100", t44="100.5", t14="40", t151="60")
    assert core.shares() == (40, 60, 0)


def test_each_venue_has_its_own_meaning(tmp_path: Path, version: str) -> None:
    """F4"""
    config = config_with_everyone()
    for session in config["sessions"]:
        session["begin_string"] = version
        if session["id"] == "XNYS":
            session["replace_qty"] = "open"
    core = Core(tmp_path, config, limits_with({}, dict(OPEN)))
    for venue, quantity in (("XNAS", "120"), ("XNYS", "80")):
        child = core.working(f"A-{venue}", t100=venue)
        core.fill(child, "E1", "40", "40", session=venue, t38="100", t151="60")
        assert passed(core.replace(f"B-{venue}", f"A-{venue}", qty="120"))[38] == quantity


def test_a_new_order_goes_out_with_its_quantity(open_core: Core) -> None:
    """F4"""
    assert passed(open_core.new("A", qty="70"))[38] == "70"


def test_a_refused_replace_leaves_all_as_it_was(of: Of, version: str) -> None:
    """F4"""
    core = across(of, version, replace_qty="open", limits={"account.ACC1": {"max_order_qty": 110}})
    child = traded(core, "100", "40")
    refused(core.replace("B", "A", qty="111"), "MAX_ORDER_QTY")
    told(core.status_request("A"), t38="100", t14="40", t151="60")
    assert killed(core) == [child]
