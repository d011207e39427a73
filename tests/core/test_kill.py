"""A kill switch: nothing more goes out for what is killed, all of it that is open is canceled, and its EMS is told so.

All that the core sends in these tests is judged by QuickFIX's dictionaries as well.
"""

from __future__ import annotations

import itertools

import pytest

from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.driver import Event
from tests.support.checks import NAMED, OTHER, fired, passed
from tests.support.core import Fields
from tests.support.kill import (
    ANOTHER,
    EVERYONE,
    VERSIONS,
    Of,
    canceled,
    cancels,
    is_told_by_us,
    open_orders,
    to_ems,
)

ELSEWHERE = {**OTHER, a.SESSION: "EMS2", a.VENUE: "XNYS"}


# What is refused and what is canceled


@pytest.mark.parametrize("scope", range(a.SCOPES))
def test_only_what_is_in_the_scope_is_canceled(of: Of, scope: int) -> None:
    core = of()
    mine = core.working("A", **EVERYONE)
    others = {scope: {"symbol": "MSFT"} for scope in (a.INSTRUMENT, a.SECTOR, a.ASSET_CLASS)}
    others |= {a.SESSION: {"session": "EMS2"}, a.VENUE: {"t100": "XNYS"}}
    other = core.working("B", **(ANOTHER | others.get(scope, {})))
    sent = core.killed(scope, NAMED[scope])
    children = {fields[41] for fields in cancels(sent)}
    assert children == ({mine, other} if scope == a.FIRM else {mine})
    for fields in cancels(sent):
        assert fields[11] not in (mine, other)
    assert core.record.killed_count == 1


@pytest.mark.parametrize("scope", [s for s in range(a.SCOPES) if s != a.FIRM])
def test_a_switch_of_another_entity_cancels_nothing(of: Of, scope: int) -> None:
    core = of()
    core.working("A", **EVERYONE)
    assert core.killed(scope, ELSEWHERE[scope]) == []
    assert core.later(5) == []


def test_an_order_that_names_no_strategy_is_in_none(of: Of) -> None:
    core = of()
    core.working("A")
    assert core.killed(a.STRATEGY, "MOMO") == []
    passed(core.new("B"))


def test_of_two_switches_each_must_be_released(of: Of) -> None:
    core = of()
    core.kill(a.STRATEGY, "MOMO")
    core.kill(a.FIRM)
    text = core.new("A", **EVERYONE)[0][2][58]
    assert "no order passes (firm" in text and "no order passes (strategy MOMO)" in text
    core.kill(a.FIRM, on=False)
    assert core.new("B", **EVERYONE)[0][2][58] == "KILLED no order passes (strategy MOMO)"
    passed(core.new("C", **ANOTHER))
    core.kill(a.STRATEGY, "MOMO", on=False)
    passed(core.new("D", **EVERYONE))


def test_a_switch_set_twice_is_released_once(of: Of) -> None:
    core = of()
    core.kill(a.FIRM)
    core.kill(a.FIRM)
    core.kill(a.FIRM, on=False)
    passed(core.new("A"))
    core.kill(a.FIRM, on=False)
    passed(core.new("B"))
    core.kill(a.FIRM)
    assert fired(core.new("C")) == {"KILLED"}


def test_who_set_and_released_it_is_told(of: Of) -> None:
    core = of()
    assert "alice: fat finger" in core.kill(a.FIRM, who="alice: fat finger")[0][2][58]
    assert "bob: fixed" in core.kill(a.FIRM, on=False, who="bob: fixed")[0][2][58]


def test_other_reasons_are_told_beside_the_switch(of: Of) -> None:
    core = of()
    core.kill(a.ACCOUNT, "ACC1")
    assert fired(core.new("A", qty="0")) == {"KILLED", "WELL_FORMED"}
    assert fired(core.new("B", symbol="NOPE")) == {"KILLED", "KNOWN_INSTRUMENT"}


