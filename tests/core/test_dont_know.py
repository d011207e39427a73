"""A fill of an order that is not ours is booked, told, and answered with DontKnowTrade(Q) where the venue wants it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.core import layout as a
from tests.support.checks import Reply
from tests.support.core import Core, Fields
from tests.support.kill import core_of
from tests.support.referee import faults

FIRM = (a.FIRM, "", "AAPL")


def foreign_fill(core: Core, exec_id: str = "X1", **more: Any) -> Reply:
    kind = "1" if core.begin_strings["XNAS"] == "FIX.4.2" else "F"
    said = {"t31": "100.5", "t32": "70", "t14": "70", "t38": "70", "t1": "ACC1", "t37": "V9"} | more
    return core.report("FOREIGN", exec_id, kind, "2", **said)


def dont_know(reply: Reply) -> list[Fields]:
    assert {message[:2] for message in reply} <= {("", ""), ("XNAS", "Q")}, reply
    return [fields for _, msg_type, fields in reply if msg_type == "Q"]


@pytest.mark.parametrize("version", ["FIX.4.4", "FIX.4.2"])
def test_it_is_booked_and_answered(tmp_path: Path, version: str) -> None:
    core = core_of(tmp_path, version, version, dont_know=True)
    reply = foreign_fill(core)
    [fields] = dont_know(reply)
    wanted = {37: "V9", 17: "X1", 127: "D", 55: "AAPL", 54: "1", 38: "70", 32: "70", 31: "100.5"}
    assert {tag: fields.get(tag) for tag in wanted} == wanted
    assert [m for _, m, _ in reply].count("") == 1, "an alert"
    assert core.shares(*FIRM) == (70, 0, 0) and core.shares() == (70, 0, 0)
    assert faults(core) == []


def test_by_default_it_is_only_booked_and_told(tmp_path: Path) -> None:
    core = core_of(tmp_path)
    assert dont_know(foreign_fill(core)) == []
    assert core.shares(*FIRM) == (70, 0, 0)


def test_a_copy_is_booked_and_answered_once(tmp_path: Path) -> None:
    core = core_of(tmp_path, dont_know=True)
    assert len(dont_know(foreign_fill(core))) == 1
    assert dont_know(foreign_fill(core, poss_dup=True)) == []
    assert core.shares(*FIRM) == (70, 0, 0)


@pytest.mark.parametrize("exec_type", ["0", "4", "8", "C", "5", "I"])
def test_only_fills_are_answered(tmp_path: Path, exec_type: str) -> None:
    core = core_of(tmp_path, dont_know=True)
    reply = core.report("FOREIGN", "X1", exec_type, {"5": "0", "I": "0"}.get(exec_type, exec_type))
    assert dont_know(reply) == []


def test_a_fill_of_our_order_is_never_answered_so(tmp_path: Path) -> None:
    """Late, after its cancel, of more than its quantity: it is ours all the same."""
    core = core_of(tmp_path, dont_know=True)
    child = core.working("A")
    core.report(child, "X1", "4", "4")
    reply = core.report(child, "X2", "F", "4", t31="100", t32="150", t14="150")
    assert "Q" not in [msg_type for _, msg_type, _ in reply]
    assert core.shares() == (150, 0, 0)


def test_a_fill_that_cannot_be_read_has_no_answer(tmp_path: Path) -> None:
    core = core_of(tmp_path, dont_know=True)
    reply = foreign_fill(core, t32="7x")
    assert dont_know(reply) == []
    assert "not booked" in next(fields[58] for session, _, fields in reply if not session)
    assert core.record.fault == 0


def test_an_unknown_instrument_is_answered_too(tmp_path: Path) -> None:
    core = core_of(tmp_path, dont_know=True)
    [fields] = dont_know(foreign_fill(core, t55="NOPE"))
    assert fields[55] == "NOPE"
    assert core.shares(*FIRM) == (0, 0, 0)
    assert faults(core) == []


def test_the_fill_of_a_day_that_has_ended_is_not_answered(tmp_path: Path) -> None:
    core = core_of(tmp_path, dont_know=True)
    child = core.working("A")
    core.report(child, "X1", "F", "2", t31="100", t32="100", t14="100")
    core.day()
    reply = core.report(child, "X1", "F", "2", poss_dup=True, t31="100", t32="100", t14="100")
    assert dont_know(reply) == []
    assert core.shares() == (100, 0, 0)


@pytest.mark.parametrize("dont_know", [True, False])
@pytest.mark.parametrize("version", ["FIX.4.4", "FIX.4.2"])
@pytest.mark.parametrize("side", [None, "", "Z"], ids=["none", "empty", "unknown"])
def test_a_fill_that_does_not_say_which_way_is_told_only(
    tmp_path: Path, version: str, dont_know: bool, side: str | None
) -> None:
    """It is no sale by guess."""
    core = core_of(tmp_path, version, version, dont_know=dont_know)
    reply = foreign_fill(core, t54=side)
    assert [m for _, m, _ in reply].count("") == 1, "an alert"
    assert core.shares(*FIRM) == (0, 0, 0) and core.shares() == (0, 0, 0)
    assert faults(core) == [], "a DontKnowTrade must have a Side"


@pytest.mark.parametrize(("side", "position"), [("1", 70), ("3", 70), ("2", -70), ("4", -70), ("5", -70), ("6", -70)])
def test_it_is_booked_the_way_that_its_side_says(tmp_path: Path, side: str, position: int) -> None:
    core = core_of(tmp_path)
    foreign_fill(core, t54=side)
    assert core.shares(*FIRM) == (position, 0, 0)


def test_a_venue_that_has_orders_of_others_at_work_is_known_for_it(tmp_path: Path) -> None:
    """As one by phone: `tidegate kill` must not say that nothing is open without a word of it."""
    core = Core(tmp_path)
    own = core.record.sessions[core.sessions["XNAS"]]
    phone = [(6, "0"), (14, "0"), (17, "P1"), (37, "P1"), (39, "0"), (54, "1"), (55, "AAPL"), (150, "0")]
    [(_, _, alert)] = core.message("XNAS", "8", [*phone, (151, "10000")])
    assert int(own.unknown_working) == 1 and int(own.unknown_working_ns) == core.time_ns and alert[58]
    core.message("XNAS", "8", [(14, "0"), (17, "P2"), (37, "P1"), (39, "4"), (150, "4"), (151, "0")])
    core.working("A")
    assert int(own.unknown_working) == 1
