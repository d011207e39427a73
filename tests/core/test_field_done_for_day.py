"""Orders that are done for the day: what was for the day alone is over, the rest waits for the next."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.checks import Reply, passed
from tests.support.core import Core
from tests.support.doubts import alerts, told
from tests.support.field import SIDES, across, held, killed, may, open_on, others_go_on
from tests.support.kill import Of, open_orders

DONE = pytest.mark.parametrize("status", ["3", "B"], ids=["done for day", "calculated"])


@pytest.fixture
def core(of: Of, version: str) -> Core:
    """A venue of each FIX version, and an EMS of the other."""
    return across(of, version)


def traded(core: Core, side: str = "1", **more: Any) -> str:
    """An order for 5,000 of which 1,000 have traded; returns its child."""
    child = core.working("A", side=side, qty="5000", **more)
    core.fill(child, "E1", "1000", "1000", t38="5000", t54=side, t151="4000")
    return child


def done(core: Core, child: str, status: str = "3", side: str = "1", **more: Any) -> Reply:
    """The venue says that it is done for the day."""
    fields = {"t38": "5000", "t14": "1000", "t54": side, "t151": "0"} | more
    return core.report(child, "E2", status, status, **fields)


@DONE
@pytest.mark.parametrize("side", SIDES)
def test_a_day_order_is_over_when_the_day_is(core: Core, status: str, side: str) -> None:
    """F12"""
    child = traded(core, side)
    told(done(core, child, status, side), t11="A", t150=status, t39=status, t14="1000", t151="0")
    assert core.record.fault == 0
    assert alerts(core.day()) == [], "no order is left"
    assert held(core, side) == 1000
    assert (open_on(core, side), open_orders(core)) == (0, 0)
    others_go_on(core)
    assert killed(core) == []


@pytest.mark.parametrize("tif", ["2", "3", "4", None], ids=["at the opening", "IOC", "FOK", "none said"])
@DONE
def test_so_is_every_other_that_does_not_outlive_it(core: Core, status: str, tif: str | None) -> None:
    """F12"""
    child = traded(core, t59=tif)
    told(done(core, child, status), t39=status, t14="1000", t151="0")
    core.day()
    assert core.shares() == (1000, 0, 0)
    assert open_orders(core) == 0


@DONE
def test_so_is_one_at_the_close(of: Of, status: str) -> None:
    """F12"""
    core = of("FIX.4.4", "FIX.4.4")
    child = traded(core, t59="7", t40="1", px=None)
    done(core, child, status)
    core.day()
    assert core.shares() == (1000, 0, 0)
    assert open_orders(core) == 0


@DONE
@pytest.mark.parametrize("tif", ["1", "6"], ids=["GTC", "GTD"])
def test_one_that_outlives_the_day_waits(core: Core, status: str, tif: str) -> None:
    """F12"""
    more = {"t432": "20260731"} if tif == "6" else {}
    child = traded(core, t59=tif, **more)
    told(done(core, child, status), t39=status, t14="1000")
    core.day()
    assert core.shares() == (1000, 4000, 0)
    told(core.fill(child, "E3", "500", "1500", t38="5000", t151="3500"), t39="1", t14="1500", t151="3500")
    assert core.shares() == (1500, 3500, 0)
    assert killed(core) == [child]


def test_the_limits_of_the_next_day_do_not_count_it(of: Of, version: str) -> None:
    """F12: 1,000 held of 5,000 allowed."""
    core = across(of, version, limits={"account.ACC1": {"max_long": 5000, "max_short": 0, "max_open_orders": 1}})
    done(core, traded(core))
    core.day()
    assert not may(core, "1", 4001)
    assert may(core, "1", 4000)
    assert may(core, "2", 1000), "an exit"
    assert not may(core, "2", 1001)


@DONE
def test_without_leaves_qty_too(core: Core, status: str) -> None:
    """F12"""
    child = traded(core)
    done(core, child, status, t151=None)
    core.day()
    assert core.shares() == (1000, 0, 0)
    assert open_orders(core) == 0


def test_one_that_has_not_traded(core: Core) -> None:
    """F12"""
    child = core.working("A")
    told(core.report(child, "E1", "3", "3", t38="100", t151="0"), t39="3", t14="0", t151="0")
    core.day()
    assert core.shares() == (0, 0, 0)
    assert open_orders(core) == 0


@DONE
def test_a_report_that_comes_twice(core: Core, status: str) -> None:
    """F12"""
    child = traded(core)
    done(core, child, status)
    done(core, child, status, poss_dup=True)
    core.report(child, "E3", status, status, t38="5000", t14="1000", t151="0")
    core.day()
    assert core.shares() == (1000, 0, 0)
    assert open_orders(core) == 0


def test_a_fill_of_the_day_that_comes_late_counts(core: Core) -> None:
    """F12"""
    child = traded(core)
    done(core, child)
    told(core.fill(child, "E3", "10", "1010", "3", t38="5000", t151="0"), t14="1010", t32="10")
    assert core.shares()[0] == 1010
    core.day()
    assert core.shares() == (1010, 0, 0)


def test_a_fill_that_only_the_last_report_tells_of_counts(core: Core) -> None:
    """F12"""
    child = traded(core)
    told(done(core, child, t14="1200"), t14="1200", t151="0")
    core.day()
    assert core.shares() == (1200, 0, 0)


@pytest.mark.parametrize("how", ["a fill", "restated", "new"])
def test_a_day_order_that_works_again_is_open(core: Core, how: str) -> None:
    """F12 taken back: a desk that ended the wrong order, a venue with two sessions a day."""
    child = traded(core)
    done(core, child)
    if how == "a fill":
        reply = core.fill(child, "E3", "10", "1010", t38="5000", t151="3990")
        told(reply, t39="1", t14="1010", t151="3990")
    else:
        kind = "D" if how == "restated" else "0"
        reply = core.report(child, "E3", kind, "1", t38="5000", t14="1000", t151="4000")
        told(reply, t39="1", t14="1000", t151="4000")
    assert open_on(core, "1") == (3990 if how == "a fill" else 4000)
    others_go_on(core)
    assert killed(core) == [child]


@DONE
def test_done_for_the_day_with_something_left_ends_nothing_at_once(core: Core, status: str) -> None:
    """F12's opposite: a report that contradicts itself never makes an order look closed."""
    child = traded(core)
    done(core, child, status, t151="4000")
    assert core.shares() == (1000, 4000, 0)
    others_go_on(core)
    assert killed(core) == [child]


def test_a_replace_that_was_pending(core: Core) -> None:
    """F12: it ends with the order or is refused; no quantity of it is counted on."""
    child = traded(core)
    replace = passed(core.replace("B", "A", qty="6000"))[11]
    done(core, child)
    core.cancel_reject(replace, child, "2", status="3")
    core.day()
    assert core.shares() == (1000, 0, 0)
    assert open_orders(core) == 0


def test_a_cancel_that_was_pending(core: Core) -> None:
    """F12: the venue answers it too late (102=0, 39=3)."""
    child = traded(core)
    cancel = core.cancel("F", "A")[0][2][11]
    done(core, child)
    told(core.cancel_reject(cancel, child, status="3"), "9", t11="F", t41="A")
    core.day()
    assert core.shares() == (1000, 0, 0)
    assert open_orders(core) == 0
    others_go_on(core)


def test_a_kill_that_is_set_finds_the_next_day_clean(core: Core) -> None:
    """F12: nothing is tried for ever."""
    child = traded(core)
    done(core, child)
    killed(core)
    core.day()
    assert [m for m in core.later(60) if m[1]] == []
    assert open_orders(core) == 0
