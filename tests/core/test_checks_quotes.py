"""Quotes too wide to say where a price is (`max_quote_spread`), and orders without a limit that would pay them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.core import layout as a
from gateway.core.driver import Driver
from gateway.core.layout import NONE
from gateway.state.carry_over import carry
from tests.support.checks import NAMED, WHO, Make, Reply, at, config_with_everyone, fired, passed, refused, scopes_of
from tests.support.core import INSTRUMENTS, Core

LONG = "account,symbol,quantity\nACC1,AAPL,1000\n"
COLLAR = {"instrument.AAPL": {"collar_bps": 500}}
NARROW = {"instrument.AAPL": {"collar_bps": 500, "max_quote_spread": 200}}


def of(make: Make, limits: dict[str, dict[str, Any]], market_as_limit: bool = False, **more: Any) -> Core:
    """A core that has seen AAPL trade at 187.20."""
    config = config_with_everyone()
    config["sessions"][1]["market_as_limit"] = market_as_limit
    core = make(limits, config=config, **more)
    core.quote("AAPL", 187, 187.4, 187.2)
    return core


def told(reply: Reply) -> list[str]:
    """What a refusal says of the age of the reference price, and of the width of the quote."""
    assert fired(reply) == {"REFERENCE_PRICE", "MAX_QUOTE_SPREAD"}
    return reply[0][2][58].split("; ")


@pytest.mark.parametrize("scope", scopes_of("max_quote_spread"))
def test_max_quote_spread_is_the_width_up_to_which_a_quote_counts(make: Make, scope: int) -> None:
    core = make({at(scope): {"max_quote_spread": 200}})
    core.wait(60)
    core.quote("AAPL", 99, 101)
    passed(core.new("A", **WHO))
    core.quote("AAPL", 99, 101.01)
    age, width = told(core.new("B", **WHO))
    place = f"{a.SCOPE_NAMES[scope]} {NAMED[scope]}".strip()
    assert age.startswith("REFERENCE_PRICE 60000ms > 5000ms")
    assert width == f"MAX_QUOTE_SPREAD 201 bps > 200 bps ({place})"


def test_an_old_trade_in_a_wide_quote_bounds_exits_only(make: Make) -> None:
    core = of(make, NARROW, positions=LONG)
    core.wait(31)
    core.quote("AAPL", 150, 295)
    assert fired(core.new("A", px="233")) == {"REFERENCE_PRICE", "MAX_QUOTE_SPREAD", "PRICE_COLLAR"}
    told(core.new("A2", px="187"))
    passed(core.new("B", side="2", px="187"))
    refused(core.new("C", side="2", px="168.47"), "PRICE_COLLAR")  # twice the collar below 187.20


def test_a_fresh_trade_counts_whatever_the_quote(make: Make) -> None:
    core = of(make, NARROW)
    core.quote("AAPL", 150, 295, 187.2)
    passed(core.new("A", px="196.56"))
    refused(core.new("B", px="196.57"), "PRICE_COLLAR")
    core.quote("AAPL", 200, 295)
    passed(core.new("C", px="196.56"))
    refused(core.new("D", px="196.57"), "PRICE_COLLAR")  # a bid above it moves the reference only where it counts


def test_where_nothing_traded_a_wide_quote_is_no_price(make: Make) -> None:
    core = make({"instrument.MSFT": {"max_quote_spread": 200}}, instruments=INSTRUMENTS.replace("10,1,200", "10,1,"))
    core.quote("MSFT", 180, 195)
    age, width = told(core.new("A", symbol="MSFT", px="187"))
    assert (age, width) == ("REFERENCE_PRICE none known", "MAX_QUOTE_SPREAD 800 bps > 200 bps (instrument MSFT)")
    core.quote("MSFT", 0, 0)
    refused(core.new("B", symbol="MSFT", px="187"), "REFERENCE_PRICE")


@pytest.mark.parametrize(("bid_e8", "told_bps"), [(1, 10_000), (10**8, 6667), (4 * 10**15, 6667), (9 * 10**17, 6667)])
def test_the_width_is_told_rounded_up(make: Make, bid_e8: int, told_bps: int) -> None:
    """So a quote that is too wide is never told as wide as its limit; prices of any size fit."""
    core = make({"instrument.AAPL": {"max_quote_spread": 200}})
    i = core.record.instruments[0]
    i.last_e8, i.last_ns, i.bid_e8, i.ask_e8 = 0, NONE, bid_e8, 2 * bid_e8
    assert told(core.new("A"))[1] == f"MAX_QUOTE_SPREAD {told_bps} bps > 200 bps (instrument AAPL)"


@pytest.mark.parametrize("terms", [{"t40": "1"}, {"t40": "3", "t99": "190"}])
def test_what_a_market_or_stop_order_would_pay_is_held_against_the_collar(make: Make, terms: dict[str, str]) -> None:
    core = of(make, COLLAR)
    core.quote("AAPL", 187.1, 196.56, 187.2)
    passed(core.new("A", px=None, **terms))
    core.quote("AAPL", 187.1, 240)
    text = refused(core.new("B", px=None, **terms), "PRICE_COLLAR")[58]
    assert text == "PRICE_COLLAR 240 > 196.56 (instrument AAPL)"
    core.quote("AAPL", 170, 187.3, 187.2)
    refused(core.new("C", side="2", px=None, **terms | {"t99": "180"} if "t99" in terms else terms), "PRICE_COLLAR")


@pytest.mark.parametrize(("side", "quote", "price"), [("1", (187.1, 240), "196.56"), ("2", (150, 187.3), "177.84")])
@pytest.mark.parametrize(("ord_type", "became"), [("1", "2"), ("3", "4")])
def test_it_goes_out_as_a_limit_order_at_the_collar_where_the_venue_says_so(
    make: Make, side: str, quote: tuple[float, float], price: str, ord_type: str, became: str
) -> None:
    core = of(make, COLLAR, True)
    core.quote("AAPL", *quote, 187.2)
    stop = {"t99": "188"} if ord_type == "3" else {}
    child = passed(core.new("A", side=side, qty="10", px=None, t40=ord_type, **stop))
    assert (child[40], child[44], child.get(99)) == (became, price, stop.get("t99"))
    [(_, _, told)] = core.report("C1-0", "E1", "0", "0")
    assert (told[40], told[44]) == (became, price)


def test_the_limit_is_on_the_tick_and_counts_as_its_worst_price(make: Make) -> None:
    core = of(make, {"instrument.AAPL": {"collar_bps": 333}, "account.ACC1": {"max_order_notional": 1935}}, True)
    core.quote("AAPL", 187.1, 240, 187.2)
    assert passed(core.new("A", qty="10", px=None, t40="1"))[44] == "193.43"  # of 193.43376
    refused(core.new("B", qty="11", px=None, t40="1"), "MAX_ORDER_NOTIONAL")
    core.quote("AAPL", 150, 187.3)
    assert passed(core.new("C", side="2", qty="1", px=None, t40="1"))[44] == "180.97"  # of 180.96624


def test_an_equal_market_order_is_a_duplicate_of_one_that_got_a_limit(make: Make) -> None:
    core = of(make, COLLAR | {"account.ACC1": {"duplicate_window": "1s"}}, True)
    core.quote("AAPL", 187.1, 240, 187.2)
    passed(core.new("A", px=None, t40="1"))
    refused(core.new("B", px=None, t40="1"), "DUPLICATE_ORDER")
    passed(core.new("C", px="187"))


def test_a_replace_of_it_gets_the_collar_of_its_own_time(make: Make) -> None:
    core = of(make, COLLAR, True)
    core.quote("AAPL", 187.1, 240, 187.2)
    passed(core.new("A", px=None, t40="1"))
    core.report("C1-0", "E1", "0", "0")
    core.quote("AAPL", 199, 240, 200)
    child = passed(core.replace("R", "A", qty="50", px=None, t40="1"))
    assert (child[40], child[44]) == ("2", "210")


def test_where_the_collar_is_below_a_tick_a_market_order_is_refused(make: Make) -> None:
    core = of(make, {"instrument.AAPL": {"collar_bps": 0}}, True)
    core.record.instruments[0].last_e8 = 900_000
    core.record.instruments[0].bid_e8, core.record.instruments[0].ask_e8 = 0, 2_000_000
    refused(core.new("A", px=None, t40="1"), "PRICE_COLLAR")


def test_without_a_quote_it_gets_the_collar_too(make: Make) -> None:
    core = of(make, COLLAR, True)
    core.quote("AAPL", 0, 0, 187.2)
    assert passed(core.new("A", px=None, t40="1"))[44] == "196.56"


def test_an_equal_market_order_is_a_duplicate_over_other_settings_too(make: Make, tmp_path: Path) -> None:
    core = of(make, COLLAR | {"account.ACC1": {"duplicate_window": "1m"}}, True)
    core.quote("AAPL", 187.1, 240, 187.2)
    passed(core.new("A", px=None, t40="1"))
    core.state = carry(core.state, core.settings)
    core.driver = Driver(core.state.block)
    refused(core.new("B", px=None, t40="1"), "DUPLICATE_ORDER")


def test_without_a_collar_a_market_order_goes_as_it_is(make: Make) -> None:
    core = of(make, {})
    core.quote("AAPL", 187.1, 240)
    assert passed(core.new("A", px=None, t40="1"))[40] == "1"
