"""The order that goes out is the order that was checked: terms that no check looks at are refused or left out."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from tests.support.checks import Reply, fired, passed, refused
from tests.support.core import BASE, LIMITS, Core, of_version

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


@pytest.mark.parametrize("terms", [{"t65": "WI"}, {"t388": "0", "t389": "50"}, {"t200": "202612"}])
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


# Pegged orders: where venues take them, which `carry.orders` says by PegOffsetValue(211).


def with_pegs(folder: Path, version: str = "FIX.4.4", **venue: object) -> Core:
    return Core(folder, of_version(version, **venue) | {"carry": {"orders": [211]}})


@pytest.fixture(scope="module")
def pegging(tmp_path_factory: pytest.TempPathFactory) -> Core:
    core = with_pegs(tmp_path_factory.mktemp("pegs"))
    core.quote("AAPL", 99.9, 100.1, 100)
    return core


def test_a_pegged_order_is_refused_where_no_venue_takes_it(shared: Core) -> None:
    text = refused(shared.new(fresh_id(shared), t40="P", t18="R"), "WELL_FORMED")[58]
    assert "OrdType(40)=P (pegged) needs PegOffsetValue(211) in carry.orders" in text


@pytest.mark.parametrize("version", ["FIX.4.2", "FIX.4.4"])
@pytest.mark.parametrize("peg", "LMOPRW")
def test_a_peg_goes_out_with_what_it_says(tmp_path: Path, version: str, peg: str) -> None:
    core = with_pegs(tmp_path, version)
    child = passed(core.new("A", t40="P", t18=peg, t211="-0.01", px="101"))
    assert (child[40], child[18], child[211], child[44]) == ("P", peg, "-0.01", "101")
    [(_, _, report)] = core.report(child[11], "X1", "0", "0", t14="0", t151="100")
    assert (report[40], report[44]) == ("P", "101")


@pytest.mark.parametrize("instruction", "acde")
def test_what_no_limit_holds_is_refused_of_a_peg_too(pegging: Core, instruction: str) -> None:
    refused(pegging.new(fresh_id(pegging), t40="P", t18=f"R {instruction}"), "WELL_FORMED")


@pytest.mark.parametrize("instructions", [None, "G", "R P", "M M", "5 L R"])
def test_a_pegged_order_says_once_what_it_is_pegged_to(pegging: Core, instructions: str | None) -> None:
    text = refused(pegging.new(fresh_id(pegging), t40="P", t18=instructions, t211="0", px="101"), "WELL_FORMED")[58]
    assert text == "WELL_FORMED a pegged order needs exactly one of L, M, O, P, R, W in ExecInst(18)"
    passed(pegging.new(fresh_id(pegging), t40="P", t18="G R", t211="0", px="101"))


@pytest.mark.parametrize("ord_type", "1234")
def test_an_offset_on_an_order_that_is_not_pegged_is_refused(pegging: Core, ord_type: str) -> None:
    stop = {"t99": "101"} if ord_type in "34" else {}
    text = refused(pegging.new(fresh_id(pegging), t40=ord_type, t211="50", **stop), "WELL_FORMED")[58]
    assert text == "WELL_FORMED the gateway cannot check this term: 211=50"
    cl_ord_id = fresh_id(pegging)
    passed(pegging.new(cl_ord_id))
    assert fired(pegging.replace(fresh_id(pegging), cl_ord_id, t211="50")) == {"WELL_FORMED"}


def test_a_peg_is_judged_at_its_limit(pegging: Core) -> None:
    """It may trade there, whatever it is pegged to."""
    terms = {"t40": "P", "t18": "R", "t211": "0"}
    passed(pegging.new(fresh_id(pegging), **terms, px="105"))
    refused(pegging.new(fresh_id(pegging), **terms, px="105.01"), "PRICE_COLLAR")
    refused(pegging.new(fresh_id(pegging), **terms, px="100.005"), "TICK_SIZE")
    refused(pegging.new(fresh_id(pegging), **terms, px="-1"), "WELL_FORMED")


@pytest.mark.parametrize("terms", [{"t18": "R"}, {"t18": "R", "t211": "50"}, {"t18": "P"}])
def test_a_peg_without_a_limit_is_refused(pegging: Core, terms: Terms) -> None:
    """An offset, or the market, may take it anywhere."""
    assert "Price(44)" in refused(pegging.new(fresh_id(pegging), t40="P", px=None, **terms), "PRICE_COLLAR")[58]


@pytest.mark.parametrize(("side", "limit"), [("1", "105"), ("2", "95")])
def test_a_peg_without_a_limit_gets_the_collar(tmp_path: Path, side: str, limit: str) -> None:
    core = with_pegs(tmp_path, market_as_limit=True)
    core.quote("AAPL", 99.9, 100.1, 100)
    child = passed(core.new("A", side=side, t40="P", t18="R", t211="50", px=None))
    assert (child[40], child[44], child[211]) == ("P", limit, "50")


def test_a_peg_counts_with_the_worst_price_it_may_get(tmp_path: Path) -> None:
    """A sale pegged to the offer rests there, whatever its limit."""
    limits = copy.deepcopy(LIMITS)
    limits["account"]["default"]["max_order_notional"] = 10_050
    core = Core(tmp_path, of_version("FIX.4.4") | {"carry": {"orders": [211]}}, limits)
    core.quote("AAPL", 99, 101, 100)
    refused(core.new("A", side="2", t40="P", t18="R", px="99"), "MAX_ORDER_NOTIONAL")
    passed(core.new("B", side="2", qty="99", t40="P", t18="R", px="99"))


def test_the_exit_of_a_peg_with_a_limit_passes_on_an_old_price(pegging: Core) -> None:
    """As a limit order does; so does a replace that asks for less at the same limit."""
    terms = {"t40": "P", "t18": "R", "t211": "0", "px": "99"}
    cl_ord_id = fresh_id(pegging)
    child = passed(pegging.new(cl_ord_id, **terms))
    pegging.report(child[11], fresh_id(pegging), "0", "0", t14="0", t151="100")
    pegging.wait(3600)
    refused(pegging.new(fresh_id(pegging), **terms), "REFERENCE_PRICE")
    less = pegging.replace(fresh_id(pegging), cl_ord_id, **(terms | {"qty": "50"}))
    assert [message_type for _, message_type, _ in less] == ["G"]


def test_pegs_that_differ_are_no_duplicates(tmp_path: Path) -> None:
    limits = copy.deepcopy(LIMITS)
    limits["account"]["default"]["duplicate_window"] = "10s"
    core = Core(tmp_path, of_version("FIX.4.4") | {"carry": {"orders": [211]}}, limits)
    core.quote("AAPL", 99.9, 100.1, 100)
    terms = {"t40": "P", "px": "101"}
    passed(core.new("A", **terms, t18="R", t211="0"))
    passed(core.new("B", **terms, t18="R", t211="-0.01"))
    passed(core.new("C", **terms, t18="M", t211="0"))
    refused(core.new("D", **terms, t18="R", t211="0"), "DUPLICATE_ORDER")
    passed(core.new("E", px="101"))
    passed(core.new("F", px="101", t59="7"))
    refused(core.new("G", px="101", t59="7"), "DUPLICATE_ORDER")


def test_the_price_of_a_peg_now_is_not_its_limit(pegging: Core) -> None:
    pegging.quote("AAPL", 99.9, 100.1, 100)
    child = passed(pegging.new(fresh_id(pegging), t40="P", t18="P", px="101"))
    pegging.report(child[11], fresh_id(pegging), "0", "0", t14="0", t151="100")
    [(_, _, report)] = pegging.report(child[11], fresh_id(pegging), "D", "0", t14="0", t151="100", t44="103.98")
    assert report[44] == "101"


# At the opening and at the close.


@pytest.mark.parametrize("version", ["FIX.4.2", "FIX.4.4"])
def test_an_order_for_the_opening(tmp_path: Path, version: str) -> None:
    child = passed(Core(tmp_path, of_version(version)).new("A", t59="2"))
    assert (child[40], child[59]) == ("2", "2")


def crossed(folder: Path, ems: str, venue: str) -> Core:
    config = of_version(venue)
    config["sessions"][0]["begin_string"] = ems
    return Core(folder, config)


# As the EMS says it, FIX of the venue, as the venue hears it: OrdType(40), TimeInForce(59).
CLOSE = [
    ("FIX.4.4", ("1", "7"), "FIX.4.4", ("1", "7")),
    ("FIX.4.4", ("3", "7"), "FIX.4.4", ("3", "7")),
    ("FIX.4.4", ("1", "7"), "FIX.4.2", ("5", "0")),
    ("FIX.4.4", ("2", "7"), "FIX.4.2", ("B", "0")),
    ("FIX.4.2", ("5", None), "FIX.4.4", ("1", "7")),
    ("FIX.4.2", ("B", "0"), "FIX.4.4", ("2", "7")),
    ("FIX.4.2", ("5", "0"), "FIX.4.2", ("5", "0")),
    ("FIX.4.2", ("B", None), "FIX.4.2", ("B", "0")),
]


@pytest.mark.parametrize(("ems", "asked", "venue", "heard"), CLOSE)
def test_an_order_for_the_close(
    tmp_path: Path, ems: str, asked: tuple[str, str | None], venue: str, heard: tuple[str, str]
) -> None:
    core = crossed(tmp_path, ems, venue)
    ord_type, time_in_force = asked
    price = "100" if ord_type in "2B" else None
    stop = "100" if ord_type == "3" else None
    child = passed(core.new("A", px=price, t40=ord_type, t59=time_in_force, t99=stop))
    assert (child[40], child[59], child.get(44)) == (*heard, price)
    acknowledged = {"t20": "0"} if venue == "FIX.4.2" else {}
    [(_, _, report)] = core.report(child[11], "X1", "0", "0", t14="0", t151="100", **acknowledged)
    wanted = (ord_type, "0" if ems == "FIX.4.2" else time_in_force)
    assert (report[40], report[59]) == wanted


def test_a_stop_order_for_the_close_cannot_be_said_in_42(tmp_path: Path) -> None:
    core = crossed(tmp_path, "FIX.4.4", "FIX.4.2")
    refused(core.new("A", px=None, t40="3", t59="7", t99="100"), "TRANSLATION")


def test_an_order_for_the_close_that_is_good_till_canceled_is_refused(tmp_path: Path) -> None:
    core = Core(tmp_path, of_version("FIX.4.2"))
    for ord_type, words, px in (("5", "market on close", None), ("B", "limit on close", "100")):
        text = refused(core.new(f"A{ord_type}", px=px, t40=ord_type, t59="2"), "WELL_FORMED")[58]
        assert text == f"WELL_FORMED OrdType(40)={ord_type} ({words}) takes TimeInForce(59)=0 only"
