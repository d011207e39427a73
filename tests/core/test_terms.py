"""The order that goes out is the order that was checked: terms that no check looks at are refused or left out."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from tests.support.checks import Reply, fired, passed, refused
from tests.support.core import BASE, Core

Terms = dict[str, str]

UNCHECKED: dict[str, Terms] = {
    "discretion": {"t388": "0", "t389": "50"},
    "discretion in ticks": {"t389": "2", "t842": "2"},
    "peg offset": {"t211": "50"},
    "peg offset in ticks": {"t211": "5", "t836": "2"},
    "option on the symbol": {"t167": "OPT", "t200": "202612", "t201": "1", "t202": "200"},
    "security type alone": {"t167": "OPT"},
    "maturity": {"t200": "202612"},
    "maturity date": {"t541": "20261218"},
    "strike": {"t202": "200"},
    "put or call by CFICode": {"t461": "OCASPS"},
    "another contract size": {"t231": "100"},
    "price in percent": {"t423": "1"},
    "another share class": {"t65": "WI"},
    "quantity in contracts": {"t854": "1"},
    "an amount of cash": {"t152": "100000000"},
    "a percentage": {"t516": "10"},
    "effective next year": {"t168": "20271231-00:00:00"},
    "cash or margin": {"t544": "2"},
    "target strategy": {"t847": "1"},
}
HARMLESS: dict[str, Terms] = {
    "text": {"t58": "from the desk"},
    "allocation": {"t78": "1", "t79": "SUB1", "t80": "100"},
    "handling and capacity": {"t528": "A", "t21": "1"},
    "minimum and shown quantity": {"t110": "10", "t111": "20"},
    "held, all or none": {"t18": "5 G"},
    "own currency": {"t15": "USD"},
    "expiry": {"t59": "6", "t432": "20260712"},
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Core:
    """One core for all orders of this file that share a config; the ClOrdIDs are numbered."""
    return Core(tmp_path_factory.mktemp("terms"))


def fresh_id(core: Core) -> str:
    return f"A{len(core.log)}"


@pytest.mark.parametrize("terms", UNCHECKED.values(), ids=UNCHECKED)
def test_unchecked_terms_are_refused(shared: Core, terms: Terms) -> None:
    text = refused(shared.new(fresh_id(shared), **terms), "WELL_FORMED")[58]
    assert any(tag.removeprefix("t") in text for tag in terms)


@pytest.mark.parametrize("instruction", "LMOPRWacde")
def test_an_exec_inst_that_moves_the_price_is_refused(shared: Core, instruction: str) -> None:
    refused(shared.new(fresh_id(shared), t18=instruction), "WELL_FORMED")
    refused(shared.new(fresh_id(shared), t18=f"1 {instruction}"), "WELL_FORMED")


def test_another_currency_is_another_instrument(shared: Core) -> None:
    refused(shared.new(fresh_id(shared), t15="KWD"), "KNOWN_INSTRUMENT")


@pytest.mark.parametrize("terms", HARMLESS.values(), ids=HARMLESS)
def test_harmless_terms_pass(shared: Core, terms: Terms) -> None:
    passed(shared.new(fresh_id(shared), **terms))


def test_groups(shared: Core) -> None:
    """Parties may be named, a trading session changes when the order works."""

    def order_with(*group: tuple[int, str]) -> Reply:
        order = [(1, "ACC1"), (11, fresh_id(shared)), (38, "100"), (40, "2"), (44, "100"), (54, "1"), (55, "AAPL")]
        return shared.message("EMS1", "D", [*order, (60, "20260711-12:00:00.000"), *group])

    passed(order_with((453, "1"), (448, "BROKER"), (447, "D"), (452, "1")))
    refused(order_with((386, "1"), (336, "PRE")), "WELL_FORMED")


@pytest.mark.parametrize("terms", [{"t65": "WI"}, {"t389": "50"}, {"t18": "R"}, {"t15": "KWD"}, {"t152": "1"}])
def test_a_replace_cannot_bring_them_in(shared: Core, terms: Terms) -> None:
    order, replace = fresh_id(shared), "G" + fresh_id(shared)
    passed(shared.new(order))
    wanted = "KNOWN_INSTRUMENT" if "t15" in terms else "WELL_FORMED"
    assert fired(shared.replace(replace, order, **terms)) == {wanted}


def test_a_cancel_is_not_held_to_them(shared: Core) -> None:
    order = fresh_id(shared)
    passed(shared.new(order))
    [(session, msg_type, child)] = shared.cancel("F" + order, order, t65="WI", t200="202612")
    assert (session, msg_type) == ("XNAS", "F")
    assert 65 not in child and 200 not in child


@pytest.mark.parametrize(
    ("ord_type", "price", "stop"), [("1", "9999", None), ("1", None, "0.001"), ("2", "100", "0.001"), ("3", "1", "100")]
)
def test_a_price_that_the_type_does_not_use_is_not_sent(
    shared: Core, ord_type: str, price: str | None, stop: str | None
) -> None:
    """A venue may read 40=2 with StopPx as a stop limit, 40=1 with Price as capped."""
    child = passed(shared.new(fresh_id(shared), px=price, t40=ord_type, t99=stop))
    assert child.get(44) == (price if ord_type in "24" else None)
    assert child.get(99) == (stop if ord_type in "34" else None)


@pytest.mark.parametrize("terms", [{"t65": "WI"}, {"t211": "50"}, {"t388": "0", "t389": "50"}, {"t200": "202612"}])
def test_carry_orders_lets_a_term_through(tmp_path: Path, terms: Terms) -> None:
    config = copy.deepcopy(BASE) | {"carry": {"orders": [int(tag[1:]) for tag in terms]}}
    child = passed(Core(tmp_path, config).new("A", **terms))
    assert {f"t{tag}": child.get(tag) for tag in (int(tag[1:]) for tag in terms)} == terms


@pytest.mark.parametrize("terms", [{"t65": "WI"}, {"t18": "T"}, {"t211": "1"}, {"t389": "1"}, {"t200": "202612"}])
def test_fix_42_too(tmp_path: Path, terms: Terms) -> None:
    config: dict[str, Any] = copy.deepcopy(BASE)
    for session in config["sessions"]:
        session["begin_string"] = "FIX.4.2"
    core = Core(tmp_path, config)
    refused(core.new("A", **terms), "WELL_FORMED")
    passed(core.new("B"))
