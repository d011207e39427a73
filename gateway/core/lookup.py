"""Find and add rows: entities, instruments, requests by ClOrdID, executions by ExecID, exposures. Kernels only.

Every hash table is chained: `head[hash]` is the first row, each row has the next. Names are compared in full.
"""

from __future__ import annotations

from gateway.core.layout import CHILD_ROWS, DUPLICATE_WINDOW, ID_BYTES, NAME_BYTES, NONE, UNSET
from gateway.fix import tags as t
from gateway.fix.index import find
from gateway.fix.values import copy_bytes, hash_bytes, parse_int, same_bytes
from gateway.jit import kernel

RECYCLE_ROWS = 64  # looked at for one that may be used again, for a report that needs none


@kernel
def _mix(a, b):
    return ((a * 1_000_003) ^ (b * 7_919) ^ (a >> 7)) & 0x7FFFFFFF


@kernel
def entity_bucket(s, scope, buf, start, size):
    """Bucket of an entity's hash chain."""
    return _mix(hash_bytes(buf, start, size), scope) & (s.entity_head.size - 1)


@kernel
def find_entity(s, scope, buf, start, size):
    """Row of the entity of this scope and name, or NONE."""
    if size > NAME_BYTES:
        return NONE
    row = int(s.entity_head[entity_bucket(s, scope, buf, start, size)])
    while row != NONE:
        e = s.entities[row]
        if e.scope == scope and e.name_size == size and same_bytes(e.name, 0, buf, start, size):
            break
        row = e.next
    return row


@kernel
def find_symbol(s, buf, start, size):
    """Row of the instrument with this Symbol(55), or NONE."""
    if size > NAME_BYTES:
        return NONE
    row = int(s.symbol_head[hash_bytes(buf, start, size) & (s.symbol_head.size - 1)])
    while row != NONE:
        i = s.instruments[row]
        if i.symbol_size == size and same_bytes(i.symbol, 0, buf, start, size):
            break
        row = i.symbol_next
    return row


@kernel
def find_security(s, buf, start, size):
    """Row of the instrument with this SecurityID(48), or NONE."""
    if size > NAME_BYTES:
        return NONE
    row = int(s.security_head[hash_bytes(buf, start, size) & (s.security_head.size - 1)])
    while row != NONE:
        i = s.instruments[row]
        if i.security_size == size and same_bytes(i.security, 0, buf, start, size):
            break
        row = i.security_next
    return row


@kernel
def instrument_named(s, index, buf):
    """Row of the instrument that Symbol(55), or else SecurityID(48), of a venue's message names, or NONE."""
    instrument = NONE
    f = find(index, t.Symbol)
    if f >= 0:
        instrument = find_symbol(s, buf, index.start[f], index.length[f])
    if instrument == NONE:
        f = find(index, t.SecurityID)
        if f >= 0:
            instrument = find_security(s, buf, index.start[f], index.length[f])
    return instrument


@kernel
def request_bucket(s, session, buf, start, size):
    """Bucket of a request's hash chain."""
    return _mix(hash_bytes(buf, start, size), session) & (s.request_head.size - 1)


@kernel
def find_request(s, session, buf, start, size):
    """Row of the request with this ClOrdID(11) of an EMS session, or NONE."""
    if size > ID_BYTES:
        return NONE
    row = int(s.request_head[request_bucket(s, session, buf, start, size)])
    while row != NONE:
        r = s.requests[row]
        if r.session == session and r.cl_ord_id_size == size and same_bytes(r.cl_ord_id, 0, buf, start, size):
            break
        row = r.next
    return row


@kernel
def requests_left(s):
    """Rows that requests can still take."""
    return s.requests.size - s.request_count + s.request_free_count


