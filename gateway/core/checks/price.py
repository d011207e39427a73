"""Checks of prices: the reference price, the collar round it, the tick. Kernels only."""

from __future__ import annotations

from gateway.core import catalogue as c
from gateway.core import layout as a
from gateway.core.checks.breaches import breach, exceeds, fail, found_at_tightest, measured_at_tightest
from gateway.core.checks.limits import require
from gateway.core.checks.reduces import has_limit, reduces
from gateway.core.layout import NONE, UNLIMITED, UNSET
from gateway.fix import tags as t
from gateway.jit import kernel

BPS = 10_000
LARGE_PRICE_E8 = 2**63 // (2 * BPS)
EXIT_COLLAR_FACTOR = 2  # an exit priced from an old reference gets this many times the collar
WIDE = 2  # a quote whose ask is more than so many times its bid says nothing of the price


@kernel
def share_of(price_e8, bps):
    """price x bps / 10,000, rounded down, without leaving int64."""
    return price_e8 // BPS * bps + price_e8 % BPS * bps // BPS


@kernel
def live_reference(i):
    """Reference price of an instrument: the last trade, brought inside a two-sided quote; 0 when nothing is known."""
    price = i.last_e8
    if i.bid_e8 > 0 and i.ask_e8 > 0:
        if price == 0:
            price = (i.bid_e8 + i.ask_e8) // 2
        price = min(max(price, i.bid_e8), i.ask_e8)
    return price


@kernel
def spread_bps(i):
    """Width of an instrument's two-sided quote in bps of its middle, rounded up; NONE where there is no such quote."""
    if i.bid_e8 == 0 or i.ask_e8 == 0:
        return NONE
    middle = (i.bid_e8 + i.ask_e8) // 2
    width = i.ask_e8 - i.bid_e8
    whole, rest = width // middle * BPS, width % middle
    if middle > LARGE_PRICE_E8:  # without leaving int64
        middle, rest = middle // BPS, rest // BPS
    return whole + (rest * BPS + middle - 1) // middle


@kernel
def _quote_counts(x, i):
    """Whether an instrument has a two-sided quote that says where its price is: none wider than `max_quote_spread`."""
    most = x.limit[a.MAX_QUOTE_SPREAD]
    spread = spread_bps(i)
    return spread != NONE and (most == UNSET or spread <= most)


@kernel
def _current_reference(s, x, i, quoted):
    """Reference price as of now: the last trade, brought inside a quote that counts (`quoted`); where that trade is too
    old only the quote counts, its middle; 0 when that says nothing of where the price is.
    """
    if not quoted:
        return i.last_e8
    most = x.limit[a.REFERENCE_MAX_AGE]
    if i.last_ns != NONE and (most == UNSET or s.now_ns - i.last_ns <= most):
        return live_reference(i)
    return (i.bid_e8 + i.ask_e8) // 2 if i.ask_e8 // WIDE <= i.bid_e8 else 0


@kernel
def _last_good(i, quoted):
    """The price that an exit may fall back to: of the last trade and a quote that counts, then the previous close."""
    price = live_reference(i) if quoted else i.last_e8
    return price if price > 0 else i.previous_close_e8


@kernel
def check_reference_price(s, x):
    """REFERENCE_PRICE: fresh for all; an exit at a limit may fall back to the last good price, then the close.

    A quote wider than `max_quote_spread` says nothing of the price; MAX_QUOTE_SPREAD tells of it.
    """
    require(s, x, c.REFERENCE_PRICE, a.REFERENCE_MAX_AGE, a.INSTRUMENT)
    i = s.instruments[x.instrument]
    quoted = _quote_counts(x, i)
    live = _current_reference(s, x, i, quoted)
    known_ns = i.quote_ns if quoted else i.last_ns
    age = s.now_ns - known_ns
    most = x.limit[a.REFERENCE_MAX_AGE]
    if known_ns != NONE:
        x.reference_age_ns = age
        measured_at_tightest(x, c.REFERENCE_PRICE, a.REFERENCE_MAX_AGE, age, most)
    x.collar_factor = 1
    x.reference_e8 = live
    if live > 0 and known_ns != NONE and (most == UNSET or age <= most):
        return
    last_good = _last_good(i, quoted)
    if has_limit(x) and reduces(s, x, x.exposures[a.ACCOUNT]) and last_good > 0:
        x.collar_factor = EXIT_COLLAR_FACTOR
        x.reference_e8 = last_good
        return
    if live > 0 and known_ns != NONE:
        exceeds(x, c.REFERENCE_PRICE, a.REFERENCE_MAX_AGE, age, most)
    else:
        x.reference_e8 = 0
        fail(x, c.REFERENCE_PRICE, c.DETAIL_NONE_KNOWN, NONE)


