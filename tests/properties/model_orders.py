"""What the model of the gateway is made of: instruments, requests, orders, and their rules of one line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

D = Decimal
Fields = Mapping[int, str]
Wanted = tuple[str, str, dict[int, object]]
CHECKS = -1
EXACT = Context(prec=80)
MAX_WHOLE = D(10) ** 10
BUY, SHORT_SIDES = "1", ("2", "5")
NEW, REPLACE, CANCEL = "D", "G", "F"
CLOSING = "4C8"
POSITION_SCOPES = ("firm", "desk", "account", "strategy", "trader", "flow", "instrument")
IDENTITY_TAGS = {"account": 1, "strategy": 116, "trader": 50}
COUNTED_WHEN_IDENTIFIED = ("desk", "account", "strategy", "trader", "flow")
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
    bid: Decimal = D(0)
    ask: Decimal = D(0)
    last: Decimal = D(0)
    quote_ns: int | None = None
    last_ns: int | None = None
    unconfirmed: Decimal = D(0)  # price of the last quote if it was too far off to be believed
    left_aside: int = 0

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
    day_only: bool = True
    looked_at: bool = False  # since its venue logged on: asked about where it had to be
    ours: bool = False  # a cancel that the gateway sent of its own accord: its EMS knows nothing of it


@dataclass
class Order:
    """One order that was sent on."""

    session: str
    venue: str
    side: str
    instrument: Instrument
    entities: dict[str, str]
    requests: list[Request]
    accepted: Request
    qty: Decimal
    closed: str = ""
    done_for_day: bool = False
    is_acknowledged: bool = False
    heard: bool = False
    replaced: bool = False
    corrected: bool = False
    fills: Decimal = D(0)
    told: Decimal = D(0)
    order_id: str = ""
    row: int = 0
    doubt: int = (
        0  # 0 sure, 1 until its venue has sent again what we missed, 2 until it answers, 3 until somebody tells
    )
    unanswered: int = 0  # questions about it to the venue
    tries: int = 0  # cancels of the gateway's own
    tried_ns: int = 0

    @property
    def cum(self) -> Decimal:
        return max(self.fills, self.told)

    def pending(self, kind: str) -> list[Request]:
        return [r for r in self.requests if r.kind == kind and r.state == "pending"]

    def never_acknowledged(self) -> bool:
        return not (self.heard or self.is_acknowledged or self.closed)

    def all_pending(self) -> list[Request]:
        return self.pending(REPLACE) + self.pending(CANCEL)

    def waits(self) -> bool:
        """Whether the venue has not answered something."""
        return self.never_acknowledged() or bool(self.all_pending())

    def reserved(self) -> Decimal:
        if self.closed:
            return D(0)
        return max(D(0), max([self.qty, *(r.qty for r in self.pending(REPLACE))]) - self.cum)

    def leaves(self) -> Decimal:
        return D(0) if self.closed or self.done_for_day else max(D(0), self.qty - self.cum)

    def base_status(self, version: str) -> str:
        if self.closed:
            return self.closed
        if self.done_for_day:
            return "3"
        if self.cum >= self.qty:
            return "2"
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
    qty: Decimal
    price: Decimal
    stop: Decimal
    entities: dict[str, str]
    added: Decimal
    fired: set[str] = field(default_factory=set)
