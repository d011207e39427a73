"""Reports of the legs of a strategy, and fills that name another instrument or side than their order has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.core import layout as a
from tests.support.checks import OPEN, Reply, config_with_everyone, limits_with
from tests.support.core import Core, Fields
from tests.support.doubts import alerts, told
from tests.support.field import OTHER, SIDES, bust, is_told, killed, may, others_go_on, reports, trade_kind
from tests.support.kill import IDENTITY, Of, open_orders
from tests.support.referee import faults

INSTRUMENTS = """symbol,security_id,tick,lot,multiplier,previous_close
AAPL,US0378331005,0.01,1,1,100
MSFT,US5949181045,0.01,10,1,200
SPRD,,0.01,1,1,100
LEGZ,,0.01,1,1,100
LEGH,,0.01,1,1,100
"""
Spread = Callable[..., Core]


@pytest.fixture
def spread(tmp_path: Path, version: str) -> Any:
    """Makes cores that know a strategy SPRD and its legs: a venue of each FIX version, an EMS of the other."""
    made: list[Core] = []

    def make(limits: dict[str, dict[str, Any]] | None = None) -> Core:
        config = config_with_everyone()
        config["identity"] = dict(IDENTITY)
        for session in config["sessions"]:
            session["begin_string"] = OTHER[version] if session["role"] == "acceptor" else version
        core = Core(tmp_path, config, limits_with(limits or {}, dict(OPEN)), INSTRUMENTS)
        for symbol in ("SPRD", "LEGZ", "LEGH"):
            core.quote(symbol, 99.99, 100.01, 100)
        made.append(core)
        return core

    yield make
    assert [fault for core in made for fault in faults(core)] == []


def strategy(core: Core, child: str, exec_id: str, qty: str, cum: str, side: str = "1", **more: Any) -> Reply:
    """What the strategy as a whole has traded (442=3), of 5."""
    fields = {"t442": "3", "t54": side, "t55": "SPRD", "t38": "5", "t151": str(5 - int(cum))} | more
    return core.fill(child, exec_id, qty, cum, "2" if cum == "5" else "1", **fields)


def leg(core: Core, child: str, exec_id: str, symbol: str, side: str, qty: str, cum: str, **more: Any) -> Reply:
    """What one leg of it has traded (442=2)."""
    fields = {"t442": "2", "t54": side, "t55": symbol, "t31": "99.5", "t38": "5", "t151": str(max(5 - int(cum), 0))}
    return core.fill(child, exec_id, qty, cum, "2" if int(cum) >= 5 else "1", **fields | more)


def position(core: Core, symbol: str, scope: int = a.ACCOUNT, name: str = "ACC1") -> float:
    return core.shares(scope, name, symbol)[0]


def is_leg(reply: Reply, symbol: str, side: str, qty: str) -> None:
    """The EMS sees what a leg has traded as such."""
    [fields] = reports(reply)
    shown: Fields = {tag: fields[tag] for tag in (11, 442, 55, 54, 32, 31)}
    assert shown == {11: "A", 442: "2", 55: symbol, 54: side, 32: qty, 31: "99.5"}, fields
    assert alerts(reply) == []


ORDERS = [("S", "Z", "H"), ("Z", "H", "S"), ("Z", "S", "H")]


@pytest.mark.parametrize("order", ORDERS, ids=["-".join(order) for order in ORDERS])
@pytest.mark.parametrize("side", SIDES)
def test_legs_are_not_the_order(spread: Spread, order: tuple[str, ...], side: str) -> None:
    """F3: one report of the strategy, two of its legs, in any order."""
    core = spread()
    child = core.working("A", qty="5", symbol="SPRD", side=side)
    other = "2" if side == "1" else "1"
    for kind in order:
        if kind == "S":
            reply = strategy(core, child, "E1", "5", "5", side)
            told(reply, t11="A", t39="2", t32="5", t14="5", t151="0", t55="SPRD", t54=side)
            assert alerts(reply) == []
        elif kind == "Z":
            is_leg(leg(core, child, "L1", "LEGZ", side, "5", "5"), "LEGZ", side, "5")
        else:
            is_leg(leg(core, child, "L2", "LEGH", other, "5", "5"), "LEGH", other, "5")
    told(core.status_request("A", symbol="SPRD", side=side), t39="2", t14="5", t151="0")
    sign = 1 if side == "1" else -1
    assert core.shares(symbol="SPRD") == (5 * sign, 0, 0)
    for scope, name in ((a.ACCOUNT, "ACC1"), (a.FIRM, "")):
        assert (position(core, "LEGZ", scope, name), position(core, "LEGH", scope, name)) == (5 * sign, -5 * sign)
    assert open_orders(core) == 0
    others_go_on(core)


def test_the_next_orders_count_what_is_there(spread: Spread) -> None:
    """F3: limits of the strategy and of its legs."""
    core = spread({"account.ACC1": {"max_long": 10, "max_short": 5}})
    child = core.working("A", qty="5", symbol="SPRD")
    strategy(core, child, "E1", "5", "5")
    leg(core, child, "L1", "LEGZ", "1", "5", "5")
    leg(core, child, "L2", "LEGH", "2", "5", "5")
    for symbol, buys, sells in (("SPRD", 5, 10), ("LEGZ", 5, 10), ("LEGH", 15, 0)):
        assert may(core, "1", buys, symbol) and not may(core, "1", buys + 1, symbol), symbol
        assert (sells == 0 or may(core, "2", sells, symbol)) and not may(core, "2", sells + 1, symbol), symbol


def test_a_partial_fill_with_its_legs(spread: Spread) -> None:
    """F3"""
    core = spread()
    child = core.working("A", qty="5", symbol="SPRD")
    strategy(core, child, "E1", "2", "2")
    leg(core, child, "L1", "LEGZ", "1", "2", "2")
    leg(core, child, "L2", "LEGH", "2", "2", "2")
    assert core.shares(symbol="SPRD") == (2, 3, 0)
    told(strategy(core, child, "E2", "3", "5"), t39="2", t14="5", t151="0")
    is_leg(leg(core, child, "L3", "LEGZ", "1", "3", "5"), "LEGZ", "1", "3")
    is_leg(leg(core, child, "L4", "LEGH", "2", "3", "5"), "LEGH", "2", "3")
    assert core.shares(symbol="SPRD") == (5, 0, 0)
    assert (position(core, "LEGZ"), position(core, "LEGH")) == (5, -5)


def test_a_leg_that_is_larger_than_the_order(spread: Spread) -> None:
    """F3: a ratio of 2."""
    core = spread()
    child = core.working("A", qty="5", symbol="SPRD")
    strategy(core, child, "E1", "2", "2")
    is_leg(leg(core, child, "L1", "LEGZ", "1", "4", "4", t38="10", t151="6"), "LEGZ", "1", "4")
    reply = leg(core, child, "L2", "LEGZ", "1", "6", "10", t38="10", t151="0")
    is_leg(reply, "LEGZ", "1", "6")
    assert core.shares(symbol="SPRD") == (2, 3, 0), "a leg ends no order"
    assert position(core, "LEGZ") == 10
    assert killed(core) == [child]


def test_legs_alone_leave_the_order_open(spread: Spread) -> None:
    """F3 at a venue that reports nothing else: what may trade is canceled when it should be."""
    core = spread()
    child = core.working("A", qty="5", symbol="SPRD")
    leg(core, child, "L1", "LEGZ", "1", "5", "5")
    leg(core, child, "L2", "LEGH", "2", "5", "5")
    told(core.status_request("A", symbol="SPRD"), t14="0", t151="5")
    assert (position(core, "LEGZ"), position(core, "LEGH")) == (5, -5)
    others_go_on(core)
    assert killed(core) == [child]


def test_a_leg_that_comes_twice_counts_once(spread: Spread) -> None:
    """F3"""
    core = spread()
    child = core.working("A", qty="5", symbol="SPRD")
    strategy(core, child, "E1", "5", "5")
    leg(core, child, "L1", "LEGZ", "1", "5", "5")
    leg(core, child, "L1", "LEGZ", "1", "5", "5", poss_dup=True)
    assert position(core, "LEGZ") == 5
    assert core.shares(symbol="SPRD") == (5, 0, 0)


def test_a_leg_of_an_instrument_that_is_not_known(spread: Spread) -> None:
    """F3: people are told, and nothing else suffers."""
    core = spread()
    child = core.working("A", qty="5", symbol="SPRD")
    reply = leg(core, child, "L1", "NOPE", "1", "5", "5")
    is_told(reply, child)
    for fields in reports(reply):
        assert (fields[14], fields[151]) != ("5", "0"), fields
    assert core.shares(symbol="SPRD") == (0, 5, 0)
    told(strategy(core, child, "E1", "5", "5"), t39="2", t14="5", t151="0")
    others_go_on(core)
    assert may(core, "2", 5, "SPRD"), "an exit"


def test_a_bust_of_a_leg_leaves_the_order_alone(spread: Spread) -> None:
    """F3"""
    core = spread()
    child = core.working("A", qty="5", symbol="SPRD")
    strategy(core, child, "E1", "5", "5")
    leg(core, child, "L1", "LEGZ", "1", "5", "5")
    assert position(core, "LEGZ") == 5
    bust(core, child, "B1", "L1", "2", t442="2", t54="1", t55="LEGZ", t32="5", t38="5", t14="5", t151="0")
    assert core.record.fault == 0
    assert position(core, "LEGZ") == 0
    assert core.shares(symbol="SPRD") == (5, 0, 0)
    told(core.status_request("A", symbol="SPRD"), t39="2", t14="5")


def test_a_bust_of_the_strategy_leaves_its_legs_alone(spread: Spread) -> None:
    """F3"""
    core = spread()
    child = core.working("A", qty="5", symbol="SPRD")
    strategy(core, child, "E1", "5", "5")
    leg(core, child, "L1", "LEGZ", "1", "5", "5")
    bust(core, child, "B1", "E1", t442="3", t54="1", t55="SPRD", t32="5", t38="5", t14="0", t151="5")
    assert core.shares(symbol="SPRD") == (0, 5, 0)
    assert position(core, "LEGZ") == 5
    assert killed(core) == [child]


def test_legs_that_come_on_the_next_day(spread: Spread) -> None:
    """F3: of an order that is still open then."""
    core = spread()
    child = core.working("A", qty="5", symbol="SPRD", t59="1")
    strategy(core, child, "E1", "2", "2")
    core.day()
    leg(core, child, "L1", "LEGZ", "1", "2", "2")
    assert position(core, "LEGZ") == 2
    assert core.shares(symbol="SPRD") == (2, 3, 0)


def test_legs_while_a_replace_is_pending(spread: Spread) -> None:
    """F3"""
    core = spread()
    child = core.working("A", qty="5", symbol="SPRD")
    [(_, msg_type, replace)] = core.replace("B", "A", qty="8", symbol="SPRD")
    assert msg_type == "G"
    strategy(core, child, "E1", "2", "2")
    leg(core, child, "L1", "LEGZ", "1", "2", "2")
    leg(core, child, "L2", "LEGH", "2", "2", "2")
    assert core.shares(symbol="SPRD") == (2, 6, 0)
    reply = core.report(replace[11], "E2", "5", "1", t41=child, t55="SPRD", t38="8", t14="2", t151="6", t442=None)
    told(reply, t11="B", t38="8", t14="2", t151="6")
    assert killed(core) == [replace[11]]


def test_a_report_that_says_it_is_of_one_instrument_is_plain(spread: Spread) -> None:
    """F3's neighbour, 442=1."""
    core = spread()
    child = core.working("A")
    told(core.fill(child, "E1", "40", "40", t442="1", t151="60"), t14="40", t151="60", t39="1")
    assert core.shares() == (40, 60, 0)


