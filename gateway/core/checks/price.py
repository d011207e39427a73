"""Checks of prices: the reference price, the collar round it, the tick. Kernels only."""

from __future__ import annotations

from gateway.core import catalogue as c
from gateway.core import layout as a
from gateway.core.checks.breaches import breach, exceeds, fail, measured_at_tightest
from gateway.core.checks.limits import require
from gateway.core.layout import NONE, UNLIMITED, UNSET
from gateway.fix import tags as t
from gateway.jit import kernel

BPS = 10_000
EXIT_COLLAR_FACTOR = 2  # an exit priced from an old reference gets this many times the collar
WIDE = 2  # a quote whose ask is more than so many times its bid says nothing of the price


@kernel
def share_of(price_e8, bps):
    """price x bps / 10,000, rounded down, without leaving int64."""
    return price_e8 // BPS * bps + price_e8 % BPS * bps // BPS


@kernel
def _pays_more(s, x):
    """Whether a replace could trade at a worse price than the order that it changes."""
    r = s.requests[s.orders[x.order].accepted]
    if x.ord_type != t.LIMIT or r.ord_type != t.LIMIT:
        return True
    return x.price_e8 > r.price_e8 if x.side == t.BUY else x.price_e8 < r.price_e8


@kernel
def _reduces(s, x):
    """Whether the candidate can only bring its account's position in the instrument closer to flat: an order by its
    quantity; a replace also where it asks for no more, at a price that is no worse.
    """
    if x.order != NONE and x.added_e8 == 0 and not _pays_more(s, x):
        return True
    if x.exposures[a.ACCOUNT] == NONE:
        return False
    e = s.exposures[x.exposures[a.ACCOUNT]]
    if x.side == t.BUY:
        return -e.position_e8 - e.open_buy_e8 - x.added_e8 >= 0
    return e.position_e8 - e.open_sell_e8 - x.added_e8 >= 0


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
def _current_reference(s, x, i):
    """Reference price as of now: where the last trade is too old only the quote counts, its middle; 0 when that says
    nothing of where the price is.
    """
    if i.bid_e8 == 0 or i.ask_e8 == 0:
        return i.last_e8
    most = x.limit[a.REFERENCE_MAX_AGE]
    if i.last_ns != NONE and (most == UNSET or s.now_ns - i.last_ns <= most):
        return live_reference(i)
    return (i.bid_e8 + i.ask_e8) // 2 if i.ask_e8 // WIDE <= i.bid_e8 else 0


@kernel
def check_reference_price(s, x):
    """REFERENCE_PRICE: fresh for all; an exit at a limit may fall back to the last good price, then the close."""
    require(s, x, c.REFERENCE_PRICE, a.REFERENCE_MAX_AGE, a.INSTRUMENT)
    i = s.instruments[x.instrument]
    live = _current_reference(s, x, i)
    told_ns = i.quote_ns if i.bid_e8 > 0 and i.ask_e8 > 0 else i.last_ns
    age = s.now_ns - told_ns
    most = x.limit[a.REFERENCE_MAX_AGE]
    if told_ns != NONE:
        x.reference_age_ns = age
        measured_at_tightest(x, c.REFERENCE_PRICE, a.REFERENCE_MAX_AGE, age, most)
    x.collar_factor = 1
    x.reference_e8 = live
    if live > 0 and told_ns != NONE and (most == UNSET or age <= most):
        return
    last_good = live_reference(i)
    if x.ord_type == t.LIMIT and _reduces(s, x) and (last_good > 0 or i.previous_close_e8 > 0):
        x.collar_factor = EXIT_COLLAR_FACTOR
        x.reference_e8 = last_good if last_good > 0 else i.previous_close_e8
        return
    if live > 0 and told_ns != NONE:
        exceeds(x, c.REFERENCE_PRICE, a.REFERENCE_MAX_AGE, age, most)
    else:
        x.reference_e8 = 0
        fail(x, c.REFERENCE_PRICE, c.DETAIL_NONE_KNOWN, NONE)


@kernel
def check_price_collar(s, x):
    """PRICE_COLLAR: a limit beyond the reference price on its aggressive side; also finds the worst price."""
    require(s, x, c.PRICE_COLLAR, a.COLLAR_BPS, a.INSTRUMENT)
    collar = x.limit[a.COLLAR_BPS]
    i = s.instruments[x.instrument]
    has_limit = x.ord_type == t.LIMIT or x.ord_type == t.STOP_LIMIT
    distance = 0
    if collar != UNSET and collar != UNLIMITED:
        distance = share_of(x.reference_e8, collar) * x.collar_factor
        if has_limit and x.reference_e8 > 0:
            bound = x.reference_e8 + distance if x.side == t.BUY else x.reference_e8 - distance
            measured_at_tightest(x, c.PRICE_COLLAR, a.COLLAR_BPS, x.price_e8, bound)
            if x.price_e8 > bound if x.side == t.BUY else x.price_e8 < bound:
                exceeds(x, c.PRICE_COLLAR, a.COLLAR_BPS, x.price_e8, bound)
    if has_limit:
        x.worst_price_e8 = x.price_e8
    elif x.side == t.BUY:
        x.worst_price_e8 = max(max(i.ask_e8, x.reference_e8) + distance, x.stop_e8)
    if x.side != t.BUY:
        x.worst_price_e8 = max(max(x.price_e8, x.stop_e8), max(i.bid_e8, x.reference_e8))


@kernel
def check_tick_size(s, x):
    """TICK_SIZE: price and stop price are multiples of the tick."""
    tick = s.instruments[x.instrument].tick_e8
    if x.price_e8 % tick != 0:
        breach(x, c.TICK_SIZE, NONE, NONE, NONE, 0, x.price_e8, tick)
    if x.stop_e8 % tick != 0:
        breach(x, c.TICK_SIZE, NONE, NONE, NONE, 0, x.stop_e8, tick)
