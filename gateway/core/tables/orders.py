"""Orders, and their look-up by the venue's OrderID(37). Kernels only."""

from __future__ import annotations

from gateway.core.layout import ID_BYTES, NONE
from gateway.core.tables.entities import mix
from gateway.fix.values import hash_bytes, same_bytes
from gateway.jit import kernel


@kernel
def orders_left(s):
    """Rows that orders can still take."""
    return s.orders.size - s.order_count + s.order_free_count


@kernel
def add_order(s):
    """Take a row for an order; the caller has seen that one is left."""
    row = s.order_free
    if row != NONE:
        s.order_free = s.orders[row].next
        s.order_free_count -= 1
    else:
        row = s.order_count
        s.order_count += 1
    s.orders[row].run = s.run
    s.orders[row].number = s.next_order
    s.next_order += 1
    return row


@kernel
def _venue_order_id_bucket(s, venue, buf, start, size):
    return mix(hash_bytes(buf, start, size), venue) & (s.venue_order_id_head.size - 1)


@kernel
def find_by_venue_order_id(s, venue, buf, start, size):
    """Row of the order that a venue knows by this OrderID(37), or NONE."""
    if size < 1 or size > ID_BYTES:
        return NONE
    row = int(s.venue_order_id_head[_venue_order_id_bucket(s, venue, buf, start, size)])
    while row != NONE:
        o = s.orders[row]
        if o.venue == venue and o.venue_order_id_size == size and same_bytes(o.venue_order_id, 0, buf, start, size):
            break
        row = o.venue_order_id_next
    return row


@kernel
def link_venue_order_id(s, row):
    """Enter an order's OrderID(37) at its venue, if it has one, into its hash chain."""
    o = s.orders[row]
    if o.venue_order_id_size > 0:
        bucket = _venue_order_id_bucket(s, o.venue, o.venue_order_id, 0, o.venue_order_id_size)
        o.venue_order_id_next = s.venue_order_id_head[bucket]
        s.venue_order_id_head[bucket] = row


@kernel
def unlink_venue_order_id(s, row):
    """Take it out again."""
    o = s.orders[row]
    if o.venue_order_id_size == 0:
        return
    bucket = _venue_order_id_bucket(s, o.venue, o.venue_order_id, 0, o.venue_order_id_size)
    at = int(s.venue_order_id_head[bucket])
    if at == row:
        s.venue_order_id_head[bucket] = o.venue_order_id_next
        return
    while at != NONE:
        before = s.orders[at]
        if before.venue_order_id_next == row:
            before.venue_order_id_next = o.venue_order_id_next
            return
        at = before.venue_order_id_next
