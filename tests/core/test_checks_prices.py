"""Every check of the catalogue fires alone and passes at its limit; this part: prices, positions, counts."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core import layout as a
from gateway.core.catalogue import RATE_SCOPES
from tests.support.checks import (
    NAMED,
    WHO,
    Make,
    at,
    config_with_everyone,
    fired,
    limits_with,
    passed,
    refused,
    scopes_of,
    text_at,
)
from tests.support.core import INSTRUMENTS, Core

# Prices


@pytest.mark.parametrize("scope", scopes_of("reference_max_age"))
def test_reference_price_age(make: Make, scope: int) -> None:
    core = make({at(scope): {"reference_max_age": "2s"}})
    core.wait(2)
    passed(core.new("A", **WHO))
    core.time_ns += 1
    refused(core.new("B", **WHO), "REFERENCE_PRICE")
    core.quote("AAPL", 99.99, 100.01)
    passed(core.new("C", **WHO))


def test_reference_price_none_known(make: Make) -> None:
    core = make(instruments=INSTRUMENTS.replace("10,1,200", "10,1,"))
    assert "none known" in refused(core.new("A", symbol="MSFT", t40="1", px=None), "REFERENCE_PRICE")[58]
    assert fired(core.new("B", symbol="MSFT")) == {"REFERENCE_PRICE"}


@pytest.mark.parametrize(
    ("quote", "reference"),
    [
        ((99, 101, 100.5), "100.5"),
        ((99, 101, 98), "99"),
        ((99, 101, 102), "101"),
        ((0, 0, 100.25), "100.25"),
        ((99, 0, 98), "98"),
        ((0, 101, 102), "102"),
    ],
)
def test_reference_price_is_the_last_trade_inside_the_quote(
    make: Make, quote: tuple[float, float, float], reference: str
) -> None:
    core = make({"instrument.MSFT": {"collar_bps": 0}}, instruments=INSTRUMENTS.replace("0.01,10,1,200", "0.01,1,1,"))
    core.quote("MSFT", *quote)
    passed(core.new("A", symbol="MSFT", px=reference))
    above = f"{float(reference) + 0.01:.2f}"
    assert refused(core.new("B", symbol="MSFT", px=above), "PRICE_COLLAR")[58].startswith(
        f"PRICE_COLLAR {above} > {reference} "
    )


def test_reference_price_is_the_middle_where_nothing_traded(make: Make) -> None:
    core = make(
        {"instrument.MSFT": {"collar_bps": 0}}, instruments=INSTRUMENTS.replace("0.01,10,1,200", "0.00000001,1,1,")
    )
    core.quote("MSFT", 99.99999998, 100.00000001)
    passed(core.new("A", symbol="MSFT", px="99.99999999"))
    refused(core.new("B", symbol="MSFT", px="100"), "PRICE_COLLAR")


def test_reference_price_ignores_crossed_quotes(make: Make) -> None:
    core = make()
    core.wait(4)
    core.quote("AAPL", 101, 99)
    core.wait(1.5)
    refused(core.new("A"), "REFERENCE_PRICE")


# A last trade that is older than reference_max_age (5 s) is no reference, whatever a quote says of now.


@pytest.mark.parametrize(("bid", "ask", "middle"), [(90, 99, 94.5), (101, 109, 105), (70, 139, 104.5)])
def test_an_old_last_trade_is_not_made_fresh_by_a_quote(make: Make, bid: float, ask: float, middle: float) -> None:
    core = make({"instrument.AAPL": {"collar_bps": 100}})
    core.wait(600)
    core.quote("AAPL", bid, ask)
    above, below = middle * 1.01, middle * 0.99
    passed(core.new("A", px=f"{above - 0.01:.2f}"))
    passed(core.new("B", px=f"{below + 0.01:.2f}", side="2"))
    refused(core.new("C", px=f"{above + 0.01:.2f}"), "PRICE_COLLAR")
    refused(core.new("D", px=f"{below - 0.01:.2f}", side="2"), "PRICE_COLLAR")


@pytest.mark.parametrize("ask", [140, 200.02, 139.99])
def test_a_wide_quote_alone_says_nothing_of_the_price(make: Make, ask: float) -> None:
    """Open auctions and halts have such."""
    core = make({"instrument.AAPL": {"collar_bps": 500}})
    core.wait(600)
    core.quote("AAPL", 0.01 if ask == 139.99 else ask / 2 - 0.01, ask)
    refused(core.new("A", px="104"), "REFERENCE_PRICE")
    refused(core.new("B", px=None, t40="1"), "REFERENCE_PRICE")
    refused(core.new("C", px="100", side="2"), "REFERENCE_PRICE")
    core.quote("AAPL", 0, 0, 100)
    passed(core.new("D", px="104"))


def test_a_quote_of_twice_its_bid_still_says_something(make: Make) -> None:
    core = make({"instrument.AAPL": {"collar_bps": 100}})
    core.wait(600)
    core.quote("AAPL", 80, 160)
    passed(core.new("A", px="121.20"))
    refused(core.new("B", px="121.21"), "PRICE_COLLAR")


def test_a_fresh_last_trade_counts_in_a_quote_of_any_width(make: Make) -> None:
    core = make({"instrument.AAPL": {"collar_bps": 100}})
    core.wait(600)
    core.quote("AAPL", 0.01, 139.99, 100)
    core.wait(5)
    passed(core.new("A", px="101"))
    refused(core.new("B", px="101.01"), "PRICE_COLLAR")
    core.quote("AAPL", 0.01, 139.99)
    core.time_ns += 1
    refused(core.new("C", px="101"), "REFERENCE_PRICE")


def test_an_exit_in_a_wide_quote_falls_back_to_the_last_good_price(make: Make) -> None:
    core = make({"instrument.AAPL": {"collar_bps": 500}}, positions=LONG_100)
    core.wait(600)
    core.quote("AAPL", 0.01, 139.99)
    refused(core.new("A", side="2", qty="100", px="89.99"), "PRICE_COLLAR")
    refused(core.new("B", side="2", qty="101", px="100"), "REFERENCE_PRICE")
    passed(core.new("C", side="2", qty="100", px="90"))


@pytest.mark.parametrize("scope", scopes_of("collar_bps"))
def test_price_collar(make: Make, scope: int) -> None:
    limits = limits_with({at(scope): {"collar_bps": 100}})
    core = make(limits=limits)
    for side, at_limit, inside, beyond in (
        ("1", "101", "50", "101.01"),
        ("2", "99", "150", "98.99"),
        ("5", "99", "150", "98.99"),
    ):
        more = {"t114": "N"} if side == "5" else {}
        passed(core.new(f"A{side}", side=side, px=at_limit, **WHO, **more))
        passed(core.new(f"B{side}", side=side, px=inside, **WHO, **more))
        text = refused(core.new(f"C{side}", side=side, px=beyond, **WHO, **more), "PRICE_COLLAR")[58]
        assert text_at(scope) in text and f"{beyond} {'>' if side == '1' else '<'} {at_limit} " in text
        passed(core.new(f"D{side}", side=side, px=None, t40="1", **WHO, **more))


def test_price_collar_distance_is_rounded_down(make: Make) -> None:
    instruments = "symbol,tick,lot\nAAPL,0.00000001,1\n"
    core = make({"instrument.AAPL": {"collar_bps": 3}}, instruments=instruments)
    core.quote("AAPL", 99.99999999, 99.99999999, 99.99999999)  # d = 0.029999999997 -> 0.02999999
    passed(core.new("A", px="100.02999998"))
    refused(core.new("B", px="100.02999999"), "PRICE_COLLAR")
    passed(core.new("C", side="2", px="99.97"))
    refused(core.new("D", side="2", px="99.96999999"), "PRICE_COLLAR")


def test_price_collar_of_a_stop_limit(make: Make) -> None:
    core = make({"instrument.AAPL": {"collar_bps": 100}})
    passed(core.new("A", t40="4", px="101", t99="101"))
    refused(core.new("B", t40="4", px="101.01", t99="101"), "PRICE_COLLAR")


LONG_100 = "account,symbol,quantity\nACC1,AAPL,100\n"
SHORT_100 = "account,symbol,quantity\nACC1,AAPL,-100\n"


@pytest.mark.parametrize(
    ("positions", "side", "at_limit", "beyond"), [(LONG_100, "2", "90", "89.99"), (SHORT_100, "1", "110", "110.01")]
)
def test_exit_may_use_an_old_reference_with_twice_the_collar(
    make: Make, positions: str, side: str, at_limit: str, beyond: str
) -> None:
    core = make({"instrument.AAPL": {"collar_bps": 500}}, positions=positions)
    core.wait(60)
    passed(core.new("A", side=side, qty="60", px=at_limit))
    refused(core.new("B", side=side, qty="40", px=beyond), "PRICE_COLLAR")
    refused(core.new("C", side=side, qty="41", px="100"), "REFERENCE_PRICE")
    refused(core.new("D", side=side, qty="40", px=None, t40="1"), "REFERENCE_PRICE")
    refused(core.new("E", side="1" if side == "2" else "2", qty="1", px="100"), "REFERENCE_PRICE")
    passed(core.new("F", side=side, qty="40", px="100"))


def test_exit_may_use_the_previous_close(make: Make) -> None:
    core = make({"instrument.MSFT": {"collar_bps": 500}}, positions="account,symbol,quantity\nACC1,MSFT,100\n")
    passed(core.new("A", symbol="MSFT", side="2", px="180", qty="10"))
    refused(core.new("B", symbol="MSFT", side="2", px="179.99", qty="10"), "PRICE_COLLAR")


def test_replace_that_adds_nothing_may_use_an_old_reference(make: Make) -> None:
    core = make()
    passed(core.new("A", qty="100"))
    core.wait(60)
    passed(core.replace("B", "A", qty="100", px="99"))
    refused(core.replace("C", "B", qty="101", px="99"), "REFERENCE_PRICE")


@pytest.mark.parametrize("scope", scopes_of("max_order_notional"))
def test_max_order_notional(make: Make, scope: int) -> None:
    instruments = "symbol,tick,lot,sector,asset_class\nAAPL,0.0001,1,DEVICES,STOCK\n"
    core = make({at(scope): {"max_order_notional": 10_000}}, instruments=instruments)
    passed(core.new("A", px="100", qty="100", **WHO))
    passed(core.new("B", px="9999.9999", qty="1", **WHO))
    text = refused(core.new("C", px="10000.0001", qty="1", **WHO), "MAX_ORDER_NOTIONAL")[58]
    assert text.startswith("MAX_ORDER_NOTIONAL 10000.0001 > 10000 ") and text_at(scope) in text


@pytest.mark.parametrize(
    ("fields", "worst"),
    [
        ({"side": "1", "px": "103"}, 103),
        ({"side": "1", "px": None, "t40": "1"}, 106),  # ask 101, collar 5
        ({"side": "1", "px": None, "t40": "3", "t99": "104"}, 106),
        ({"side": "1", "px": None, "t40": "3", "t99": "120"}, 120),
        ({"side": "1", "px": "102", "t40": "4", "t99": "101"}, 102),
        ({"side": "2", "px": "103"}, 103),
        ({"side": "2", "px": "98"}, 100),  # the reference
        ({"side": "2", "px": None, "t40": "1"}, 100),
        ({"side": "2", "px": None, "t40": "3", "t99": "97"}, 100),
        ({"side": "5", "px": "99", "t114": "N"}, 100),
    ],
)
def test_max_order_notional_takes_the_worst_price(make: Make, fields: dict[str, Any], worst: int) -> None:
    changes = {"instrument.AAPL": {"collar_bps": 500}, "account.ACC1": {"max_order_notional": worst * 10}}
    core = make(changes)
    core.quote("AAPL", 99, 101, 100)
    passed(core.new("A", qty="10", **fields))
    refused(core.new("B", qty="11", **fields), "MAX_ORDER_NOTIONAL")
    changes["account.ACC1"] = {"max_order_notional": worst * 10 - 0.0001}
    core = make(changes)
    core.quote("AAPL", 99, 101, 100)
    refused(core.new("A", qty="10", **fields), "MAX_ORDER_NOTIONAL")


def test_max_order_notional_of_a_sell_counts_the_bid_above_the_last_trade(make: Make) -> None:
    core = make({"account.ACC1": {"max_order_notional": 1010}})
    core.quote("AAPL", 101, 102, 100)
    passed(core.new("A", side="2", qty="10", px="100"))
    refused(core.new("B", side="2", qty="11", px="100"), "MAX_ORDER_NOTIONAL")


def test_max_order_notional_with_multiplier_and_currency(make: Make) -> None:
    config = config_with_everyone()
    config["rates"] = {"EUR": {"rate": "1.123456789", "date": "2026-07-10"}}
    instruments = "symbol,tick,lot,multiplier,currency\nAAPL,0.01,1,,\nESZ6,0.25,1,50,\nFDAX,0.5,1,25,EUR\n"
    core = make({"account.ACC1": {"max_order_notional": 225_000}}, config=config, instruments=instruments)
    core.quote("ESZ6", 4500, 4500, 4500)
    passed(core.new("A", symbol="ESZ6", px="4500", qty="1"))
    refused(core.new("B", symbol="ESZ6", px="4500.25", qty="1"), "MAX_ORDER_NOTIONAL")
    core.quote("FDAX", 8000, 8000, 8000)
    # 25 x 1.123456789 = 28.086419725 -> 28.08641973 a point; 8011 points are 225000.30846..., 8010.5 are 224986.2652...
    passed(core.new("C", symbol="FDAX", px="8010.5", qty="1"))
    refused(core.new("D", symbol="FDAX", px="8011", qty="1"), "MAX_ORDER_NOTIONAL")


def test_max_order_notional_without_a_rate_blocks(make: Make) -> None:
    core = make(instruments="symbol,tick,currency\nAAPL,0.01,JPY\n")
    refused(core.new("A"), "MAX_ORDER_NOTIONAL")


def test_max_order_notional_too_large_to_compute_blocks(make: Make) -> None:
    core = make(instruments="symbol,tick,multiplier\nAAPL,0.01,10000000000\n")
    assert "too large" in refused(core.new("A", qty="10000000000", px="10000000000"), "MAX_ORDER_NOTIONAL")[58]


# Positions


@pytest.mark.parametrize("scope", scopes_of("max_long"))
@pytest.mark.parametrize(("key", "side"), [("max_long", "1"), ("max_short", "2"), ("max_short", "5")])
def test_max_long_and_max_short(make: Make, scope: int, key: str, side: str) -> None:
    core = make({at(scope): {key: 500}})
    more = {**WHO, "t114": "N"} if side == "5" else dict(WHO)
    child = passed(core.new("A", side=side, qty="300", **more))
    core.report(child[11], "e1", "F", "1", t32="100", t31="100", t14="100", t54=side)
    passed(core.new("B", side=side, qty="100", **more))
    text = refused(core.new("C", side=side, qty="101", **more), key.upper())[58]
    assert text.startswith(f"{key.upper()} 501 > 500 ") and text_at(scope) in text
    passed(core.new("D", side=side, qty="100", **more))
    passed(core.new("E", side="2" if side == "1" else "1", qty="5000", **WHO))
    refused(core.new("F", side=side, qty="1", **more), key.upper())


@pytest.mark.parametrize(("key", "sign", "exit_side"), [("max_long", 1, "2"), ("max_short", -1, "1")])
def test_exits_pass_when_the_position_is_beyond_its_limit(make: Make, key: str, sign: int, exit_side: str) -> None:
    positions = f"account,symbol,quantity\nACC1,AAPL,{sign * 1000}\n"
    core = make({"account.ACC1": {key: 500}, "firm": {key: 400}, "instrument.AAPL": {key: 300}}, positions=positions)
    passed(core.new("A", side=exit_side, qty="1000"))
    refused(core.new("B", side="1" if exit_side == "2" else "2", qty="1"), key.upper())


def test_opposite_working_orders_do_not_net(make: Make) -> None:
    core = make({"account.ACC1": {"max_long": 500, "max_short": 500}})
    passed(core.new("A", side="1", qty="500"))
    passed(core.new("B", side="2", qty="500"))
    refused(core.new("C", side="1", qty="1"), "MAX_LONG")
    refused(core.new("D", side="2", qty="1"), "MAX_SHORT")


def test_a_replace_counts_what_it_adds(make: Make) -> None:
    core = make({"account.ACC1": {"max_long": 500}})
    child = passed(core.new("A", qty="300"))
    core.report(child[11], "e1", "F", "1", t32="200", t31="100", t14="200")
    passed(core.replace("B", "A", qty="500"))
    assert refused(core.replace("C", "B", qty="501"), "MAX_LONG")[58].startswith("MAX_LONG 501 > 500 ")
    passed(core.replace("D", "B", qty="250"))
    refused(core.new("E", qty="1"), "MAX_LONG")


def test_replace_down_passes_when_beyond_the_limit(make: Make) -> None:
    core = make({"account.ACC1": {"max_long": 500}}, positions="account,symbol,quantity\nACC1,AAPL,100\n")
    child = passed(core.new("A", qty="400"))
    core.report("C9-99", "e9", "F", "2", t1="ACC1", t32="100", t31="100", t14="100")
    assert core.exposure(a.ACCOUNT, "ACC1", "AAPL")[0] == 200 * 10**8
    passed(core.replace("B", "A", qty="399"))
    assert child[38] == "400"


# Counts


@pytest.mark.parametrize("scope", scopes_of("max_open_orders"))
def test_max_open_orders(make: Make, scope: int) -> None:
    core = make({at(scope): {"max_open_orders": 2}})
    first = passed(core.new("A", **WHO))
    passed(core.new("B", **WHO))
    text = refused(core.new("C", **WHO), "MAX_OPEN_ORDERS")[58]
    assert text.startswith("MAX_OPEN_ORDERS 3 > 2 ") and text_at(scope) in text
    passed(core.replace("R", "A", qty="120", **WHO))
    core.report(first[11], "e1", "4", "4")
    passed(core.new("D", **WHO))
    refused(core.new("E", **WHO), "MAX_OPEN_ORDERS")


def rate_core(make: Make, scope: int, number: int, window: str = "1s") -> Core:
    limits = limits_with({"session.default": {"max_messages": "unlimited"}})
    limits_at = limits.setdefault(a.SCOPE_NAMES[scope], {})
    (limits_at if scope == a.FIRM else limits_at.setdefault(NAMED[scope], {})).update(
        {"max_messages": number, "message_window": window}
    )
    return make(limits=limits)


@pytest.mark.parametrize("scope", [scope for scope in RATE_SCOPES if scope != a.VENUE])
def test_max_messages(make: Make, scope: int) -> None:
    core = rate_core(make, scope, 3)
    for number in range(3):
        passed(core.new(f"A{number}", **WHO))
    text = refused(core.new("B", **WHO), "MAX_MESSAGES")[58]
    assert text.startswith("MAX_MESSAGES 4 > 3 ") and text_at(scope) in text
    assert fired(core.replace("R", "A0", qty="50", **WHO)) == {"MAX_MESSAGES"}
    assert core.cancel("C", "A0")[0][:2] == ("XNAS", "F"), "cancels always pass"
    core.wait(1.0625)
    core.quote("AAPL", 99.99, 100.01)
    passed(core.new("B", **WHO))  # its ClOrdID is free: it was refused for message rate


def test_max_messages_counts_refused_ones_and_cancels_at_the_session(make: Make) -> None:
    core = rate_core(make, a.SESSION, 3)
    refused(core.new("A", symbol="NOPE"), "KNOWN_INSTRUMENT")
    core.cancel("B", "A")
    core.message("EMS1", "H", [(11, "A"), (54, "1"), (55, "AAPL"), (37, "X")])
    refused(core.new("C"), "MAX_MESSAGES")


@pytest.mark.parametrize("window_ms", [1000, 250, 60_000])
def test_max_messages_window_is_a_sixteenth_longer_at_most(make: Make, window_ms: int) -> None:
    core = rate_core(make, a.ACCOUNT, 2, f"{window_ms}ms")
    slice_ns = -(-window_ms * 10**6 // 16)
    start = core.time_ns = (core.time_ns // slice_ns + 1) * slice_ns
    core.quote("AAPL", 99.99, 100.01)
    passed(core.new("A"))
    passed(core.new("B"))
    core.time_ns = start + 17 * slice_ns - 1
    core.quote("AAPL", 99.99, 100.01)
    refused(core.new("C"), "MAX_MESSAGES")
    core.time_ns = start + 17 * slice_ns
    passed(core.new("D"))
    refused(core.new("E"), "MAX_MESSAGES")


def test_max_messages_of_one_session_leaves_the_other_alone(make: Make) -> None:
    core = rate_core(make, a.SESSION, 1)
    passed(core.new("A"))
    refused(core.new("B"), "MAX_MESSAGES")
    passed(core.new("B", session="EMS2"))


@pytest.mark.parametrize("scope", scopes_of("duplicate_window"))
def test_duplicate_order(make: Make, scope: int) -> None:
    core = make({at(scope): {"duplicate_window": "500ms"}})
    passed(core.new("A", **WHO))
    core.time_ns += 500 * 10**6 - 1
    assert refused(core.new("B", **WHO), "DUPLICATE_ORDER")[103] == "6"
    core.time_ns += 1
    passed(core.new("C", **WHO))


def test_duplicate_order_means_equal_in_all_terms(make: Make) -> None:
    core = make({"account.ACC1": {"duplicate_window": "1s"}})
    core.quote("MSFT", 99.99, 100.01)
    passed(core.new("A", t40="4", t99="100"))
    changes = [
        {"t1": "ACC2"},
        {"symbol": "MSFT"},
        {"side": "2"},
        {"t40": "2", "t99": None},
        {"qty": "99"},
        {"px": "99.99"},
        {"t99": "100.01"},
    ]
    for number, change in enumerate(changes):
        passed(core.new(f"B{number}", **{"t40": "4", "t99": "100", **change}))
    refused(core.new("C", t40="4", t99="100.00", qty="100.0", px="0100"), "DUPLICATE_ORDER")


def test_duplicate_order_the_longest_window_counts(make: Make) -> None:
    core = make({"account.ACC1": {"duplicate_window": "100ms"}, "firm": {"duplicate_window": "2s"}})
    passed(core.new("A"))
    core.wait(1.9)
    refused(core.new("B"), "DUPLICATE_ORDER")


@pytest.mark.parametrize("end", ["4", "8", "C"])
def test_an_order_that_came_to_nothing_does_not_block_its_own_re_entry(make: Make, end: str) -> None:
    """Whether its venue refused it, its sender canceled it or it expired."""
    core = make({"account.ACC1": {"duplicate_window": "1m"}})
    child = passed(core.new("A"))
    core.report(child[11], "E1", end, end, t14="0", t151="0")
    child = passed(core.new("B"))
    refused(core.new("C"), "DUPLICATE_ORDER")
    core.report(child[11], "E2", "F", "1", t32="1", t31="100", t14="1", t151="99")
    core.report(child[11], "E3", end, end, t14="1", t151="0")
    refused(core.new("D"), "DUPLICATE_ORDER")


def test_a_cancel_that_its_venue_has_not_answered_leaves_the_order_a_duplicate(make: Make) -> None:
    core = make({"account.ACC1": {"duplicate_window": "1m"}})
    child = passed(core.new("A"))
    core.report(child[11], "E1", "0", "0")
    [(_, _, cancel)] = core.cancel("C1", "A")
    refused(core.new("B"), "DUPLICATE_ORDER")
    core.report(cancel[11], "E2", "4", "4", t41=child[11], t14="0", t151="0")
    passed(core.new("D"))


def test_duplicate_order_of_a_refused_order_is_none(make: Make) -> None:
    core = make({"account.ACC1": {"duplicate_window": "1s", "max_order_qty": 50}})
    refused(core.new("A"), "MAX_ORDER_QTY")
    refused(core.new("B"), "MAX_ORDER_QTY")


def test_duplicate_order_off(make: Make) -> None:
    core = make({"account.ACC1": {"duplicate_window": "0s"}})
    passed(core.new("A"))
    passed(core.new("B"))
