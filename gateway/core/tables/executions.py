"""Executions, by venue and ExecID(17). Kernels only."""

from __future__ import annotations

from gateway.core.layout import ID_BYTES, NONE
from gateway.core.tables.entities import mix
from gateway.fix.values import copy_bytes, hash_bytes, same_bytes
from gateway.jit import kernel

RECYCLE_ROWS = 64  # looked at for one that may be used again, for a report that needs none


@kernel
def execution_bucket(s, venue, buf, start, size):
    """Bucket of an execution's hash chain."""
    return mix(hash_bytes(buf, start, size), venue) & (s.execution_head.size - 1)


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
