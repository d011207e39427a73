"""The order side of the venue simulator without its wires: FIX requests in, FIX replies out, matching in between.

Pure apart from the time stamps: no sockets, threads or QuickFIX. `venue.py` puts sessions, market data and faults
around it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from tidegate_tools.fix.text import Fields, first, utc_now
from tidegate_tools.sim.matching_book import MatchingBook, Trade, format_e8, parse_e8

NEW, PARTIAL, FILLED, CANCELED, REPLACED, REJECTED, EXPIRED = "0", "1", "2", "4", "5", "8", "C"
OPEN = frozenset((NEW, PARTIAL))
BUYS, SELLS = frozenset("13"), frozenset("2456")
RESTING_TIF, AT_THE_CLOSE = frozenset("0126"), "7"  # one for the opening trades at once, as a day order does
MARKET, LIMIT = frozenset("15"), frozenset("2BP")  # a pegged order rests at its Price(44): no peg is simulated


@dataclass(frozen=True, slots=True)
class Reply:
    """A message to send: body fields in order, and header fields beyond the session's own."""

    session: str
    msg_type: str
    body: Fields
    header: Fields = field(default_factory=list)


@dataclass(slots=True)
class Execution:
    """One fill as reported; both sides of a trade share `trade`."""

    exec_id: str
    trade: int
    quantity_e8: int
    price_e8: int
    busted: bool = False


@dataclass(slots=True)
class VenueOrder:
    """An order as the venue sees it. `status` is FIX OrdStatus(39); `cl_ord_id` is the last one accepted."""

    session: str
    order_id: str
    cl_ord_id: str
    symbol: str
    side: str
    ord_type: str = "2"
    time_in_force: str = "0"
    quantity_e8: int = 0
    price_e8: int | None = None
    account: str = ""
    status: str = NEW
    cum_e8: int = 0
    text: str = ""
    executions: list[Execution] = field(default_factory=list)

    @property
    def leaves_e8(self) -> int:
        """LeavesQty(151): zero once the order is terminal."""
        return self.quantity_e8 - self.cum_e8 if self.status in OPEN else 0

    @property
    def for_the_close(self) -> bool:
        """Whether it waits for a closing auction: OrdType(40) 5 or B in FIX 4.2, TimeInForce(59) 7 in FIX 4.4."""
        return self.ord_type in ("5", "B") or self.time_in_force == AT_THE_CLOSE

    @property
    def average_e8(self) -> int:
        """AvgPx(6), rounded half up to 10^-8."""
        good = [e for e in self.executions if not e.busted]
        total = sum(e.quantity_e8 for e in good)
        return (2 * sum(e.quantity_e8 * e.price_e8 for e in good) + total) // (2 * total) if total else 0


class Refusal(Exception):
    """A request that is refused: text (58) and reason, 103 for a new order or 102 for a cancel or replace."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What the venue accepts and how it trades. Zero means no such rule."""

    listed: frozenset[str] = frozenset()
    """If not empty, only these symbols trade."""
    lot_e8: int = 0
    fill_slice_e8: int = 0
    """Report each trade as several fills of at most this quantity."""
    pending_acks: bool = False
    """Send PendingNew, PendingCancel and PendingReplace reports first."""
    mass_cancel: bool = True
    """Serve OrderMassCancelRequest (35=q, FIX 4.4) for all orders (530=7) or those of a symbol (530=1)."""
    reject_probability: float = 0.0
    reject_rule: Callable[[Fields], str | None] | None = None
    """Called with each new order; a text it returns rejects the order."""


