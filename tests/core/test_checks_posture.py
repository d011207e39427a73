"""Postures of an entity: what still passes, what is canceled, and the exit that a person opens through a halt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.core import layout as a
from tests.support.checks import NAMED, OTHER, Reply, fired, passed, refused
from tests.support.core import Core
from tests.support.kill import ANOTHER, EVERYONE, canceled, cancels, core_of, is_told_by_us, mass

EVERYWHERE = range(a.SCOPES)
ELSEWHERE = {**OTHER, a.SESSION: "EMS2", a.VENUE: "XNYS"}
Make = Callable[..., Core]


@pytest.fixture
def of(tmp_path: Path) -> Make:
    return lambda **options: core_of(tmp_path, **options)


def hold(core: Core, quantity: int, **who: str) -> None:
    """Have a position in AAPL, long or (below zero) short, of everyone that is named."""
    side = "1" if quantity > 0 else "2"
    name = f"H{core.record.order_count}"
    child = core.working(name, side=side, qty=str(abs(quantity)), **{**EVERYONE, **who})
    size = str(abs(quantity))
    core.fill(child, f"F{name}", size, size, "2", t54=side)


def order(core: Core, name: str, side: str, qty: int, **more: str) -> Reply:
    return core.new(name, side=side, qty=str(qty), **{**EVERYONE, **more})


def text_of(reply: Reply) -> str:
    return refused(reply, "POSTURE")[58]


# What passes


@pytest.mark.parametrize("scope", EVERYWHERE)
@pytest.mark.parametrize("side", ["1", "2"])
def test_reduce_only_lets_pass_what_closes_and_no_more(of: Make, scope: int, side: str) -> None:
    core = of()
    hold(core, -500 if side == "1" else 500)
    core.posture(a.REDUCE_ONLY, scope, NAMED[scope])
    other = "2" if side == "1" else "1"
    assert fired(order(core, "RAISES", other, 1)) == {"POSTURE"}
    assert fired(order(core, "TOO MUCH", side, 501)) == {"POSTURE"}
    passed(order(core, "PART", side, 300))
    assert fired(order(core, "WITH PART TOO MUCH", side, 201)) == {"POSTURE"}
    passed(order(core, "REST", side, 200))


@pytest.mark.parametrize("scope", [s for s in EVERYWHERE if s != a.FIRM])
@pytest.mark.parametrize("posture", [a.NO_NEW_LONGS, a.REDUCE_ONLY, a.HALTED])
def test_a_posture_elsewhere_refuses_nothing(of: Make, scope: int, posture: int) -> None:
    core = of()
    core.posture(posture, scope, ELSEWHERE[scope])
    passed(order(core, "A", "1", 100))


def test_no_new_longs_refuses_what_may_become_long_alone(of: Make) -> None:
    core = of()
    core.posture(a.NO_NEW_LONGS, a.STRATEGY, "MOMO")
    assert text_of(order(core, "A", "1", 100)) == "POSTURE no_new_longs (strategy MOMO): position 0"
    hold(core, -100)
    assert fired(order(core, "B", "1", 101)) == {"POSTURE"}
    passed(order(core, "C", "1", 100))
    passed(order(core, "D", "2", 100))


@pytest.mark.parametrize("scope", EVERYWHERE)
def test_posture_halted_lets_no_order_pass(of: Make, scope: int) -> None:
    core = of()
    hold(core, 500)
    core.posture(a.HALTED, scope, NAMED[scope])
    place = f"{a.SCOPE_NAMES[scope]} {NAMED[scope]}".strip()
    for name, side in (("A", "1"), ("B", "2")):
        assert text_of(order(core, name, side, 100)) == f"POSTURE halted ({place})"
    core.posture(a.NORMAL, scope, NAMED[scope])
    passed(order(core, "C", "1", 100))


def test_what_is_in_the_way_is_told(of: Make) -> None:
    core = of()
    hold(core, 500)
    order(core, "A", "2", 300)
    core.posture(a.REDUCE_ONLY, a.STRATEGY, "MOMO")
    where = "POSTURE reduce_only (strategy MOMO): position 500"
    assert text_of(order(core, "B", "2", 300)) == f"{where}, 300 open to sell: cancel or replace those"
    assert text_of(order(core, "C", "1", 300)) == where
    hold_short = -300
    core.posture(a.NORMAL, a.STRATEGY, "MOMO")
    hold(core, hold_short - 500)
    order(core, "D", "1", 100)
    core.posture(a.REDUCE_ONLY, a.STRATEGY, "MOMO")
    expected = "POSTURE reduce_only (strategy MOMO): position -300, 100 open to buy: cancel or replace those"
    assert text_of(order(core, "E", "1", 250)) == expected


def test_reducing_is_judged_where_the_posture_stands(of: Make) -> None:
    """MOMO is long and ARB as much short: what closes one makes the firm's position."""
    core = of()
    hold(core, 500)
    hold(core, -500, **ANOTHER)
    core.posture(a.REDUCE_ONLY, a.STRATEGY, "MOMO")
    passed(order(core, "A", "2", 100))
    core.posture(a.REDUCE_ONLY, a.FIRM)
    assert text_of(order(core, "B", "2", 100)) == "POSTURE reduce_only (firm): position 0"