# A fill that contradicts its order.


@pytest.fixture
def core(of: Of, version: str) -> Core:
    """A venue of each FIX version, and an EMS of the other; ACC1 may not go short."""
    return of(OTHER[version], version, limits={"account.ACC1": {"max_short": 0}})


CONTRADICTIONS = {
    "side": {"t54": "2"},
    "short": {"t54": "5"},
    "symbol": {"t55": "MSFT"},
    "both": {"t54": "2", "t55": "MSFT"},
    "security": {"t48": "US5949181045", "t22": "4", "t55": "[N/A]"},
}


@pytest.mark.parametrize("what", list(CONTRADICTIONS))
def test_a_fill_of_another_side_or_instrument(core: Core, what: str) -> None:
    """F3: it may be a fill of the order, or not: the order is no smaller, and what was bought is no surer."""
    child = core.working("A")
    reply = core.fill(child, "E1", "40", "40", **{"t38": "100", "t151": "60"} | CONTRADICTIONS[what])
    is_told(reply, child)
    assert core.shares()[0] + core.shares()[1] >= 100
    assert not may(core, "2", 41)
    others_go_on(core)
    others_go_on(core, symbol="MSFT")
    assert killed(core) == [child]


@pytest.mark.parametrize("what", ["side", "symbol"])
def test_a_last_fill_of_another_side_or_instrument(core: Core, what: str) -> None:
    """F3: the order does not look closed by it alone, and the firm goes on."""
    child = core.working("A")
    more = {"t150": trade_kind(core, "2"), "t38": "100", "t151": "0"} | CONTRADICTIONS[what]
    reply = core.fill(child, "E1", "100", "100", "2", **more)
    is_told(reply, child)
    assert core.shares()[0] + core.shares()[1] >= 100
    assert not may(core, "2", 101)
    others_go_on(core)