@kernel
def check_max_quote_spread(s, x):
    """MAX_QUOTE_SPREAD: the width of the quote that the reference price comes from, or that is too wide to give one.

    A wide quote refuses nothing where a fresh trade, or of an exit the last good price, stands in for it.
    """
    i = s.instruments[x.instrument]
    no_reference = x.mask >> c.REFERENCE_PRICE & 1 == 1
    if _quote_counts(x, i) or (no_reference and spread_bps(i) != NONE):
        found_at_tightest(x, c.MAX_QUOTE_SPREAD, a.MAX_QUOTE_SPREAD, spread_bps(i))


@kernel
def price_to_pay(x, i):
    """The price that is held against the collar: the order's limit; of a market or stop order the other side of the
    quote, 0 where there is none.
    """
    if x.price_e8 > 0:
        return x.price_e8
    return i.ask_e8 if x.side == t.BUY else i.bid_e8


@kernel
def _limit_at(x, i, bound):
    """The price, on the tick, at which a market or stop order goes out as a limit order that keeps to the collar."""
    down = bound - bound % i.tick_e8
    return down if x.side == t.BUY or down == bound else down + i.tick_e8


@kernel
def collar_at(x, bps):
    """The price so many basis points beyond the reference price, on the candidate's aggressive side."""
    distance = share_of(x.reference_e8, bps) * x.collar_factor
    return x.reference_e8 + distance if x.side == t.BUY else x.reference_e8 - distance


@kernel
def beyond_collar(x, price, bound):
    """Whether a price is worse than that of a collar."""
    return price > bound if x.side == t.BUY else price < bound


@kernel
def check_price_collar(s, x):
    """PRICE_COLLAR: a price beyond the reference price on its aggressive side, the order's limit or what it would pay
    now; also finds the worst price.

    Where its venue's section says so (`market_as_limit`), a market or stop order gets the collar as its limit instead.
    A pegged order must have a limit, its own or that one: nobody knows where its price goes.
    """
    require(s, x, c.PRICE_COLLAR, a.COLLAR_BPS, a.INSTRUMENT)
    collar = x.limit[a.COLLAR_BPS]
    i = s.instruments[x.instrument]
    x.capped_e8 = 0
    distance = 0
    if collar != UNSET and collar != UNLIMITED and x.reference_e8 > 0:
        bound = collar_at(x, collar)
        distance = abs(bound - x.reference_e8)
        price = price_to_pay(x, i)
        if price > 0:
            measured_at_tightest(x, c.PRICE_COLLAR, a.COLLAR_BPS, price, bound)
        beyond = price > 0 and beyond_collar(x, price, bound)
        may_go_beyond = beyond or price == 0 or x.ord_type == t.PEGGED
        if x.price_e8 == 0 and s.sessions[x.venue].market_as_limit == 1 and may_go_beyond:
            x.capped_e8 = max(_limit_at(x, i, bound), 0)  # without a quote nobody knows what it would pay
        if beyond and x.capped_e8 == 0:
            exceeds(x, c.PRICE_COLLAR, a.COLLAR_BPS, price, bound)
    if x.ord_type == t.PEGGED and x.price_e8 == 0 and x.capped_e8 == 0:
        fail(x, c.PRICE_COLLAR, c.DETAIL_PEG, NONE)
    if x.side != t.BUY:
        rests = i.ask_e8 if x.ord_type == t.PEGGED else i.bid_e8
        x.worst_price_e8 = max(max(x.price_e8, x.stop_e8), max(rests, x.reference_e8))
    elif x.price_e8 > 0 or x.capped_e8 > 0:
        x.worst_price_e8 = max(x.price_e8, x.capped_e8)
    else:
        x.worst_price_e8 = max(max(i.ask_e8, x.reference_e8) + distance, x.stop_e8)


@kernel
def check_tick_size(s, x):
    """TICK_SIZE: price and stop price are multiples of the tick."""
    tick = s.instruments[x.instrument].tick_e8
    if x.price_e8 % tick != 0:
        breach(x, c.TICK_SIZE, NONE, NONE, NONE, 0, x.price_e8, tick)
    if x.stop_e8 % tick != 0:
        breach(x, c.TICK_SIZE, NONE, NONE, NONE, 0, x.stop_e8, tick)
