"""Instruments, by Symbol(55) and SecurityID(48). Kernels only."""

from __future__ import annotations

from gateway.core.layout import NAME_BYTES, NONE
from gateway.fix import tags as t
from gateway.fix.index import find
from gateway.fix.values import hash_bytes, same_bytes
from gateway.jit import kernel


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
