"""The end of a trading day: rows of finished orders are given back, at once or, where executions of them may yet be
busted, after some days; open orders are carried on. Kernels only.
"""

from __future__ import annotations

from gateway.core import alerts as al
from gateway.core import events as ev
from gateway.core.layout import NONE, REQUEST_PENDING
from gateway.core.messages.alerts import alert
from gateway.core.orders.requests import mark_sent
from gateway.core.orders.status import refresh_status
from gateway.core.tables.executions import execution_bucket, link_fill
from gateway.core.tables.orders import link_venue_order_id
from gateway.core.tables.requests import free_request, retire_request
from gateway.fix import tags as t
from gateway.jit import kernel

KEPT_SHARE = 4  # one of so many rows of orders and executions may be of finished ones
AT_ONCE = 8  # one of so many of them goes before they are counted again


@kernel
def _free_order(s, row):
    o = s.orders[row]
    if o.listed == 1:
        o.listed = 0
        s.sessions[o.session].list_left -= 1
    o.number = NONE
    o.ended_day = 0
    o.venue_order_id_size = 0
    o.next = s.order_free
    s.order_free = row
    s.order_free_count += 1


@kernel
def _is_kept(s, o):
    """Whether a finished order stays, since its venue may bust or correct an execution of it in the next days."""
    if o.newest_fill == NONE or s.keep_days == 0:
        return False
    return o.ended_day == 0 or s.days - o.ended_day < s.keep_days


@kernel
def _has_waiting_cancel(s, o):
    """Whether a cancel of the EMS on the order waits for room at its venue: a sweep answers it, within a moment."""
    row = o.pending
    while row != NONE and s.unsent_cancels > 0:
        if s.requests[row].unsent > 0:
            return True
        row = s.requests[row].older
    return False


@kernel
def _give_back_orders(s, positions):
    """Free the rows of orders that nothing can happen to any more; returns how many are open that no longer should be.

    One with a cancel of the EMS that waits for its answer stays, but is an order of today no longer.
    """
    left = 0
    for row in range(s.order_count):
        o = s.orders[row]
        if o.number == NONE:
            continue
        o.terms += 1
        o.mass_cancel = 0  # the rows of mass cancels are given back
        if positions == ev.POSITIONS_RESET and o.doubtful_e8 > 0:
            # Positions start from zero: what was told twice, or not, was of yesterday.
            o.fills_e8 -= min(o.doubtful_e8, o.fills_e8)
            o.doubtful_e8 = 0
            refresh_status(s, o)
        if o.counted_open == 1:
            o.ended_day = 0
            time_in_force = s.requests[o.accepted].time_in_force
            left += 0 if time_in_force == t.GOOD_TILL_CANCEL or time_in_force == t.GOOD_TILL_DATE else 1
        elif o.unbooked_e8 == 0:
            waits = _has_waiting_cancel(s, o)
            # What may have been told twice is kept for as long as somebody may find out.
            if waits or (positions == ev.POSITIONS_KEPT and _is_kept(s, o)):
                o.ended_day = s.days if o.ended_day == 0 else o.ended_day
                o.pending = o.pending if waits else NONE
            else:
                _free_order(s, row)
    return left


@kernel
def _count_kept(s):
    """Finished orders that are kept, their executions, and the oldest day of them."""
    orders = 0
    oldest = s.days
    for row in range(s.order_count):
        o = s.orders[row]
        if o.number != NONE and o.ended_day > 0:
            orders += 1
            oldest = min(oldest, o.ended_day)
    executions = 0
    for row in range(s.execution_count):
        x = s.executions[row]
        kept = x.order != NONE and s.orders[x.order].number != NONE and s.orders[x.order].ended_day > 0
        executions += 1 if kept and not _is_of_no_use(x) else 0
    return orders, executions, oldest


@kernel
def _is_of_no_use(x):
    """Whether a report of a finished order was no fill, nor a copy or correction that a bust may name."""
    return x.no_fill == 1 and x.corrects == NONE


@kernel
def _make_room(s):
    """Finished orders may have a share of the tables; what is more goes, the oldest days first."""
    orders, executions, oldest = _count_kept(s)
    while orders > s.orders.size // KEPT_SHARE or executions > s.executions.size // KEPT_SHARE:
        most = orders // AT_ONCE + 1
        for row in range(s.order_count):
            if most > 0 and s.orders[row].number != NONE and s.orders[row].ended_day == oldest:
                most -= 1
                _free_order(s, row)
        orders, executions, oldest = _count_kept(s)


