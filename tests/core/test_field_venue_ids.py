"""Orders that the venue's desk changes under ids of its own: OrderID(37) says whose they are."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core import events as ev
from gateway.core import layout as a
from tests.support.checks import Reply, passed
from tests.support.core import Core
from tests.support.doubts import alerts, told
from tests.support.field import SIDES, across, held, killed, may, open_on, others_go_on, trade_kind
from tests.support.kill import Of, open_orders, to_ems


@pytest.fixture
def core(of: Of, version: str) -> Core:
    """A venue of each FIX version, and an EMS of the other; ACC1 may not go short."""
    return across(of, version, limits={"account.ACC1": {"max_short": 0}})


def order(
    core: Core, side: str = "1", venue: str = "XNAS", order_id: str = "V5", cl_ord_id: str = "A", **more: Any
) -> str:
    """An order for 1,000 that the venue calls V5, of which 200 have traded; returns its child."""
    child = passed(core.new(cl_ord_id, side, "1000", t100=venue, **more))[11]
    fields = {"t37": order_id, "t38": "1000", "t54": side}
    core.report(child, f"E0-{cl_ord_id}", "0", "0", venue, t151="1000", **fields)
    core.fill(child, f"E1-{cl_ord_id}", "200", "200", session=venue, t151="800", **fields)
    return child


def by_desk(core: Core, kind: str, status: str, number: int, orig: str, cum: str, left: str, **more: Any) -> Reply:
    """A report on V5 in which the desk names itself and what it has named before."""
    fields = {"t37": "V5", "t38": "1000", "t41": orig, "t14": cum, "t151": left} | more
    return core.report(f"X:{number}", f"D{number}", kind, status, **fields)


def desk_fill(core: Core, number: int, qty: str, cum: str, left: str, **more: Any) -> Reply:
    status = "2" if left == "0" else "1"
    fields = {"t31": "100", "t32": qty} | more
    return by_desk(core, trade_kind(core, status), status, number, f"X:{number - 1}", cum, left, **fields)


@pytest.mark.parametrize("side", SIDES)
def test_a_fill_under_ids_of_the_desk(of: Of, version: str, side: str) -> None:
    """F9"""
    core = across(of, version)
    child = order(core, side)
    told(by_desk(core, "5", "1", 1, child, "200", "800", t54=side), t11="A", t39="1", t14="200", t151="800")
    reply = desk_fill(core, 2, "300", "500", "500", t54=side)
    told(reply, t11="A", t39="1", t32="300", t14="500", t151="500")
    assert (held(core, side), open_on(core, side)) == (500, 500)
    assert abs(core.shares(a.FIRM, "")[0]) == 500, "counted once"
    others_go_on(core)
    assert killed(core) == [child]


@pytest.mark.parametrize("end", ["4", "C", "2"])
def test_the_end_under_ids_of_the_desk(core: Core, end: str) -> None:
    """F9"""
    child = order(core)
    by_desk(core, "5", "1", 1, child, "200", "800")
    desk_fill(core, 2, "300", "500", "500")
    if end == "2":
        told(desk_fill(core, 3, "500", "1000", "0"), t11="A", t39="2", t14="1000", t151="0")
    else:
        told(by_desk(core, end, end, 3, "X:2", "500", "0"), t11="A", t150=end, t39=end, t14="500", t151="0")
    assert core.shares() == (1000 if end == "2" else 500, 0, 0)
    assert open_orders(core) == 0
    assert may(core, "2", 500), "an exit"
    assert killed(core) == []


def test_without_the_report_that_began_it(core: Core) -> None:
    """F9: the desk's replace was never reported, or without 41."""
    child = order(core)
    told(desk_fill(core, 2, "300", "500", "500", t41=None), t11="A", t14="500", t151="500")
    assert core.shares() == (500, 500, 0)
    assert killed(core) == [child]


def test_what_the_desk_has_changed(core: Core) -> None:
    """F9: quantity and price."""
    child = order(core)
    reply = by_desk(core, "5", "1", 1, child, "200", "400", t38="600", t44="99.5")
    told(reply, t11="A", t38="600", t44="99.5", t14="200", t151="400")
    reply = by_desk(core, "5", "1", 2, "X:1", "200", "300", t38="500", t44="99")
    told(reply, t11="A", t38="500", t44="99", t14="200", t151="300")
    assert core.shares() == (200, 300, 0)
    told(desk_fill(core, 3, "300", "500", "0", t38="500"), t39="2", t14="500", t151="0")
    assert core.shares() == (500, 0, 0)


def test_a_fill_that_comes_twice_counts_once(core: Core) -> None:
    """F9"""
    order(core)
    desk_fill(core, 2, "300", "500", "500")
    desk_fill(core, 2, "300", "500", "500", poss_dup=True)
    assert core.shares() == (500, 500, 0)


