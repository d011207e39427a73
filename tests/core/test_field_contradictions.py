"""Reports that contradict what was counted, or themselves: the worse holds, nothing is lost, a person can settle it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config.files import ConfigError
from gateway.core import events as ev
from gateway.ops.commands import resolve_event
from gateway.view.orders import order_id, orders_in_doubt
from tests.support.checks import Reply, passed
from tests.support.core import Core
from tests.support.doubts import alerts, told
from tests.support.field import across, bust, held, killed, may, open_on
from tests.support.kill import Of, open_orders


@pytest.fixture
def core(of: Of, version: str) -> Core:
    """Two venues, and an account that may not go short."""
    return across(of, version, limits={"account.ACC1": {"max_short": 0}})


def settled(core: Core, executed: str, verdict: str = "working") -> Reply:
    """What a person says of the first order."""
    order = order_id(core.record.orders[0])
    event = resolve_event(core.state, {"order": order, "verdict": verdict, "executed": executed, "reason": "r"}, "ann")
    return core.apply(event)


@pytest.mark.parametrize(
    "more",
    [{"t14": "0", "t151": "0"}, {"t14": "0"}, {"t14": "200", "t151": "0"}],
    ids=["all zero", "no 151", "what has traded"],
)
def test_a_reject_of_the_desks_own_request_ends_nothing(core: Core, more: dict[str, str]) -> None:
    """Its ids are the desk's, only OrderID(37) is the order's."""
    child = core.working("A", qty="1000")
    core.fill(child, "E1", "200", "200", t151="800", t38="1000", t37="V1")
    reply = core.report("X:2", "D1", "8", "8", t41="X:1", t37="V1", t38="1500", **more)
    assert alerts(reply)
    assert (held(core, "1"), open_on(core, "1")) == (200, 800)
    assert killed(core) == [child]


def test_a_cum_qty_that_starts_anew_with_a_replace(core: Core) -> None:
    """What is open at the venue is open here; the fills since are counted, and a person settles the rest."""
    child = core.working("A")
    core.fill(child, "E1", "40", "40", t151="60")
    new = passed(core.replace("B", "A", qty="60"))[11]
    reply = core.report(new, "R1", "5", "0", t41=child, t38="60", t14="0", t151="60")
    assert alerts(reply)
    assert open_on(core, "1") >= 60
    core.fill(new, "E3", "40", "40", t151="20", t38="60")
    reply = core.fill(new, "E4", "20", "60", "2", t151="0", t38="60")
    assert held(core, "1") + open_on(core, "1") >= 100
    assert not may(core, "2", 101)
    settled(core, "100")
    assert held(core, "1") == 100
    assert may(core, "2", 100)


def test_a_cum_qty_that_starts_anew_each_day(core: Core) -> None:
    """A fill with the sizes of yesterday's is another one, and what a person says of it holds."""
    child = core.working("A", qty="1000", t59="1")
    core.fill(child, "E1", "200", "200", t151="800", t38="1000")
    core.day()
    reply = core.fill(child, "E2", "200", "200", t38="1000")
    assert alerts(reply)
    assert held(core, "1") + open_on(core, "1") >= 1000
    assert [row[-1] for row in orders_in_doubt(core.state)] == ["200 executed or not"]
    settled(core, "400")
    assert core.shares() == (400, 600, 0)
    assert orders_in_doubt(core.state) == []


@pytest.mark.parametrize("executed", ["40", "70", "50"])
def test_a_doubt_on_a_closed_order_can_be_settled(core: Core, executed: str) -> None:
    """By any count that can be the truth, also one below what was taken as known."""
    child = core.working("A")
    core.fill(child, "E1", "40", "40", t151="60")
    core.fill(child, "X1", "30", "30", t151="70")
    core.report(child, "C1", "4", "4", t14="30", t151="0")
    assert open_orders(core) == 0
    settled(core, executed, "gone")
    assert core.shares() == (int(executed), 0, 0)
    assert may(core, "2", int(executed))
    assert not may(core, "2", int(executed) + 1)