def test_a_replace_goes_by_its_order_s_entities(of: Of) -> None:
    """One that names another strategy, or none, must not slip past the switch of the order's."""
    core = of()
    core.working("A", **EVERYONE)
    core.kill(a.STRATEGY, "MOMO")
    for name in ("ARB", None):
        [(session, msg_type, fields)] = core.replace(f"R{name}", "A", qty="50", **{**EVERYONE, "t116": name})
        assert (session, msg_type, fields[434], fields[39], fields[41]) == ("EMS1", "9", "2", "0", "A")
        assert "KILLED" in fields[58]


def test_a_cancel_of_the_ems_passes_while_killed(of: Of) -> None:
    core = of()
    child = core.working("A")
    core.kill(a.FIRM)
    [(venue, msg_type, fields)] = core.cancel("F", "A")
    assert (venue, msg_type, fields[41]) == ("XNAS", "F", child)


@pytest.mark.parametrize("versions", VERSIONS)
def test_the_ems_hears_of_an_unsolicited_cancel(of: Of, versions: tuple[str, str]) -> None:
    core = of(*versions)
    child = core.working("A", **EVERYONE)
    [cancel] = cancels(core.killed(a.DESK, "D1"))
    assert (cancel[41], cancel[54], cancel[55]) == (child, "1", "AAPL")
    reply = canceled(core, cancel, "X1")
    fields = is_told_by_us(reply, t11="A", t14="0", t38="100", t103=None)
    assert fields.get(20) == ("0" if versions[0] == "FIX.4.2" else None)
    assert core.shares() == (0, 0, 0) and open_orders(core) == 0
    assert core.later(10) == []


@pytest.mark.parametrize("versions", VERSIONS)
def test_a_venue_that_reports_by_the_child_alone(of: Of, versions: tuple[str, str]) -> None:
    """Without our cancel's id: as any unsolicited cancel."""
    core = of(*versions)
    child = core.working("A")
    cancels(core.killed(a.FIRM))
    is_told_by_us(core.report(child, "X1", "4", "4"), t11="A")
    assert open_orders(core) == 0


@pytest.mark.parametrize("versions", VERSIONS)
def test_nothing_of_our_cancel_is_seen_by_the_ems(of: Of, versions: tuple[str, str]) -> None:
    """Pending, refused, filled meanwhile: never our ClOrdID, never a 35=9 for what it did not send."""
    core = of(*versions)
    child = core.working("A")
    [cancel] = cancels(core.killed(a.FIRM))
    ids = {child, cancel[11]}
    heard = to_ems(core.report(cancel[11], "X1", "6", "6", t41=child, t151="100"))
    part = {"t31": "100", "t32": "40", "t14": "40", "t151": "60"}
    fill = "1" if versions[1] == "FIX.4.2" else "F"
    [(_, traded)] = to_ems(core.report(child, "X2", fill, "6", **part))
    assert traded[14] == "40" and traded[11] == "A" and traded.get(41) is None
    reject = core.cancel_reject(cancel[11], child, status="1")
    assert to_ems(reject) == [] and [m for _, m, _ in reject] == [""], "an alert"
    heard.append(("8", traded))
    for _, fields in heard:
        assert not ids & {value for tag, value in fields.items() if tag in (11, 41, 37, 19, 526)}
    [again] = cancels(core.later(1))
    is_told_by_us(canceled(core, again, "X3", cum="40"), t14="40", t11="A")
    assert core.shares() == (40, 0, 0)


def test_a_fill_that_was_under_way_wins(of: Of) -> None:
    core = of()
    child = core.working("A")
    [cancel] = cancels(core.killed(a.FIRM))
    [(_, fields)] = to_ems(core.report(child, "X1", "F", "2", t31="100", t32="100", t14="100"))
    assert (fields[39], fields[14], fields[151]) == ("2", "100", "0")
    reject = core.cancel_reject(cancel[11], child, status="2")
    assert to_ems(reject) == []
    assert core.later(5) == [] and open_orders(core) == 0


# Replaces and cancels of the EMS that are pending when the switch is set