def test_the_strictest_counts_and_each_is_told(of: Make) -> None:
    core = of()
    hold(core, 500)
    core.posture(a.REDUCE_ONLY, a.FIRM)
    core.posture(a.HALTED, a.STRATEGY, "MOMO")
    assert text_of(order(core, "A", "2", 100)) == "POSTURE halted (strategy MOMO)"
    both = "POSTURE reduce_only (firm): position 500; POSTURE halted (strategy MOMO)"
    assert text_of(order(core, "B", "1", 100)) == both
    core.posture(a.NORMAL, a.STRATEGY, "MOMO")
    passed(order(core, "C", "2", 100))


def test_other_checks_apply_to_exits_too(of: Make) -> None:
    core = of(limits={"strategy.MOMO": {"max_order_qty": 200}})
    core.posture(a.NORMAL, a.STRATEGY, "MOMO")
    for k in range(3):
        hold(core, 200 - k)
    core.posture(a.REDUCE_ONLY, a.STRATEGY, "MOMO")
    refused(order(core, "A", "2", 201), "MAX_ORDER_QTY")


# Changes and cancels


@pytest.mark.parametrize("posture", [a.NO_NEW_LONGS, a.REDUCE_ONLY, a.HALTED])
def test_a_cancel_passes_every_posture(of: Make, posture: int) -> None:
    core = of()
    core.working("A", **EVERYONE)
    core.posture(posture, a.STRATEGY, "MOMO")
    assert len(cancels(core.cancel("C", "A"))) == 1


@pytest.mark.parametrize(
    ("change", "halted", "reduce_only"),
    [
        ({"qty": "60"}, True, True),
        ({"qty": "60", "px": "99"}, True, True),
        ({"qty": "60", "px": "101"}, False, False),
        ({"qty": "100", "px": "99"}, False, True),
        ({"qty": "60", "t59": "1"}, False, True),
        ({"qty": "101"}, False, False),
    ],
)
def test_replaces_of_an_order_that_raises(of: Make, change: dict[str, str], halted: bool, reduce_only: bool) -> None:
    for posture, passes in ((a.HALTED, halted), (a.REDUCE_ONLY, reduce_only)):
        core = of()
        core.working("A", **EVERYONE)
        core.posture(posture, a.STRATEGY, "MOMO")
        assert (fired(core.replace("R", "A", **{**EVERYONE, **change})) == set()) == passes, posture


def test_an_exit_order_may_be_priced_anew_in_reduce_only(of: Make) -> None:
    core = of()
    hold(core, 500)
    core.working("A", side="2", qty="400", **EVERYONE)
    core.posture(a.REDUCE_ONLY, a.STRATEGY, "MOMO")
    passed(core.replace("R", "A", side="2", qty="400", px="98", **EVERYONE))
    passed(core.replace("S", "R", side="2", qty="500", px="98", **EVERYONE))
    assert fired(core.replace("T", "S", side="2", qty="501", px="98", **EVERYONE)) == {"POSTURE"}


