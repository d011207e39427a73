"""Limits that do more than refuse: watch, warn and stop, each alone, at its value and beyond it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.config.files import ConfigError
from gateway.core import alerts as al
from gateway.core import catalogue as c
from gateway.core import layout as a
from tests.support.checks import NAMED, Reply, at, fired, passed
from tests.support.core import Core
from tests.support.kill import ANOTHER, EVERYONE, cancels, core_of

Make = Callable[..., Core]
ALERTS = {"watch": al.LIMIT_WATCHED, "warn": al.LIMIT_WARNED, "stop": al.LIMIT_STOPPED}


@pytest.fixture
def of(tmp_path: Path) -> Make:
    return lambda limits, **options: core_of(tmp_path, limits=limits, **options)


def told(core: Core) -> dict[str, str]:
    """The alerts about limits of the last event, by severity."""
    _, outputs = core.log[-1]
    names = {number: name for name, number in ALERTS.items()}
    return {names[o.alert]: o.body.decode().partition(": ")[2] for o in outputs if o.alert in names}


def goes(core: Core, name: str, **more: Any) -> Reply:
    """An order that goes to its venue, whatever alerts come with it."""
    reply = core.new(name, **{**EVERYONE, **more})
    passed([message for message in reply if message[0]])
    return reply


def counted(core: Core, check: int) -> dict[str, int]:
    row = core.record.graded_orders[check]
    return {name: int(row[k]) for k, name in enumerate(a.SEVERITY_NAMES) if row[k]}


# For each limit: the settings of its place, then an order at the value and one beyond, and what is said of the latter.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], str]] = {
    "max_order_qty": ({"v": 400}, {"qty": "400"}, {"qty": "401"}, "MAX_ORDER_QTY 401 > 400"),
    "max_order_notional": ({"v": 40_000}, {"qty": "400"}, {"qty": "401"}, "MAX_ORDER_NOTIONAL 40100 > 40000"),
    "collar_bps": ({"v": 100}, {"px": "101"}, {"px": "101.01"}, "PRICE_COLLAR 101.01 > 101"),
    "max_long": ({"v": 400}, {"qty": "400"}, {"qty": "1", "px": "99"}, "MAX_LONG 401 > 400"),
    "max_open_orders": ({"v": 1}, {}, {"px": "99"}, "MAX_OPEN_ORDERS 2 > 1"),
}


@pytest.mark.parametrize("severity", ["watch", "warn", "stop"])
@pytest.mark.parametrize("key", CASES)
def test_each_limit_at_each_severity(of: Make, key: str, severity: str) -> None:
    value, within, beyond, text = CASES[key]
    scope = a.INSTRUMENT if key == "collar_bps" else a.ACCOUNT
    core = of({at(scope): {key: {severity: value["v"]}}})
    goes(core, "A", **within)
    assert told(core) == {}
    check = next(x.id for x in c.CHECKS if x.limit == key)
    if severity == "stop":
        assert fired([core.new("B", **{**EVERYONE, **beyond})[0]]) == {c.CHECKS[check].name}
        assert told(core) == {"stop": f"{text} ({at(scope).replace('.', ' ')}): halted"}
        assert core.record.entities[core.entity(scope, NAMED[scope])].posture == a.HALTED
    else:
        goes(core, "B", **beyond)
        assert told(core) == {severity: f"{text} ({at(scope).replace('.', ' ')})"}
        assert core.record.postured[a.HALTED] == 0
    assert counted(core, check) == {severity: 1}


def test_a_sale_is_watched_on_its_side(of: Make) -> None:
    core = of({at(a.ACCOUNT): {"max_short": {"watch": 100}}, at(a.INSTRUMENT): {"collar_bps": {"watch": 100}}})
    goes(core, "A", side="2", px="99")
    assert told(core) == {}
    goes(core, "B", side="1", qty="101")
    assert told(core) == {}
    goes(core, "C", side="2", qty="1", px="98.99")
    assert set(told(core)) == {"watch"} and counted(core, c.MAX_SHORT) == counted(core, c.PRICE_COLLAR) == {"watch": 1}


def test_messages_are_watched_where_no_limit_refuses(of: Make) -> None:
    core = of({at(a.STRATEGY): {"max_messages": {"watch": 2}}})
    for name in "AB":
        goes(core, name, px=f"9{len(name)}.0{ord(name) - 60}")
        assert told(core) == {}
    goes(core, "C", px="97")
    assert told(core) == {"watch": "MAX_MESSAGES 3 > 2 (strategy MOMO)"}


def test_a_duplicate_is_watched_in_a_longer_window_than_refused(of: Make) -> None:
    core = of({"firm": {"duplicate_window": {"watch": "10s", "reject": "1s"}}})
    goes(core, "A")
    core.wait(2)
    goes(core, "B")
    assert told(core) == {"watch": "DUPLICATE_ORDER 2000ms < 10000ms (firm)"}
    assert fired(core.new("C", **EVERYONE)) == {"DUPLICATE_ORDER"}
    core.wait(10)
    core.quote("AAPL", 99.99, 100.01, 100)
    goes(core, "D")
    assert told(core) == {}


def test_ages_and_spreads_are_watched(of: Make) -> None:
    core = of(
        {at(a.INSTRUMENT): {"reference_max_age": {"watch": "1s", "reject": "5s"}, "max_quote_spread": {"watch": 1}}}
    )
    goes(core, "A")
    assert counted(core, c.MAX_QUOTE_SPREAD) == {"watch": 1}
    core.wait(2)
    goes(core, "B", px="99")
    assert counted(core, c.REFERENCE_PRICE) == {"watch": 1}


@pytest.mark.parametrize("scope", range(a.SCOPES))
def test_every_scope_watches_its_own(of: Make, scope: int) -> None:
    core = of({at(scope): {"max_order_qty": {"watch": 99}}})
    goes(core, "A")
    assert told(core) == {"watch": f"MAX_ORDER_QTY 100 > 99 ({at(scope).replace('.', ' ')})"}
    other = {a.INSTRUMENT: {"symbol": "MSFT"}, a.SECTOR: {"symbol": "MSFT"}, a.ASSET_CLASS: {"symbol": "MSFT"}}
    other |= {a.SESSION: {"session": "EMS2"}, a.VENUE: {"t100": "XNYS"}}
    goes(core, "B", **(ANOTHER | other.get(scope, {})))
    assert counted(core, c.MAX_ORDER_QTY) == {"watch": 2 if scope == a.FIRM else 1}


def test_a_pair_watches(of: Make) -> None:
    core = of({"account*instrument": {"ACC1*AAPL": {"max_long": {"watch": 50}}}})
    goes(core, "A")
    assert told(core) == {"watch": "MAX_LONG 100 > 50 (account ACC1*AAPL)"}


def test_the_highest_severity_of_a_limit_counts(of: Make) -> None:
    core = of({at(a.ACCOUNT): {"max_order_qty": {"watch": 100, "warn": 200, "reject": 300, "stop": 400}}})
    for name, qty, severity in (("A", 100, None), ("B", 101, "watch"), ("C", 201, "warn")):
        goes(core, name, qty=str(qty))
        assert set(told(core)) == ({severity} if severity else set())
    assert fired(core.new("D", **{**EVERYONE, "qty": "301"})) == {"MAX_ORDER_QTY"} and told(core) == {}
    core.new("E", **{**EVERYONE, "qty": "401"})
    assert set(told(core)) == {"stop"}
    assert counted(core, c.MAX_ORDER_QTY) == {"watch": 1, "warn": 1, "stop": 1}


def test_a_value_that_an_entity_does_not_set_is_its_scope_s_default(of: Make) -> None:
    """To watch an account sooner does not take its limit away."""
    core = of(
        {
            "account": {
                "default": {
                    "max_order_qty": {"warn": 300, "reject": 500},
                    "max_order_notional": "unlimited",
                    "max_long": "unlimited",
                    "max_short": "unlimited",
                },
                "ACC1": {"max_order_qty": {"watch": 100}},
            }
        }
    )
    goes(core, "A", qty="200")
    assert set(told(core)) == {"watch"}
    goes(core, "B", qty="400")
    assert set(told(core)) == {"warn"}
    assert fired(core.new("C", **{**EVERYONE, "qty": "501"})) == {"MAX_ORDER_QTY"}


def test_a_stop_halts_and_cancels_and_others_never_notice(of: Make) -> None:
    core = of({at(a.STRATEGY): {"max_messages": {"stop": 3}}})
    mine = core.working("A", **EVERYONE)
    other = core.working("B", **ANOTHER)
    for k in range(2):
        goes(core, f"C{k}", px=f"9{k}")
    assert fired([core.new("D", **{**EVERYONE, "px": "97"})[0]]) == {"MAX_MESSAGES"}
    children = {fields[41] for fields in cancels(core.sweep())}
    assert mine in children and other not in children
    assert fired(core.new("E", **EVERYONE)) == {"MAX_MESSAGES", "POSTURE"}
    assert told(core) == {}, "it is halted already"
    passed(core.new("F", **ANOTHER))


def test_a_replace_is_watched_and_stops_like_an_order(of: Make) -> None:
    core = of({at(a.ACCOUNT): {"max_order_qty": {"warn": 150, "stop": 300}}})
    core.working("A", **EVERYONE)
    core.replace("R", "A", qty="200", **EVERYONE)
    assert set(told(core)) == {"warn"}
    core.replace("S", "A", qty="301", **EVERYONE)
    assert set(told(core)) == {"stop"}


def test_alerts_of_a_limit_come_once_a_second_and_count_the_rest(of: Make) -> None:
    core = of({at(a.ACCOUNT): {"max_order_qty": {"warn": 50}}})
    for k in range(4):
        goes(core, f"A{k}", px=f"9{k}")
        assert bool(told(core)) == (k == 0)
    core.wait(1)
    goes(core, "B", px="97")
    assert told(core)["warn"].endswith("(account ACC1), and others since the last time: 3")
    assert counted(core, c.MAX_ORDER_QTY) == {"warn": 5}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"watch": 500, "reject": 400}, "max_order_qty: reject: want a value that is no tighter than that of watch"),
        ({"warn": 500, "stop": 400}, "max_order_qty: stop: want a value that is no tighter than that of warn"),
        ({"shout": 1}, "max_order_qty: shout: is not a known severity, want watch, warn, reject, stop"),
        ({"watch": -1}, "max_order_qty: watch: want a quantity"),
        ({"watch": "NaN"}, "max_order_qty: watch: want a quantity"),
        ({}, "max_order_qty: want a value, or at least one of watch, warn, reject, stop"),
    ],
)
def test_what_is_wrong_with_severities_is_said(of: Make, value: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError) as error:
        of({at(a.ACCOUNT): {"max_order_qty": value}})
    assert f"account.ACC1.{why}" in str(error.value)


def test_of_a_limit_whose_higher_value_is_tighter_the_order_is_the_other_way(of: Make) -> None:
    with pytest.raises(ConfigError, match="duplicate_window: reject: want a value that is no tighter"):
        of({"firm": {"duplicate_window": {"watch": "1s", "reject": "10s"}}})
    with pytest.raises(ConfigError, match="message_window: want one duration"):
        of({"firm": {"message_window": {"watch": "1s"}}})


def test_every_limit_that_a_check_compares_is_measured(of: Make) -> None:
    """One that is not would never watch, warn or stop: each is set to what no order can keep."""
    tightest = {"quantity": "0.00000001", "money": "0.0001", "bps": 0, "count": 0, "duration": "0s"}
    longest = {"duplicate_window": "1h"}
    firm = {x.key: {"watch": longest.get(x.key, tightest[x.kind])} for x in c.LIMITS if a.FIRM in x.scopes}
    del firm["message_window"]
    core = of({"firm": firm})
    core.wait(1)
    goes(core, "A", side="1", px="101")
    goes(core, "B", side="1", px="101")
    goes(core, "C", side="2", px="98")
    watched = {check.limit for check in c.CHECKS if core.record.graded_orders[check.id, a.WATCH]}
    assert watched == set(firm) == {x.key for x in c.LIMITS} - {"message_window"}