@pytest.mark.parametrize("executed", ["-1", "200"])
def test_no_person_says_what_cannot_be(core: Core, executed: str) -> None:
    child = core.working("A")
    core.fill(child, "E1", "40", "40", t151="60")
    core.fill(child, "X1", "30", "30", t151="70")
    with pytest.raises(ConfigError, match="executed"):
        settled(core, executed)


@pytest.mark.parametrize("closed", [True, False])
def test_positions_that_start_anew_leave_no_doubt_of_yesterday(core: Core, closed: bool) -> None:
    child = core.working("A", t59="1")
    core.fill(child, "E1", "40", "40", t151="60")
    core.fill(child, "X1", "30", "30", t151="70")
    if closed:
        core.report(child, "C1", "4", "4", t14="30", t151="0")
    core.day(ev.POSITIONS_RESET)
    assert held(core, "1") == 0
    assert open_on(core, "1") == 0 if closed else open_on(core, "1") >= 70
    if not closed:
        core.fill(child, "E5", "10", "50", t151="50")
        assert held(core, "1") >= 0


def test_a_doubtful_fill_stays_doubtful_when_the_next_one_comes(core: Core) -> None:
    child = core.working("A")
    core.fill(child, "E1", "40", "40", t151="60")
    core.fill(child, "X1", "30", "30", t151="70")
    core.fill(child, "X2", "20", "50", t151="50")
    assert held(core, "1") <= 50
    assert not may(core, "2", 51)
    assert open_on(core, "1") + held(core, "1") >= 100


def test_a_bust_after_which_cum_qty_is_as_before(core: Core) -> None:
    child = core.working("A")
    core.fill(child, "E1", "40", "40", t151="60")
    core.fill(child, "E2", "20", "60", t151="40")
    reply = bust(core, child, "B1", "E1", t32="40", t14="60", t151="40")
    assert alerts(reply)
    assert held(core, "1") == 20
    assert open_on(core, "1") >= 80


@pytest.mark.parametrize("recycled", [False, True])
def test_a_bust_of_the_exec_id_that_a_fill_was_told_again_with(core: Core, recycled: bool) -> None:
    child = core.working("A", t59="1")
    core.fill(child, "E1", "40", "40", t151="60")
    core.fill(child, "X1", "40", "40", t151="60")
    if recycled:
        core.day()
    reply = bust(core, child, "B1", "X1", t32="40", t14="0", t151="100")
    assert not alerts(reply)
    assert core.shares() == (0, 100, 0)
    assert not may(core, "2", 1)


def test_a_venue_that_is_never_clear_is_asked_ever_less_often(core: Core) -> None:
    child = core.working("A")
    asked = 0
    for k in range(50):
        reply = core.report(child, f"C{k}", "4", "4", t14="0", t151="60")
        asked += sum(msg_type == "H" for _, msg_type, _ in reply)
        assert open_on(core, "1") == 100
    assert asked == 3


@pytest.mark.parametrize(
    ("exec_type", "status"), [("4", "1"), ("C", "0"), ("8", "1"), ("3", "1"), ("B", "0"), ("4", "5"), ("4", "0")]
)
def test_an_end_whose_order_status_says_that_it_works(core: Core, exec_type: str, status: str) -> None:
    child = core.working("A")
    reply = core.report(child, "C1", exec_type, status, t14="0", t151=None)
    assert alerts(reply)
    assert open_on(core, "1") == 100
    assert killed(core) == [child]


def test_a_cancel_with_leaves_of_an_order_in_doubt_does_not_end_it(core: Core) -> None:
    child = core.working("A")
    core.start(ev.CRASHED)
    core.come_back()
    core.status(child, "4", t14="40", t151="60")
    assert open_on(core, "1") == 60
    assert killed(core) == [child]


