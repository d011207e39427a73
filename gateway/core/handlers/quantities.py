"""What a venue's report says of an order's quantities, in the terms in which they are counted here. Kernels only.

OrderQty(38), CumQty(14) and LeavesQty(151) are claims: each is compared with what is counted, and the worse of the two
holds. A venue may restate an order (a split of the stock, say); from then on it counts less than is counted here, by
`restated_e8`, which is added to what it says and taken off what its EMS is told.
"""

from __future__ import annotations

from gateway.core import alerts as al
from gateway.core.layout import NONE
from gateway.core.messages.alerts import alert_once
from gateway.core.orders.exposure import closed, is_over, settle, worst_leaves
from gateway.core.orders.status import refresh_status
from gateway.fix import tags as t
from gateway.fix.fields import char_of, price_of
from gateway.fix.index import find
from gateway.fix.layout import E8, TOO_PRECISE
from gateway.fix.values import parse_decimal, parse_decimal_up
from gateway.jit import kernel

E16 = 10**16
ROUNDING_E8 = 100  # what quantities that are rounded up may come to in an order
MOST_TRADED = 4 * 10**18  # of money in whole units: above it AvgPx(6) is not computed


@kernel
def quantity_of(index, buf, tag):
    """A quantity that a venue tells, in 10^-8, rounded up; NONE when it is not told, below zero or no number."""
    f = find(index, tag)
    if f < 0:
        return NONE
    return max(parse_decimal_up(buf, index.start[f], index.length[f]), NONE)


@kernel
def is_too_precise(index, buf, tag):
    """Whether a quantity has more decimals than can be counted."""
    f = find(index, tag)
    return f >= 0 and parse_decimal(buf, index.start[f], index.length[f]) == TOO_PRECISE


@kernel
def told_cum(o, index, buf):
    """CumQty(14) of a report as it is counted here, NONE when none above zero is told."""
    value = quantity_of(index, buf, t.CumQty)
    return value + o.restated_e8 if value > 0 else NONE


@kernel
def learn_cum(o, index, buf):
    """Take note of CumQty(14): higher than the fills seen, one was missed; lower, one may have been told twice."""
    told = told_cum(o, index, buf)
    if told == NONE:
        return
    o.venue_cum_e8 = max(o.venue_cum_e8, told)
    beyond = o.fills_e8 - o.venue_cum_e8
    # Of an order that was restated the same CumQty(14) again explains nothing.
    if o.restated_e8 == 0 or beyond > o.doubtful_e8:
        o.doubtful_e8 = beyond if beyond > ROUNDING_E8 else 0


@kernel
def learn_more(o, index, buf):
    """Take note of a CumQty(14) that may be an older one: it counts where it is higher than what is counted."""
    if told_cum(o, index, buf) > o.cum_e8:
        learn_cum(o, index, buf)


@kernel
def learn_average(o, index, buf):
    """Take note of AvgPx(6)."""
    value = price_of(index, buf, t.AvgPx)
    if value != 0:
        o.avg_px_e8 = value
        o.avg_told = 1


