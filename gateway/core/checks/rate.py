"""Checks of how many messages come, and of orders that come twice. Kernels only."""

from __future__ import annotations

from gateway.core import catalogue as c
from gateway.core import layout as a
from gateway.core.checks.breaches import exceeds, found
from gateway.core.checks.limits import require
from gateway.core.layout import NONE, SCOPES, UNSET
from gateway.fix import tags as t
from gateway.jit import kernel


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
