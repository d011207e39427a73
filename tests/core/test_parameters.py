"""Pushed limits: within what a person set, tighter at once, looser slowly, held when their publisher is not sound."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.catalogue import LIMITS
from gateway.core.driver import Event
from gateway.fix.layout import E8
from tests.support.checks import NAMED, WHO, config_with_everyone, fired, passed, refused
from tests.support.core import Core
from tests.support.pushed import in_force, pushed_core

UNIT = {"quantity": E8, "money": 10**4, "bps": 1, "count": 1, "duration": 10**6}
PUSHABLE = [limit for limit in LIMITS if limit.tighter == "lower"]
PAIRABLE = [a.MAX_ORDER_QTY, a.MAX_ORDER_NOTIONAL, a.MAX_LONG, a.MAX_SHORT, a.COLLAR_BPS]
ACC1 = (a.ACCOUNT, "ACC1")
SHARES = E8


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    """max_order_qty of ACC1 is 1,000 shares."""
    yield pushed_core(tmp_path, {"account.ACC1": {"max_order_qty": 1_000}})


def qty_in_force(core: Core) -> float:
    return in_force(core, a.MAX_ORDER_QTY)[0] / SHARES


def alerts(reply: list[Any]) -> list[str]:
    assert {message[:2] for message in reply} <= {("", "")}, reply
    return [message[2][58] for message in reply]


# Tighter at once, within the person's limit


def test_a_tighter_limit_is_in_force_at_once(core: Core) -> None:
    passed(core.new("A", qty="1000"))
    assert core.push(a.MAX_ORDER_QTY, 400 * SHARES, epoch=812) == []
    fields = refused(core.new("B", qty="401"), "MAX_ORDER_QTY")
    assert fields[58] == "MAX_ORDER_QTY 401 > 400 (account ACC1, parameters #812)"
    passed(core.new("C", qty="400"))


def test_a_person_s_limit_is_told_without_an_epoch(core: Core) -> None:
    assert refused(core.new("A", qty="1001"), "MAX_ORDER_QTY")[58] == "MAX_ORDER_QTY 1001 > 1000 (account ACC1)"


def test_never_looser_than_the_person_s_limit(core: Core) -> None:
    for value in (1_001 * SHARES, 10**6 * SHARES, a.UNLIMITED):
        core.push(a.MAX_ORDER_QTY, value)
        for _ in range(20):
            core.later(60)
        assert qty_in_force(core) == 1_000
    core.quote("AAPL", 99.99, 100.01)
    refused(core.new("A", qty="1001"), "MAX_ORDER_QTY")


@pytest.mark.parametrize(("floor", "lowest"), [(10, 100), (0, 1 / SHARES), (50, 500), (100, 1_000)])
def test_never_below_the_floor(tmp_path: Path, floor: int, lowest: float) -> None:
    core = pushed_core(tmp_path, {"account.ACC1": {"max_order_qty": 1_000}}, floor=floor)
    for value in (99 * SHARES, 1, 0):
        core.push(a.MAX_ORDER_QTY, value)
    assert qty_in_force(core) == lowest


@pytest.mark.parametrize("limit", PUSHABLE, ids=lambda limit: limit.key)
def test_every_limit_at_every_scope(tmp_path: Path, limit: Any) -> None:
    for scope in limit.scopes:
        where = a.SCOPE_NAMES[scope] + (f".{NAMED[scope]}" if scope != a.FIRM else "")
        unit = UNIT[limit.kind]
        written = {"duration": "1000ms"}.get(limit.kind, 1_000)
        core = pushed_core(tmp_path, {where: {limit.key: written}})
        entity = (scope, NAMED[scope])
        assert in_force(core, limit.index, entity) == (1_000 * unit, 0)
        core.push(limit.index, 700 * unit, entity, epoch=3, model=8)
        assert in_force(core, limit.index, entity) == (700 * unit, 3)
        core.push(limit.index, 50 * unit, entity, epoch=4)
        assert in_force(core, limit.index, entity) == (100 * unit, 4)
        core.give_back(limit.index, entity)
        assert in_force(core, limit.index, entity) == (1_000 * unit, 0)


@pytest.mark.parametrize("limit", [a.MESSAGE_WINDOW, a.DUPLICATE_WINDOW, -1, a.LIMITS, 2**40])
def test_windows_and_what_is_no_limit_cannot_be_pushed(core: Core, limit: int) -> None:
    before = core.record.entities["limit"].copy()
    assert core.push(limit, 5) == []
    assert (core.record.entities["limit"] == before).all() and core.record.parameter_count == 0


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("row", [-2, -1, 512, 2**40])
def test_rows_that_are_none_change_nothing(core: Core, place: int, row: int) -> None:
    """Of source, entity, instrument; NONE is right for the last alone."""
    if (place, row) == (2, -1):
        return
    value = [0, core.state.entities[ACC1], a.NONE, a.MAX_ORDER_QTY, 5 * SHARES, 1, 0, 0]
    value[place] = row
    assert core.apply(Event(ev.PARAMETER, core.time_ns, value=tuple(value))) == []
    assert qty_in_force(core) == 1_000 and core.record.parameter_count == 0


@pytest.mark.parametrize("static", [None, "unlimited"])
def test_without_a_person_s_limit_nothing_is_taken(tmp_path: Path, static: str | None) -> None:
    core = pushed_core(tmp_path, {"account.ACC1": {"max_open_orders": static} if static else {}})
    before = in_force(core, a.MAX_OPEN_ORDERS)
    [text] = alerts(core.push(a.MAX_OPEN_ORDERS, 5))
    assert "no person has set one" in text and "account ACC1 max_open_orders" in text and "CAL" in text
    assert in_force(core, a.MAX_OPEN_ORDERS) == before


def test_a_limit_of_zero_stays_zero(tmp_path: Path) -> None:
    core = pushed_core(tmp_path, {"account.ACC1": {"max_long": 0}})
    core.push(a.MAX_LONG, 5 * SHARES)
    core.later(600)
    assert in_force(core, a.MAX_LONG)[0] == 0


# Looser slowly


@pytest.mark.parametrize("loosen", [10, 1, 100, 37])
def test_a_looser_limit_moves_by_its_share_a_minute(tmp_path: Path, loosen: int) -> None:
    core = pushed_core(tmp_path, {"account.ACC1": {"max_order_qty": 1_000}}, loosen=loosen)
    core.push(a.MAX_ORDER_QTY, 200 * SHARES)
    core.later(300)
    core.push(a.MAX_ORDER_QTY, 900 * SHARES, epoch=2)
    assert qty_in_force(core) == 200, "not at once"
    for second in range(1, 121):
        core.later(1)
        wanted = min(900, 200 + 1_000 * loosen / 100 * second / 60)
        assert wanted - 0.00001 <= qty_in_force(core) <= wanted


def test_nothing_loosens_with_a_share_of_zero(tmp_path: Path) -> None:
    core = pushed_core(tmp_path, {"account.ACC1": {"max_order_qty": 1_000}}, loosen=0)
    core.push(a.MAX_ORDER_QTY, 200 * SHARES)
    core.push(a.MAX_ORDER_QTY, 900 * SHARES)
    for _ in range(30):
        core.later(60)
    assert qty_in_force(core) == 200


@pytest.mark.parametrize("ceiling", [1, 2, 5, 9, 10, 12, 100, 450])
def test_small_counts_loosen_at_the_same_pace(tmp_path: Path, ceiling: int) -> None:
    """Within one order, and never faster: all of it takes ten minutes at ten percent."""
    core = pushed_core(tmp_path, {"account.ACC1": {"max_open_orders": ceiling}}, floor=0)
    core.push(a.MAX_OPEN_ORDERS, 0)
    lowest = in_force(core, a.MAX_OPEN_ORDERS)[0]
    assert lowest == 1
    core.push(a.MAX_OPEN_ORDERS, ceiling)
    for second in range(1, 661):
        core.later(1)
        value = in_force(core, a.MAX_OPEN_ORDERS)[0]
        assert value <= min(ceiling, lowest + ceiling * second / 600), second
        assert value >= min(ceiling, int(lowest + ceiling * second / 660) - 1), second


STOPPED = pytest.mark.parametrize("seconds", [61, 3_600, 86_400 * 400])


@STOPPED
@pytest.mark.parametrize("ceiling", [1_000, 10_994, 10_996, 20_000])
def test_a_long_stop_of_the_process_is_not_caught_up_with(tmp_path: Path, seconds: int, ceiling: int) -> None:
    """A frozen machine, say: at most a minute's worth, as at any tick, and no more at the next ones."""
    core = pushed_core(tmp_path, {"account.ACC1": {"max_order_qty": ceiling}})
    core.push(a.MAX_ORDER_QTY, ceiling // 10 * SHARES)
    core.push(a.MAX_ORDER_QTY, ceiling * SHARES, epoch=2)
    core.later(1)
    before = qty_in_force(core)
    core.later(seconds)
    after = qty_in_force(core)
    assert after - before == pytest.approx(ceiling / 10, rel=0.02)
    core.later(1)
    assert qty_in_force(core) - after == pytest.approx(ceiling / 600, rel=0.02)


@STOPPED
@pytest.mark.parametrize(("ceiling", "most"), [(5, 1), (9, 1), (100, 10), (450, 45)])
def test_a_long_stop_does_not_loosen_counts_at_once(tmp_path: Path, seconds: int, ceiling: int, most: int) -> None:
    """A minute's worth, or one order where that is less."""
    core = pushed_core(tmp_path, {"account.ACC1": {"max_open_orders": ceiling}}, floor=0)
    core.push(a.MAX_OPEN_ORDERS, 0)
    core.push(a.MAX_OPEN_ORDERS, ceiling)
    core.later(1)
    before = in_force(core, a.MAX_OPEN_ORDERS)[0]
    core.later(seconds)
    after = in_force(core, a.MAX_OPEN_ORDERS)[0]
    assert after - before <= most
    assert after - before == most or seconds == 61
    core.later(1)
    assert in_force(core, a.MAX_OPEN_ORDERS)[0] - after <= 1


def test_the_largest_limits_do_not_overflow(tmp_path: Path) -> None:
    core = pushed_core(tmp_path, {"account.ACC1": {"max_order_notional": 10**13}})
    core.push(a.MAX_ORDER_NOTIONAL, 10**16)
    core.push(a.MAX_ORDER_NOTIONAL, 10**17)
    core.later(60)
    assert in_force(core, a.MAX_ORDER_NOTIONAL)[0] == pytest.approx(2 * 10**16, rel=1e-3)


def test_time_in_which_it_had_nowhere_to_go_does_not_count(core: Core) -> None:
    core.push(a.MAX_ORDER_QTY, 200 * SHARES)
    for _ in range(600):
        core.later(1)
    core.push(a.MAX_ORDER_QTY, 900 * SHARES)
    core.later(1)
    assert qty_in_force(core) <= 200 + 100 / 60


def test_frequent_pushes_do_not_make_it_faster_or_slower(core: Core) -> None:
    core.push(a.MAX_ORDER_QTY, 200 * SHARES)
    for tenth in range(1, 601):
        core.push(a.MAX_ORDER_QTY, (900 + tenth % 3) * SHARES, epoch=tenth)
        core.later(0.1)
        assert qty_in_force(core) <= 200 + 100 * tenth / 600
    assert qty_in_force(core) >= 297


def test_tightening_and_loosening_in_turns_gains_nothing(core: Core) -> None:
    core.push(a.MAX_ORDER_QTY, 200 * SHARES)
    for second in range(1, 60):
        core.push(a.MAX_ORDER_QTY, 900 * SHARES)
        core.later(1)
        core.push(a.MAX_ORDER_QTY, 200 * SHARES)
        assert qty_in_force(core) == 200, second


# Held


def test_a_silent_publisher_never_loosens(core: Core) -> None:
    core.push(a.MAX_ORDER_QTY, 300 * SHARES)
    core.push(a.MAX_ORDER_QTY, 900 * SHARES)
    core.later(6)
    held = qty_in_force(core)
    [text] = alerts(core.source(0, up=False))
    assert "silent" in text and "CAL" in text
    for _ in range(100):
        core.later(60)
    assert qty_in_force(core) == held
    [text] = alerts(core.source(0, up=True))
    assert "CAL" in text
    core.later(60)
    assert qty_in_force(core) == held, "until it pushes again"
    core.push(a.MAX_ORDER_QTY, 900 * SHARES)
    core.later(6)
    assert held < qty_in_force(core) <= held + 10


def test_a_silent_publisher_s_tight_limit_is_not_given_back(core: Core) -> None:
    core.push(a.MAX_ORDER_QTY, 150 * SHARES)
    core.source(0, up=False)
    for _ in range(600):
        core.later(60)
    core.quote("AAPL", 99.99, 100.01)
    refused(core.new("A", qty="151"), "MAX_ORDER_QTY")


def test_what_expires_is_held(core: Core) -> None:
    core.push(a.MAX_ORDER_QTY, 200 * SHARES)
    core.push(a.MAX_ORDER_QTY, 900 * SHARES, epoch=7, seconds=30)
    told = []
    for _ in range(60):
        told += alerts(core.later(1))
    assert len(told) == 1 and "it has expired" in told[0] and "#7" in told[0]
    assert 245 <= qty_in_force(core) <= 250
    core.push(a.MAX_ORDER_QTY, 900 * SHARES, epoch=8)
    core.later(6)
    assert 255 <= qty_in_force(core) <= 260


def test_what_has_expired_when_it_comes_does_not_loosen(core: Core) -> None:
    core.push(a.MAX_ORDER_QTY, 500 * SHARES)
    value = (0, core.state.entities[ACC1], a.NONE, a.MAX_ORDER_QTY, 900 * SHARES, 9, 0, core.time_ns)
    [text] = alerts(core.apply(Event(ev.PARAMETER, core.time_ns, value=value)))
    assert "it has expired" in text
    for _ in range(60):
        core.later(1)
    assert qty_in_force(core) <= 500


@pytest.mark.parametrize("value", [-1, -(2**62), a.UNLIMITED + 1, 2**63 - 1])
def test_nonsense_is_held(core: Core, value: int) -> None:
    core.push(a.MAX_ORDER_QTY, 200 * SHARES)
    core.push(a.MAX_ORDER_QTY, 900 * SHARES)
    core.later(6)
    held = qty_in_force(core)
    [text] = alerts(core.push(a.MAX_ORDER_QTY, value, epoch=5))
    assert "held" in text and "account ACC1 max_order_qty" in text
    assert alerts(core.push(a.MAX_ORDER_QTY, value, epoch=6)) == [], "told once"
    for _ in range(60):
        core.later(60)
    assert qty_in_force(core) == held
    core.push(a.MAX_ORDER_QTY, 150 * SHARES)
    assert qty_in_force(core) == 150


@pytest.mark.parametrize("value", [-1, a.UNLIMITED + 1])
def test_nonsense_as_the_first_word_changes_nothing(core: Core, value: int) -> None:
    assert len(alerts(core.push(a.MAX_ORDER_QTY, value))) == 1
    assert in_force(core, a.MAX_ORDER_QTY) == (1_000 * SHARES, 0)


# Several publishers, pairs


def test_the_tightest_publisher_counts(core: Core) -> None:
    core.push(a.MAX_ORDER_QTY, 500 * SHARES, source=0, epoch=1)
    core.push(a.MAX_ORDER_QTY, 300 * SHARES, source=1, epoch=70)
    assert in_force(core, a.MAX_ORDER_QTY) == (300 * SHARES, 70)
    core.push(a.MAX_ORDER_QTY, 800 * SHARES, source=0, epoch=2)
    assert in_force(core, a.MAX_ORDER_QTY) == (300 * SHARES, 70)
    core.give_back(a.MAX_ORDER_QTY, source=1)
    value, epoch = in_force(core, a.MAX_ORDER_QTY)
    assert value == 500 * SHARES and epoch == 2
    core.push(a.MAX_ORDER_QTY, 200 * SHARES, source=0, epoch=3)
    core.push(a.MAX_ORDER_QTY, 400 * SHARES, source=1, epoch=71)
    assert in_force(core, a.MAX_ORDER_QTY) == (200 * SHARES, 3)


def test_one_silent_publisher_does_not_hold_another(core: Core) -> None:
    core.push(a.MAX_ORDER_QTY, 500 * SHARES, source=0)
    core.push(a.MAX_ORDER_QTY, 300 * SHARES, source=1)
    core.push(a.MAX_ORDER_QTY, 900 * SHARES, source=1)
    core.source(0, up=False)
    for _ in range(300):
        core.later(1)
    assert qty_in_force(core) == 500


@pytest.mark.parametrize("limit", PAIRABLE)
def test_a_pair_has_the_tighter_ceiling(tmp_path: Path, limit: int) -> None:
    key, unit = next((x.key, UNIT[x.kind]) for x in LIMITS if x.index == limit)
    name = "account*instrument.ACC1*AAPL"
    for entity, pair, ceiling in ((1_000, 600, 600), (600, 1_000, 600), ("unlimited", 600, 600), (600, None, 600)):
        changes: dict[str, Any] = {"account.ACC1": {key: entity}}
        if pair is not None:
            changes[name] = {key: pair}
        core = pushed_core(tmp_path, changes)
        core.push(limit, 5_000 * unit, symbol="AAPL")
        core.push(limit, 300 * unit, symbol="AAPL", epoch=4)
        assert in_force(core, limit, symbol="AAPL") == (300 * unit, 4)
        core.push(limit, 5_000 * unit, symbol="AAPL", epoch=5)
        for _ in range(30):
            core.later(60)
        assert in_force(core, limit, symbol="AAPL")[0] == ceiling * unit
        core.push(limit, 1, symbol="AAPL")
        assert in_force(core, limit, symbol="AAPL")[0] == 60 * unit
        assert in_force(core, limit)[0] == (a.UNLIMITED if entity == "unlimited" else entity * unit)


def test_a_pushed_pair_stops_orders_in_its_instrument_alone(core: Core) -> None:
    for _ in range(2):
        core.quote("MSFT", 99.99, 100.01)
    core.push(a.MAX_ORDER_QTY, 200 * SHARES, symbol="AAPL", epoch=812)
    text = refused(core.new("A", qty="201"), "MAX_ORDER_QTY")[58]
    assert "201 > 200" in text and "parameters #812" in text and "AAPL" in text and "ACC1" in text
    passed(core.new("B", qty="300", symbol="MSFT"))
    passed(core.new("C", qty="300", t1="ACC2"))
    passed(core.new("D", qty="200"))


@pytest.mark.parametrize("limit", [a.MAX_OPEN_ORDERS, a.MAX_MESSAGES])
def test_a_pair_has_no_counts(tmp_path: Path, limit: int) -> None:
    key = "max_open_orders" if limit == a.MAX_OPEN_ORDERS else "max_messages"
    core = pushed_core(tmp_path, {"account.ACC1": {key: 100}})
    [text] = alerts(core.push(limit, 50, symbol="AAPL"))
    assert "not taken" in text
    assert in_force(core, limit) == (100, 0)


def test_a_full_table_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    accounts = [f"A{k}" for k in range(200)]
    config = config_with_everyone()
    config["sessions"][0]["accounts"] = [*accounts, "ACC1"]
    core = pushed_core(tmp_path, {"account.default": {"max_order_qty": 1_000}}, config=config)
    told = []
    for name in accounts:
        told += alerts(core.push(a.MAX_ORDER_QTY, 500 * SHARES, (a.ACCOUNT, name)))
    assert told and "tables are full" in told[0] and len(told) <= 200 - a.CAPACITIES["small"].parameters
    assert in_force(core, a.MAX_ORDER_QTY, (a.ACCOUNT, "A0"))[0] == 500 * SHARES
    assert in_force(core, a.MAX_ORDER_QTY, (a.ACCOUNT, "A199"))[0] == 1_000 * SHARES
    core.push(a.MAX_ORDER_QTY, 400 * SHARES, (a.ACCOUNT, "A0"), epoch=2)
    assert in_force(core, a.MAX_ORDER_QTY, (a.ACCOUNT, "A0"))[0] == 400 * SHARES


# Given back, told


def test_a_limit_given_back_is_the_person_s_at_once(core: Core) -> None:
    core.push(a.MAX_ORDER_QTY, 200 * SHARES)
    [text] = alerts(core.give_back(a.MAX_ORDER_QTY))
    assert "released" in text and "alice" in text
    assert in_force(core, a.MAX_ORDER_QTY) == (1_000 * SHARES, 0)
    passed(core.new("A", qty="1000"))
    assert core.give_back(a.MAX_ORDER_QTY) == [], "nothing is left to give back"
    core.push(a.MAX_ORDER_QTY, 300 * SHARES, epoch=9)
    assert in_force(core, a.MAX_ORDER_QTY) == (300 * SHARES, 9)


@pytest.mark.parametrize("epoch", [1, 6, 7, 8])
@pytest.mark.parametrize("between", ["nothing", "silence", "start"])
def test_what_is_pushed_after_it_was_given_back_counts_whatever_its_epoch(core: Core, epoch: int, between: str) -> None:
    """Epochs begin anew with a new file. That what was given back is not read again: tests/params/test_feed.py."""
    core.push(a.MAX_ORDER_QTY, 200 * SHARES, epoch=7)
    core.give_back(a.MAX_ORDER_QTY)
    if between == "silence":
        core.source(0, up=False)
        core.source(0, up=True)
    elif between == "start":
        core.start(ev.CRASHED)
        core.come_back()
    assert in_force(core, a.MAX_ORDER_QTY) == (1_000 * SHARES, 0)
    core.push(a.MAX_ORDER_QTY, 200 * SHARES, epoch=epoch)
    assert in_force(core, a.MAX_ORDER_QTY) == (200 * SHARES, epoch)
    refused(core.new("A", qty="201"), "MAX_ORDER_QTY")


def test_nonsense_after_it_was_given_back_leaves_the_person_s_limit(core: Core) -> None:
    core.push(a.MAX_ORDER_QTY, 200 * SHARES, epoch=7)
    core.give_back(a.MAX_ORDER_QTY)
    core.push(a.MAX_ORDER_QTY, -1, epoch=8)
    assert in_force(core, a.MAX_ORDER_QTY) == (1_000 * SHARES, 0)


def test_one_that_is_given_back_leaves_the_others(core: Core) -> None:
    core.push(a.MAX_ORDER_QTY, 200 * SHARES)
    core.push(a.MAX_ORDER_QTY, 300 * SHARES, symbol="AAPL")
    core.push(a.MAX_ORDER_QTY, 400 * SHARES, source=1)
    core.give_back(a.MAX_ORDER_QTY)
    assert in_force(core, a.MAX_ORDER_QTY)[0] == 400 * SHARES
    assert in_force(core, a.MAX_ORDER_QTY, symbol="AAPL")[0] == 300 * SHARES
    core.give_back(a.MAX_ORDER_QTY, symbol="AAPL")
    assert in_force(core, a.MAX_ORDER_QTY)[0] == 400 * SHARES


def test_orders_and_days_leave_pushed_limits_alone(core: Core) -> None:
    core.push(a.MAX_ORDER_QTY, 200 * SHARES, epoch=3)
    core.day()
    core.start(ev.CRASHED)
    core.come_back()
    assert in_force(core, a.MAX_ORDER_QTY) == (200 * SHARES, 3)
    assert fired(core.new("A", qty="201", **WHO)) == {"MAX_ORDER_QTY"}


def test_the_last_push_is_what_decisions_are_stamped_with(core: Core) -> None:
    core.push(a.MAX_ORDER_QTY, 200 * SHARES, epoch=3, model=77)
    core.push(a.MAX_ORDER_QTY, 300 * SHARES, source=1, epoch=900, model=5)
    assert (core.record.parameter_epoch, core.record.parameter_model) == (900, 5)


def test_a_tightened_position_limit_still_lets_exits_pass(tmp_path: Path) -> None:
    core = pushed_core(tmp_path, {"account.ACC1": {"max_long": 1_000}})
    child = core.working("A", qty="500")
    core.report(child, "X1", "F", "2", t31="100", t32="500", t14="500")
    core.push(a.MAX_LONG, 100 * SHARES, epoch=4)
    assert "parameters #4" in refused(core.new("B", qty="1"), "MAX_LONG")[58]
    passed(core.new("C", side="2", qty="500"))