@kernel
def add_request(s, session, kind, buf, start, size):
    """Remember a ClOrdID; the caller has seen that a row is left and that `size` fits. Returns the row."""
    row = s.request_free
    if row != NONE:
        s.request_free = s.requests[row].next
        s.request_free_count -= 1
        s.requests[row].child += CHILD_ROWS
    else:
        row = s.request_count
        s.request_count += 1
        s.requests[row].child = row
    r = s.requests[row]
    r.run = s.run
    r.session = session
    r.kind = kind
    r.acknowledged = 0
    r.ours = 0
    r.order = NONE
    r.older = NONE
    r.cl_ord_id_size = size
    copy_bytes(r.cl_ord_id, 0, buf, start, size)
    bucket = request_bucket(s, session, buf, start, size)
    r.next = s.request_head[bucket]
    s.request_head[bucket] = row
    return row


@kernel
def free_request(s, row):
    """Give a row back: its ClOrdID is forgotten, its child number never used again."""
    r = s.requests[row]
    bucket = request_bucket(s, r.session, r.cl_ord_id, 0, r.cl_ord_id_size)
    at = int(s.request_head[bucket])
    if at == row:
        s.request_head[bucket] = r.next
    else:
        while s.requests[at].next != row:
            at = s.requests[at].next
        s.requests[at].next = r.next
    r.session = NONE
    r.next = s.request_free
    s.request_free = row
    s.request_free_count += 1


@kernel
def _child_of(buf, start, size):
    """(run, child, whether child is written as we do) of a child ClOrdID "C<run>-<child>"; child < 0: it is none."""
    end = start + size
    dash = start + 1
    while dash < end and buf[dash] != 45:
        dash += 1
    if size < 4 or buf[start] != 67 or dash >= end:
        return 0, NONE, False
    run = parse_int(buf, start + 1, dash - start - 1)
    return run, parse_int(buf, dash + 1, end - dash - 1), buf[dash + 1] != 48 or end - dash <= 2


@kernel
def find_child(s, venue, buf, start, size):
    """Row of the request whose child ClOrdID ("C<run>-<number>") this is at this venue, or NONE.

    A refused cancel's row was given back, but until it is used again its child is known: a venue may yet act on it.
    """
    run, child, as_ours = _child_of(buf, start, size)
    if child < 0 or not as_ours:
        return NONE
    row = child % CHILD_ROWS
    if row >= s.request_count:
        return NONE
    r = s.requests[row]
    if r.run != run or r.child != child or r.order == NONE:
        return NONE
    return row if s.orders[r.order].venue == venue else NONE


@kernel
def given_back(s, buf, start, size):
    """Whether a child ClOrdID ("C<run>-<number>") is of a request whose row was given back at an end of day."""
    run, child, _ = _child_of(buf, start, size)
    if child < 0 or child % CHILD_ROWS >= s.request_count:
        return False
    r = s.requests[child % CHILD_ROWS]
    if run < 1 or run > r.run:
        return False
    return child < r.child or (child == r.child and run == r.run and r.order == NONE)


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
    return _mix(hash_bytes(buf, start, size), venue) & (s.venue_order_id_head.size - 1)


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


@kernel
def execution_bucket(s, venue, buf, start, size):
    """Bucket of an execution's hash chain."""
    return _mix(hash_bytes(buf, start, size), venue) & (s.execution_head.size - 1)


@kernel
def find_execution(s, venue, order, buf, start, size):
    """Row of the report with this ExecID(17) on an order (NONE: one that is not ours) at a venue, or NONE."""
    row = int(s.execution_head[execution_bucket(s, venue, buf, start, size)])
    while row != NONE:
        x = s.executions[row]
        known = x.venue == venue and x.order == order and x.exec_id_size == size
        if known and same_bytes(x.exec_id, 0, buf, start, size):
            break
        row = x.next
    return row


