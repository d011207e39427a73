"""A price-time priority order book for one instrument, in exact integers.

Prices and quantities are int, fixed point 10^-8 (`_e8`). The book holds resting limit orders only: what a market, IOC
or FOK order cannot fill is not kept, and its remainder is the caller's to report.
"""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass

E8 = 10**8
"""Units of a fixed-point price or quantity in one whole."""

_DECIMAL = re.compile(r"-?(\d+\.?\d*|\.\d+)")


def parse_e8(text: str) -> int:
    """Decimal text (FIX Price, Qty) to units of 10^-8; ValueError if it is no decimal number or finer than that."""
    if not _DECIMAL.fullmatch(text):
        raise ValueError(f"not a decimal number: {text!r}")
    whole, _, fraction = text.lstrip("-").partition(".")
    fraction = fraction.rstrip("0")
    if len(fraction) > 8:
        raise ValueError(f"more than 8 decimals: {text!r}")
    magnitude = int(whole or "0") * E8 + int(fraction.ljust(8, "0"))
    return -magnitude if text.startswith("-") else magnitude


def format_e8(value_e8: int) -> str:
    """Units of 10^-8 to the shortest exact decimal text."""
    whole, fraction = divmod(abs(value_e8), E8)
    text = f"{whole}.{fraction:08d}".rstrip("0").rstrip(".")
    return f"-{text}" if value_e8 < 0 else text


@dataclass(frozen=True, slots=True)
class Trade:
    """One match, at the price of the resting (maker) order."""

    maker_id: str
    taker_id: str
    price_e8: int
    quantity_e8: int


@dataclass(slots=True)
class RestingOrder:
    """An order that rests in the book; `leaves_e8` is what is still open."""

    order_id: str
    buy: bool
    price_e8: int
    leaves_e8: int


class _Side:
    """Price levels of one side: `prices` ascending, and each level a dict of orders in order of arrival."""

    def __init__(self, buy: bool) -> None:
        self.buy = buy
        self.prices: list[int] = []
        self.levels: dict[int, dict[str, RestingOrder]] = {}

    def best(self) -> int | None:
        if not self.prices:
            return None
        return self.prices[-1] if self.buy else self.prices[0]

    def insert(self, order: RestingOrder) -> None:
        if order.price_e8 not in self.levels:
            insort(self.prices, order.price_e8)
            self.levels[order.price_e8] = {}
        self.levels[order.price_e8][order.order_id] = order

    def remove(self, order: RestingOrder) -> None:
        level = self.levels[order.price_e8]
        del level[order.order_id]
        if not level:
            del self.levels[order.price_e8]
            del self.prices[bisect_left(self.prices, order.price_e8)]

    def by_priority(self) -> Iterator[RestingOrder]:
        for price in reversed(self.prices) if self.buy else self.prices:
            yield from self.levels[price].values()


class MatchingBook:
    """Order book of one instrument. Order ids are the caller's and unique among resting orders."""

    def __init__(self) -> None:
        self._bids = _Side(buy=True)
        self._asks = _Side(buy=False)
        self._orders: dict[str, RestingOrder] = {}

    def add(
        self,
        order_id: str,
        buy: bool,
        quantity_e8: int,
        price_e8: int | None = None,
        *,
        immediate: bool = False,
        all_or_none: bool = False,
    ) -> list[Trade]:
        """Match an order and rest what is left of it; return its trades in order.

        `price_e8` None is a market order, which never rests. `immediate` is IOC; with `all_or_none` too it is FOK,
        which trades in full or not at all. ValueError for a quantity that is not positive or an id in use.
        """
        if quantity_e8 <= 0:
            raise ValueError(f"quantity of {order_id} must be positive, not {quantity_e8}")
        if order_id in self._orders:
            raise ValueError(f"order id {order_id} is in use")
        makers = self._asks if buy else self._bids
        if all_or_none and self._available(makers, price_e8, quantity_e8) < quantity_e8:
            return []
        trades: list[Trade] = []
        left_e8 = quantity_e8
        while left_e8 and (best := makers.best()) is not None and _reaches(buy, price_e8, best):
            maker = next(iter(makers.levels[best].values()))
            traded_e8 = min(left_e8, maker.leaves_e8)
            left_e8 -= traded_e8
            maker.leaves_e8 -= traded_e8
            trades.append(Trade(maker.order_id, order_id, best, traded_e8))
            if not maker.leaves_e8:
                self._remove(maker)
        if left_e8 and price_e8 is not None and not (immediate or all_or_none):
            order = RestingOrder(order_id, buy, price_e8, left_e8)
            self._orders[order_id] = order
            (self._bids if buy else self._asks).insert(order)
        return trades

    def cancel(self, order_id: str) -> int:
        """Take an order out; return the quantity it still had open, 0 if it does not rest here."""
        order = self._orders.get(order_id)
        if order is None:
            return 0
        self._remove(order)
        return order.leaves_e8

    def replace(self, order_id: str, price_e8: int, leaves_e8: int) -> list[Trade]:
        """Change price and open quantity of a resting order; return the trades a better price brings.

        A lower quantity at the same price keeps its place in the queue, every other change loses it. KeyError if the
        order does not rest here; ValueError for a quantity that is not positive (cancel it instead).
        """
        order = self._orders[order_id]
        if leaves_e8 <= 0:
            raise ValueError(f"quantity of {order_id} must be positive, not {leaves_e8}")
        if price_e8 == order.price_e8 and leaves_e8 <= order.leaves_e8:
            order.leaves_e8 = leaves_e8
            return []
        self._remove(order)
        return self.add(order_id, order.buy, leaves_e8, price_e8)

    def leaves_e8(self, order_id: str) -> int:
        """Open quantity of an order; 0 if it does not rest here."""
        order = self._orders.get(order_id)
        return order.leaves_e8 if order else 0

    def top(self, buy: bool) -> tuple[int, int] | None:
        """Best price of a side and the total quantity at it; None if the side is empty."""
        side = self._bids if buy else self._asks
        best = side.best()
        return None if best is None else (best, sum(order.leaves_e8 for order in side.levels[best].values()))

    def resting(self, buy: bool) -> list[RestingOrder]:
        """Orders of a side, best price first, then oldest first."""
        return list((self._bids if buy else self._asks).by_priority())

    def _remove(self, order: RestingOrder) -> None:
        del self._orders[order.order_id]
        (self._bids if order.buy else self._asks).remove(order)

    @staticmethod
    def _available(makers: _Side, price_e8: int | None, wanted_e8: int) -> int:
        total_e8 = 0
        for maker in makers.by_priority():
            if total_e8 >= wanted_e8 or not _reaches(not makers.buy, price_e8, maker.price_e8):
                break
            total_e8 += maker.leaves_e8
        return total_e8


def _reaches(buy: bool, limit_e8: int | None, price_e8: int) -> bool:
    """True if an order with this limit (None: market) may trade at `price_e8`."""
    if limit_e8 is None:
        return True
    return limit_e8 >= price_e8 if buy else limit_e8 <= price_e8
