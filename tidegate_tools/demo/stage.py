"""The stage of the demonstration: instruments, venues, who trades what, and an order that each check refuses."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from tidegate_tools.fix.text import Fields, first
from tidegate_tools.sim.venue import Liquidity, Venue

BUY, SELL = "1", "2"
ROUTE_TAG = 100
HOUSE_SIZE = 1_000_000  # of each side of a house quote, more than the demonstration trades


@dataclass
class Market:
    """House quote of an instrument: one tick either side of the middle."""

    symbol: str
    venue: str
    start: Decimal
    tick: Decimal
    unit: int
    """Quantities of the random flow are multiples of this."""
    offset: int = 0
    """Ticks from the start."""

    def price(self, ticks: int) -> Decimal:
        """The price so many ticks above the middle."""
        return self.start + (self.offset + ticks) * self.tick

    def quote(self, ask_size: int = HOUSE_SIZE) -> Liquidity:
        """The house quote."""
        return Liquidity.parse(f"{self.symbol}:{self.price(-1)}:{HOUSE_SIZE}:{self.price(1)}:{ask_size}")

    def crossing(self, side: str, quantity: int) -> Liquidity:
        """A quote that trades with an order of `side` which rests at the middle, and with no other."""
        if side == BUY:
            return Liquidity.parse(f"{self.symbol}:{self.price(-1)}:0:{self.price(0)}:{quantity}")
        return Liquidity.parse(f"{self.symbol}:{self.price(0)}:{quantity}:{self.price(1)}:0")


class DemoVenue(Venue):
    """A venue that can move its house quote when a request has arrived, before it looks at the request."""

    _ambush: tuple[str, Liquidity] | None = None

    def quote_before(self, msg_type: str, quote: Liquidity) -> None:
        """Set the house quote right before the next message of a type is served."""
        self._ambush = (msg_type, quote)

    def _received(self, session: str, fields: Fields) -> None:
        if self._ambush and first(fields, 35) == self._ambush[0]:
            _, quote = self._ambush
            self._ambush = None
            self.set_liquidity(quote)
        super()._received(session, fields)


def markets() -> dict[str, Market]:
    """The instruments that the venues quote, by symbol. NEWCO is listed in the gateway and quoted nowhere."""
    cent = Decimal("0.01")
    return {
        market.symbol: market
        for market in (
            Market("AAPL", "XNAS", Decimal("187.50"), cent, 10),
            Market("MSFT", "XNAS", Decimal("410.00"), cent, 10),
            Market("IBM", "XNYS", Decimal("191.00"), cent, 10),
            Market("KO", "XNYS", Decimal("60.00"), cent, 10),
            Market("FESX", "XEUR", Decimal("4950"), Decimal(1), 1),
        )
    }


@dataclass(frozen=True)
class Bad:
    """An order that one check refuses, and why."""

    check: str
    why: str
    ems: str
    account: str
    symbol: str
    side: str
    quantity: int
    price: str
    extra: Fields | tuple[()] = ()


BAD_ORDERS = (
    Bad("WELL_FORMED", "a quantity of zero", "EMS1", "ALPHA", "AAPL", BUY, 0, "187"),
    Bad("KNOWN_INSTRUMENT", "an instrument that is not listed", "EMS1", "ALPHA", "GOOG", BUY, 10, "170"),
    Bad("IDENTITY", "an account of another EMS", "EMS1", "PENSION", "AAPL", BUY, 10, "187"),
    Bad("ROUTE", "a venue that does not exist", "EMS1", "ALPHA", "AAPL", BUY, 10, "187", [(ROUTE_TAG, "XLON")]),
    Bad("LOT", "one and a half lots", "EMS2", "HEDGE", "IBM", BUY, 15, "190"),
    Bad("TICK_SIZE", "a price between two ticks", "EMS1", "BETA", "AAPL", BUY, 10, "187.005"),
    Bad("MAX_ORDER_QTY", "a digit too many", "EMS1", "ALPHA", "KO", BUY, 6000, "59"),
    Bad("REFERENCE_PRICE", "nobody knows the price", "EMS2", "HEDGE", "NEWCO", BUY, 10, "10"),
    Bad("PRICE_COLLAR", "a buy 10% above the market", "EMS1", "BETA", "AAPL", BUY, 10, "206.25"),
    Bad("MAX_ORDER_NOTIONAL", "1.2 million where 1 million is the most", "EMS1", "ALPHA", "MSFT", BUY, 3000, "405"),
    Bad("MAX_LONG", "too much of one instrument for one account", "EMS1", "BETA", "KO", BUY, 1500, "59"),
    Bad(
        "TRANSLATION",
        "what FIX 4.2 of the venue has no word for",
        "EMS2",
        "HEDGE",
        "FESX",
        BUY,
        1,
        "4900",
        [(528, "G")],
    ),
    Bad("MAX_SHORT", "a short sale in a long-only account", "EMS2", "PENSION", "MSFT", SELL, 10, "411"),
)
FLOW = (  # EMS, account, symbol, sides
    ("EMS1", "ALPHA", "AAPL", BUY + SELL),
    ("EMS1", "ALPHA", "MSFT", BUY + SELL),
    ("EMS1", "BETA", "AAPL", BUY + SELL),
    ("EMS1", "BETA", "MSFT", BUY + SELL),
    ("EMS2", "HEDGE", "MSFT", BUY + SELL),
    ("EMS2", "HEDGE", "IBM", BUY + SELL),
    ("EMS2", "PENSION", "AAPL", BUY),
    ("EMS2", "PENSION", "IBM", BUY),
    ("EMS2", "HEDGE", "FESX", BUY + SELL),
    ("EMS3", "FUTURES", "FESX", BUY + SELL),
    ("EMS3", "ARB", "MSFT", BUY + SELL),
)
