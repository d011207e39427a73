"""Fill the tables before the first event: entities, instruments, exposures. Kernels only, for `gateway.state`."""

from __future__ import annotations

from gateway.core.layout import NAME_BYTES, NONE
from gateway.core.lookup import entity_bucket, exposure_row
from gateway.fix.values import copy_bytes, hash_bytes
from gateway.jit import entry


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
