"""The checks: each its own function that reads the state and the candidate, and adds its breaches. Kernels only.

`judge` runs them all in one pass; the prerequisites (message, instrument, identity, route) have been settled before by
`intake.py`. An exposure limit fires only when the worst case after the order is over the limit and higher than before.
"""

from __future__ import annotations

from gateway.core import catalogue as c
from gateway.core import layout as a
from gateway.core.breaches import breach, exceeds, fail, found, found_at_tightest, measured, measured_at_tightest
from gateway.core.layout import NONE, SCOPES, UNLIMITED, UNSET
from gateway.core.lookup import limit_here, tighter
from gateway.fix import tags as t
from gateway.fix.values import E8, multiply_up
from gateway.jit import kernel

BPS = 10_000
MAX_EXPOSURE_E8 = 4 * 10**18  # sums above this could leave int64
EXIT_COLLAR_FACTOR = 2  # an exit priced from an old reference gets this many times the collar
WIDE = 2  # a quote whose ask is more than so many times its bid says nothing of the price


@kernel
def _tighten(x, limits, entity, paired):
    for limit in range(a.LIMITS):
        if tighter(limit, limits[limit], x.limit[limit]):
            x.limit[limit] = limits[limit]
            x.limit_entity[limit] = entity
            x.limit_paired[limit] = paired


@kernel
def gather_limits(s, x):
    """Find the tightest of every limit over the candidate's scopes."""
    for k in range(SCOPES):
        entity = x.entities[k]
        if entity == NONE:
            continue
        _tighten(x, s.entities[entity].limit, entity, 0)
        if k in a.POSITION_SCOPES and x.exposures[k] != NONE and s.exposures[x.exposures[k]].pair != NONE:
            _tighten(x, s.pairs[s.exposures[x.exposures[k]].pair].limit, entity, 1)


@kernel
def require(s, x, check, limit, scope):
    """Add a breach when a mandatory limit is not set at the scope where it must stand."""
    value, _ = limit_here(s, x.entities[scope], x.exposures[scope] if scope in a.POSITION_SCOPES else NONE, limit)
    if value == UNSET:
        breach(x, check, NONE, NONE, x.entities[scope], 0, 0, UNSET)


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
def scale_up(amount_e4, value_e8):
    """Money x a factor of 10^-8, rounded up; -1 when it does not fit."""
    if value_e8 == E8:
        return amount_e4
    whole = value_e8 // E8
    part = value_e8 % E8
    if amount_e4 > MAX_EXPOSURE_E8 // (whole + 1):
        return -1
    return amount_e4 * whole + amount_e4 // E8 * part + (amount_e4 % E8 * part + E8 - 1) // E8


@kernel
def check_max_order_notional(s, x):
    """MAX_ORDER_NOTIONAL: quantity x worst price x value of a point, rounded up; what cannot be computed is refused."""
    require(s, x, c.MAX_ORDER_NOTIONAL, a.MAX_ORDER_NOTIONAL, a.ACCOUNT)
    money = multiply_up(x.qty_e8, x.worst_price_e8)
    value = s.instruments[x.instrument].value_e8
    x.notional_e4 = scale_up(money, value) if money >= 0 and value > 0 else -1
    if x.notional_e4 < 0:
        fail(x, c.MAX_ORDER_NOTIONAL, c.DETAIL_TOO_LARGE, NONE)
    else:
        found_at_tightest(x, c.MAX_ORDER_NOTIONAL, a.MAX_ORDER_NOTIONAL, x.notional_e4)


@kernel
def check_max_order_qty(s, x):
    """MAX_ORDER_QTY: the quantity of the order."""
    require(s, x, c.MAX_ORDER_QTY, a.MAX_ORDER_QTY, a.ACCOUNT)
    found_at_tightest(x, c.MAX_ORDER_QTY, a.MAX_ORDER_QTY, x.qty_e8)


@kernel
def check_lot(s, x):
    """LOT: the quantity is a multiple of the lot."""
    lot = s.instruments[x.instrument].lot_e8
    if x.qty_e8 % lot != 0:
        breach(x, c.LOT, NONE, NONE, NONE, 0, x.qty_e8, lot)


@kernel
def check_tick_size(s, x):
    """TICK_SIZE: price and stop price are multiples of the tick."""
    tick = s.instruments[x.instrument].tick_e8
    if x.price_e8 % tick != 0:
        breach(x, c.TICK_SIZE, NONE, NONE, NONE, 0, x.price_e8, tick)
    if x.stop_e8 % tick != 0:
        breach(x, c.TICK_SIZE, NONE, NONE, NONE, 0, x.stop_e8, tick)