# What is canceled


@pytest.mark.parametrize("scope", EVERYWHERE)
def test_a_halt_cancels_what_works_there(of: Make, scope: int) -> None:
    core = of()
    mine = core.working("A", **EVERYONE)
    others = {scope: {"symbol": "MSFT"} for scope in (a.INSTRUMENT, a.SECTOR, a.ASSET_CLASS)}
    others |= {a.SESSION: {"session": "EMS2"}, a.VENUE: {"t100": "XNYS"}}
    other = core.working("B", **(ANOTHER | others.get(scope, {})))
    sent = core.posture(a.HALTED, scope, NAMED[scope]) + core.sweep()
    found = {fields[41]: fields for fields in cancels(sent)}
    assert set(found) == ({mine, other} if scope == a.FIRM else {mine})
    is_told_by_us(canceled(core, found[mine], "E1"), "halted")


def test_a_halt_goes_by_a_mass_cancel_where_all_there_must_go(of: Make) -> None:
    core = of(mass_cancel=True)
    for name in "AB":
        core.working(name, **EVERYONE)
    assert len(mass(core.posture(a.HALTED, a.STRATEGY, "MOMO"))) == 1


def test_a_halt_that_is_lifted_cancels_nothing_more(of: Make) -> None:
    core = of()
    core.working("A", **EVERYONE)
    core.posture(a.HALTED, a.STRATEGY, "MOMO")
    core.posture(a.NORMAL, a.STRATEGY, "MOMO")
    assert core.sweep() == [] and core.later(5) == []


def test_a_halt_asks_again_as_long_as_an_order_is_open(of: Make) -> None:
    core = of()
    core.working("A", **EVERYONE)
    core.posture(a.HALTED, a.STRATEGY, "MOMO")
    core.sweep()
    assert len(cancels(core.later(2))) == 1


def test_a_halt_sweeps_no_more_than_it_must(of: Make) -> None:
    core = of()
    core.working("A", **EVERYONE)
    core.posture(a.HALTED, a.INSTRUMENT, "MSFT")
    core.sweep()
    for _ in range(5):
        core.wait(1)
        core.tick()
        assert core.record.sweep_row == a.NONE


def test_a_market_order_may_be_lowered_in_a_halt(of: Make) -> None:
    core = of()
    core.working("A", px=None, t40="1", **EVERYONE)
    core.posture(a.HALTED, a.STRATEGY, "MOMO")
    passed(core.replace("R", "A", qty="50", px=None, t40="1", **EVERYONE))


def test_reduce_only_cancels_no_more_than_raises(of: Make) -> None:
    core = of()
    hold(core, 500)
    kept = [core.working(f"S{k}", side="2", qty="250", px=f"10{k}", **EVERYONE) for k in range(1, 3)]
    late = core.working("S3", side="2", qty="1", px="104", **EVERYONE)
    buy = core.working("B", **EVERYONE)
    other = core.working("O", **ANOTHER)
    sent = core.posture(a.REDUCE_ONLY, a.STRATEGY, "MOMO") + core.sweep()
    found = {fields[41]: fields for fields in cancels(sent)}
    assert set(found) == {late, buy} and not {*kept, other} & set(found)
    is_told_by_us(canceled(core, found[buy], "E1"), "reduce_only")


def test_reduce_only_looks_again_when_a_position_changes_from_outside(of: Make) -> None:
    core = of()
    hold(core, 500)
    core.working("S", side="2", qty="500", px="101", **EVERYONE)
    assert core.posture(a.REDUCE_ONLY, a.STRATEGY, "MOMO") and core.sweep() == []
    core.adjust("AAPL", "-1", {"account": "ACC1", "strategy": "MOMO"})
    assert len(cancels(core.later(1))) == 1


def test_what_was_to_be_canceled_stays_when_the_posture_goes_first(of: Make) -> None:
    core = of()
    core.working("B", **EVERYONE)
    core.posture(a.REDUCE_ONLY, a.STRATEGY, "MOMO")
    core.posture(a.NORMAL, a.STRATEGY, "MOMO")
    assert core.sweep() == [] and core.later(5) == []