@kernel
def _give_back_requests(s):
    """Free the rows of requests on orders that are gone; ClOrdIDs of finished orders can be used again. That of a
    refused cancel, free already, forgets its order.
    """
    for row in range(s.request_count):
        r = s.requests[row]
        r.answer = 0 if r.ours == 1 else r.answer  # as the order's `mass_cancel`
        gone = r.order == NONE or s.orders[r.order].number == NONE
        if not gone and s.orders[r.order].ended_day == 0:
            continue
        if not gone and s.orders[r.order].pending != NONE and r.state == REQUEST_PENDING:
            continue  # it waits for its answer, and gives its ClOrdID back with it
        # Any other one is known by the venue's OrderID(37) too.
        needed = not gone and (row == s.orders[r.order].first or row == s.orders[r.order].accepted)
        gone = not needed
        if r.session != NONE and not gone:
            retire_request(s, row)
        elif r.session != NONE or (gone and r.retired == 1):
            mark_sent(s, r)
            free_request(s, row)
        if gone or r.retired == 0:
            r.order = NONE


@kernel
def _keep_executions(s, positions):
    """Close the gaps that the executions of finished orders leave, and link the rest anew. Where positions start from
    zero none of a finished order stays.
    """
    s.execution_head[:] = NONE
    for row in range(s.order_count):
        s.orders[row].newest_fill = NONE
    count = 0
    for row in range(s.execution_count):
        # `next` holds where to: a correction may stand before what it corrects, in a row that was used again.
        x = s.executions[row]
        gone = x.order == NONE or s.orders[x.order].number == NONE
        of_no_use = positions == ev.POSITIONS_RESET or _is_of_no_use(x)
        gone = gone or (s.orders[x.order].ended_day > 0 and of_no_use)
        x.next = NONE if gone else count
        count += 0 if gone else 1
    for row in range(s.execution_count):
        x = s.executions[row]
        kept = x.next
        if kept == NONE:
            continue
        y = s.executions[kept]
        if kept != row:
            y.venue = x.venue
            y.order = x.order
            y.qty_e8 = x.qty_e8
            y.px_e8 = x.px_e8
            y.told_cum_e8 = x.told_cum_e8
            y.terms = x.terms
            y.leg = x.leg
            y.unclear_e8 = x.unclear_e8
            y.no_fill = x.no_fill
            y.run = x.run
            y.number = x.number
            y.exec_id_size = x.exec_id_size
            for k in range(x.exec_id_size):
                y.exec_id[k] = x.exec_id[k]
        y.corrects = s.executions[x.corrects].next if x.corrects != NONE else NONE
    s.execution_count = count
    s.execution_oldest = 0
    for row in range(count):
        x = s.executions[row]
        bucket = execution_bucket(s, x.venue, x.exec_id, 0, x.exec_id_size)
        x.next = s.execution_head[bucket]
        s.execution_head[bucket] = row
        link_fill(s, row)


@kernel
def _keep_fingerprints(s):
    """Take finished orders out of the chains, which stay newest first."""
    for bucket in range(s.fingerprint_head.size):
        row = int(s.fingerprint_head[bucket])
        last = NONE
        s.fingerprint_head[bucket] = NONE
        while row != NONE:
            o = s.orders[row]
            older = o.fingerprint_older
            if o.number != NONE:
                o.fingerprint_older = NONE
                if last == NONE:
                    s.fingerprint_head[bucket] = row
                else:
                    s.orders[last].fingerprint_older = row
                last = row
            row = older


@kernel
def _keep_venue_order_ids(s):
    """Link the OrderIDs at venues anew, those of open orders in front: a venue may give the same ones each day."""
    s.venue_order_id_head[:] = NONE
    for finished in (True, False):
        for row in range(s.order_count):
            if s.orders[row].number != NONE and (s.orders[row].ended_day > 0) == finished:
                link_venue_order_id(s, row)


@kernel
def end_day(s, out, buf, event):
    """End the trading day: open orders stay with all that belongs to them; positions stay, or start from zero."""
    s.days += 1
    # The ClOrdIDs of finished orders are forgotten, so their copies (PossDupFlag) must be refused as stale.
    s.started_wall_ns = event.time_ns + s.wall_offset_ns
    left = _give_back_orders(s, event.value[0])
    _make_room(s)
    _give_back_requests(s)
    _keep_executions(s, event.value[0])
    _keep_fingerprints(s)
    _keep_venue_order_ids(s)
    if event.value[0] == ev.POSITIONS_RESET:
        for row in range(s.exposure_count):
            s.exposures[row].position_e8 = 0
        s.reduce_due = 1
    if left > 0:
        alert(s, out, al.STILL_OPEN, buf, event.start, 0)
