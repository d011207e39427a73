"""The catalogue of checks and limits: one row each. Kernels take the numbers from here, docs/checks.md is made of it.

How to add one is in docs/architecture.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.core import layout as a
from gateway.fix import tags as t
from gateway.fix.layout import phrase as phrase

# How a breach's numbers are written.
NO_NUMBERS, QUANTITY, MONEY, PRICE, COUNT, MILLISECONDS, BASIS_POINTS = range(7)


@dataclass(frozen=True)
class Check:
    """One check: what it compares, where its limit may and must stand, and how its breach is told."""

    id: int
    name: str
    reason: int  # OrdRejReason(103)
    unit: int
    compares: str
    limit: str | None  # the key in limits.yaml
    scopes: tuple[int, ...]
    mandatory_scope: int | None
    rules: str
    judged: bool
    """Whether `checks.judge` runs it; every other check ends the pass before that."""


@dataclass(frozen=True)
class Limit:
    """One key of limits.yaml."""

    index: int
    scopes: tuple[int, ...]
    mandatory_scope: int | None
    meaning: str

    @property
    def key(self) -> str:
        """Its key in limits.yaml."""
        return a.LIMIT_KEYS[self.index]

    @property
    def kind(self) -> str:
        """What it is measured in: quantity, money, bps, count or duration."""
        return a.LIMIT_KINDS[self.key]

    @property
    def tighter(self) -> str:
        """Which value is the tighter one: "lower" or "higher"."""
        return "higher" if self.index in a.HIGHER_IS_TIGHTER else "lower"


ORDER_SCOPES = tuple(range(a.SCOPES))
PER_INSTRUMENT_SCOPES = a.POSITION_SCOPES
RATE_SCOPES = (a.FIRM, a.DESK, a.ACCOUNT, a.STRATEGY, a.TRADER, a.FLOW, a.SESSION, a.VENUE, a.CLASS)

(
    FAULT,
    WELL_FORMED,
    KNOWN_INSTRUMENT,
    IDENTITY,
    ROUTE,
    VENUE_DOWN,
    CL_ORD_ID_REUSE,
    STALE_ORDER,
    CAPACITY,
    REPLACE_TERMS,
    LOT,
    TICK_SIZE,
    MAX_ORDER_QTY,
    REFERENCE_PRICE,
    PRICE_COLLAR,
    MAX_ORDER_NOTIONAL,
    MAX_LONG,
    MAX_SHORT,
    MAX_OPEN_ORDERS,
    MAX_MESSAGES,
    DUPLICATE_ORDER,
    JOURNAL,
    RECOVERY,
    KILLED,
    TRADING_DAY,
    TRANSLATION,
    MAX_ORDER_AGE,
    MAX_QUOTE_SPREAD,
    POSTURE,
    *_,
) = range(a.MAX_CHECKS)

LIMITS = (
    Limit(a.MAX_ORDER_QTY, ORDER_SCOPES, a.ACCOUNT, "largest OrderQty(38)"),
    Limit(a.MAX_ORDER_NOTIONAL, ORDER_SCOPES, a.ACCOUNT, "largest notional of one order, in the firm's currency"),
    Limit(
        a.COLLAR_BPS,
        ORDER_SCOPES,
        a.INSTRUMENT,
        "how far beyond the reference price an order may be priced, on its aggressive side",
    ),
    Limit(a.MAX_LONG, PER_INSTRUMENT_SCOPES, a.ACCOUNT, "largest long position in an instrument, open buys counted"),
    Limit(a.MAX_SHORT, PER_INSTRUMENT_SCOPES, a.ACCOUNT, "largest short position in an instrument, open sells counted"),
    Limit(a.MAX_OPEN_ORDERS, ORDER_SCOPES, None, "orders open at one time"),
    Limit(
        a.MAX_MESSAGES,
        RATE_SCOPES,
        a.SESSION,
        "messages in any `message_window`, refused ones included; at a venue all that the gateway sends there, where "
        "orders and replaces leave a quarter to cancels",
    ),
    Limit(
        a.MESSAGE_WINDOW,
        RATE_SCOPES,
        None,
        "length of the window that `max_messages` of the same entity counts in (1s when not set)",
    ),
    Limit(
        a.DUPLICATE_WINDOW,
        ORDER_SCOPES,
        None,
        "time in which an order equal to an accepted one is refused; 0s is off",
    ),
    Limit(a.REFERENCE_MAX_AGE, ORDER_SCOPES, a.INSTRUMENT, "age up to which a reference price is fresh"),
    Limit(
        a.MAX_ORDER_AGE,
        ORDER_SCOPES,
        None,
        "time since an order or replace was sent, by the oldest of SendingTime(52), OrigSendingTime(122) and "
        "TransactTime(60), or until the newest of them where that lies ahead; cancels pass at any age",
    ),
    Limit(
        a.MAX_QUOTE_SPREAD,
        ORDER_SCOPES,
        None,
        "width of a quote, in bps of its middle, up to which it says where the price is; beyond, only trades do",
    ),
)


def _limited(check: int, name: str, index: int, unit: int, compares: str, rules: str, reason: int) -> Check:
    limit = LIMITS[index]
    return Check(check, name, reason, unit, compares, limit.key, limit.scopes, limit.mandatory_scope, rules, True)


def _plain(
    check: int, name: str, reason: int, unit: int, compares: str, rules: str = "", judged: bool = False
) -> Check:
    return Check(check, name, reason, unit, compares, None, (), None, rules, judged)


SIZE_RULES = "15c3-5(c)(1)(ii); RTS 6 Art. 15(1)"
CHECKS = (
    _plain(FAULT, "FAULT", t.ORDER_BROKER_OPTION, NO_NUMBERS, "no invariant of the gateway is broken"),
    _plain(
        WELL_FORMED, "WELL_FORMED", t.ORDER_BROKER_OPTION, NO_NUMBERS, "side, type, time in force, price and quantity"
    ),
    _plain(
        KNOWN_INSTRUMENT, "KNOWN_INSTRUMENT", t.ORDER_UNKNOWN_SYMBOL, NO_NUMBERS, "Symbol(55), SecurityID(48) is listed"
    ),
    _plain(
        IDENTITY,
        "IDENTITY",
        t.ORDER_BROKER_OPTION,
        NO_NUMBERS,
        "account, desk, strategy, trader, flow are listed for the session",
        "15c3-5(c)(2)(iii); RTS 6 Art. 15(4)",
    ),
    _plain(ROUTE, "ROUTE", t.ORDER_BROKER_OPTION, NO_NUMBERS, "ExDestination(100) or the routing table names a venue"),
    _plain(VENUE_DOWN, "VENUE_DOWN", t.ORDER_EXCHANGE_CLOSED, NO_NUMBERS, "the venue's session is logged on"),
    _plain(CL_ORD_ID_REUSE, "CL_ORD_ID_REUSE", t.ORDER_DUPLICATE, NO_NUMBERS, "ClOrdID(11) is new in the session"),
    _plain(STALE_ORDER, "STALE_ORDER", t.ORDER_STALE, MILLISECONDS, "age of an order sent with PossDupFlag(43)"),
    _plain(CAPACITY, "CAPACITY", t.ORDER_BROKER_OPTION, NO_NUMBERS, "the tables have room for one more order"),
    _plain(
        REPLACE_TERMS, "REPLACE_TERMS", t.ORDER_BROKER_OPTION, NO_NUMBERS, "a replace keeps instrument, side, account"
    ),
    _plain(LOT, "LOT", t.ORDER_BROKER_OPTION, QUANTITY, "OrderQty(38) is a multiple of the lot", judged=True),
    _plain(
        TICK_SIZE,
        "TICK_SIZE",
        t.ORDER_BROKER_OPTION,
        PRICE,
        "Price(44), StopPx(99) are multiples of the tick",
        judged=True,
    ),
    _limited(
        MAX_ORDER_QTY, "MAX_ORDER_QTY", a.MAX_ORDER_QTY, QUANTITY, "OrderQty(38)", SIZE_RULES, t.ORDER_EXCEEDS_LIMIT
    ),
    _limited(
        REFERENCE_PRICE,
        "REFERENCE_PRICE",
        a.REFERENCE_MAX_AGE,
        MILLISECONDS,
        "age of the reference price, from a trade or a quote within `max_quote_spread`; an exit may use the last good "
        "one or the previous close",
        "RTS 6 Art. 15(1)(a)",
        t.ORDER_EXCEEDS_LIMIT,
    ),
    _limited(
        PRICE_COLLAR,
        "PRICE_COLLAR",
        a.COLLAR_BPS,
        PRICE,
        "Price(44), or what a market or stop order would pay now, against the reference price, aggressive side",
        "15c3-5(c)(1)(ii); RTS 6 Art. 15(1)(a)",
        t.ORDER_EXCEEDS_LIMIT,
    ),
    _limited(
        MAX_ORDER_NOTIONAL,
        "MAX_ORDER_NOTIONAL",
        a.MAX_ORDER_NOTIONAL,
        MONEY,
        "quantity x worst price x multiplier, rounded up",
        "15c3-5(c)(1)(ii); RTS 6 Art. 15(1)(b)",
        t.ORDER_EXCEEDS_LIMIT,
    ),
    _limited(
        MAX_LONG,
        "MAX_LONG",
        a.MAX_LONG,
        QUANTITY,
        "position + open buys + this order, if that is more than before",
        "15c3-5(c)(1)(i); RTS 6 Art. 15(4)",
        t.ORDER_EXCEEDS_LIMIT,
    ),
    _limited(
        MAX_SHORT,
        "MAX_SHORT",
        a.MAX_SHORT,
        QUANTITY,
        "open sells + this order - position, if that is more than before",
        "15c3-5(c)(1)(i); RTS 6 Art. 15(4)",
        t.ORDER_EXCEEDS_LIMIT,
    ),
    _limited(
        MAX_OPEN_ORDERS,
        "MAX_OPEN_ORDERS",
        a.MAX_OPEN_ORDERS,
        COUNT,
        "open orders and this one",
        "RTS 6 Art. 15(1)(c)",
        t.ORDER_EXCEEDS_LIMIT,
    ),
    _limited(
        MAX_MESSAGES,
        "MAX_MESSAGES",
        a.MAX_MESSAGES,
        COUNT,
        "messages in the window, this one included",
        "15c3-5(c)(1)(ii); RTS 6 Art. 15(1)(d)",
        t.ORDER_EXCEEDS_LIMIT,
    ),
    _limited(
        DUPLICATE_ORDER,
        "DUPLICATE_ORDER",
        a.DUPLICATE_WINDOW,
        MILLISECONDS,
        "time since an equal order (account, instrument, side, type, time in force, quantity, prices) was accepted; "
        "one that its venue refused, or that was canceled or expired without a fill, does not count",
        "15c3-5(c)(1)(ii)",
        t.ORDER_DUPLICATE,
    ),
    _plain(JOURNAL, "JOURNAL", t.ORDER_BROKER_OPTION, NO_NUMBERS, "the journal can be written"),
    _plain(
        RECOVERY,
        "RECOVERY",
        t.ORDER_BROKER_OPTION,
        NO_NUMBERS,
        "after a crash or reset: no order at the venue is in doubt",
    ),
    _plain(
        KILLED,
        "KILLED",
        t.ORDER_BROKER_OPTION,
        NO_NUMBERS,
        "no kill switch is set for any scope that the order is in",
        "15c3-5(c)(1); RTS 6 Art. 12",
    ),
    _plain(
        TRADING_DAY,
        "TRADING_DAY",
        t.ORDER_EXCHANGE_CLOSED,
        NO_NUMBERS,
        "the order comes within the hours of the trading day",
    ),
    _plain(
        TRANSLATION,
        "TRANSLATION",
        t.ORDER_BROKER_OPTION,
        NO_NUMBERS,
        "every term of the order can be translated to the venue's FIX version",
    ),
    _limited(
        MAX_ORDER_AGE,
        "MAX_ORDER_AGE",
        a.MAX_ORDER_AGE,
        MILLISECONDS,
        "time since the message was sent, by the oldest time that it tells, or until the newest",
        "",
        t.ORDER_STALE,
    ),
    _limited(
        MAX_QUOTE_SPREAD,
        "MAX_QUOTE_SPREAD",
        a.MAX_QUOTE_SPREAD,
        BASIS_POINTS,
        "width of the quote; told with REFERENCE_PRICE, where a quote too wide leaves no reference price",
        "RTS 6 Art. 15(1)(a)",
        t.ORDER_EXCEEDS_LIMIT,
    ),
    _plain(
        POSTURE,
        "POSTURE",
        t.ORDER_EXCEEDS_LIMIT,
        QUANTITY,
        "what the postures of all that the order is in let pass: no_new_longs and reduce_only what reduces, halted "
        "nothing but a replace that lowers and an exit that a person has opened",
        "15c3-5(c)(1); RTS 6 Art. 15(4)",
        judged=True,
    ),
)


def check_of_limit() -> np.ndarray:
    """The check that compares each limit, NONE (-1) for one that only says how another counts."""
    return np.array([next((check.id for check in CHECKS if check.limit == limit.key), -1) for limit in LIMITS])


# Limits that a process may push: those of which lower is tighter.
PUSHABLE = np.array([limit.tighter == "lower" for limit in LIMITS])


# What a breach without numbers says after the name of its check; `breach.value` is the row.
DETAILS = (
    "an invariant of the gateway is broken, all orders are blocked",
    "OrderQty(38) must be a positive decimal of at most 8 places",
    "Price(44) must be a positive decimal of at most 8 places",
    "StopPx(99) must be a positive decimal of at most 8 places",
    "OrdType(40) must be 1, 2, 3 or 4, in FIX 4.2 also 5 or B",
    "Side(54) must be 1, 2 or 5",
    "TimeInForce(59) must be 0, 1, 2, 3, 4, 6 or 7",
    "ClOrdID(11) must be at most 64 bytes of printable ASCII",
    "the gateway cannot check this term:",
    "Symbol(55) and SecurityID(48) name different instruments",
    "Currency(15) is not that of the instrument:",
    "no such instrument:",
    "no account given",
    "not listed for this session:",
    "no venue for this instrument",
    "no such venue:",
    "cannot be translated to the venue's FIX version:",
    "the venue is not logged on",
    "ClOrdID(11) was used before",
    "the tables are full",
    "was first sent before this run of the gateway",
    "a replace cannot change the instrument",
    "a replace cannot change Side(54)",
    "a replace cannot change the account",
    "notional or exposure is too large to compute",
    "none known",
    "the journal cannot be written, no order is taken",
    "the venue's orders of before are not confirmed yet",
    "what became of this order is not known yet",
    "no order passes",
    "the trading day has not begun",
    "nothing would be left open at this venue, cancel the order instead",
    "a pegged order needs Price(44) as its limit",
    "OrdType(40)=P (pegged) needs PegOffsetValue(211) in carry.orders of the config",
    "OrdType(40)=5 (market on close) takes TimeInForce(59)=0 only",
    "OrdType(40)=B (limit on close) takes TimeInForce(59)=0 only",
    "a pegged order needs exactly one of L, M, O, P, R, W in ExecInst(18)",
    *a.POSTURE_NAMES,
)
(
    DETAIL_FAULT,
    DETAIL_QTY,
    DETAIL_PRICE,
    DETAIL_STOP,
    DETAIL_ORD_TYPE,
    DETAIL_SIDE,
    DETAIL_TIME_IN_FORCE,
    DETAIL_CL_ORD_ID,
    DETAIL_TERM,
    DETAIL_TWO_INSTRUMENTS,
    DETAIL_CURRENCY,
    DETAIL_NO_INSTRUMENT,
    DETAIL_NO_ACCOUNT,
    DETAIL_NOT_LISTED,
    DETAIL_NO_VENUE,
    DETAIL_UNKNOWN_VENUE,
    DETAIL_VERSION,
    DETAIL_DOWN,
    DETAIL_REUSE,
    DETAIL_FULL,
    DETAIL_EARLIER_RUN,
    DETAIL_INSTRUMENT,
    DETAIL_REPLACE_SIDE,
    DETAIL_ACCOUNT,
    DETAIL_TOO_LARGE,
    DETAIL_NONE_KNOWN,
    DETAIL_JOURNAL,
    DETAIL_RECOVERING,
    DETAIL_IN_DOUBT,
    DETAIL_KILLED,
    DETAIL_CLOSED,
    DETAIL_NOTHING_OPEN,
    DETAIL_PEG,
    DETAIL_NO_PEGS,
    DETAIL_MARKET_ON_CLOSE,
    DETAIL_LIMIT_ON_CLOSE,
    DETAIL_ONE_PEG,
    DETAIL_POSTURE,  # and the number of the posture
    *_,
) = range(len(DETAILS))


def name_table(names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Names as rows of bytes with their sizes, for kernels."""
    rows = np.zeros((len(names), max(map(len, names))), np.uint8)
    for row, name in zip(rows, names, strict=True):
        row[: len(name)] = np.frombuffer(name.encode("ascii"), np.uint8)
    return rows, np.array([len(name) for name in names], np.int64)


CHECK_NAME, CHECK_NAME_SIZE = name_table([check.name for check in CHECKS])
SCOPE_NAME, SCOPE_NAME_SIZE = name_table(list(a.SCOPE_NAMES))
LIMIT_KEY, LIMIT_KEY_SIZE = name_table([limit.key for limit in LIMITS])
CHECK_REASON = np.array([check.reason for check in CHECKS], np.int64)
CHECK_UNIT = np.array([check.unit for check in CHECKS], np.int64)
CHECK_LIMIT = np.array([next((x.index for x in LIMITS if x.key == c.limit), -1) for c in CHECKS], np.int64)
DETAIL, DETAIL_SIZE = name_table(list(DETAILS))
