"""Requests that an order has pending, and those that it no longer has. Kernels only."""

from __future__ import annotations

from gateway.core import layout as a
from gateway.core.layout import NONE
from gateway.core.orders.exposure import settle
from gateway.core.tables.requests import add_request, free_request
from gateway.fix import tags as t
from gateway.jit import kernel


@kernel
def fill_request(r, x, order):
    """Terms of a request, from the candidate that passed; of one that got a limit of the gateway's, as it goes out."""
    r.order = order
    r.qty_e8 = x.qty_e8
    r.price_e8 = x.price_e8
    r.stop_e8 = x.stop_e8
    r.ord_type = x.ord_type
    r.capped = 0
    if x.capped_e8 > 0:
        r.capped = 1
        r.price_e8 = x.capped_e8
        if x.ord_type == t.MARKET:
            r.ord_type = t.LIMIT
        elif x.ord_type == t.STOP:
            r.ord_type = t.STOP_LIMIT
    r.time_in_force = x.time_in_force


@kernel
def count_pending(s, o, kind):
    """Requests of the EMS on an order that wait for the venue."""
    count = 0
    row = o.pending
    while row != NONE:
        if s.requests[row].kind == kind and s.requests[row].ours == 0:
            count += 1
        row = s.requests[row].older
    return count


@kernel
def any_unsent(s, o):
    """Whether a cancel of the EMS waits for room at its venue."""
    row = o.pending
    while row != NONE:
        if s.requests[row].unsent > 0:
            return True
        row = s.requests[row].older
    return False


@kernel
def add_pending(s, o, session, kind, buf, id_start, id_size):
    """Enter a request that waits for the venue; returns its row."""
    request = add_request(s, session, kind, buf, id_start, id_size)
    r = s.requests[request]
    r.state = a.REQUEST_PENDING
    r.older = o.pending
    o.pending = request
    return request


@kernel
def mark_unsent(s, r, target):
    """A cancel of the EMS that waits for room at its venue; `target` is the request that it cancels."""
    r.unsent = target + 1
    s.unsent_cancels += 1
    s.sweep_due_ns = min(s.sweep_due_ns, s.now_ns)


@kernel
def mark_sent(s, r):
    """A request waits for room no more."""
    if r.unsent > 0:
        r.unsent = 0
        s.unsent_cancels -= 1


@kernel
def unlink_pending(s, o, request):
    """Take a request out of the order's list of pending ones."""
    mark_sent(s, s.requests[request])
    if o.pending == request:
        o.pending = s.requests[request].older
        return
    row = o.pending
    while row != NONE:
        r = s.requests[row]
        if r.older == request:
            r.older = s.requests[request].older
            return
        row = r.older


@kernel
def forget_request(s, request):
    """A pending cancel or replace is over without effect."""
    r = s.requests[request]
    o = s.orders[r.order]
    unlink_pending(s, o, request)
    r.state = a.REQUEST_REJECTED
    settle(s, o)
    if r.kind == t.ORDER_CANCEL_REQUEST:
        free_request(s, request)