def test_reduce_only_looks_again_after_a_late_fill(of: Make) -> None:
    """An order that had ended has filled after all: less is held to be closed."""
    core = of()
    hold(core, 500)
    late = core.working("A", side="2", qty="300", px="101", **EVERYONE)
    core.report(late, "X1", "4", "4", t54="2", t38="300")
    core.working("B", side="2", qty="500", px="102", **EVERYONE)
    core.posture(a.REDUCE_ONLY, a.STRATEGY, "MOMO")
    assert core.sweep() == []
    core.fill(late, "X2", "300", "300", "2", t54="2")
    assert len(cancels(core.later(1))) == 1


def test_reduce_only_of_a_session_goes_by_what_others_do_in_its_account(of: Make) -> None:
    core = of()
    hold(core, 500)
    mine = core.working("A", side="2", qty="500", px="101", **EVERYONE)
    core.posture(a.REDUCE_ONLY, a.SESSION, "EMS1")
    assert core.sweep() == []
    passed(order(core, "B", "2", 500, session="EMS2", px="102"))
    assert {fields[41] for fields in cancels(core.later(1))} == {mine}


def test_what_is_killed_counts_as_ending_and_no_more_when_that_is_released(of: Make) -> None:
    core = of()
    hold(core, 100)
    killed = core.working("A", side="2", px="101", **{**EVERYONE, "t50": "TIM"})
    core.kill(a.TRADER, "TIM")
    core.sweep()
    core.cancel_reject("C1-9", killed)
    kept = core.working("B", side="2", px="102", **EVERYONE)
    assert core.posture(a.REDUCE_ONLY, a.STRATEGY, "MOMO") and core.sweep() == []
    core.kill(a.TRADER, "TIM", on=False)
    found = {fields[41] for fields in cancels(core.later(1))}
    assert found == {kept}


def test_a_release_ends_the_cancels_of_reduce_only_and_what_comes_is_told(of: Make) -> None:
    core = of()
    child = core.working("B", **EVERYONE)
    core.posture(a.REDUCE_ONLY, a.STRATEGY, "MOMO")
    [cancel] = cancels(core.sweep())
    core.kill(a.TRADER, "TIM")
    core.posture(a.NORMAL, a.STRATEGY, "MOMO")
    core.cancel_reject(cancel[11], child)
    assert core.later(5) == []
    core.posture(a.REDUCE_ONLY, a.STRATEGY, "MOMO")
    [cancel] = cancels(core.sweep())
    core.kill(a.TRADER, "TIM")
    core.sweep()
    core.posture(a.NORMAL, a.STRATEGY, "MOMO")
    is_told_by_us(canceled(core, cancel, "E1"), "reduce_only")


# Exits


def halted_with_exit(of: Make, scope: int = a.STRATEGY, halt: int = a.STRATEGY) -> Core:
    core = of()
    hold(core, 500)
    core.posture(a.HALTED, halt, NAMED[halt])
    core.open_exit("300", scope, NAMED[scope])
    return core


@pytest.mark.parametrize("halt", [a.FIRM, a.STRATEGY, a.INSTRUMENT])
@pytest.mark.parametrize("scope", [a.ACCOUNT, a.STRATEGY])
def test_an_exit_lets_that_much_pass_and_is_used_up(of: Make, scope: int, halt: int) -> None:
    core = halted_with_exit(of, scope, halt)
    assert fired(order(core, "A", "2", 301)) == {"POSTURE"}
    assert fired(order(core, "B", "1", 100)) == {"POSTURE"}
    passed(order(core, "C", "2", 200))
    assert fired(order(core, "D", "2", 101)) == {"POSTURE"}
    passed(order(core, "E", "2", 100))
    assert fired(order(core, "F", "2", 1)) == {"POSTURE"}


def test_an_exit_ends_with_its_time(of: Make) -> None:
    core = halted_with_exit(of)
    core.wait(300)
    core.quote("AAPL", 99.99, 100.01, 100)
    assert fired(order(core, "A", "2", 100)) == {"POSTURE"}
    core.tick()
    assert core.record.exit_count == 0


