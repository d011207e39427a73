"""Checks of how many messages come, and of orders that come twice. Kernels only."""

from __future__ import annotations

from gateway.core import catalogue as c
from gateway.core import layout as a
from gateway.core.checks.breaches import exceeds, found
from gateway.core.checks.limits import require
from gateway.core.checks.windows import room_for_cancels, slide
from gateway.core.layout import NONE, SCOPES, UNLIMITED, UNSET
from gateway.core.orders.exposure import closed
from gateway.fix import tags as t
from gateway.jit import kernel


@kernel
def check_max_messages(s, x):
    """MAX_MESSAGES: messages of every entity in its window; they were counted when the message came in. To a venue goes
    one more, and a quarter of its limit is left to cancels.
    """
    require(s, x, c.MAX_MESSAGES, a.MAX_MESSAGES, a.SESSION)
    for k in range(SCOPES):
        if x.entities[k] == NONE or k == a.INSTRUMENT:
            continue
        e = s.entities[x.entities[k]]
        most = e.limit[a.MAX_MESSAGES]
        if k != a.VENUE:
            found(x, c.MAX_MESSAGES, e.in_window, most, x.entities[k], 0)
        elif most != UNSET and most < UNLIMITED:
            slide(e, s.now_ns)
            found(x, c.MAX_MESSAGES, e.in_window + 1, max(most - room_for_cancels(most), 0), x.entities[k], 0)


@kernel
def fingerprint_of(x):
    """31-bit hash of what makes two orders equal: account, instrument, side, type, time in force, peg, quantity and
    prices.
    """
    h = x.entities[a.ACCOUNT] * 8_191 + x.instrument * 131 + x.side * 7 + x.ord_type
    h = h * 31 + x.time_in_force ^ x.peg
    h = (h ^ (x.qty_e8 & 0x7FFFFFFF) ^ (x.qty_e8 >> 31)) * 16_777_619 & 0x7FFFFFFF
    h = (h ^ (x.price_e8 & 0x7FFFFFFF) ^ (x.price_e8 >> 31)) * 16_777_619 & 0x7FFFFFFF
    h = (h ^ (x.stop_e8 & 0x7FFFFFFF) ^ (x.stop_e8 >> 31)) * 16_777_619 & 0x7FFFFFFF
    return h ^ (h >> 13)


@kernel
def _equal_order(x, o, r):
    """Of one that got a limit of the gateway's, type and price are not those asked for: its fingerprint tells them."""
    return (
        o.entities[a.ACCOUNT] == x.entities[a.ACCOUNT]
        and o.instrument == x.instrument
        and o.side == x.side
        and r.qty_e8 == x.qty_e8
        and (r.capped == 1 or (r.ord_type == x.ord_type and r.price_e8 == x.price_e8))
        and r.stop_e8 == x.stop_e8
        and r.time_in_force == x.time_in_force
    )


@kernel
def _came_to_nothing(o):
    """Whether an order was refused by its venue, was canceled or has expired, and nothing of it has traded."""
    return closed(o.status) and o.cum_e8 == 0


@kernel
def check_duplicate_order(s, x):
    """DUPLICATE_ORDER: an equal new order accepted within the window that works or has traded.

    The walk is from the newest on, and ends with the window.
    """
    window = max(x.limit[a.DUPLICATE_WINDOW], 0)  # UNSET is none
    widest = max(window, s.widest_duplicate_ns)
    if x.kind != t.NEW_ORDER_SINGLE or widest == 0:
        return
    row = int(s.fingerprint_head[x.fingerprint & (s.fingerprint_head.size - 1)])
    while row != NONE:
        o = s.orders[row]
        age = s.now_ns - o.placed_ns
        if age >= widest:
            return
        equal = o.fingerprint == x.fingerprint and _equal_order(x, o, s.requests[o.first])
        if equal and not _came_to_nothing(o):
            x.duplicate_ns = age
            if age < window:
                exceeds(x, c.DUPLICATE_ORDER, a.DUPLICATE_WINDOW, age, window)
            return
        row = o.fingerprint_older
