"""Requests of an order, by ClOrdID(11): the EMS's and the ones that we gave. Kernels only."""

from __future__ import annotations

from gateway.core.layout import CHILD_ROWS, ID_BYTES, NONE
from gateway.core.tables.entities import mix
from gateway.fix.index import find
from gateway.fix.values import copy_bytes, hash_bytes, parse_int, same_bytes
from gateway.jit import kernel


@kernel
def request_bucket(s, session, buf, start, size):
    """Bucket of a request's hash chain."""
    return mix(hash_bytes(buf, start, size), session) & (s.request_head.size - 1)


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
    r.retired = 0
    r.capped = 0
    r.unsent = 0
    r.answer = 0
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
    if r.retired == 0:
        _forget_id(s, row)
    r.retired = 0
    r.next = s.request_free
    s.request_free = row
    s.request_free_count += 1


@kernel
def retire_request(s, row):
    """Forget a ClOrdID, so that it can be used again; its child is still known, and what the EMS called it."""
    _forget_id(s, row)
    s.requests[row].retired = 1


@kernel
def revive_requests(s, order):
    """An order of a day that has ended is open again: its EMS names it as before, by ids that it has not used since."""
    session = s.orders[order].session
    for row in range(s.request_count):
        r = s.requests[row]
        if r.order == order and r.retired == 1:
            if find_request(s, session, r.cl_ord_id, 0, r.cl_ord_id_size) == NONE:
                r.retired = 0
                r.session = session
                bucket = request_bucket(s, session, r.cl_ord_id, 0, r.cl_ord_id_size)
                r.next = s.request_head[bucket]
                s.request_head[bucket] = row


@kernel
def _forget_id(s, row):
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
def _find_child(s, venue, buf, start, size):
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
def child_named(s, venue, index, buf, tag):
    """The request whose child a field of a venue's message names by our ClOrdID, or NONE."""
    f = find(index, tag)
    return _find_child(s, venue, buf, index.start[f], index.length[f]) if f >= 0 else NONE
