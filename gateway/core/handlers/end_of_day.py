"""The end of a trading day: rows of finished orders are given back, open orders are carried on. Kernels only."""

from __future__ import annotations

from gateway.core import alerts as al
from gateway.core import events as ev
from gateway.core.layout import NONE
from gateway.core.messages.alerts import alert
from gateway.core.orders.status import refresh_status
from gateway.core.tables.executions import execution_bucket, link_fill
from gateway.core.tables.orders import link_venue_order_id
from gateway.core.tables.requests import free_request
from gateway.fix import tags as t
from gateway.jit import kernel


@kernel
def _give_back_orders(s, positions):
    """Free the rows of orders that nothing can happen to any more; returns how many day orders are open."""
    left = 0
    for row in range(s.order_count):
        o = s.orders[row]
        if o.number == NONE:
            continue
        o.terms += 1
        if positions == ev.POSITIONS_RESET and o.doubtful_e8 > 0:
            # Positions start from zero: what was told twice, or not, was of yesterday.
            o.fills_e8 -= min(o.doubtful_e8, o.fills_e8)
            o.doubtful_e8 = 0
            refresh_status(s, o)
        if o.counted_open == 1:
            left += 1 if s.requests[o.accepted].time_in_force == t.DAY else 0
        elif o.unbooked_e8 == 0:
            # What may have been told twice is kept for as long as somebody may find out.
            o.number = NONE
            o.venue_order_id_size = 0
            o.next = s.order_free
            s.order_free = row
            s.order_free_count += 1
    return left


@kernel
def _give_back_requests(s):
    """Free the rows of requests on finished orders; that of a refused cancel, free already, forgets its order."""
    for row in range(s.request_count):
        r = s.requests[row]
        if r.order == NONE or s.orders[r.order].number == NONE:
            if r.session != NONE:
                free_request(s, row)
            r.order = NONE


@kernel
def _keep_executions(s):
    """Close the gaps that the executions of finished orders leave, and link the rest anew."""
    s.execution_head[:] = NONE
    for row in range(s.order_count):
        s.orders[row].newest_fill = NONE
    count = 0
    for row in range(s.execution_count):
        # `next` holds where to: a correction may stand before what it corrects, in a row that was used again.
        x = s.executions[row]
        gone = x.order == NONE or s.orders[x.order].number == NONE
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
    """Link the OrderIDs at venues anew: those of finished orders are gone."""
    s.venue_order_id_head[:] = NONE
    for row in range(s.order_count):
        if s.orders[row].number != NONE:
            link_venue_order_id(s, row)


@kernel
def end_day(s, out, buf, event):
    """End the trading day: open orders stay with all that belongs to them; positions stay, or start from zero."""
    s.days += 1
    # The ClOrdIDs of finished orders are forgotten, so their copies (PossDupFlag) must be refused as stale.
    s.started_wall_ns = event.time_ns + s.wall_offset_ns
    left = _give_back_orders(s, event.value[0])
    _give_back_requests(s)
    _keep_executions(s)
    _keep_fingerprints(s)
    _keep_venue_order_ids(s)
    if event.value[0] == ev.POSITIONS_RESET:
        for row in range(s.exposure_count):
            s.exposures[row].position_e8 = 0
    if left > 0:
        alert(s, out, al.STILL_OPEN, buf, event.start, 0)