def test_an_order_id_of_another_open_order_is_not_learned(core: Core) -> None:
    """A cancel with it would cancel the other order."""
    one = core.working("A")
    other = core.working("B", t1="ACC2")
    core.status(one, "0", t37="V1", t14="0", t151="100")
    core.status(other, "0", t37="V2", t14="0", t151="100")
    reply = core.status(one, "0", t37="V2", t14="0", t151="100")
    assert alerts(reply)
    assert core.cancel("C", "A")[0][2][37] == "V1"
    assert core.cancel("D", "B")[0][2][37] == "V2"


def test_a_fill_of_another_account_under_an_order_id_of_ours_is_not_the_orders(core: Core) -> None:
    child = core.working("A")
    core.status(child, "0", t37="V1", t14="0", t151="100")
    reply = core.fill("Z:9", "E1", "40", "40", t37="V1", t1="ACC2", t151="60")
    assert alerts(reply)
    assert open_on(core, "1") == 100


def test_an_ems_whose_venue_is_silent_may_cancel_again_later(core: Core) -> None:
    core.working("A")
    for k in range(4):
        assert core.cancel(f"C{k}", "A")[0][:2] == ("XNAS", "F")
    told(core.cancel("C4", "A"), "9", t102="3")
    core.wait(10)
    assert core.cancel("C5", "A")[0][:2] == ("XNAS", "F")
    told(core.cancel("C6", "A"), "9", t102="3")


def test_an_old_replaced_that_is_resent_changes_nothing(core: Core) -> None:
    """Without an ExecID(17) that is kept."""
    child = core.working("A", qty="1000")
    small = passed(core.replace("B", "A", qty="500"))[11]
    core.report(small, "0", "5", "0", t41=child, t38="500", t14="0", t151="500")
    large = passed(core.replace("C", "B", qty="1000"))[11]
    core.report(large, "0", "5", "0", t41=small, t38="1000", t14="0", t151="1000")
    core.report(small, "0", "5", "0", poss_dup=True, t41=child, t38="500", t14="0", t151="500")
    assert open_on(core, "1") == 1000


def test_a_leg_under_the_exec_id_of_the_whole_is_told(core: Core) -> None:
    child = core.working("A")
    core.fill(child, "E1", "40", "40", t151="60", t442="3")
    reply = core.fill(child, "E1", "40", "40", t151="60", t442="2", t55="MSFT")
    assert alerts(reply)
    assert held(core, "1") == 40


def test_a_sum_of_fills_stays_a_number(core: Core) -> None:
    child = core.working("A")
    more: dict[str, Any] = {"t14": None}
    for k in range(10):
        core.fill(child, f"E{k}", str(10**10), "0", **more)
    assert held(core, "1") > 0
    assert not may(core, "1", 5000)


def test_a_fill_that_only_cum_qty_told_of_is_not_lost_by_a_lower_one(core: Core) -> None:
    child = core.working("A")
    core.fill(child, "E1", "10", "10", t151="90")
    core.status(child, "1", t14="20", t38="100", t151="80")
    new = passed(core.replace("B", "A", px="99"))[11]
    assert alerts(core.report(new, "R1", "5", "1", t41=child, t38="100", t14="10", t151="90"))
    assert core.shares() == (10, 100, 0)


def test_a_fill_after_busts_of_more_than_a_person_has_said_counts(core: Core) -> None:
    child = core.working("A")
    core.fill(child, "E1", "40", "40", t151="60")
    core.fill(child, "E2", "30", "30", t151="70")
    settled(core, "30")
    bust(core, child, "B1", "E1", t32="40", t14=None, t151=None)
    bust(core, child, "B2", "E2", t32="30", t14=None, t151=None)
    core.fill(child, "E3", "50", "50", t14=None, t151=None)
    assert held(core, "1") + open_on(core, "1") >= 100
    assert held(core, "1") <= 50
