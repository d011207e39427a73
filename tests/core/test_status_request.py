"""OrderStatusRequest(H) of an EMS: answered from what the gateway knows, by 150=I in FIX 4.4 and 20=3 in 4.2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.core import layout as a
from tests.support.checks import Reply, passed
from tests.support.core import Core, Fields
from tests.support.kill import VERSIONS, cancels, core_of
from tests.support.referee import faults


@pytest.fixture(params=VERSIONS, ids=lambda pair: f"{pair[0][4:]} at {pair[1][4:]}")
def core(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Core]:
    made = core_of(tmp_path, *request.param)
    yield made
    assert faults(made) == []


def is_42(core: Core) -> bool:
    return core.begin_strings["EMS1"] == "FIX.4.2"


def answer(core: Core, reply: Reply, status: str, **wanted: str | None) -> Fields:
    """The one report that answers a request; it must say that it is no news."""
    [(session, msg_type, fields)] = reply
    assert (session, msg_type) == ("EMS1", "8")
    assert (fields.get(20), fields[150], fields[39]) == (("3", status, status) if is_42(core) else (None, "I", status))
    assert {key: fields.get(int(key[1:])) for key in wanted} == wanted, fields
    assert 31 not in fields and 32 not in fields and fields[17] != "0"
    return fields


def trade(core: Core, child: str, exec_id: str, qty: str, cum: str, status: str) -> Reply:
    old = core.begin_strings["XNAS"] == "FIX.4.2"
    kind = status if old else "F"
    left = str(100 - int(cum))
    return core.report(child, exec_id, kind, status, t31="100", t32=qty, t14=cum, t151=left, t6="100")


def test_an_order_through_its_life(core: Core) -> None:
    child = passed(core.new("A"))[11]
    order_id = answer(core, core.status_request("A"), "A", t11="A", t14="0", t151="100", t38="100", t44="100")[37]
    core.report(child, "X1", "0", "0", t151="100")
    answer(core, core.status_request("A"), "0", t11="A", t37=order_id, t55="AAPL", t54="1", t40="2", t59="0", t1="ACC1")
    trade(core, child, "X2", "40", "40", "1")
    answer(core, core.status_request("A"), "1", t14="40", t151="60", t6="100")
    trade(core, child, "X3", "60", "100", "2")
    answer(core, core.status_request("A"), "2", t14="100", t151="0")


@pytest.mark.parametrize("status", ["4", "C", "8", "3"])
def test_an_order_that_is_over(core: Core, status: str) -> None:
    child = passed(core.new("A"))[11]
    core.report(child, "X1", status, status)
    answer(core, core.status_request("A"), status, t151="0", t14="0")


def test_a_replaced_order_by_its_old_and_new_names(core: Core) -> None:
    child = core.working("A")
    newer = core.replace("R", "A", qty="200", px="101")[0][2][11]
    answer(core, core.status_request("A"), "0", t11="A", t38="100", t44="100")
    core.report(newer, "X1", "E", "E", t41=child, t151="100")
    answer(core, core.status_request("R"), "E", t38="100")
    core.report(newer, "X2", "5", "0", t41=child, t38="200", t151="200")
    new = answer(core, core.status_request("R"), "5" if is_42(core) else "0", t11="R", t38="200", t44="101")
    old = answer(core, core.status_request("A"), "5" if is_42(core) else "0", t38="200")
    assert old[37] == new[37]


def test_a_pending_cancel(core: Core) -> None:
    child = core.working("A")
    request = core.cancel("F", "A")[0][2][11]
    core.report(request, "X1", "6", "6", t41=child, t151="100")
    answer(core, core.status_request("A"), "6", t151="100")


def test_what_is_asked_changes_nothing(core: Core) -> None:
    child = core.working("A")
    before = core.record.orders[0].tobytes()
    ids = {answer(core, core.status_request("A"), "0")[17] for _ in range(3)}
    assert len(ids) == 3, "each report has an ExecID of its own"
    assert core.record.orders[0].tobytes() == before
    assert core.shares() == (0, 100, 0)
    trade(core, child, "X9", "100", "100", "2")
    assert core.shares() == (100, 0, 0)


@pytest.mark.parametrize("cl_ord_id", ["NONE", "X" * 64, "X" * 65, "C1-0"])
def test_an_order_that_nobody_knows(core: Core, cl_ord_id: str) -> None:
    core.working("A")
    [(session, msg_type, fields)] = core.status_request(cl_ord_id, symbol="MSFT", side="2")
    assert (session, msg_type, fields[11], fields[37], fields[39], fields[103]) == (
        *("EMS1", "8", cl_ord_id, "NONE", "8", "5"),
    )
    assert (fields[14], fields[151], fields[6], fields[54], fields[55]) == ("0", "0", "0", "2", "MSFT")
    assert (fields.get(20), fields[150]) == (("3", "8") if is_42(core) else (None, "I"))


def test_an_order_of_another_session_is_unknown(core: Core) -> None:
    core.working("A")
    [(session, _, fields)] = core.status_request("A", session="EMS2")
    assert (session, fields[37], fields[39]) == ("EMS2", "NONE", "8")


def test_an_order_that_was_refused_is_unknown(core: Core) -> None:
    core.new("A", qty="0")
    [(_, _, fields)] = core.status_request("A")
    assert (fields[37], fields[39], fields[103]) == ("NONE", "8", "5")


def test_the_request_s_own_id_is_echoed(tmp_path: Path) -> None:
    core = core_of(tmp_path)
    core.working("A")
    assert answer(core, core.status_request("A", t790="Q1"), "0")[790] == "Q1"
    assert core.status_request("B", t790="Q2")[0][2][790] == "Q2"
    assert 790 not in answer(core, core.status_request("A"), "0")
    assert faults(core) == []


def test_it_is_answered_whatever_else_is_wrong(core: Core) -> None:
    """Killed, closed, the venue down, a fault: what is known can be told."""
    core.working("A")
    core.kill(a.FIRM)
    core.hours(is_open=False)
    core.journal(blocked=True)
    core.logout("XNAS")
    core.record.fault = 1
    answer(core, core.status_request("A"), "0", t151="100")


def test_our_own_pending_cancel_is_not_told(core: Core) -> None:
    child = core.working("A")
    [cancel] = cancels(core.killed(a.FIRM))
    answer(core, core.status_request("A"), "0", t11="A")
    assert core.report(cancel[11], "X1", "6", "6", t41=child, t151="100") == []
    answer(core, core.status_request("A"), "0", t11="A", t41=None)


def test_a_copy_is_answered_again(core: Core) -> None:
    """It has no id of its own that could be used up."""
    core.working("A")
    answer(core, core.status_request("A"), "0")
    answer(core, core.status_request("A", t97="Y"), "0")


def test_it_counts_as_a_message(tmp_path: Path) -> None:
    core = core_of(tmp_path, limits={"session.EMS1": {"max_messages": 3, "message_window": "1s"}})
    for _ in range(3):
        core.status_request("A")
    assert "MAX_MESSAGES" in core.new("A")[0][2][58]
    [(_, msg_type, _)] = core.status_request("A")
    assert msg_type == "8", "it is answered all the same"


# Counting


def counted(core: Core, row: int = 0) -> dict[str, Any]:
    """Messages of an EMS: by type, (ignored, passed, rejected)."""
    rows = core.record.sessions[row].counted.tolist()
    return dict(zip(("D", "F", "G", "H", "other"), map(tuple, rows), strict=True))


def test_messages_are_counted_by_type_and_by_what_they_came_to(tmp_path: Path) -> None:
    core = core_of(tmp_path)
    core.working("A")
    core.new("A", poss_dup=True)
    core.new("B", qty="0")
    core.status_request("A")
    core.status_request("NONE")
    core.status_request("A", t54=None)
    core.replace("R", "A", qty="50")
    core.replace("R", "A", qty="50", t97="Y")
    core.replace("S", "NONE")
    core.cancel("F", "A")
    core.cancel("F", "A", t97="Y")
    core.cancel("G", "NONE")
    core.message("EMS1", "E", [(66, "L")])
    core.message("EMS1", "D", [(11, "C")])
    assert counted(core) == {
        **{"D": (1, 1, 2), "F": (0, 2, 1), "G": (0, 2, 1), "H": (0, 2, 1), "other": (0, 0, 1)},
    }
    assert sum(map(sum, counted(core, 2).values())) == 0, "another session's"


def test_what_fired_is_counted_by_session(tmp_path: Path) -> None:
    core = core_of(tmp_path)
    core.kill(a.FIRM)
    core.new("A", qty="0")
    core.new("B", session="EMS2")
    core.new("C", session="EMS2")
    names = {"WELL_FORMED": 1, "KILLED": 23}
    for row, name, count in ((0, "WELL_FORMED", 1), (0, "KILLED", 1), (2, "KILLED", 2), (2, "WELL_FORMED", 0)):
        assert core.record.sessions[row].fired[names[name]] == count
    assert core.record.check_fired[23] == 3


# Hours


def test_hours_leave_what_is_open_alone(tmp_path: Path) -> None:
    core = core_of(tmp_path)
    child = core.working("A")
    assert core.hours(is_open=False) == []
    assert core.later(5) == []
    assert core.record.entities[0].open_orders == 1
    reply = trade(core, child, "X1", "100", "100", "2")
    assert [(s, m, f[39]) for s, m, f in reply] == [("EMS1", "8", "2")]
    core.hours(is_open=True)
    core.quote("AAPL", 99.99, 100.01)
    passed(core.new("B"))
