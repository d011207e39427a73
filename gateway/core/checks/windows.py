"""Messages per window: an exact upper bound of a sliding count in constant memory. Kernels only.

A window is cut into 16 slices; the count is that of the slice being filled and the 16 before it, so every message of
the last window is in it, and none older than 17/16 of a window.
"""

from __future__ import annotations

from gateway.core.layout import MESSAGE_WINDOW, RATE_SLICES, UNSET
from gateway.jit import kernel

DEFAULT_WINDOW_NS = 1_000_000_000


@kernel
def count_message(entity, now_ns):
    """Count one message of an entity; afterwards `entity.in_window` is what MAX_MESSAGES compares."""
    window = entity.limit[MESSAGE_WINDOW]
    if window == UNSET:
        window = DEFAULT_WINDOW_NS
    current = now_ns // ((window + RATE_SLICES - 2) // (RATE_SLICES - 1))
    stale = min(current - entity.slice, RATE_SLICES)
    for k in range(stale):
        slot = (current - k) % RATE_SLICES
        entity.in_window -= entity.sliced[slot]
        entity.sliced[slot] = 0
    entity.slice = current
    entity.sliced[current % RATE_SLICES] += 1
    entity.in_window += 1
    entity.messages += 1