class Exchange:
    """Books, orders and FIX order semantics of one venue. Every request returns the replies it causes, in order."""

    def __init__(self, rules: Rules, seed: int = 0, id_prefix: str = "") -> None:
        self.rules = rules
        self.books: dict[str, MatchingBook] = {}
        self.last_trade: dict[str, tuple[int, int]] = {}
        """Symbol to price and quantity (both e8) of the last trade; a reference price has quantity 0."""
        self.touched: set[str] = set()
        """Symbols whose book or last trade may have changed; the market data side empties it."""
        self.by_cl_ord_id: dict[tuple[str, str], VenueOrder] = {}
        self.unknown_enum = False
        """Fault: fills carry an ExecType that FIX does not know."""
        self._by_order_id: dict[str, VenueOrder] = {}
        self._refused: dict[tuple[str, str], VenueOrder] = {}
        self._random = random.Random(seed)
        self._prefix = id_prefix
        self._count = 0
        self._trades = 0

    # Requests

    def request(self, session: str, message: Fields) -> list[Reply]:
        """Serve one application message of a session."""
        handlers = {"D": self._new, "F": self._cancel, "G": self._replace, "H": self._status}
        if self.rules.mass_cancel and not session.startswith("FIX.4.2"):
            handlers["q"] = self._mass_cancel
        handler = handlers.get(first(message, 35))
        return handler(session, message) if handler else [business_reject(session, message)]

    def _new(self, session: str, message: Fields) -> list[Reply]:
        key = (session, first(message, 11))
        if key in self.by_cl_ord_id and "Y" in (first(message, 43), first(message, 97)):
            return []
        order = VenueOrder(
            session=session,
            order_id=self._next_id("O"),
            cl_ord_id=key[1],
            symbol=first(message, 55),
            side=first(message, 54),
            ord_type=first(message, 40),
            time_in_force=first(message, 59, "0"),
            account=first(message, 1),
        )
        try:
            self._check_duplicate(key)
            self._validate(order, message)
        except Refusal as refusal:
            order.status, order.text = REJECTED, str(refusal)
            self.by_cl_ord_id.setdefault(key, order)
            return [self._report(order, REJECTED, extra=[(103, refusal.reason), (58, order.text)])]
        self.by_cl_ord_id[key] = self._by_order_id[order.order_id] = order
        replies = [self._report(order, "A", status="A")] if self.rules.pending_acks else []
        return [*replies, self._report(order, NEW), *self._enter(order)]

    def _cancel(self, session: str, message: Fields) -> list[Reply]:
        try:
            order = self._find_open(session, message)
        except Refusal as refusal:
            return [self._cancel_reject(session, message, refusal, "1")]
        key = (session, first(message, 11))
        replies = self._pending(order, "6", key[1])
        orig, order.cl_ord_id = order.cl_ord_id, key[1]
        self.by_cl_ord_id[key] = order
        return [*replies, self._close(order, CANCELED, [(41, orig)])]

    def _replace(self, session: str, message: Fields) -> list[Reply]:
        try:
            order = self._find_open(session, message)
            wanted = self._wanted(order, message)
        except Refusal as refusal:
            return [self._cancel_reject(session, message, refusal, "2")]
        key = (session, first(message, 11))
        replies = self._pending(order, "E", key[1])
        orig, order.cl_ord_id = order.cl_ord_id, key[1]
        self.by_cl_ord_id[key] = order
        order.ord_type, order.time_in_force, order.price_e8 = wanted.ord_type, wanted.time_in_force, wanted.price_e8
        order.quantity_e8 = max(wanted.quantity_e8, order.cum_e8)
        book = self.book(order.symbol)
        if order.quantity_e8 == order.cum_e8:
            book.cancel(order.order_id)
            self.touched.add(order.symbol)
            order.status = FILLED
            return [*replies, self._report(order, REPLACED, extra=[(41, orig)])]
        # In 4.2 an unfilled replaced order has the OrdStatus Replaced; 4.4 has no such state
        status = REPLACED if order.status == NEW and session.startswith("FIX.4.2") else order.status
        replies.append(self._report(order, REPLACED, status=status, extra=[(41, orig)]))
        if order.price_e8 is not None and book.leaves_e8(order.order_id) and not order.for_the_close:
            trades = book.replace(order.order_id, order.price_e8, order.leaves_e8)
            return replies + self._traded(order.symbol, trades)
        book.cancel(order.order_id)
        return replies + self._enter(order)

    def _wanted(self, order: VenueOrder, message: Fields) -> VenueOrder:
        """The order as a replace would have it; the broker option (102=2) refuses what no order may be."""
        wanted = replace(order, ord_type=first(message, 40), time_in_force=first(message, 59, order.time_in_force))
        try:
            self._validate(wanted, message)
        except Refusal as refusal:
            raise Refusal(str(refusal), "2") from None
        if wanted.time_in_force not in RESTING_TIF | {AT_THE_CLOSE}:
            raise Refusal("a replace cannot make an order IOC or FOK", "2")
        return wanted

    def _status(self, session: str, message: Fields) -> list[Reply]:
        order = self.by_cl_ord_id.get((session, first(message, 11)))
        extra: Fields = []
        if order is None:
            order = VenueOrder(session, "NONE", first(message, 11), first(message, 55), first(message, 54))
            order.status, extra = REJECTED, [(103, "5"), (58, "unknown order")]
        if session.startswith("FIX.4.2"):
            return [self._report(order, order.status, exec_id="0", trans_type="3", extra=extra)]
        return [self._report(order, "I", exec_id="0", extra=extra)]

    def _mass_cancel(self, session: str, message: Fields) -> list[Reply]:
        """The report (35=r) acknowledges the request, so it comes before those of the orders."""
        scope, symbol = first(message, 530), first(message, 55)
        if scope not in ("1", "7"):
            return [self.refuse_mass_cancel(session, message, "0", "scope is not supported")]
        if scope == "1" and (not symbol or (self.rules.listed and symbol not in self.rules.listed)):
            return [self.refuse_mass_cancel(session, message, "1", f"unknown symbol {symbol}")]
        hit = [o for o in self.open_orders(session) if scope == "7" or o.symbol == symbol]
        body = self._mass_cancel_report(message)
        reply = Reply(session, "r", [*body, (531, scope), (533, str(len(hit))), (60, utc_now())])
        return [reply, *(self._close(order, CANCELED, []) for order in hit)]

    def _mass_cancel_report(self, message: Fields) -> Fields:
        cl_ord_id = [(11, first(message, 11))] if first(message, 11) else []
        symbol = [(55, first(message, 55))] if first(message, 55) else []
        return [*cl_ord_id, (37, self._next_id("M")), (530, first(message, 530)), *symbol]

    # What the venue does of its own accord

    def open_orders(self, session: str | None = None) -> list[VenueOrder]:
        """Working client orders, of one session or of all."""
        return [o for o in self._by_order_id.values() if o.status in OPEN and session in (None, o.session)]

    def cancel_unsolicited(self, order_id: str, reason: str = "4") -> list[Reply]:
        """Cancel a working order by its OrderID; `reason` is ExecRestatementReason(378). KeyError if it is not open."""
        order = self._by_order_id[order_id]
        if order.status not in OPEN:
            raise KeyError(f"{order_id} is not open")
        return [self._close(order, CANCELED, [(378, reason), (58, "unsolicited cancel")])]

    def refuse_mass_cancel(self, session: str, message: Fields, reason: str, text: str) -> Reply:
        """OrderMassCancelReport (35=r) that refuses; `reason` is 532."""
        return Reply(session, "r", [*self._mass_cancel_report(message), (531, "0"), (532, reason), (58, text)])

    def refuse_cancel(self, session: str, message: Fields, text: str) -> Reply:
        """OrderCancelReject (35=9) of a cancel, broker option; the order works on."""
        return self._cancel_reject(session, message, Refusal(text, "2"), "1")

    def stray_fill(
        self, session: str, symbol: str, side: str, quantity_e8: int, price_e8: int, cl_ord_id: str
    ) -> Reply:
        """A fill, in full, of an order that nobody sent."""
        order = VenueOrder(session, self._next_id("O"), cl_ord_id, symbol, side, quantity_e8=quantity_e8)
        order.price_e8 = price_e8
        return self._fill(order, 0, quantity_e8, price_e8)

    def bust(self, exec_id: str) -> list[Reply]:
        """Break the trade of a fill, on both sides of it.

        The quantity of an order that was not cancelled or expired is open again and goes back into the book, where it
        may trade at once. KeyError if there is no such fill.
        """
        fills = [(o, e) for o in self._by_order_id.values() for e in o.executions if not e.busted]
        trade = next((e.trade for _, e in fills if e.exec_id == exec_id), None)
        if trade is None:
            raise KeyError(f"no fill with ExecID {exec_id}")
        replies: list[Reply] = []
        reopened: list[VenueOrder] = []
        for order, execution in fills:
            if execution.trade != trade:
                continue
            self.book(order.symbol).cancel(order.order_id)
            execution.busted = True
            order.cum_e8 -= execution.quantity_e8
            if order.status not in (CANCELED, EXPIRED):
                order.status = PARTIAL if order.cum_e8 else NEW
                reopened.append(order)
            extra = [(19, execution.exec_id), *_last(execution.quantity_e8, execution.price_e8), (58, "trade busted")]
            old = order.session.startswith("FIX.4.2")
            replies.append(self._report(order, order.status if old else "H", trans_type="1", extra=extra))
        for order in reopened:
            replies += self._enter(order)
        return replies

    def quote(self, symbol: str, buy: bool, price_e8: int, quantity_e8: int) -> list[Reply]:
        """Set the house order of a side: price and full size; quantity 0 takes it away.

        One that would trade with it on the other side is taken away too.
        """
        name, other = (f"HOUSE-{symbol}-{'B' if side else 'S'}" for side in (buy, not buy))
        book = self.book(symbol)
        for o in book.resting(not buy):
            crossed = o.price_e8 <= price_e8 if buy else o.price_e8 >= price_e8
            if o.order_id == other and quantity_e8 and crossed:
                book.cancel(other)
        top_up = quantity_e8 and any(o.order_id == name and o.price_e8 == price_e8 for o in book.resting(buy))
        if top_up and book.leaves_e8(name) == quantity_e8:
            return []
        book.cancel(name)
        return self._traded(symbol, book.add(name, buy, quantity_e8, price_e8) if quantity_e8 else [])

    def book(self, symbol: str) -> MatchingBook:
        """The book of a symbol, made on demand."""
        return self.books.setdefault(symbol, MatchingBook())

    # Checks

    def _check_duplicate(self, key: tuple[str, str]) -> None:
        if key in self.by_cl_ord_id or key in self._refused:
            raise Refusal(f"duplicate ClOrdID {key[1]}", "6")

    def _validate(self, order: VenueOrder, message: Fields) -> None:
        """Fill quantity and price of `order` from the message and check what the rules ask."""
        # 103=99 came with 4.3, and 11 (unsupported characteristic) with it; 4.2 has broker option
        other = "0" if order.session.startswith("FIX.4.2") else "11"
        if self.rules.listed and order.symbol not in self.rules.listed:
            raise Refusal(f"unknown symbol {order.symbol}", "1")
        if order.side not in BUYS | SELLS or order.ord_type not in MARKET | LIMIT:
            raise Refusal(f"Side {order.side} with OrdType {order.ord_type} is not supported", other)
        if order.time_in_force not in RESTING_TIF | {"3", "4", AT_THE_CLOSE}:
            raise Refusal(f"TimeInForce {order.time_in_force} is not supported", other)
        try:
            order.quantity_e8 = parse_e8(first(message, 38))
            order.price_e8 = parse_e8(first(message, 44)) if order.ord_type in LIMIT else None
        except ValueError as error:
            raise Refusal(f"OrderQty or Price: {error}", "0") from error
        if order.quantity_e8 <= 0 or (order.price_e8 is not None and order.price_e8 <= 0):
            raise Refusal("OrderQty and Price must be positive", "0")
        if self.rules.lot_e8 and order.quantity_e8 % self.rules.lot_e8:
            raise Refusal(f"OrderQty is no multiple of {format_e8(self.rules.lot_e8)}", "0")
        if first(message, 35) == "D":
            text = self.rules.reject_rule(message) if self.rules.reject_rule else None
            if self.rules.reject_probability and self._random.random() < self.rules.reject_probability:
                text = text or "rejected by chance"
            if text:
                raise Refusal(text, "0")

    def _find_open(self, session: str, message: Fields) -> VenueOrder:
        orig = (session, first(message, 41))
        order = self.by_cl_ord_id.get(orig) or self._refused.get(orig)
        if order is None or order.order_id not in self._by_order_id:
            raise Refusal(f"unknown order {orig[1]}", "1")
        try:
            self._check_duplicate((session, first(message, 11)))
        except Refusal as refusal:
            raise Refusal(str(refusal), "2" if session.startswith("FIX.4.2") else "6") from None
        if order.status not in OPEN:
            raise Refusal("too late: the order is not open", "0")
        if order.cl_ord_id != orig[1]:
            raise Refusal(f"the order's last accepted ClOrdID is {order.cl_ord_id}, not {orig[1]}", "2")
        if (order.symbol, order.side) != (first(message, 55), first(message, 54)):
            raise Refusal("Symbol or Side is not the order's", "2")
        return order

    # Matching and reports

    def _enter(self, order: VenueOrder) -> list[Reply]:
        """Put the open quantity of an order into its book; what may not rest expires, what is for the close waits."""
        if order.for_the_close:
            return []
        immediate, fill_or_kill = order.time_in_force == "3", order.time_in_force == "4"
        trades = self.book(order.symbol).add(
            order.order_id,
            order.side in BUYS,
            order.leaves_e8,
            order.price_e8,
            immediate=immediate,
            all_or_none=fill_or_kill,
        )
        replies = self._traded(order.symbol, trades)
        if order.leaves_e8 and (immediate or fill_or_kill or order.price_e8 is None):
            replies.append(self._close(order, EXPIRED, [(58, "remainder expired")]))
        return replies

    def _traded(self, symbol: str, trades: Iterable[Trade]) -> list[Reply]:
        self.touched.add(symbol)
        replies: list[Reply] = []
        for trade in trades:
            left_e8 = trade.quantity_e8
            while left_e8:
                quantity_e8 = min(left_e8, self.rules.fill_slice_e8 or left_e8)
                left_e8 -= quantity_e8
                self._trades += 1
                self.last_trade[symbol] = (trade.price_e8, quantity_e8)
                sides = (self._by_order_id.get(trade.maker_id), self._by_order_id.get(trade.taker_id))
                replies += [self._fill(order, self._trades, quantity_e8, trade.price_e8) for order in sides if order]
        return replies

    def _fill(self, order: VenueOrder, trade: int, quantity_e8: int, price_e8: int) -> Reply:
        order.cum_e8 += quantity_e8
        order.status = FILLED if order.cum_e8 == order.quantity_e8 else PARTIAL
        order.executions.append(Execution(self._next_id("E"), trade, quantity_e8, price_e8))
        exec_type = order.status if order.session.startswith("FIX.4.2") else "F"
        if self.unknown_enum:
            exec_type = "Z"
        exec_id, extra = order.executions[-1].exec_id, _last(quantity_e8, price_e8)
        return self._report(order, exec_type, exec_id=exec_id, extra=extra)

    def _close(self, order: VenueOrder, status: str, extra: Fields) -> Reply:
        self.book(order.symbol).cancel(order.order_id)
        self.touched.add(order.symbol)
        order.status = status
        return self._report(order, status, extra=extra)

    def _pending(self, order: VenueOrder, exec_type: str, cl_ord_id: str) -> list[Reply]:
        if not self.rules.pending_acks:
            return []
        extra = [(41, order.cl_ord_id)]
        return [self._report(order, exec_type, status=exec_type, cl_ord_id=cl_ord_id, extra=extra)]

    def _report(
        self,
        order: VenueOrder,
        exec_type: str,
        *,
        status: str = "",
        cl_ord_id: str = "",
        exec_id: str = "",
        trans_type: str = "0",
        extra: Iterable[tuple[int, str]] = (),
    ) -> Reply:
        body = [(37, order.order_id), (11, cl_ord_id or order.cl_ord_id), (17, exec_id or self._next_id("E"))]
        if order.session.startswith("FIX.4.2"):
            body.append((20, trans_type))
        body += [(150, exec_type), (39, status or order.status)]
        if order.account:
            body.append((1, order.account))
        body += [(55, order.symbol), (54, order.side), (38, format_e8(order.quantity_e8))]
        body += [(40, order.ord_type), (59, order.time_in_force)]
        if order.price_e8 is not None:
            body.append((44, format_e8(order.price_e8)))
        body += [(151, format_e8(order.leaves_e8)), (14, format_e8(order.cum_e8)), (6, format_e8(order.average_e8))]
        return Reply(order.session, "8", [*body, (60, utc_now()), *extra])

    def _cancel_reject(self, session: str, message: Fields, refusal: Refusal, response_to: str) -> Reply:
        """35=9; 41 is the last accepted ClOrdID of the order, also where the request named a refused one."""
        orig = (session, first(message, 41))
        order = self.by_cl_ord_id.get(orig) or self._refused.get(orig)
        if order and order.order_id in self._by_order_id:
            self._refused.setdefault((session, first(message, 11)), order)
            known = [(37, order.order_id), (11, first(message, 11)), (41, order.cl_ord_id), (39, order.status)]
        else:
            known = [(37, "NONE"), (11, first(message, 11)), (41, orig[1]), (39, REJECTED)]
        return Reply(session, "9", [*known, (434, response_to), (102, refusal.reason), (58, str(refusal))])

    def _next_id(self, kind: str) -> str:
        self._count += 1
        return f"{self._prefix}{kind}{self._count}"


def business_reject(session: str, message: Fields, reason: str = "3", text: str = "unsupported message type") -> Reply:
    """BusinessMessageReject (35=j) of a message; `reason` is 380."""
    body = [(45, first(message, 34)), (372, first(message, 35)), (380, reason), (58, text)]
    return Reply(session, "j", body)


def _last(quantity_e8: int, price_e8: int) -> Fields:
    return [(32, format_e8(quantity_e8)), (31, format_e8(price_e8))]