def test_a_pending_replace_is_canceled_by_its_own_name(of: Of) -> None:
    core = of()
    child = core.working("A")
    newer = core.replace("R", "A", qty="200")[0][2][11]
    [cancel] = cancels(core.killed(a.FIRM))
    assert cancel[41] == newer
    core.report(newer, "X1", "5", "0", t41=child, t38="200", t151="200")
    is_told_by_us(canceled(core, cancel, "X2"), t11="R", t38="200")


def test_a_venue_that_refuses_the_replace_and_so_the_cancel_gets_the_order_s_name_next(of: Of) -> None:
    core = of()
    child = core.working("A")
    newer = core.replace("R", "A", qty="200")[0][2][11]
    [cancel] = cancels(core.killed(a.FIRM))
    core.cancel_reject(newer, child, response="2")
    core.cancel_reject(cancel[11], newer, reason="1")
    [again] = cancels(core.later(1))
    assert again[41] == child
    is_told_by_us(canceled(core, again, "X1"), t11="A")


def test_a_venue_that_does_not_answer_gets_both_names(of: Of) -> None:
    core = of()
    child = core.working("A")
    newer = core.replace("R", "A", qty="200")[0][2][11]
    first = cancels(core.killed(a.FIRM))
    tries = [fields[41] for fields in first + cancels(core.later(1)) + cancels(core.later(1))]
    assert tries == [newer, child, newer]


PLANS = {
    "replace": ["ack", "accepted", "fill"],
    "replace refused": ["ack", "refused", "fill"],
    "cancel": ["ack", "canceled", "fill"],
    "cancel refused": ["ack", "refused", "fill"],
}


@pytest.mark.parametrize("versions", VERSIONS)
@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("ours", ["canceled", "refused", "pending"])
def test_every_order_of_answers(of: Of, versions: tuple[str, str], plan: str, ours: str) -> None:
    """Whatever comes first: no fill is lost, all that is asked is answered once, and in the end nothing is open."""
    core = of(*versions)
    fill_type = "1" if versions[1] == "FIX.4.2" else "F"
    for number, steps in enumerate(itertools.permutations([*PLANS[plan], f"our cancel {ours}"])):
        name, request = f"A{number}", f"R{number}"
        child = core.working(name, t59="0", px=f"{100 - number}")
        asked = core.replace(request, name, qty="200", px=f"{100 - number}") if "replace" in plan else None
        theirs = (asked or core.cancel(request, name))[0][2]
        core.kill(a.FIRM)
        [cancel] = cancels(core.sweep())
        core.kill(a.FIRM, on=False)
        response = "2" if asked else "1"
        heard: list[tuple[str, Fields]] = []
        for step in steps:
            exec_id = f"X{number}-{step}"
            if step == "ack":
                kind = "E" if asked else "6"
                heard += to_ems(core.report(theirs[11], exec_id, kind, kind, t41=child, t151="100"))
            elif step == "accepted":
                heard += to_ems(core.report(theirs[11], exec_id, "5", "0", t41=child, t38="200", t151="200"))
            elif step == "fill":
                trade = {"t31": "100", "t32": "10", "t14": "10", "t151": "90"}
                heard += to_ems(core.report(child, exec_id, fill_type, "1", **trade))
            elif step == "canceled":
                heard += to_ems(core.report(theirs[11], exec_id, "4", "4", t41=child))
            elif step == "refused":
                heard += to_ems(core.cancel_reject(theirs[11], child, response=response))
            elif step.endswith("canceled"):
                heard += to_ems(canceled(core, cancel, exec_id))
            elif step.endswith("refused"):
                assert to_ems(core.cancel_reject(cancel[11], child)) == []
            else:
                heard += to_ems(core.report(cancel[11], exec_id, "6", "6", t41=child, t151="90"))
        heard += to_ems(core.report(child, f"X{number}-end", "4", "4", t14="10"))
        for msg_type, fields in heard:
            assert fields[11] in (name, request) and fields.get(41) in (None, name, request), (steps, fields)
            assert msg_type == "8" or fields[11] == request
        rejects = [fields for msg_type, fields in heard if msg_type == "9"]
        assert len(rejects) == ("refused" in plan), (steps, rejects)
        assert sum(1 for msg_type, fields in heard if msg_type == "8" and 32 in fields) == 1, steps
        assert core.shares() == (10 * (number + 1), 0, 0), steps
        assert open_orders(core) == 0, steps


