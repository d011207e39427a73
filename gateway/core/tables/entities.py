"""Entities, by scope and name. Kernels only."""

from __future__ import annotations

from gateway.core.layout import NAME_BYTES, NONE
from gateway.fix.values import hash_bytes, same_bytes
from gateway.jit import kernel


@kernel
def mix(a, b):
    """31-bit hash of two numbers."""
    return ((a * 1_000_003) ^ (b * 7_919) ^ (a >> 7)) & 0x7FFFFFFF


@kernel
def entity_bucket(s, scope, buf, start, size):
    """Bucket of an entity's hash chain."""
    return mix(hash_bytes(buf, start, size), scope) & (s.entity_head.size - 1)


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