@kernel
def _recycle_execution(s, most):
    """A row of a report that was no fill, taken out of its hash chain; NONE when the next `most` rows have none."""
    for _ in range(most):
        row = s.execution_oldest if s.execution_oldest < s.execution_count else 0
        s.execution_oldest = row + 1
        x = s.executions[row]
        if x.no_fill == 1:
            bucket = execution_bucket(s, x.venue, x.exec_id, 0, x.exec_id_size)
            at = int(s.execution_head[bucket])
            if at == row:
                s.execution_head[bucket] = x.next
            else:
                while s.executions[at].next != row:
                    at = s.executions[at].next
                s.executions[at].next = x.next
            return row
    return NONE


@kernel
def add_execution(s, venue, order, buf, start, size, no_fill):
    """Remember an ExecID; returns its row, or NONE when the table is full or the ExecID too long to hold.

    Reports that are no fills may have half of the table: a venue can send any number of them.
    """
    row = s.execution_count
    if size > ID_BYTES:
        return NONE
    if row == s.executions.size or (no_fill == 1 and row >= s.executions.size // 2):
        row = _recycle_execution(s, RECYCLE_ROWS if no_fill == 1 else s.execution_count)
        if row == NONE:
            return NONE
    else:
        s.execution_count += 1
    x = s.executions[row]
    x.venue = venue
    x.order = order
    x.qty_e8 = 0
    x.px_e8 = 0
    x.told_cum_e8 = NONE
    x.terms = 0
    x.older_fill = NONE
    x.leg = 0
    x.account = NONE
    x.unclear_e8 = 0
    x.no_fill = no_fill
    x.corrects = NONE
    x.run = s.run
    x.number = 0
    x.exec_id_size = size
    copy_bytes(x.exec_id, 0, buf, start, size)
    bucket = execution_bucket(s, venue, buf, start, size)
    x.next = s.execution_head[bucket]
    s.execution_head[bucket] = row
    return row


@kernel
def link_fill(s, row):
    """Enter an execution, if it is a fill of an order of ours, into the order's list of fills, as the newest."""
    x = s.executions[row]
    if x.order == NONE or x.number == 0 or x.corrects != NONE or x.leg != 0:
        return
    o = s.orders[x.order]
    x.older_fill = o.newest_fill
    o.newest_fill = row


@kernel
def _exposure_bucket(s, entity, instrument):
    return _mix(entity * 31 + 7, instrument + 1) & (s.exposure_head.size - 1)


@kernel
def find_exposure(s, entity, instrument):
    """Row of the exposure of an entity in an instrument, or NONE."""
    row = int(s.exposure_head[_exposure_bucket(s, entity, instrument)])
    while row != NONE:
        x = s.exposures[row]
        if x.entity == entity and x.instrument == instrument:
            break
        row = x.next
    return row


@kernel
def exposure_row(s, entity, instrument):
    """Row of the exposure of an entity in an instrument, made when it is not there; NONE when the table is full."""
    row = find_exposure(s, entity, instrument)
    if row != NONE:
        return row
    bucket = _exposure_bucket(s, entity, instrument)
    row = s.exposure_count
    if row == s.exposures.size:
        return NONE
    s.exposure_count += 1
    x = s.exposures[row]
    x.entity = entity
    x.instrument = instrument
    x.position_e8 = 0
    x.open_buy_e8 = 0
    x.open_sell_e8 = 0
    x.pair = NONE
    x.next = s.exposure_head[bucket]
    s.exposure_head[bucket] = row
    return row


@kernel
def tighter(limit, one, other):
    """Whether limit value `one` is tighter than `other`; UNSET is the loosest."""
    if one == UNSET or other == UNSET:
        return one != UNSET
    return one > other if limit == DUPLICATE_WINDOW else one < other


@kernel
def limit_here(s, entity, exposure, limit):
    """The tighter of the limit at an entity and at the entity with this exposure's instrument: (limit, paired)."""
    own = s.entities[entity].limit[limit]
    if exposure == NONE or s.exposures[exposure].pair == NONE:
        return own, 0
    paired = s.pairs[s.exposures[exposure].pair].limit[limit]
    return (paired, 1) if tighter(limit, paired, own) else (own, 0)
