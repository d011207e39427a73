"""What the demonstration does: a seeded order flow and a few acts, with what must come of each counted as it is sent.

The house quotes of the venues are large and reports are cut into fills of `FILL_SLICE`, so what trades follows from the
script alone. Every step waits for its answers before the next one.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from gateway.core import layout as a
from gateway.core.catalogue import CHECKS
from gateway.state.memory import State
from tidegate_tools.demo.stage import BAD_ORDERS, BUY, FLOW, SELL, Bad, DemoVenue, markets
from tidegate_tools.fix.text import Fields, first, utc_now
from tidegate_tools.sim.ems import Ems
from tidegate_tools.sim.quickfix_peer import LoggedMessage, Peer

SEED = 7
ACTS_ONLY = "KO"  # the random flow leaves this instrument alone
FILL_SLICE = 100
DRIFT_TICKS = 5  # the market moves so far from where it began
CROSSING_TICKS = 12  # an order priced so far beyond the middle trades wherever the market is
PATIENCE_S = 20.0
CHECK_NAMES = frozenset(check.name for check in CHECKS)
REASONS = {
    "OrigClOrdID(41) names no order of this session": "unknown order",
    "too late: the order is not open": "too late at the venue",
    "the venue is not logged on": "venue down",
}
TRADER_TAG, STRATEGY_TAG = 50, 7001
BY_KILL_SWITCH = "canceled by the gateway: kill switch"
PUSHED = "parameters #"


class Answers:
    """What the EMS got back, sorted by outcome. `seen` is called in the threads of the EMS."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.by_id: Counter[tuple[str, str]] = Counter()
        """Answers by name of the EMS and ClOrdID(11)."""

    def seen(self, ems: str, entry: LoggedMessage) -> None:
        """Count a message that passed at an EMS."""
        outcome = "" if entry.sent else outcome_of(entry.fields)
        if outcome:
            self.outcomes[outcome] += 1
            if PUSHED in first(entry.fields, 58):
                self.outcomes["refusals that name a pushed limit"] += 1
            self.by_id[ems, first(entry.fields, 11)] += 1


def outcome_of(fields: Fields) -> str:
    """Row of the summary that a message to an EMS counts in; empty for session upkeep."""
    text = first(fields, 58)
    if is_status(fields):
        return "status requests answered"
    match first(fields, 35), first(fields, 150):
        case "8", "0":
            return "orders accepted"
        case "8", "8":
            return f"refused: {checks_of(text)}"
        case "8", "1" | "2" | "F":
            return "fills"
        case "8", "5":
            return "replaces accepted"
        case "8", "4" if text.startswith(BY_KILL_SWITCH):
            return "canceled by the kill switch"
        case "8", "4":
            return "cancels accepted"
        case "9", _:
            what = "cancels" if first(fields, 434) == "1" else "replaces"
            return f"{what} refused: {checks_of(text)}"
        case "3" | "j" as kind, _:
            return f"messages refused: 35={kind}"
        case "8", other:
            return f"other report: 150={other}"
    return ""


def is_status(fields: Fields) -> bool:
    """Whether an ExecutionReport answers an OrderStatusRequest."""
    return first(fields, 150) == "I" or first(fields, 20) == "3"


def checks_of(text: str) -> str:
    """The check that a Text(58) names, or that it names several; another reason in short, or else as it is."""
    names = [part.split(" ")[0] for part in text.split("; ")]
    if not CHECK_NAMES.issuperset(names):
        return REASONS.get(text, text)
    return names[0] if len(names) == 1 else "several checks at once"


@dataclass
class Working:
    """An order that rests at a venue."""

    ems: str
    cl_ord_id: str
    account: str
    symbol: str
    side: str
    quantity: int


