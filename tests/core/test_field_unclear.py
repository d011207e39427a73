"""Reports of which nobody can say what they did, or for whom: asked about, counted at their worst, and no wider."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core import events as ev
from gateway.core import layout as a
from tests.support.checks import Reply, refused
from tests.support.core import Core
from tests.support.doubts import alerts, asked, is_open_for_orders
from tests.support.field import across, bust, held, killed, may, open_on, trade_kind
from tests.support.kill import Of


@pytest.fixture
def core(of: Of, version: str) -> Core:
    """Two venues, and an account that may not go short."""
    return across(of, version, limits={"account.ACC1": {"max_short": 0}})


def unclear(core: Core, child: str, exec_id: str, of: str, qty: str, **more: Any) -> Reply:
    """A report that names an execution and whose ExecType(150) is none."""
    return core.report(
        child, exec_id, "@", "1", **{"t19": of, "t32": qty, "t31": "100", "t14": None, "t151": None} | more
    )


@pytest.mark.parametrize("status", ["4", "C", "2"])
def test_a_status_in_passing_that_an_order_has_ended_stops_no_other_order(core: Core, status: str) -> None:
    """Its venue is asked about it; until it answers, orders of others go there."""
    child = core.working("A")
    assert alerts(core.status(child, status, t14="0", t151="0"))
    assert is_open_for_orders(core)
    refused(core.replace("B", "A", qty="200"), "RECOVERY")
    assert asked(core) == [child]
    core.status(child, "4", t14="0", t151="0")
    assert open_on(core, "1") == 0
    assert core.doubts() == 0


def test_an_order_asked_about_is_in_doubt_when_its_venue_begins_anew(core: Core) -> None:
    core.status(core.working("A"), "4", t14="0", t151="0")
    core.logout("XNAS")
    core.logon("XNAS", reset=True)
    core.synced()
    assert not is_open_for_orders(core, "P1")
    assert core.doubts() == 1


def test_a_second_unreadable_message_is_asked_about_too(core: Core) -> None:
    """Soon after the first it waits for its turn: what it said may be newer than the answers to the first."""
    child = core.working("A")
    for k in range(2):
        core.raw("XNAS", f"8=FIX.4.4|9=0|35=8|34={50 + k}|garbage|10=000|".replace("|", "\x01").encode())
        assert asked(core) == ([child] if k == 0 else [])
    core.wait(11)
    assert asked(core) == [child]
    core.wait(11)
    assert asked(core) == []


def test_an_unreadable_exec_type_that_names_an_execution_is_no_fill(core: Core) -> None:
    """It may have taken the execution back: open for the buyer, not sellable, until somebody tells."""
    child = core.working("A")
    core.fill(child, "E1", "40", "40", t151="60")
    reply = core.report(child, "B1", "@", "0", t19="E1", t32="40", t31="100", t14=None, t151=None)
    assert alerts(reply)
    assert core.shares() == (0, 100, 0)
    assert not may(core, "2", 1)
    core.fill(child, "E2", "10", "50", t151="50")
    assert core.shares() == (50, 50, 0)


def test_an_unreadable_exec_type_that_names_an_execution_may_have_taken_it_back(core: Core) -> None:
    child = core.working("A")
    core.fill(child, "E1", "40", "40", t151="60")
    core.fill(child, "E2", "30", "70", t151="30")
    core.report(child, "B1", "@", "0", t19="E1", t32="40", t31="100", t14="30", t151="70")
    core.fill(child, "E3", "10", "40", t151="60")
    assert held(core, "1") <= 40
    assert held(core, "1") + open_on(core, "1") >= 100


def test_the_worse_alert_of_a_report_is_the_one_that_is_told(core: Core) -> None:
    child = core.working("A")
    core.fill(child, "E1", "40.000000001", "40", t54="2", t151="60")
    [text] = alerts(core.fill(child, "E2", "10.000000001", "50", t54="2", t151="50"))
    assert "Side(54)" in text


@pytest.mark.parametrize(("leaves", "sellable"), [("100", 0), (None, 0), ("60", 40)])
def test_a_fill_whose_cum_qty_is_zero_is_doubtful(core: Core, leaves: str | None, sellable: int) -> None:
    """Unless LeavesQty(151) says that it traded."""
    child = core.working("A")
    core.fill(child, "E1", "40", "0", t151=leaves)
    assert held(core, "1") == sellable
    assert held(core, "1") + open_on(core, "1") == 100


def test_a_fill_under_ids_that_are_not_ours_and_then_under_ours_is_one_fill(core: Core) -> None:
    child = core.working("A")
    core.fill("Z:9", "E1", "40", "40", t1="ACC1", t151="60")
    assert core.shares() == (40, 100, 0)
    reply = core.fill(child, "E1", "40", "40", t151="60")
    assert alerts(reply)
    assert core.shares() == (40, 60, 0)
    assert core.shares(a.FIRM, "") == (40, 60, 0)


@pytest.mark.parametrize("other", [{"t32": "30"}, {"t31": "99"}])
def test_a_fill_of_no_order_of_ours_with_an_exec_id_of_one_is_another(core: Core, other: dict[str, str]) -> None:
    child = core.working("A")
    core.report("Z:9", "E1", trade_kind(core), "1", **{"t32": "40", "t31": "100", "t1": "ACC1", "t14": "40"} | other)
    core.fill(child, "E1", "40", "40", t151="60")
    assert held(core, "1") == 40 + int(other.get("t32", "40"))


def test_a_bust_of_a_fill_of_no_order_of_ours_takes_it_back(core: Core) -> None:
    core.fill("Z:9", "E1", "40", "40", t1="ACC1", t151="60")
    assert held(core, "1") == 40
    for exec_id in ("B1", "B2"):
        assert alerts(bust(core, "Z:9", exec_id, "E1", t32="40"))
        assert held(core, "1") == 0


def test_positions_that_cannot_be_counted_block_every_order(core: Core) -> None:
    """They never turn into ones of the other side."""
    children = [core.working(f"A{k}") for k in range(2)]
    for child in children:
        for k in range(5):
            core.fill(child, f"E{k}", str(10**10), "0", t14=None, t151="100")
    assert core.record.fault != 0
    assert held(core, "1") > 0
    refused(core.new("B"), "FAULT")


def test_a_resent_fill_of_before_does_not_clear_a_doubt(core: Core) -> None:
    child = core.working("A")
    core.fill(child, "E1", "40", "40", t151="60")
    core.fill(child, "E2", "30", "70", t151="30")
    unclear(core, child, "B1", "E1", "40", t14="30", t151="70")
    assert core.shares() == (30, 70, 0)
    core.fill(child, "E2", "30", "70", t151="30", poss_dup=True)
    assert core.shares() == (30, 70, 0)


@pytest.mark.parametrize("how", ["copy", "correction"])
def test_an_unclear_report_may_name_a_copy_or_a_correction(core: Core, how: str) -> None:
    child = core.working("A")
    core.fill(child, "E1", "40", "40", t151="60")
    if how == "copy":
        core.fill(child, "X1", "40", "40", t151="60")
    else:
        old = core.begin_strings["XNAS"] == "FIX.4.2"
        fields = {"t19": "E1", "t32": "40", "t31": "101", "t14": "40", "t151": "60"} | ({"t20": "2"} if old else {})
        core.report(child, "X1", "1" if old else "G", "1", **fields)
    unclear(core, child, "B1", "X1", "40")
    assert core.shares() == (0, 100, 0)


def test_an_unclear_report_on_a_leg_changes_no_position(core: Core) -> None:
    child = core.working("A")
    core.fill(child, "E0", "50", "50", t151="50")
    core.fill(child, "L1", "40", "50", t151="50", t442="2", t55="MSFT")
    assert alerts(unclear(core, child, "B1", "L1", "40"))
    assert held(core, "1") == 50


def test_an_unclear_report_on_what_only_cum_qty_told_of(core: Core) -> None:
    child = core.working("A")
    core.status(child, "1", t14="70", t151="30")
    core.report(child, "K1", "4", "4", t14="70", t151="0")
    unclear(core, child, "B1", "E1", "70", t39="4")
    assert core.shares() == (0, 70, 0)


def test_an_order_that_may_work_again_is_open(core: Core) -> None:
    """It was filled; part of that may have been taken back."""
    child = core.working("A")
    core.fill(child, "E1", "40", "40", t151="60")
    core.fill(child, "E2", "60", "100", "2", t151="0")
    unclear(core, child, "B1", "E1", "40", t14="60")
    assert core.shares() == (60, 40, 0)
    assert killed(core) == [child]


def test_unclear_reports_on_one_execution_doubt_it_once(core: Core) -> None:
    """And the readable bust takes back what it was."""
    child = core.working("A")
    core.fill(child, "E1", "40", "40", t151="60")
    core.fill(child, "E2", "30", "70", t151="30")
    unclear(core, child, "B1", "E1", "40")
    unclear(core, child, "B2", "E1", "40")
    assert core.shares() == (30, 70, 0)
    bust(core, child, "B3", "E1", t32="40", t14=None, t151=None)
    assert core.shares() == (30, 70, 0)
    core.report(child, "K", "4", "4", t14="30", t151="0")
    assert core.shares() == (30, 0, 0)


def test_an_unclear_report_whose_sums_are_ours_doubts_nothing(core: Core) -> None:
    child = core.working("A")
    core.fill(child, "E1", "40", "40", t151="60")
    unclear(core, child, "T1", "E1", "0", t14="40", t151="60")
    assert core.shares() == (40, 60, 0)


def test_a_fill_after_an_unclear_report_is_no_copy(core: Core) -> None:
    child = core.working("A")
    core.fill(child, "E1", "10", "10", t151="90")
    unclear(core, child, "B1", "E1", "10", t14="0", t151="100")
    core.fill(child, "E2", "10", "10", t151="90")
    assert core.shares() == (10, 90, 0)


def test_unclear_reports_leave_room_for_fills(core: Core) -> None:
    child = core.working("A")
    core.fill(child, "E1", "10", "10", t151="90")
    for k in range(core.record.executions.size):
        unclear(core, child, f"B{k}", "E1", "10", t14="10", t151="90")
    assert core.record.fault == 0


@pytest.mark.parametrize("trans", [None, "9", ""])
def test_an_unreadable_exec_trans_type_that_names_an_execution(of: Of, trans: str | None) -> None:
    core = across(of, "FIX.4.2", limits={"account.ACC1": {"max_short": 0}})
    child = core.working("A")
    core.fill(child, "E1", "40", "40", t151="60")
    reply = core.report(child, "B1", "1", "0", t20=trans, t19="E1", t32="40", t31="100", t14=None, t151=None)
    assert alerts(reply)
    assert core.shares() == (0, 100, 0)


def test_a_fill_of_another_account_with_an_exec_id_of_ours_stays(core: Core) -> None:
    child = core.working("A")
    core.fill("Z:9", "E1", "40", "40", t1="ACC2", t151="60")
    core.fill(child, "E1", "40", "40", t1="ACC1", t151="60")
    assert core.shares(name="ACC2") == (40, 0, 0)
    assert core.shares() == (40, 60, 0)


@pytest.mark.parametrize("other", [{"t54": "2"}, {"t55": "MSFT"}, {"t32": "10"}])
def test_a_bust_that_contradicts_a_fill_of_no_order_of_ours_takes_nothing_back(
    core: Core, other: dict[str, str]
) -> None:
    core.fill("Z:9", "E1", "40", "40", t1="ACC1", t151="60")
    assert alerts(bust(core, "Y:7", "B1", "E1", **{"t32": "40"} | other))
    assert held(core, "1") == 40


def test_a_copy_of_an_unknown_fill_counts_once(core: Core) -> None:
    child = core.working("A")
    core.fill("Z:9", "E1", "40", "40", t1="ACC1", t151="60")
    assert core.record.unknown_executions == 1
    core.fill(child, "X1", "40", "40", t151="60")
    core.fill(child, "E1", "40", "40", t151="60")
    assert core.shares() == (40, 60, 0)
    assert core.record.unknown_executions == 0


def test_what_needs_nobody_is_no_unknown_execution(core: Core) -> None:
    """A report that is no fill, a copy, a fill that is taken back; each is an alert all the same."""
    assert alerts(core.report("Z:9", "E0", "0", "0"))
    core.fill("Z:9", "E1", "40", "40", t1="ACC1", t151="60")
    core.fill("Z:9", "E1", "40", "40", t1="ACC1", t151="60")
    assert core.record.unknown_executions == 1
    assert alerts(bust(core, "Z:9", "B1", "E1", t32="40"))
    assert core.record.unknown_executions == 0
    assert alerts(bust(core, "Z:9", "B2", "E1"))
    assert alerts(bust(core, "Z:9", "B3", "E9"))
    assert core.record.unknown_executions == 1


@pytest.mark.parametrize("times", [1, 2])
def test_a_review_that_is_due_outlives_the_connection(core: Core, times: int) -> None:
    child = core.working("A")
    for k in range(times):
        core.raw("XNAS", f"8=FIX.4.4|9=0|35=8|34={50 + k}|garbage|10=000|".replace("|", "\x01").encode())
    core.logout("XNAS")
    core.logon("XNAS")
    core.synced()
    assert asked(core) == [child]


def test_the_same_word_again_is_no_answer_to_a_question_not_asked_yet(core: Core) -> None:
    child = core.working("A")
    core.status(child, "4", t14="0", t151="0")
    core.status(child, "4", poss_dup=True, t14="0", t151="0")
    assert open_on(core, "1") == 100
    assert asked(core) == [child]
    core.status(child, "4", t14="0", t151="0")
    assert open_on(core, "1") == 0


def test_an_order_asked_about_stops_nobody_after_a_crash(core: Core) -> None:
    core.status(core.working("A"), "4", t14="0", t151="0")
    core.start(ev.CRASHED)
    core.come_back()
    assert is_open_for_orders(core, "P1")
    assert core.doubts() == 1


def test_questions_soon_after_each_other_are_asked(core: Core) -> None:
    child = core.working("A")
    core.fill(child, "E1", "60", "60", t151="40")
    core.fill(child, "E2", "40", "100", "2", t151="0")
    for k, of in enumerate(("E1", "E2")):
        reply = unclear(core, child, f"B{k}", of, "10")
        assert [msg_type for _, msg_type, _ in reply].count("H") == 1
    core.status(child, "2", t14="100", t151="0")
    assert core.shares() == (100, 0, 0)
