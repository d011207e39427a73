"""Fill the tables before the first event, from settings and from an older state. Kernels only.

For `gateway.state.build` and `gateway.state.carry_over`.
"""

from __future__ import annotations

from gateway.core.checks.rate import fingerprint_of
from gateway.core.layout import ACCOUNT, NAME_BYTES, NONE
from gateway.core.tables.entities import entity_bucket
from gateway.core.tables.executions import execution_bucket, link_fill
from gateway.core.tables.exposures import exposure_row
from gateway.core.tables.orders import link_venue_order_id
from gateway.core.tables.requests import request_bucket
from gateway.fix import tags as t
from gateway.fix.values import copy_bytes, hash_bytes
from gateway.jit import entry, kernel


@entry
def add_entity(block, scope, name, size):
    """Enter an entity (uint8 `name`, `size` bytes of it); returns its row, or NONE when the table is full."""
    s = block[0]
    row = s.entity_count
    if row == s.entities.size or size > NAME_BYTES:
        return NONE
    s.entity_count += 1
    e = s.entities[row]
    e.scope = scope
    e.group = NONE
    e.name_size = size
    copy_bytes(e.name, 0, name, 0, size)
    bucket = entity_bucket(s, scope, name, 0, size)
    e.next = s.entity_head[bucket]
    s.entity_head[bucket] = row
    return row


@entry
def add_instrument(block, symbol, symbol_size, security, security_size):
    """Enter an instrument by Symbol and SecurityID (0 bytes: none); returns its row, or NONE when the table is full."""
    s = block[0]
    row = s.instrument_count
    if row == s.instruments.size or symbol_size > NAME_BYTES or security_size > NAME_BYTES:
        return NONE
    s.instrument_count += 1
    i = s.instruments[row]
    i.sector = NONE
    i.asset_class = NONE
    i.symbol_size = symbol_size
    copy_bytes(i.symbol, 0, symbol, 0, symbol_size)
    bucket = hash_bytes(symbol, 0, symbol_size) & (s.symbol_head.size - 1)
    i.symbol_next = s.symbol_head[bucket]
    s.symbol_head[bucket] = row
    i.security_next = NONE
    i.security_size = security_size
    if security_size > 0:
        copy_bytes(i.security, 0, security, 0, security_size)
        bucket = hash_bytes(security, 0, security_size) & (s.security_head.size - 1)
        i.security_next = s.security_head[bucket]
        s.security_head[bucket] = row
    return row


@entry
def add_exposure(block, entity, instrument, position_e8, pair):
    """Add to a position and set the pair's limits (NONE: leave); returns the row, NONE when the table is full."""
    s = block[0]
    row = exposure_row(s, entity, instrument)
    if row != NONE:
        s.exposures[row].position_e8 += position_e8
        if pair != NONE:
            s.exposures[row].pair = pair
    return row


@entry
def exposure_rows(block, entities, instruments, rows):
    """Find or make the exposures of entities in instruments (int64 arrays of rows). Fills `rows` (int64), with NONE
    where the table is full.
    """
    s = block[0]
    for k in range(rows.size):
        rows[k] = exposure_row(s, entities[k], instruments[k])


@kernel
def _take_fingerprint(s, o):
    x = s.work.candidate
    r = s.requests[o.first]
    x.entities[ACCOUNT] = o.entities[ACCOUNT]
    x.instrument = o.instrument
    x.side = o.side
    # As it was asked for: one that got a limit of the gateway's was a market or stop order.
    x.ord_type = r.ord_type
    x.time_in_force = r.time_in_force
    x.peg = 0
    if r.capped == 1 and r.ord_type != t.PEGGED:
        x.ord_type = t.MARKET if r.ord_type == t.LIMIT else t.STOP
    x.qty_e8 = r.qty_e8
    x.price_e8 = r.price_e8 if r.capped == 0 else 0
    x.stop_e8 = r.stop_e8
    o.fingerprint = fingerprint_of(x)


@entry
def link_rows(block, orders):
    """Enter all requests and executions, and the orders of these rows (int64, oldest first), in empty hash tables."""
    s = block[0]
    for row in orders:
        s.orders[row].newest_fill = NONE
    for row in range(s.request_count):
        r = s.requests[row]
        if r.session != NONE:
            bucket = request_bucket(s, r.session, r.cl_ord_id, 0, r.cl_ord_id_size)
            r.next = s.request_head[bucket]
            s.request_head[bucket] = row
    for row in range(s.execution_count):
        x = s.executions[row]
        bucket = execution_bucket(s, x.venue, x.exec_id, 0, x.exec_id_size)
        x.next = s.execution_head[bucket]
        s.execution_head[bucket] = row
        link_fill(s, row)
    for row in orders:
        o = s.orders[row]
        _take_fingerprint(s, o)
        bucket = o.fingerprint & (s.fingerprint_head.size - 1)
        o.fingerprint_older = s.fingerprint_head[bucket]
        s.fingerprint_head[bucket] = row
        link_venue_order_id(s, row)