@kernel
def check_positions(s, x):
    """MAX_LONG and MAX_SHORT: worst-case position on the order's side, at every scope that keeps one."""
    limit = a.MAX_LONG if x.side == t.BUY else a.MAX_SHORT
    check = c.MAX_LONG if x.side == t.BUY else c.MAX_SHORT
    require(s, x, check, limit, a.ACCOUNT)
    for k in a.POSITION_SCOPES:
        if x.entities[k] == NONE:
            continue
        before = 0
        if x.exposures[k] != NONE:
            e = s.exposures[x.exposures[k]]
            before = e.position_e8 + e.open_buy_e8 if x.side == t.BUY else e.open_sell_e8 - e.position_e8
        after = before + x.added_e8
        bound, paired = limit_here(s, x.entities[k], x.exposures[k], limit)
        measured(x, check, after, bound, x.entities[k], paired)
        if after <= before:
            continue
        if bound != UNSET and after > bound:
            breach(x, check, NONE, NONE, x.entities[k], paired, after, bound)
        elif after > MAX_EXPOSURE_E8:
            fail(x, check, c.DETAIL_TOO_LARGE, NONE)


@kernel
def check_max_open_orders(s, x):
    """MAX_OPEN_ORDERS: open orders and this one, at every scope; replaces open no order."""
    if x.kind != t.NEW_ORDER_SINGLE:
        return
    for k in range(SCOPES):
        if x.entities[k] != NONE:
            e = s.entities[x.entities[k]]
            found(x, c.MAX_OPEN_ORDERS, e.open_orders + 1, e.limit[a.MAX_OPEN_ORDERS], x.entities[k], 0)


@kernel
def check_max_messages(s, x):
    """MAX_MESSAGES: messages of every entity in its window; they were counted when the message came in."""
    require(s, x, c.MAX_MESSAGES, a.MAX_MESSAGES, a.SESSION)
    for k in range(SCOPES):
        if x.entities[k] != NONE and k != a.INSTRUMENT and k != a.VENUE:
            e = s.entities[x.entities[k]]
            found(x, c.MAX_MESSAGES, e.in_window, e.limit[a.MAX_MESSAGES], x.entities[k], 0)


@kernel
def fingerprint_of(x):
    """31-bit hash of what makes two orders equal: account, instrument, side, type, quantity and prices."""
    h = x.entities[a.ACCOUNT] * 8_191 + x.instrument * 131 + x.side * 7 + x.ord_type
    h = (h ^ (x.qty_e8 & 0x7FFFFFFF) ^ (x.qty_e8 >> 31)) * 16_777_619 & 0x7FFFFFFF
    h = (h ^ (x.price_e8 & 0x7FFFFFFF) ^ (x.price_e8 >> 31)) * 16_777_619 & 0x7FFFFFFF
    h = (h ^ (x.stop_e8 & 0x7FFFFFFF) ^ (x.stop_e8 >> 31)) * 16_777_619 & 0x7FFFFFFF
    return h ^ (h >> 13)


@kernel
def _equal_order(x, o, r):
    return (
        o.entities[a.ACCOUNT] == x.entities[a.ACCOUNT]
        and o.instrument == x.instrument
        and o.side == x.side
        and r.ord_type == x.ord_type
        and r.qty_e8 == x.qty_e8
        and r.price_e8 == x.price_e8
        and r.stop_e8 == x.stop_e8
    )


@kernel
def check_duplicate_order(s, x):
    """DUPLICATE_ORDER: an equal new order accepted within the window; newest first, so the walk ends with it."""
    window = x.limit[a.DUPLICATE_WINDOW]
    if x.kind != t.NEW_ORDER_SINGLE or window == UNSET or window == 0:
        return
    row = int(s.fingerprint_head[x.fingerprint & (s.fingerprint_head.size - 1)])
    while row != NONE:
        o = s.orders[row]
        age = s.now_ns - o.placed_ns
        if age >= window:
            return
        if o.fingerprint == x.fingerprint and _equal_order(x, o, s.requests[o.first]):
            exceeds(x, c.DUPLICATE_ORDER, a.DUPLICATE_WINDOW, age, window)
            return
        row = o.fingerprint_older


@kernel
def judge(s, x):
    """Run every check that needs no prerequisite more; afterwards `x.mask` is 0 exactly when the order may go out."""
    gather_limits(s, x)
    check_lot(s, x)
    check_tick_size(s, x)
    check_max_order_qty(s, x)
    check_reference_price(s, x)
    check_price_collar(s, x)
    check_max_order_notional(s, x)
    check_positions(s, x)
    check_max_open_orders(s, x)
    check_max_messages(s, x)
    check_duplicate_order(s, x)