def test_an_exit_is_for_its_instrument_and_entity_alone(of: Make) -> None:
    core = halted_with_exit(of, halt=a.FIRM)
    hold_there = {"symbol": "MSFT", "px": "100"}
    assert fired(order(core, "A", "2", 100, **hold_there)) == {"POSTURE"}
    assert fired(order(core, "B", "2", 100, **ANOTHER)) == {"POSTURE"}


def test_an_exit_order_lives_through_the_halt_that_stood_before_it(of: Make) -> None:
    core = halted_with_exit(of)
    core.wait(1)
    child = core.working("A", side="2", qty="300", px="101", **EVERYONE)
    assert core.later(2) == [] and core.later(5) == []
    core.wait(1)
    again = core.posture(a.HALTED, a.FIRM) + core.sweep()
    assert {fields[41] for fields in cancels(again)} == {child}


def test_an_exit_order_that_does_not_reduce_any_more_is_canceled(of: Make) -> None:
    core = halted_with_exit(of)
    core.wait(1)
    core.working("A", side="2", qty="300", px="101", **EVERYONE)
    assert core.later(2) == []
    core.adjust("AAPL", "-300", {"account": "ACC1", "strategy": "MOMO"})
    assert len(cancels(core.later(2))) == 1


def test_an_exit_order_may_be_priced_anew(of: Make) -> None:
    core = halted_with_exit(of)
    core.wait(1)
    core.working("A", side="2", qty="300", px="101", **EVERYONE)
    passed(core.replace("R", "A", side="2", qty="300", px="99", **EVERYONE))
    assert fired(core.replace("S", "R", side="2", qty="301", px="99", **EVERYONE)) == {"POSTURE"}


def test_an_exit_is_not_used_up_by_what_passes_without(of: Make) -> None:
    core = of()
    hold(core, 500)
    core.posture(a.HALTED, a.INSTRUMENT, "MSFT")
    core.open_exit("300", a.STRATEGY, "MOMO")
    passed(order(core, "A", "2", 200))
    core.posture(a.HALTED, a.STRATEGY, "MOMO")
    assert core.record.exits[0].left_e8 == 300 * 10**8


def test_an_order_that_an_exit_opens_again_stays(of: Make) -> None:
    """Filled before the halt; what a replace adds to it is an exit."""
    core = of()
    hold(core, 500)
    child = core.working("A", side="2", **EVERYONE)
    core.fill(child, "X1", "100", "100", "2", t54="2")
    core.posture(a.HALTED, a.STRATEGY, "MOMO")
    core.open_exit("300", a.STRATEGY, "MOMO")
    core.wait(1)
    passed(core.replace("R", "A", side="2", qty="300", px="100", **EVERYONE))
    assert core.later(2) == [] and core.record.exits[0].left_e8 == 100 * 10**8


def test_no_exit_leads_through_a_kill(of: Make) -> None:
    core = halted_with_exit(of)
    core.kill(a.STRATEGY, "MOMO")
    assert "KILLED" in fired(order(core, "A", "2", 100))


def test_an_exit_may_be_closed_and_opened_anew(of: Make) -> None:
    core = halted_with_exit(of)
    core.open_exit("0", a.STRATEGY, "MOMO")
    assert fired(order(core, "A", "2", 100)) == {"POSTURE"}
    for quantity in ("200", "100"):
        core.open_exit(quantity, a.STRATEGY, "MOMO")
    assert core.record.exit_count == 1
    assert fired(order(core, "B", "2", 101)) == {"POSTURE"}
    passed(order(core, "C", "2", 100))


def test_an_order_that_another_check_refuses_uses_nothing_up(of: Make) -> None:
    core = halted_with_exit(of)
    fired(order(core, "A", "2", 300, px="100.005"))
    passed(order(core, "B", "2", 300))


def test_who_and_why_is_told(of: Make) -> None:
    core = of()
    assert "ann: fat finger" in core.posture(a.HALTED, a.FIRM, who="ann: fat finger")[0][2][58]
    assert "alice: because" in core.open_exit("1", a.FIRM)[0][2][58]