@kernel
def count_traded(o, qty_e8, px_e8):
    """Add a fill (a quantity below zero: take one back) to what AvgPx(6) is computed from, where no venue tells it."""
    sign = 1 if (qty_e8 >= 0) == (px_e8 >= 0) else -1
    quantity = abs(qty_e8)
    price = abs(px_e8)
    if price >= E8 and quantity // E8 > MOST_TRADED // (price // E8):
        return
    a = quantity // E8
    b = quantity % E8
    c = price // E8
    d = price % E8
    cross = a * d + b * c  # in 10^-8
    rest = cross % E8 * E8 + b * d  # in 10^-16
    o.traded += sign * (a * c + cross // E8 + rest // E16)
    o.traded_e16 += sign * (rest % E16)
    if o.traded_e16 >= E16:
        o.traded += 1
        o.traded_e16 -= E16
    elif o.traded_e16 < 0:
        o.traded -= 1
        o.traded_e16 += E16
    if o.avg_told == 0:
        o.avg_px_e8 = _average(o)


@kernel
def _average(o):
    """Money / quantity of the fills seen in 10^-8, rounded to zero; by digits, since the product needs 128 bits."""
    quantity = o.fills_e8
    if quantity <= 0:
        return 0
    whole = o.traded
    part = o.traded_e16
    if whole < 0 and part > 0:
        whole += 1
        part = E16 - part
    whole = abs(whole)
    value = whole // quantity
    rest = whole % quantity
    digit = E16 // 10
    for _ in range(16):
        if rest > MOST_TRADED // 10 or value > MOST_TRADED // 10:
            return 0
        rest = rest * 10 + part // digit % 10
        value = value * 10 + rest // quantity
        rest %= quantity
        digit //= 10
    return -value if o.traded < 0 else value


@kernel
def terms_told(o, index, buf):
    """(OrderQty, CumQty, LeavesQty) of a report in the venue's terms: what is not told follows from the rest, and
    OrderQty at last from the order. CumQty or LeavesQty is NONE when nobody can say.
    """
    qty = quantity_of(index, buf, t.OrderQty)
    cum = quantity_of(index, buf, t.CumQty)
    leaves = quantity_of(index, buf, t.LeavesQty)
    if qty > 0 and cum >= 0 and leaves == NONE:
        leaves = qty - cum
    if qty <= 0:
        qty = o.qty_e8 - o.restated_e8
    return qty, cum, leaves


@kernel
def is_restated(o, index, buf, by_venue):
    """Whether a report gives the order another OrderQty(38), with which less has traded than is counted here and all
    adds up; or restates it (`by_venue`) so without an OrderQty(38).
    """
    qty, cum, leaves = terms_told(o, index, buf)
    if cum == NONE or leaves <= 0 or cum + o.restated_e8 >= o.cum_e8:
        return False
    if quantity_of(index, buf, t.OrderQty) <= 0:
        return by_venue
    return cum + leaves == qty and qty != o.qty_e8 - o.restated_e8


@kernel
def doubt_lower_cum(o, index, buf):
    """A report of the terms in force whose CumQty(14) is lower than what is counted: the venue may have lost a fill, or
    count anew from here on. The difference is doubtful; returns whether there is one.
    """
    cum = quantity_of(index, buf, t.CumQty)
    if cum < 0 or find(index, t.LeavesQty) < 0 or cum + o.restated_e8 >= o.cum_e8 - o.doubtful_e8 - ROUNDING_E8:
        return False
    o.terms += 1
    o.fills_e8 = o.cum_e8  # a fill that only CumQty told of may be one too
    o.venue_cum_e8 = cum + o.restated_e8
    o.doubtful_e8 = max(o.fills_e8 - o.venue_cum_e8, 0)
    return o.doubtful_e8 > 0


@kernel
def take_terms(s, o, index, buf):
    """Take the venue's terms over: what has traded stays counted, what it says is open is open."""
    _, cum, leaves = terms_told(o, index, buf)
    before = o.restated_e8
    o.terms += 1
    o.restated_e8 = o.cum_e8 - cum
    o.qty_e8 = o.cum_e8 + leaves
    row = o.pending
    while row != NONE:
        r = s.requests[row]
        r.qty_e8 += o.restated_e8 - before
        row = r.older
    settle(s, o)


@kernel
def was_open(o, index, buf, quantity):
    """Whether LeavesQty(151) is what was open until now less this fill: it traded, whatever CumQty(14) says."""
    leaves = quantity_of(index, buf, t.LeavesQty)
    return leaves != NONE and leaves == max(o.qty_e8 - o.cum_e8, 0) - quantity


@kernel
def is_copy(s, o, index, buf, quantity):
    """Whether a fill with an ExecID not seen is one that is counted: (it is, its execution or NONE). Another one in the
    same terms had its LastQty(32) and CumQty(14); or by CumQty no more has traded, and by LeavesQty(151), or else
    PossResend(97), nothing has changed.
    """
    told = told_cum(o, index, buf)
    sure = o.cum_e8 - o.unbooked_e8
    if told == NONE or told > sure or o.fills_e8 + quantity <= o.venue_cum_e8:
        return False, NONE
    if was_open(o, index, buf, quantity):
        return False, NONE
    leaves = quantity_of(index, buf, t.LeavesQty)
    row = o.newest_fill
    while row != NONE:
        x = s.executions[row]
        if x.terms == o.terms and x.qty_e8 == quantity and x.told_cum_e8 == told:
            return True, row
        row = x.older_fill
    if told != sure:
        return False, NONE
    if leaves == NONE:
        return char_of(index, buf, t.PossResend, 0) == t.YES, NONE
    return leaves == max(o.qty_e8 - sure, 0), NONE


@kernel
def claims_more(s, o, index, buf, in_force):
    """Whether LeavesQty(151) is more than is counted as open, other than by fills that are counted and it does not know
    of yet; a report of what is in force now (`in_force`) knows of all.
    """
    told = quantity_of(index, buf, t.LeavesQty)
    if in_force:
        return told > worst_leaves(s, o)
    if told <= worst_leaves(s, o) + o.doubtful_e8 * (o.qty_e8 > o.cum_e8):
        return False
    cum = quantity_of(index, buf, t.CumQty)
    cum += o.restated_e8
    late = o.restated_e8 <= cum < o.cum_e8 <= o.venue_cum_e8 and cum + told <= o.qty_e8
    return not late


@kernel
def keep_open(s, o, index, buf):
    """Count what LeavesQty(151) says is open."""
    o.qty_e8 = o.cum_e8 + quantity_of(index, buf, t.LeavesQty)
    refresh_status(s, o)


@kernel
def _status_works(index, buf):
    """Whether OrdStatus(39) is one of an order that works."""
    status = char_of(index, buf, t.OrdStatus, 0)
    return status == t.STATUS_NEW or status == t.STATUS_PARTIALLY_FILLED or status == t.STATUS_REPLACED_42


@kernel
def adds_up(o, index, buf):
    """Whether OrderQty(38), CumQty(14) and LeavesQty(151) of a report agree with each other, as far as they are told,
    and with the order where less has traded than is counted: then its quantity must be the same.
    """
    qty = quantity_of(index, buf, t.OrderQty)
    cum = quantity_of(index, buf, t.CumQty)
    leaves = quantity_of(index, buf, t.LeavesQty)
    if qty <= 0 or cum < 0:
        return True
    if cum + o.restated_e8 < o.cum_e8 and qty + o.restated_e8 != o.qty_e8:
        return False
    return leaves == NONE or cum + leaves == qty or (leaves == 0 and not _status_works(index, buf))


@kernel
def says_working(index, buf):
    """Whether the venue's report says that something can still trade: LeavesQty(151), or without it OrdStatus(39)."""
    status = char_of(index, buf, t.OrdStatus, 0)
    if find(index, t.LeavesQty) >= 0:
        return quantity_of(index, buf, t.LeavesQty) > 0 and not closed(status)
    return status == t.STATUS_NEW or status == t.STATUS_PARTIALLY_FILLED


@kernel
def reopen(o, index, buf):
    """Open a closed order again when the venue tells of leaves: what closed it here may have been an inference."""
    if closed(o.status) and find(index, t.LeavesQty) >= 0 and says_working(index, buf):
        o.status = t.STATUS_NEW


@kernel
def works_on(index, buf):
    """Whether a report that ends an order, or leaves nothing of it, says that it works: by LeavesQty(151), or without
    it OrdStatus(39).
    """
    if find(index, t.LeavesQty) >= 0:
        return quantity_of(index, buf, t.LeavesQty) > 0
    return _status_works(index, buf)


@kernel
def check_leaves(s, out, buf, event, row, in_force):
    """Compare LeavesQty(151) with what is counted as open: the larger counts. What is open here is canceled when it
    should be, what is closed is forgotten.
    """
    o = s.orders[row]
    index = s.work.index
    if is_over(s, o, o.status):
        return
    if claims_more(s, o, index, buf, in_force):
        alert_once(s, out, al.MORE_LEAVES, row, buf, event)
        keep_open(s, o, index, buf)
    elif not adds_up(o, index, buf):
        alert_once(s, out, al.NO_SUM, row, buf, event)