# Release


def test_a_release_stops_what_has_not_been_sent(of: Of) -> None:
    core = of(cancel_rate=10)
    for k in range(5):
        core.working(f"A{k}", px=f"{99 - k}")
    first = cancels(core.killed(a.FIRM))
    assert 1 <= len(first) < 5
    core.kill(a.FIRM, on=False)
    assert core.later(1) == [] and core.later(1) == []
    is_told_by_us(canceled(core, first[0], "X1"))
    passed(core.new("B"))
    assert open_orders(core) == 5 - 1 + 1


def test_an_order_canceled_by_us_that_lives_on_after_the_release_is_the_ems_s_again(of: Of) -> None:
    """Our cancel was refused, the switch released: later cancels by others are not told as ours."""
    core = of()
    child = core.working("A")
    [cancel] = cancels(core.killed(a.FIRM))
    core.cancel_reject(cancel[11], child)
    core.kill(a.FIRM, on=False)
    assert core.later(2) == []
    theirs = core.cancel("F", "A")[0][2]
    [(_, fields)] = to_ems(core.report(theirs[11], "X1", "4", "4", t41=child))
    assert (fields[11], fields[41], fields[150], fields.get(378)) == ("F", "A", "4", None)


def test_an_unsolicited_cancel_of_the_venue_long_after_a_release_is_the_venue_s(of: Of) -> None:
    core = of()
    child = core.working("A")
    [cancel] = cancels(core.killed(a.FIRM))
    core.cancel_reject(cancel[11], child)
    core.kill(a.FIRM, on=False)
    core.later(3600)
    [(_, fields)] = to_ems(core.report(child, "X1", "4", "4", t58="trading halt", t378="6"))
    assert (fields[58], fields[378]) == ("trading halt", "6")


def test_killed_again_is_canceled_again(of: Of) -> None:
    core = of()
    child = core.working("A")
    cancels(core.killed(a.FIRM))
    core.kill(a.FIRM, on=False)
    [cancel] = cancels(core.killed(a.FIRM))
    assert cancel[41] == child
    assert is_told_by_us(canceled(core, cancel, "X1"))[527] == "X1"


# A person


def test_a_person_cancels_one_order(of: Of) -> None:
    core = of()
    core.working("A")
    child = core.working("B", qty="50")
    reply = core.cancel_by_person(1, "alice: asked by phone")
    assert "alice: asked by phone" in reply[0][2][58]
    [cancel] = cancels(reply)
    assert cancel[41] == child
    is_told_by_us(canceled(core, cancel, "X1"), "a person canceled it", t11="B")
    assert core.later(5) == [] and open_orders(core) == 1


def test_a_person_s_cancel_is_tried_again_and_anew(of: Of) -> None:
    core = of()
    child = core.working("A")
    tries = cancels(core.cancel_by_person(0))
    for _ in range(10):
        tries += cancels(core.later(1))
    assert len(tries) == 7 and {fields[41] for fields in tries} == {child}
    assert len({fields[11] for fields in tries}) == 7
    assert len(cancels(core.cancel_by_person(0))) == 1


@pytest.mark.parametrize("row", [-1, 0, 7, 2_047, 2_048, 2**40])
def test_a_person_cancels_what_is_not_open(of: Of, row: int) -> None:
    core = of()
    child = core.working("A")
    core.report(child, "X1", "4", "4")
    assert core.cancel_by_person(row) == []
    assert core.later(5) == []


@pytest.mark.parametrize("row", [-1, 511, 512, 2**40])
def test_a_switch_of_a_row_that_is_none(of: Of, row: int) -> None:
    core = of()
    core.working("A")
    reply = core.apply(Event(ev.KILL, core.time_ns, data=b"alice: why", value=(row, 1, core.time_ns)))
    assert [message[:2] for message in reply] == [("", "")]
    assert core.sweep() == [] and core.record.killed_count == 0
    passed(core.new("B", qty="50"))
