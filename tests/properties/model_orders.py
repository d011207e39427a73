"""What the model of the gateway is made of: instruments, requests, orders, and their rules of one line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

D = Decimal
Fields = Mapping[int, str]
Wanted = tuple[str, str, dict[int, object]]
CHECKS = -1
QUERIED = 4  # the venue is asked about this order alone
EXACT = Context(prec=80)
MAX_WHOLE = D(10) ** 10
BUY, SHORT_SIDES = "1", ("2", "5")
NEW, REPLACE, CANCEL = "D", "G", "F"
CLOSING = "4C8"
DAY_OVER = "3B"
OUTLIVES_THE_DAY = "16"  # good till canceled, till a date
FOR_THE_CLOSE = "7"  # TimeInForce(59) in FIX 4.4
CLOSE_42 = {"1": "5", "2": "B"}  # OrdType(40) of FIX 4.2: market and limit on close
PEGS, MOVING_PRICE = "LMOPRW", "Tacde"  # ExecInst(18)
NOT_IN = {"FIX.4.2": "a", "FIX.4.4": "T"}  # of ExecInst(18), the trailing stop
POSITION_SCOPES = ("firm", "desk", "account", "strategy", "trader", "flow", "instrument", "class")
IDENTITY_TAGS = {"account": 1, "strategy": 116, "trader": 50}
COUNTED_WHEN_IDENTIFIED = ("desk", "account", "strategy", "trader", "flow", "class")
# OrdRejReason(103) of the checks that have one of their own, in the order of the catalogue.
REASONS = {
    **{"KNOWN_INSTRUMENT": "1", "VENUE_DOWN": "2", "CL_ORD_ID_REUSE": "6", "STALE_ORDER": "8", "MAX_ORDER_QTY": "3"},
    **{"REFERENCE_PRICE": "3", "PRICE_COLLAR": "3", "MAX_ORDER_NOTIONAL": "3", "MAX_LONG": "3", "MAX_SHORT": "3"},
    **{"MAX_OPEN_ORDERS": "3", "MAX_MESSAGES": "3", "DUPLICATE_ORDER": "6", "TRADING_DAY": "2", "MAX_ORDER_AGE": "8"},
    **{"POSTURE": "3"},
}
MANDATORY = {"max_order_qty": "account", "max_order_notional": "account", "max_long": "account", "max_short": "account"}


def step_up(value: Decimal, places: int) -> Decimal:
    """`value` rounded up to so many places."""
    return value.quantize(D(1).scaleb(-places), ROUND_CEILING, EXACT)


def step_down(value: Decimal, places: int) -> Decimal:
    """`value` rounded down to so many places."""
    return value.quantize(D(1).scaleb(-places), ROUND_FLOOR, EXACT)


def legal_number(text: str | None) -> Decimal | None:
    """A positive number that the gateway takes, or None."""
    if text is None:
        return None
    value = D(text)
    return value if 0 < value < MAX_WHOLE + 1 and value == step_down(value, 8) else None


def type_and_time(version: str, fields: Fields) -> tuple[str, str]:
    """OrdType(40) and TimeInForce(59) as in FIX 4.4; the latter is empty where the two contradict each other."""
    kind, time_in_force = fields[40], fields.get(59, "0")
    if version == "FIX.4.2":
        for plain, on_close in CLOSE_42.items():
            if kind == on_close:
                return plain, FOR_THE_CLOSE if time_in_force == "0" else ""
    return kind, time_in_force


def said_in(version: str, kind: str, time_in_force: str) -> dict[int, object]:
    """40 and 59 in a FIX version; the former is None where it has none."""
    if version == "FIX.4.2" and time_in_force == FOR_THE_CLOSE:
        return {40: CLOSE_42.get(kind), 59: "0"}
    return {40: kind, 59: time_in_force}


def has_limit(kind: str, price: Decimal) -> bool:
    """Whether what is of this OrdType(40) trades at a limit, at any time."""
    return kind == "2" or (kind == "P" and price > 0)


@dataclass
class Instrument:
    """A row of the instruments file and its quote."""

    symbol: str
    security_id: str
    tick: Decimal
    lot: Decimal
    value: Decimal
    previous_close: Decimal
    venue: str
    sector: str = ""
    asset_class: str = ""
    bid: Decimal = D(0)
    ask: Decimal = D(0)
    last: Decimal = D(0)
    quote_ns: int | None = None
    last_ns: int | None = None
    unconfirmed: Decimal = D(0)  # price of the last quote if it was too far off to be believed
    left_aside: int = 0

    def groups(self) -> dict[str, str]:
        """The sector and asset class that it is in."""
        named = {"sector": self.sector, "asset_class": self.asset_class}
        return {scope: name for scope, name in named.items() if name}

    def reference(self) -> Decimal:
        """Last trade inside the quote, middle without a trade, 0 when there never was either."""
        if self.bid > 0 and self.ask > 0:
            if self.last > 0:
                return min(max(self.last, self.bid), self.ask)
            return step_down((self.bid + self.ask) / 2, 8)
        return self.last


@dataclass
class Request:
    """One D, G or F that was sent on."""

    session: str
    kind: str
    cl_ord_id: str
    qty: Decimal
    state: str = "pending"
    acknowledged: bool = False
    child: str = ""
    time_in_force: str = "0"
    ord_type: str = "2"
    price: Decimal = D(0)
    stop: Decimal = D(0)
    ours: bool = False  # a cancel that the gateway sent of its own accord: its EMS knows nothing of it
    row: int = -1
    unsent: Request | None = None  # of a cancel that waits for room at its venue: what it cancels
    mass: str = ""  # of one of ours: the ClOrdID of the mass cancel that asked for it
    is_told: bool = False  # that mass cancel has been answered
    reason: str = "2"  # CxlRejReason(102) of a replace that was refused


@dataclass
class Fill:
    """A fill of an order: its LastQty, the CumQty that came with it, as it is counted here, and in which terms."""

    qty: Decimal
    told: Decimal | None
    terms: int


@dataclass
class Order:
    """One order that was sent on. Quantities are in the terms in which it was sent; a venue that has restated it counts
    less by `restated`, and so does its EMS from then on.
    """

    session: str
    venue: str
    side: str
    instrument: Instrument
    entities: dict[str, str]
    requests: list[Request]
    accepted: Request
    qty: Decimal
    closed: str = ""
    day_over: str = ""  # 3 done for day, B calculated
    is_acknowledged: bool = False
    heard: bool = False
    replaced: bool = False
    corrected: bool = False
    fills: Decimal = D(0)
    told: Decimal = D(0)
    restated: Decimal = D(0)
    doubtful: Decimal = D(0)  # of the fills seen: perhaps told twice
    booked: Decimal = D(0)  # is in the positions
    terms: int = 0  # how often its terms or its day have changed
    asks: int = 0  # questions for which nothing waits
    asked_ns: int = 0
    cancel_asked_ns: int = 0
    venue_order_id: str = ""
    order_id: str = ""
    row: int = 0
    # 0 sure, 1 until its venue has sent again what we missed, 2 until it answers, 3 until somebody tells, or QUERIED
    doubt: int = 0
    unanswered: int = 0  # questions about it to the venue
    exit_ns: int = 0  # when it last passed a halt by an exit
    reducing: bool = False  # to be canceled: it could raise a position that may only be reduced
    mass_canceled: bool = False  # by its EMS, with others
    mass_cancel: str = ""  # the ClOrdID of that mass cancel, while it waits for its answer
    listed: bool = False  # to be told to its EMS, which has asked for all
    ended_day: int = 0  # kept since the end of this day for what it has traded
    tries: int = 0  # cancels of the gateway's own
    tried_ns: int = 0

    @property
    def cum(self) -> Decimal:
        return max(self.fills, self.told)

    @property
    def unbooked(self) -> Decimal:
        """Traded or not, nobody knows: open for the one side, not there for the other."""
        return min(self.doubtful, self.cum)

    def pending(self, kind: str) -> list[Request]:
        return [r for r in self.requests if r.kind == kind and r.state == "pending"]

    def never_acknowledged(self) -> bool:
        return not (self.heard or self.is_acknowledged or self.closed)

    def all_pending(self) -> list[Request]:
        return self.pending(REPLACE) + self.pending(CANCEL)

    def waits(self) -> bool:
        """Whether the venue has not answered something."""
        return self.never_acknowledged() or bool(self.all_pending())

    def ends_with(self, kind: str) -> bool:
        """Whether a report of this ExecType ends the order: the end of the day does not end one that outlives it."""
        return kind in CLOSING or (kind in DAY_OVER and self.accepted.time_in_force not in OUTLIVES_THE_DAY)

    def is_over(self) -> bool:
        day_over = self.day_over or ("3" if self.ended_day else "")
        return bool(self.closed) or (day_over != "" and self.ends_with(day_over))

    def worst(self) -> Decimal:
        """The most that can still trade."""
        if self.is_over():
            return D(0)
        return max(D(0), max([self.qty, *(r.qty for r in self.pending(REPLACE))]) - self.cum)

    def is_open(self) -> bool:
        """Whether it can still trade; part of what has traded may be doubtful."""
        most = max([self.qty, *(r.qty for r in self.pending(REPLACE))])
        return self.worst() > 0 or (self.unbooked > 0 and not self.is_over() and self.cum - self.unbooked < most)

    def reserved(self) -> Decimal:
        """What counts as open."""
        return self.worst() + self.unbooked

    def leaves(self) -> Decimal:
        return D(0) if self.is_over() else max(D(0), self.qty - self.cum)

    def base_status(self, version: str) -> str:
        if self.closed:
            return self.closed
        if self.day_over:
            return self.day_over
        if self.cum >= self.qty:
            return "2"
        if self.ended_day and self.is_over():
            return "3"
        if self.cum > 0:
            return "1"
        if self.replaced and version == "FIX.4.2":
            return "5"
        return "0" if self.is_acknowledged else "A"

    def status(self, version: str) -> str:
        """FIX 4.4 Appendix D: of the states that apply, the one that ranks highest."""
        if self.closed:
            return self.closed
        if any(r.acknowledged for r in self.pending(CANCEL)):
            return "6"
        if any(r.acknowledged for r in self.pending(REPLACE)):
            return "E"
        return self.base_status(version)


@dataclass
class Judgement:
    """An order or a replace under judgement."""

    instrument: Instrument
    side: str
    ord_type: str
    time_in_force: str
    qty: Decimal
    price: Decimal
    stop: Decimal
    peg: tuple[str | None, ...]  # ExecInst(18) and PegOffsetValue(211) of a pegged order
    entities: dict[str, str]
    added: Decimal
    replaces: Request | None  # the request in force of the order that a replace is of
    age_ns: int  # since it was sent
    fired: set[str] = field(default_factory=set)
    exit: tuple[str, str, str] | None = None  # by which it passes postures
