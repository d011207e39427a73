"""OrdStatus(39) of an order, with and without the pending states that its requests add. Kernels only."""

from __future__ import annotations

from gateway.core.layout import NONE, VERSION_42
from gateway.core.orders.exposure import closed, is_over, settle
from gateway.fix import tags as t
from gateway.jit import kernel


@kernel
def order_status(s, o):
    """OrdStatus(39) by the precedence of FIX 4.4 Appendix D: acknowledged pending requests stand over the rest."""
    status = o.status
    if status == t.STATUS_CANCELED or status == t.STATUS_REJECTED or status == t.STATUS_EXPIRED:
        return status
    row = o.pending
    while row != NONE:
        r = s.requests[row]
        if r.acknowledged == 1:
            if r.kind == t.ORDER_CANCEL_REQUEST:
                return t.STATUS_PENDING_CANCEL
            status = t.STATUS_PENDING_REPLACE
        row = r.older
    if status == t.STATUS_NEW and o.replaced == 1 and s.sessions[o.session].version == VERSION_42:
        return t.STATUS_REPLACED_42
    return status


@kernel
def rank(status):
    """Precedence of OrdStatus in FIX 4.4 Appendix D, without the pending states: higher stands."""
    if closed(status):
        return 10
    if status == t.STATUS_DONE_FOR_DAY:
        return 9
    if status == t.STATUS_CALCULATED:
        return 8
    if status == t.STATUS_FILLED:
        return 7
    if status == t.STATUS_STOPPED:
        return 6
    if status == t.STATUS_SUSPENDED:
        return 5
    if status == t.STATUS_PARTIALLY_FILLED:
        return 3
    if status == t.STATUS_NEW:
        return 2
    return 1


@kernel
def trade_status(s, o):
    """New, partially filled or filled, by quantity alone; done for the day where an execution of a day that has ended
    was taken back of an order that did not outlive it, unless its venue has calculated it.
    """
    if o.cum_e8 >= o.qty_e8:
        return t.STATUS_FILLED
    if o.ended_day > 0 and o.status != t.STATUS_CALCULATED and is_over(s, o, t.STATUS_DONE_FOR_DAY):
        return t.STATUS_DONE_FOR_DAY
    return t.STATUS_PARTIALLY_FILLED if o.cum_e8 > 0 else t.STATUS_NEW


@kernel
def refresh_status(s, o):
    """Bring status and exposure in step after a quantity changed; a closed order stays closed."""
    settle(s, o)
    traded = trade_status(s, o)
    by_quantity = o.status == t.STATUS_FILLED or o.status == t.STATUS_PARTIALLY_FILLED or o.status == t.STATUS_NEW
    if by_quantity or (o.cum_e8 > 0 and rank(o.status) < rank(traded)):
        o.status = traded