@pytest.mark.parametrize(
    "said",
    [
        {"t54": None},
        {"t55": None},
        {"t55": "[N/A]", "t48": "US0378331005", "t22": "4"},
        {"t54": None, "t55": None},
    ],
    ids=["no side", "no symbol", "security id", "neither"],
)
def test_a_fill_that_says_less_contradicts_nothing(core: Core, said: dict[str, str | None]) -> None:
    child = core.working("A")
    reply = core.fill(child, "E1", "40", "40", **{"t151": "60"} | said)
    told(reply, t14="40", t151="60", t54="1", t55="AAPL")
    assert alerts(reply) == []
    assert core.shares() == (40, 60, 0)


def test_a_fill_by_a_symbol_that_nobody_knows(core: Core) -> None:
    """F3: a venue's own name of the instrument, perhaps."""
    child = core.working("A")
    core.fill(child, "E1", "40", "40", t38="100", t55="AAPL.OQ", t151="60")
    assert core.shares()[0] + core.shares()[1] >= 100
    assert not may(core, "2", 41)
    others_go_on(core)
    assert killed(core) == [child]


def test_a_short_sale_that_is_told_as_a_sale_counts(of: Of, version: str) -> None:
    core = of(OTHER[version], version)
    child = core.working("A", side="5", t114="N")
    reply = core.fill(child, "E1", "40", "40", t54="2", t151="60")
    told(reply, t14="40", t151="60", t54="5")
    assert core.shares() == (-40, 0, 60)
    others_go_on(core)
