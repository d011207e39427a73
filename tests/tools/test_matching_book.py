"""The matching book: priority, time in force, replace, and its invariants over random histories."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate_tools.sim.matching_book import MatchingBook, RestingOrder, Trade, format_e8, parse_e8


def ids(orders: list[RestingOrder]) -> list[str]:
    return [order.order_id for order in orders]


def test_best_price_trades_first_then_oldest() -> None:
    book = MatchingBook()
    book.add("late", False, 5, 101)
    book.add("first", False, 5, 100)
    book.add("second", False, 5, 100)
    trades = book.add("taker", True, 12, 101)
    assert trades == [Trade("first", "taker", 100, 5), Trade("second", "taker", 100, 5), Trade("late", "taker", 101, 2)]
    assert book.top(buy=False) == (101, 3)
    assert book.top(buy=True) is None


def test_limit_remainder_rests_and_market_remainder_does_not() -> None:
    book = MatchingBook()
    book.add("ask", False, 3, 100)
    assert book.add("buy", True, 5, 100) == [Trade("ask", "buy", 100, 3)]
    assert book.leaves_e8("buy") == 2
    assert book.add("sell", False, 5) == [Trade("buy", "sell", 100, 2)]
    assert book.leaves_e8("sell") == 0
    assert book.resting(buy=False) == []


def test_ioc_takes_what_is_there_and_fok_all_or_nothing() -> None:
    book = MatchingBook()
    book.add("a", False, 3, 100)
    book.add("b", False, 3, 102)
    assert book.add("fok", True, 4, 101, all_or_none=True) == []
    assert book.top(buy=False) == (100, 3)
    assert book.add("ioc", True, 4, 101, immediate=True) == [Trade("a", "ioc", 100, 3)]
    assert book.resting(buy=True) == []
    assert book.add("fok2", True, 3, 102, all_or_none=True) == [Trade("b", "fok2", 102, 3)]


def test_replace_keeps_priority_only_for_a_decrease() -> None:
    book = MatchingBook()
    for name in "abc":
        book.add(name, True, 10, 100)
    book.replace("a", 100, 4)
    assert ids(book.resting(buy=True)) == ["a", "b", "c"]
    book.replace("a", 100, 5)
    assert ids(book.resting(buy=True)) == ["b", "c", "a"]
    book.replace("b", 99, 10)
    assert ids(book.resting(buy=True)) == ["c", "a", "b"]


def test_replace_to_a_crossing_price_trades() -> None:
    book = MatchingBook()
    book.add("ask", False, 2, 105)
    book.add("bid", True, 10, 100)
    assert book.replace("bid", 105, 10) == [Trade("ask", "bid", 105, 2)]
    assert book.leaves_e8("bid") == 8


def test_cancel_returns_what_was_open() -> None:
    book = MatchingBook()
    book.add("bid", True, 10, 100)
    assert book.cancel("bid") == 10
    assert book.cancel("bid") == 0
    assert book.top(buy=True) is None


def test_bad_input_is_refused() -> None:
    book = MatchingBook()
    book.add("x", True, 1, 100)
    with pytest.raises(ValueError, match="positive"):
        book.add("y", True, 0, 100)
    with pytest.raises(ValueError, match="in use"):
        book.add("x", True, 1, 100)
    with pytest.raises(KeyError):
        book.replace("unknown", 100, 1)


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=8))
def test_e8_round_trip(value: Decimal) -> None:
    units = parse_e8(format(value, "f"))
    assert units == int(value * 10**8)
    assert parse_e8(format_e8(units)) == units


@pytest.mark.parametrize("text", ["", ".", "1e5", "nan", "1,5", "0.123456789", "--1", "+1"])
def test_e8_refuses_what_is_not_a_plain_decimal(text: str) -> None:
    with pytest.raises(ValueError, match="decimal"):
        parse_e8(text)


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["limit", "limit", "limit", "market", "ioc", "fok", "cancel", "replace"]),
        st.booleans(),
        st.integers(95, 105),
        st.integers(1, 20),
        st.integers(0, 30),
    ),
    max_size=60,
)


def check_trades(trades: list[Trade], queue: list[RestingOrder], limit: int | None, buy: bool) -> None:
    """The trades walk the opposite side's queue from its front: nobody is passed over, only the last may be partial."""
    for trade, maker in zip(trades, queue, strict=False):
        assert (trade.maker_id, trade.price_e8) == (maker.order_id, maker.price_e8)
        assert limit is None or (trade.price_e8 <= limit if buy else trade.price_e8 >= limit)
    for trade, maker in list(zip(trades, queue, strict=False))[:-1]:
        assert trade.quantity_e8 == maker.leaves_e8


@settings(max_examples=150, deadline=None)
@given(ACTIONS)
def test_invariants_over_random_histories(actions: list[tuple[str, bool, int, int, int]]) -> None:
    book = MatchingBook()
    entered: dict[str, int] = {}
    gone: dict[str, int] = {}
    sides: dict[str, bool] = {}

    for number, (action, buy, price, quantity, pick) in enumerate(actions):
        name = f"o{number}"
        trades: list[Trade] = []
        if action in ("cancel", "replace"):
            name = f"o{pick}"
            if not book.leaves_e8(name):
                continue
            if action == "cancel":
                gone[name] += book.cancel(name)
            else:
                queue = [
                    RestingOrder(o.order_id, o.buy, o.price_e8, o.leaves_e8) for o in book.resting(not sides[name])
                ]
                entered[name] += quantity - book.leaves_e8(name)
                trades = book.replace(name, price, quantity)
                check_trades(trades, queue, price, sides[name])
        else:
            limit = None if action == "market" else price
            queue = [RestingOrder(o.order_id, o.buy, o.price_e8, o.leaves_e8) for o in book.resting(not buy)]
            trades = book.add(name, buy, quantity, limit, immediate=action == "ioc", all_or_none=action == "fok")
            entered[name], gone[name], sides[name] = quantity, 0, buy
            check_trades(trades, queue, limit, buy)
            traded = sum(t.quantity_e8 for t in trades)
            if action == "fok":
                assert traded in (0, quantity)
            if action != "limit":
                assert book.leaves_e8(name) == 0
                gone[name] += quantity - traded
        for trade in trades:
            gone[trade.maker_id] += trade.quantity_e8
            gone[trade.taker_id] += trade.quantity_e8

        for order_id, quantity_in in entered.items():
            assert quantity_in == gone[order_id] + book.leaves_e8(order_id)
        bid, ask = book.top(buy=True), book.top(buy=False)
        assert bid is None or ask is None or bid[0] < ask[0]
        bids = [o.price_e8 for o in book.resting(buy=True)]
        asks = [o.price_e8 for o in book.resting(buy=False)]
        assert bids == sorted(bids, reverse=True) and asks == sorted(asks)