def test_a_bust_under_ids_of_the_desk(core: Core) -> None:
    """F9"""
    child = order(core)
    desk_fill(core, 2, "300", "500", "500")
    old = core.begin_strings["XNAS"] == "FIX.4.2"
    more = {"t19": "D2", "t31": "100", "t32": "300"} | ({"t20": "1"} if old else {})
    reply = by_desk(core, "1" if old else "H", "1", 3, "X:2", "200", "800", **more)
    told(reply, t11="A", t14="200", t151="800")
    assert core.shares() == (200, 800, 0)
    assert not may(core, "2", 201)
    assert killed(core) == [child]


def test_the_ems_replaces_and_cancels_meanwhile(core: Core) -> None:
    """F9: what it sends names the order by our ids, and by the venue's."""
    child = order(core)
    request = passed(core.replace("B", "A", qty="1200"))
    assert (request[41], request[37]) == (child, "V5")
    told(desk_fill(core, 2, "300", "500", "500"), t11="A", t14="500", t38="1000", t151="500")
    assert core.shares() == (500, 700, 0)
    told(core.cancel_reject(request[11], child, "2", status="1"), "9", t11="B", t41="A")
    [(_, msg_type, cancel)] = core.cancel("F", "A")
    assert (msg_type, cancel[41], cancel[37]) == ("F", child, "V5")
    reply = core.report(cancel[11], "E5", "4", "4", t41="X:2", t37="V5", t38="1000", t14="500", t151="0")
    told(reply, t11="F", t41="A", t39="4", t14="500", t151="0")
    assert core.shares() == (500, 0, 0)


def test_on_the_next_day_and_after_a_crash(core: Core) -> None:
    """F9"""
    child = order(core, t59="1")
    by_desk(core, "5", "1", 1, child, "200", "800")
    core.day()
    core.start(ev.CRASHED)
    core.come_back()
    told(desk_fill(core, 2, "300", "500", "500"), t11="A", t14="500", t151="500")
    assert core.shares() == (500, 500, 0)
    assert killed(core) == [child]


def test_the_order_id_that_a_replace_of_the_desk_gives(core: Core) -> None:
    """F9: the last one counts."""
    child = order(core)
    by_desk(core, "5", "1", 1, child, "200", "800", t37="V6")
    told(desk_fill(core, 2, "300", "500", "500", t37="V6"), t11="A", t14="500", t151="500")
    assert core.shares() == (500, 500, 0)


def test_a_status_under_ids_of_the_desk(core: Core) -> None:
    """F9: of a fill that was missed, say."""
    order(core)
    old = core.begin_strings["XNAS"] == "FIX.4.2"
    more = {"t20": "3"} if old else {}
    reply = by_desk(core, "1" if old else "I", "1", 2, "X:1", "500", "500", **more)
    told(reply, t11="A", t14="500", t151="500")
    assert core.shares() == (500, 500, 0)


@pytest.mark.parametrize("order_id", ["V7", "V", "V55", "NONE", "0", "", "v5"])
def test_an_order_id_that_is_no_order_s(core: Core, order_id: str) -> None:
    child = order(core)
    reply = desk_fill(core, 2, "300", "500", "500", t37=order_id)
    assert to_ems(reply) == [] and alerts(reply)
    assert core.shares()[1] == 800
    assert core.record.fault == 0
    assert killed(core) == [child]


def test_an_order_id_of_another_venue(core: Core) -> None:
    """Both call theirs V5."""
    ours = order(core)
    theirs = order(core, venue="XNYS", cl_ord_id="B")
    reply = core.report(
        "X:2",
        "D2",
        trade_kind(core),
        "1",
        "XNYS",
        t37="V5",
        t41="X:1",
        t38="1000",
        t31="100",
        t32="300",
        t14="500",
        t151="500",
    )
    told(reply, t11="B", t14="500", t151="500")
    told(core.status_request("A"), t14="200", t151="800")
    assert sorted(filter(None, killed(core))) == sorted([ours, theirs])


def test_two_orders_of_one_venue(core: Core) -> None:
    """F9"""
    order(core)
    order(core, order_id="V6", cl_ord_id="B")
    told(desk_fill(core, 2, "300", "500", "500", t37="V6"), t11="B", t14="500")
    told(desk_fill(core, 4, "100", "300", "700"), t11="A", t14="300")
    assert core.shares() == (800, 1200, 0)


def test_an_order_id_that_is_used_again_in_another_instrument(core: Core) -> None:
    """Some venues number by instrument: people are told, and what is open stays so."""
    child = order(core)
    reply = desk_fill(core, 2, "300", "300", "700", t55="MSFT")
    assert alerts(reply)
    assert core.shares()[0] + core.shares()[1] >= 1000
    assert not may(core, "2", 501)
    others_go_on(core)
    assert killed(core) == [child]