class Script:
    """Sends, waits and counts. `expected`, `positions` and `working` are what must be true when `run` is over."""

    def __init__(
        self,
        ems: Mapping[str, Ems],
        venues: Mapping[str, DemoVenue],
        answers: Answers,
        state: State,
        check: Callable[[], None],
        caption: Callable[[str], None],
        fast: bool,
    ) -> None:
        """`check` raises when the gateway has died; `caption` shows what goes on; `fast` leaves out all pauses."""
        self.ems, self.venues, self.answers, self.state = ems, venues, answers, state
        self.check, self.caption, self.fast = check, caption, fast
        self.markets = markets()
        self.expected: Counter[str] = Counter()
        self.children: Counter[str] = Counter()
        """New orders by venue."""
        self.positions: Counter[tuple[str, str]] = Counter()
        """Traded quantity by account and symbol, sells below zero."""
        self.working: list[Working] = []
        self._random = random.Random(SEED)
        self._sent: set[tuple[str, str, str, int, Decimal]] = set()

    def run(self) -> None:
        """All acts but those that steer the gateway, see `tidegate_tools.demo.controls`."""
        self.flow("Orders of three EMS pass the gateway to three venues", 90)
        self.parade()
        self.changes()
        self.versions()
        self.too_late()
        self.exit_over_the_limit()
        self.market_moves()
        self.floods()
        self.venue_down()

    # Acts

    def flow(self, caption: str, steps: int, bad_share: float = 0.0) -> None:
        """A random flow of orders that trade, orders that rest, replaces, cancels and some bad orders."""
        self.caption(caption)
        self.steps(steps, bad_share)

    def steps(self, count: int, bad_share: float = 0.0) -> None:
        """So many steps of the random flow."""
        for _ in range(count):
            self._move_market()
            draw = self._random.random()
            mine = [order for order in self.working if order.symbol != ACTS_ONLY]
            if draw < bad_share:
                self.bad(self._random.choice(BAD_ORDERS))
            elif draw < bad_share + 0.12 and mine:
                order = self._random.choice(mine)
                self.replace(order, self._quantity(order.symbol), self._resting_price(order.symbol, order.side))
            elif draw < bad_share + 0.26 and mine:
                self.cancel(self._random.choice(mine))
            else:
                self._random_order(trades=draw > 0.62)
            self.pause(0.02)

    def parade(self) -> None:
        """Every check refuses an order of its own."""
        for bad in BAD_ORDERS:
            self.caption(f"{bad.check}: {bad.why}")
            self.bad(bad)
            self.pause(0.35)
        self.caption("CL_ORD_ID_REUSE: a ClOrdID for the second time")
        used = self.rest("EMS1", "ALPHA", "AAPL", BUY, 111, Decimal("185"))
        self.refused(
            "refused: CL_ORD_ID_REUSE", "EMS1", "ALPHA", "AAPL", BUY, 121, "185", cl_ord_id=used.cl_ord_id, answers=2
        )
        self.pause(0.35)
        self.caption("DUPLICATE_ORDER: the same order again within 5 s")
        self.rest("EMS1", "BETA", "AAPL", BUY, 131, Decimal("184"))
        self.refused("refused: DUPLICATE_ORDER", "EMS1", "BETA", "AAPL", BUY, 131, "184")
        self.pause(0.35)
        self.caption("MAX_ORDER_AGE: an order that was sent a day ago")
        old = [(60, f"{datetime.now(UTC) - timedelta(days=1):%Y%m%d-%H:%M:%S}.000")]
        self.refused("refused: MAX_ORDER_AGE", "EMS1", "BETA", "AAPL", BUY, 132, "184", old)
        self.pause(0.35)
        self.caption("Everything that is wrong is in one reject")
        self.refused("refused: several checks at once", "EMS1", "BETA", "AAPL", BUY, 9000, "250")
        self.pause(0.5)
        self.caption("What breaks the dictionary draws 35=3, what is not supported 35=j")
        self._malformed("3", "D", [(11, "no-side"), (21, "1"), (55, "AAPL"), (38, "10"), (40, "1"), (60, utc_now())])
        self._malformed("j", "V", [(262, "quotes"), (263, "0"), (264, "1")])

    def changes(self) -> None:
        """Replaces that pass and that are refused; a partial fill; a cancel; a cancel of nothing."""
        self.caption("REPLACE_TERMS: a replace cannot change the side")
        order = self.rest("EMS1", "ALPHA", "AAPL", BUY, 141, Decimal("183"))
        body = [(1, "ALPHA"), (11, "turned"), (41, order.cl_ord_id), (21, "1"), (55, "AAPL"), (54, SELL)]
        self.ems["EMS1"].send_raw("G", [*body, (60, utc_now()), (38, "141"), (40, "2"), (44, "183"), (59, "0")])
        self._expect("replaces refused: REPLACE_TERMS", "EMS1", "turned")
        self.pause(0.4)
        self.caption("A replace is judged like an order: refused, the order works on")
        too_large = self.ems["EMS1"].replace(order.cl_ord_id, quantity=5010, extra=[(1, "ALPHA")])
        self._expect("replaces refused: MAX_ORDER_QTY", "EMS1", too_large)
        self.replace(order, 151, Decimal("183.50"))
        self.pause(0.4)
        self.caption("A cancel of an order that nobody knows")
        body = [(11, "lost"), (41, "nothing"), (55, "AAPL"), (54, BUY), (38, "1"), (60, utc_now())]
        self.ems["EMS1"].send_raw("F", body)
        self._expect("cancels refused: unknown order", "EMS1", "lost")
        self.cancel(order)
        self.pause(0.4)
        self.caption("A partial fill: 200 of 500 trade, the rest waits, then trades too")
        market, venue = self.markets["KO"], self.venues["XNYS"]
        venue.set_liquidity(market.quote(ask_size=200))
        order = self.rest("EMS1", "ALPHA", "KO", BUY, 500, market.price(1), fills=2)
        self._traded(order, 200)
        self.pause(0.8)
        venue.set_liquidity(market.quote())
        self._filled(order, 300)
        self.pause(0.4)

    def versions(self) -> None:
        """An EMS of one FIX version trades on a venue of the other; each hears its own."""
        self.caption("EMS3 speaks FIX 4.2, XNAS 4.4: an order, a replace, a status, a cancel, a fill")
        order = self.rest("EMS3", "ARB", "AAPL", BUY, 100, Decimal("183"))
        self.replace(order, 120, Decimal("183.10"))
        self.status(order)
        self.cancel(order)
        self.trade("EMS3", "ARB", "AAPL", BUY, 250)
        self.pause(0.8)
        self.caption("EMS2 speaks FIX 4.4, XEUR 4.2: the same the other way round")
        order = self.rest("EMS2", "HEDGE", "FESX", SELL, 5, Decimal("5001"))
        self.replace(order, 7, Decimal("5002"))
        self.status(order)
        self.cancel(order)
        self.trade("EMS2", "HEDGE", "FESX", SELL, 6)
        self.pause(0.8)

    def market_moves(self) -> None:
        """The collar follows the market data."""
        market, venue = self.markets["KO"], self.venues["XNYS"]
        self.caption("PRICE_COLLAR: 63.50 is more than 5% above the market")
        self.refused("refused: PRICE_COLLAR", "EMS1", "ALPHA", "KO", BUY, 100, "63.50")
        self.pause(0.5)
        self.caption(
            "XNYS moves up by a dollar, sends it by 35=X, and the collar with it: 63.50 passes, and fills at 61.01"
        )
        market.offset = 100
        venue.set_liquidity(market.quote())
        self.wait_price("KO")
        self.trade("EMS1", "ALPHA", "KO", BUY, 110, Decimal("63.50"))
        self.pause(0.8)
        market.offset = 0
        venue.set_liquidity(market.quote())
        self.wait_price("KO")

    def too_late(self) -> None:
        """The venue fills an order when the replace, then the cancel, has left the gateway."""
        self.caption("Too late: the venue fills the order while the replace is under way")
        order = self.rest("EMS1", "ALPHA", "KO", BUY, 200, self.markets["KO"].price(0))
        self._overtaken(order, "G", lambda ems: ems.replace(order.cl_ord_id, quantity=210, extra=[(1, "ALPHA")]))
        self.caption("Too late: the same with a cancel")
        order = self.rest("EMS1", "ALPHA", "KO", SELL, 200, self.markets["KO"].price(0))
        self._overtaken(order, "F", lambda ems: ems.cancel(order.cl_ord_id))

    def _overtaken(self, order: Working, msg_type: str, send: Callable[[Ems], str]) -> None:
        market = self.markets[order.symbol]
        venue = self.venues[market.venue]
        venue.quote_before(msg_type, market.crossing(order.side, order.quantity))
        what = "replaces" if msg_type == "G" else "cancels"
        self._expect(f"{what} refused: too late at the venue", order.ems, send(self.ems[order.ems]))
        self._filled(order, order.quantity)
        venue.set_liquidity(market.quote())
        self.pause(0.5)

    def exit_over_the_limit(self) -> None:
        """An account that is over its limit may get out, not further in."""
        self.caption("HEDGE is long 6,000 KO, 5,000 is the most: a buy is refused, an exit passes")
        self.refused("refused: MAX_LONG", "EMS2", "HEDGE", "KO", BUY, 100, "59")
        self.trade("EMS2", "HEDGE", "KO", SELL, 500)
        self.pause(0.8)

    def floods(self) -> None:
        """Messages per window, and open orders."""
        self.caption("MAX_MESSAGES: strategy PEG sends 15 orders at once, 10 in 10 s are allowed")
        burst = [
            self._new("EMS1", "BETA", ACTS_ONLY, BUY, 21 + n, "58", extra=[(STRATEGY_TAG, "PEG")]) for n in range(15)
        ]
        for n, cl_ord_id in enumerate(burst):
            if n < 10:
                self._accepted(Working("EMS1", cl_ord_id, "BETA", ACTS_ONLY, BUY, 21 + n))
            else:
                self._expect("refused: MAX_MESSAGES", "EMS1", cl_ord_id)
        self.pause(0.8)
        self.caption("MAX_OPEN_ORDERS: a trainee may have three at a time")
        trainee = [(TRADER_TAG, "TRAINEE")]
        orders = [self.rest("EMS1", "BETA", "AAPL", SELL, 10 + n, Decimal("195"), extra=trainee) for n in range(3)]
        self.refused("refused: MAX_OPEN_ORDERS", "EMS1", "BETA", "AAPL", SELL, 13, "195", extra=trainee)
        self.cancel(orders[0])
        self.rest("EMS1", "BETA", "AAPL", SELL, 14, Decimal("195"), extra=trainee)
        self.pause(0.4)

    def venue_down(self) -> None:
        """Orders for a venue that is not logged on are refused at once; other venues go on."""
        order = self.rest("EMS2", "HEDGE", "IBM", BUY, 50, Decimal("150"))
        self.caption("VENUE_DOWN: the line to XNYS breaks. Nothing is kept for later")
        self.venues["XNYS"].drop_connections(allow_reconnect=False)
        self.wait_session("XNYS", up=False)
        self.refused("refused: VENUE_DOWN", "EMS2", "HEDGE", "IBM", BUY, 60, "150")
        request = self.ems["EMS2"].cancel(order.cl_ord_id)
        self._expect("cancels refused: venue down", "EMS2", request)
        self.trade("EMS2", "HEDGE", "MSFT", BUY, 105)
        self.pause(0.8)
        self.caption("XNYS comes back; its orders were there all the time")
        self.venues["XNYS"].allow_logon()
        self.wait_session("XNYS", up=True)
        self.cancel(order)
        self.pause(0.4)

    # Steps: each sends one message, waits for its answers and counts what must have come

    def trade(
        self, ems: str, account: str, symbol: str, side: str, quantity: int, price: Decimal | None = None
    ) -> None:
        """An order that the house quote fills at once, in slices."""
        price = price or self.markets[symbol].price(CROSSING_TICKS if side == BUY else -CROSSING_TICKS)
        fills = -(-quantity // FILL_SLICE)
        order = self.rest(ems, account, symbol, side, quantity, price, fills=fills)
        self._traded(order, quantity)
        self.working.remove(order)

    def rest(
        self,
        ems: str,
        account: str,
        symbol: str,
        side: str,
        quantity: int,
        price: Decimal,
        extra: Iterable[tuple[int, str]] = (),
        fills: int = 0,
    ) -> Working:
        """An order that is accepted and rests, after so many fills."""
        cl_ord_id = self._new(ems, account, symbol, side, quantity, str(price), extra)
        order = Working(ems, cl_ord_id, account, symbol, side, quantity)
        self._accepted(order, fills)
        return order

    def refused(
        self,
        row: str,
        ems: str,
        account: str,
        symbol: str,
        side: str,
        quantity: int,
        price: str,
        extra: Iterable[tuple[int, str]] = (),
        cl_ord_id: str = "",
        answers: int = 1,
    ) -> None:
        """An order that the gateway refuses."""
        self._expect(row, ems, self._new(ems, account, symbol, side, quantity, price, extra, cl_ord_id), answers)

    def bad(self, bad: Bad) -> None:
        """One of the bad orders."""
        row = f"refused: {bad.check}"
        self.refused(row, bad.ems, bad.account, bad.symbol, bad.side, bad.quantity, bad.price, bad.extra)

    def replace(self, order: Working, quantity: int, price: Decimal) -> None:
        """A replace that is accepted; the order rests on."""
        extra = [(1, order.account)]
        request = self.ems[order.ems].replace(order.cl_ord_id, quantity=quantity, price=str(price), extra=extra)
        self._expect("replaces accepted", order.ems, request)
        order.cl_ord_id, order.quantity = request, quantity

    def cancel(self, order: Working) -> None:
        """A cancel that is accepted."""
        self._expect("cancels accepted", order.ems, self.ems[order.ems].cancel(order.cl_ord_id))
        self.working.remove(order)

    def status(self, order: Working) -> None:
        """An OrderStatusRequest, which the gateway answers itself."""
        row = "status requests answered"
        self.expected[row] += 1
        self.ems[order.ems].order_status(order.cl_ord_id)
        self.wait_outcome(row)

    def wait_outcome(self, row: str) -> None:
        """Wait until the EMS have got as many answers of a kind as they must."""
        what = f"{self.expected[row]} x {row}"
        self._until(self.ems["EMS1"], lambda: self.answers.outcomes[row] >= self.expected[row], what)

    def wait_price(self, symbol: str) -> None:
        """Wait until the gateway knows the house quote of a symbol."""
        quote, row = self.markets[symbol].quote(), self.state.instruments[symbol]
        instrument = self.state.record.instruments[row]
        wanted = (quote.bid_e8, quote.ask_e8)
        self.wait(lambda: (int(instrument.bid_e8), int(instrument.ask_e8)) == wanted, f"the price of {symbol}")

    def wait_session(self, name: str, up: bool) -> None:
        """Wait until the gateway has noticed that a session is up, or down."""
        s = self.state.record
        scope = a.SESSION if name in self.ems else a.VENUE
        entity = self.state.entities[scope, name]
        row = next(row for row in range(int(s.session_count)) if int(s.sessions[row].entity) == entity)
        self.wait(lambda: bool(s.sessions[row].up) == up, f"{name} {'up' if up else 'down'} in the gateway")

    def wait(self, predicate: Callable[[], bool], what: str) -> None:
        """Wait for something in the gateway's state, which lies in a file and can only be looked at."""
        deadline = time.monotonic() + PATIENCE_S
        while not predicate():
            self.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not in {PATIENCE_S:g} s")
            time.sleep(0.005)

    def pause(self, seconds: float) -> None:
        """Give a person time to read."""
        if not self.fast:
            time.sleep(seconds)

    def _new(
        self,
        ems: str,
        account: str,
        symbol: str,
        side: str,
        quantity: int,
        price: str,
        extra: Iterable[tuple[int, str]] = (),
        cl_ord_id: str = "",
    ) -> str:
        fields = [(1, account), *extra]
        return self.ems[ems].new_order(
            symbol=symbol, side=side, quantity=quantity, price=price, cl_ord_id=cl_ord_id, extra=fields
        )

    def _accepted(self, order: Working, fills: int = 0) -> None:
        self._expect("orders accepted", order.ems, order.cl_ord_id, 1 + fills)
        self.children[self.markets[order.symbol].venue] += 1
        self.working.append(order)

    def _traded(self, order: Working, quantity: int) -> None:
        self.expected["fills"] += -(-quantity // FILL_SLICE)
        self.positions[order.account, order.symbol] += quantity if order.side == BUY else -quantity

    def _filled(self, order: Working, quantity: int) -> None:
        """What rested has traded: its fills come to the ClOrdID in force."""
        self._traded(order, quantity)
        wanted = 1 + -(-order.quantity // FILL_SLICE)
        self._wait_answers(order.ems, order.cl_ord_id, wanted)
        self.working.remove(order)

    def _expect(self, row: str, ems: str, cl_ord_id: str, answers: int = 1) -> None:
        self.expected[row] += 1
        self._wait_answers(ems, cl_ord_id, answers)

    def _wait_answers(self, ems: str, cl_ord_id: str, count: int) -> None:
        what = f"{count} answers to {cl_ord_id} of {ems}"
        self._until(self.ems[ems], lambda: self.answers.by_id[ems, cl_ord_id] >= count, what)

    def _until(self, peer: Peer, predicate: Callable[[], bool], what: str) -> None:
        """Wait for something that a simulator sees; a gateway that died is noticed meanwhile."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                peer.wait_for(predicate, 0.25, what)
                return
            except TimeoutError:
                self.check()
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{what}: not in {PATIENCE_S:g} s") from None

    def _malformed(self, answer: str, msg_type: str, body: Fields) -> None:
        row = f"messages refused: 35={answer}"
        self.expected[row] += 1
        self.ems["EMS1"].send_raw(msg_type, body)
        self.wait_outcome(row)
        self.pause(0.4)

    # Random choices

    def _random_order(self, trades: bool) -> None:
        ems, account, symbol, sides = self._random.choice(FLOW)
        side = self._random.choice(sides)
        quantity = self._quantity(symbol)
        price = self._resting_price(symbol, side)
        while (account, symbol, side, quantity, Decimal(0) if trades else price) in self._sent:
            quantity = self._quantity(symbol)
            price = self._resting_price(symbol, side)
        self._sent.add((account, symbol, side, quantity, Decimal(0) if trades else price))
        if trades:
            self.trade(ems, account, symbol, side, quantity)
        else:
            self.rest(ems, account, symbol, side, quantity, price)

    def _quantity(self, symbol: str) -> int:
        return self._random.randint(1, 18 if self.markets[symbol].unit == 1 else 40) * self.markets[symbol].unit

    def _resting_price(self, symbol: str, side: str) -> Decimal:
        market = self.markets[symbol]
        ticks = int(market.start * self._random.randint(5, 30) / 1000 / market.tick)
        return market.price(-ticks if side == BUY else ticks)

    def _move_market(self) -> None:
        market = self.markets[self._random.choice([symbol for symbol in self.markets if symbol != ACTS_ONLY])]
        step = self._random.choice((-1, 1))
        market.offset = max(-DRIFT_TICKS, min(market.offset + step, DRIFT_TICKS))
        self.venues[market.venue].set_liquidity(market.quote())
